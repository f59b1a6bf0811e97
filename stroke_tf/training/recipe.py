"""How weights move: the optimizer, and the learning rate from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, Literal

import keras

from stroke_tf.config import FitConfig
from stroke_tf.fast.adam import adam

Mode = Literal["min", "max"]
"""Whether a score is better when it is lower or higher."""

_NOT_DECAYED = ("bias", "gamma", "beta")
"""Names of weights that are no kernels."""


def check_recipe(config: FitConfig, *, has_slow: bool) -> None:
    """Checks the settings of a training.

    Args:
        config: How to train.
        has_slow: Whether there are weights for `encoder_rate`.

    Raises:
        ValueError: If a setting is out of range, or would have no effect.
    """
    for name in ("weight_decay", "warmup_epochs"):
        if (value := getattr(config, name)) < 0:
            raise ValueError(f"`{name}` must be >= 0. Received: {value}")
    if not 0 <= config.average < 1:
        raise ValueError(f"`average` must be in [0, 1). Received: {config.average}")
    if config.average and keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`average` needs TensorFlow, and so one process. "
            f"Received: {config.average} with {keras.backend.backend()}"
        )
    if config.clip_norm is not None and config.clip_norm <= 0:
        raise ValueError(f"`clip_norm` must be > 0. Received: {config.clip_norm}")
    if config.warmup_epochs and config.schedule == "plateau":
        raise ValueError("`warmup_epochs` needs the schedule cosine. Received: plateau")
    if config.encoder_rate < 0:
        raise ValueError(f"`encoder_rate` must be >= 0. Received: {config.encoder_rate}")
    if config.encoder_rate != 1 and not has_slow:
        raise ValueError(
            "`encoder_rate` needs an encoder of its own that trains, as classifiers and the "
            f"architectures composed and joint have. Received: {config.encoder_rate}"
        )


def encoder_weights(model: keras.Model) -> list[keras.Variable]:
    """Returns the trainable weights of the network inside a model; none without one."""
    networks = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return [weight for network in networks for weight in network.trainable_variables]


def optimizer_of(config: FitConfig, slow: Collection[keras.Variable]) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a training.

    Args:
        config: How to train.
        slow: Weights that learn at `config.encoder_rate` times the learning rate.
    """
    options: dict[str, Any] = {
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay or None,
        "global_clipnorm": config.clip_norm,
        "use_ema": bool(config.average),
        "ema_momentum": config.average or 0.99,
    }
    kind = adam()
    if config.encoder_rate == 1:
        optimizer: keras.optimizers.Optimizer = kind(**options)
    else:
        optimizer = _two_speeds(kind)(slow=slow, slow_rate=config.encoder_rate, **options)
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
    if config.precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _two_speeds(kind: type[keras.optimizers.Adam]) -> type[keras.optimizers.Adam]:
    """Returns a class of Adam under which some weights learn slower than the others."""

    class TwoSpeeds(kind):
        def __init__(
            self, *, slow: Collection[keras.Variable], slow_rate: float, **options: Any
        ) -> None:
            super().__init__(**options)
            self._slow, self._slow_rate = {id(variable) for variable in slow}, slow_rate

        def build(self, variables: Sequence[keras.Variable]) -> None:
            super().build(variables)
            self._slow_places = {
                n for n, variable in enumerate(variables) if id(variable) in self._slow
            }

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            is_slow = self._get_variable_index(variable) in self._slow_places
            super().update_step(
                gradient, variable, learning_rate * (self._slow_rate if is_slow else 1.0)
            )

    return TwoSpeeds


def schedule(config: FitConfig, *, monitor: str, mode: Mode) -> keras.callbacks.Callback:
    """Returns the callback of the learning rate: a cosine, or a fall when a score stalls."""
    if config.schedule == "cosine":
        return keras.callbacks.LearningRateScheduler(lambda epoch, _: cosine(config, epoch))
    return keras.callbacks.ReduceLROnPlateau(
        monitor=monitor,
        mode=mode,
        factor=config.reduce_factor,
        patience=config.reduce_patience,
        min_delta=0,
    )


def cosine(config: FitConfig, epoch: int) -> float:
    """Returns the learning rate of an epoch, counted from 0, of the schedule cosine.

    It rises in equal steps over the first epochs and reaches `learning_rate` after them, then falls
    along half a cosine, which would be 0 in the epoch after the last.
    """
    warm = min(config.warmup_epochs, config.epochs - 1)
    if epoch < warm:
        return config.learning_rate * (epoch + 1) / (warm + 1)
    share = (epoch - warm) / (config.epochs - warm)
    return config.learning_rate * (1 + math.cos(math.pi * share)) / 2
