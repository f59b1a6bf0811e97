"""Segmentation losses: class ids against softmax or sigmoid probabilities, in keras.ops.

A new loss is a class and a line in LOSSES. Every loss computes in float32, and all but `sm-dice`
train on any backend of Keras. Under a distribution strategy each replica sums over its own part of
the batch.

Dice and Tversky are our own because those of Keras count background, and smooth by 1e-7 only: a
class absent from a batch costs close to 1 for the least trace of it in a softmax.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
from keras import ops

Tensor: TypeAlias = keras.KerasTensor
_register = keras.saving.register_keras_serializable(package="stroke_tf")

SMOOTH = 1.0
"""Pixels added to numerator and denominator of a Dice ratio: a class that is neither in the truth
nor predicted costs 0, and each predicted pixel of an absent class costs something."""


class _OfClassIds(keras.losses.Loss):
    """A loss of class ids against probabilities, whose `_cost` takes the truth as one-hot."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the loss of a batch, a scalar, or of each pixel, shape (B, H, W).

        Args:
            y_true: Class ids, shape (B, H, W, 1).
            y_pred: Probabilities, shape (B, H, W, C); for C = 1 those of class 1, and the ids are
                0 and 1.

        Raises:
            ValueError: If the loss has class weights, and not one for each class.
        """
        if y_pred.shape[-1] == 1:
            y_pred = ops.concatenate([1 - y_pred, y_pred], axis=-1)
        ids = ops.cast(ops.squeeze(y_true, axis=-1), "int32")
        truth = ops.one_hot(ids, num_classes=y_pred.shape[-1], dtype=y_pred.dtype)
        return self._cost(truth, y_pred)

    def _cost(self, truth: Tensor, probs: Tensor) -> Tensor:
        """Returns the loss; truth and probabilities have shape (B, H, W, C) with C >= 2."""
        raise NotImplementedError


class _Weighted(_OfClassIds):
    """A loss with a weight for each class, background first, or None."""

    def __init__(self, *, class_weights: Sequence[float] | None = None, **options: Any):
        super().__init__(**options)
        self.class_weights = None if class_weights is None else list(class_weights)

    def _weights(self, truth: Tensor, *, otherwise: float) -> Tensor:
        """Returns the weights, shape (C,); all are `otherwise` where none were given."""
        classes = truth.shape[-1]
        weights = self.class_weights or [otherwise] * classes
        if len(weights) != classes:
            raise ValueError(
                f"`class_weights` must hold one weight for each of {classes} classes. "
                f"Received: {weights}"
            )
        return ops.convert_to_tensor(weights, "float32")

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"class_weights": self.class_weights}


class _Overlap(_OfClassIds):
    """A loss that compares what is drawn of some classes with the truth.

    Args:
        counted: Ids of these classes; None is all but background. A class that no training slice
            shows is best left out: it would cost close to 1 until next to nothing of it is left in
            a softmax, and hide what the others cost.
        **options: `name`, `reduction` and `dtype` of `keras.losses.Loss`.
    """

    def __init__(self, *, counted: Sequence[int] | None = None, **options: Any):
        super().__init__(**options)
        self.counted = None if counted is None else [int(class_id) for class_id in counted]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"counted": self.counted}


@_register
class SoftDice(_Overlap):
    """Soft Dice loss over the lesion classes (SAUCIS eq. 6).

    1 - (2 sum(p g) + SMOOTH) / (sum(p) + sum(g) + SMOOTH) for each class but background (id 0),
    sums over all pixels of the batch, then the mean of the classes: in [0, 1], and 0 for a perfect
    prediction (the paper's text has it the wrong way round). Sample weights only scale it.
    """

    def _cost(self, truth: Tensor, probs: Tensor) -> Tensor:
        return _soft_dice(truth, probs, self.counted)


@_register
class SoftJaccard(_Overlap):
    """Soft Jaccard (IoU) loss over the lesion classes.

    1 - (sum(p g) + SMOOTH) / (sum(p) + sum(g) - sum(p g) + SMOOTH), summed and averaged as in
    `SoftDice`. Sample weights only scale it.
    """

    def _cost(self, truth: Tensor, probs: Tensor) -> Tensor:
        return _tversky(truth, probs, self.counted, alpha=1, beta=1, smooth=SMOOTH)


@_register
class SoftTversky(_Overlap):
    """Tversky loss over the lesion classes (Salehi et al. 2017).

    1 - (TP + SMOOTH) / (TP + alpha FP + beta FN + SMOOTH) with soft counts, summed and averaged as
    in `SoftDice`. Sample weights only scale it.

    Args:
        alpha: Price of a falsely predicted pixel, >= 0.
        beta: Price of a missed pixel, >= 0. Above alpha, recall is worth more than precision.
        **options: `counted`, and `name`, `reduction` and `dtype` of `keras.losses.Loss`.

    Raises:
        ValueError: If a price is negative.
    """

    def __init__(self, *, alpha: float = 0.3, beta: float = 0.7, **options: Any):
        super().__init__(**options)
        if min(alpha, beta) < 0:
            raise ValueError(f"`alpha` and `beta` must be >= 0. Received: {alpha}, {beta}")
        self.alpha, self.beta = alpha, beta

    def _cost(self, truth: Tensor, probs: Tensor) -> Tensor:
        prices = {"alpha": self.alpha, "beta": self.beta}
        return _tversky(truth, probs, self.counted, **prices, smooth=SMOOTH)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"alpha": self.alpha, "beta": self.beta}


@_register
class WeightedCrossEntropy(_Weighted):
    """Cross-entropy of each pixel times the weight of its true class, then the mean of all pixels.

    The `class_weight` of `fit` does the same for labels of shape (B, 1) only. SAUCIS names the loss
    without its weights: the default is our choice.

    Args:
        class_weights: Weight of each class, background first.
        **options: `name`, `reduction` and `dtype` of `keras.losses.Loss`.
    """

    def __init__(self, *, class_weights: Sequence[float] = (1.0, 10.0, 10.0), **options: Any):
        super().__init__(class_weights=class_weights, **options)

    def _cost(self, truth: Tensor, probs: Tensor) -> Tensor:
        weights = self._weights(truth, otherwise=1.0)
        return ops.sum(truth * weights, axis=-1) * keras.losses.categorical_crossentropy(
            truth, probs
        )


@_register
class Focal(_Weighted):
    """Focal loss of each pixel (Lin et al. 2017), then the mean of all pixels.

    -w (1 - p)^gamma log(p), with p the probability of the true class and w its weight. Keras'
    own function behind class ids.

    Args:
        gamma: How much sure and right pixels are played down, >= 0; with 0 not at all.
        class_weights: Weight of each class, background first; None is 0.25 for all, as in Keras.
        **options: `name`, `reduction` and `dtype` of `keras.losses.Loss`.

    Raises:
        ValueError: If gamma is negative.
    """

    def __init__(
        self, *, gamma: float = 2.0, class_weights: Sequence[float] | None = None, **options: Any
    ):
        super().__init__(class_weights=class_weights, **options)
        if gamma < 0:
            raise ValueError(f"`gamma` must be >= 0. Received: {gamma}")
        self.gamma = gamma

    def _cost(self, truth: Tensor, probs: Tensor) -> Tensor:
        alpha = self._weights(truth, otherwise=0.25)
        return keras.losses.categorical_focal_crossentropy(
            truth, probs, alpha=alpha, gamma=self.gamma
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return super().get_config() | {"gamma": self.gamma}


@_register
class LovaszSoftmax(_OfClassIds):
    """Lovász-softmax loss (Berman et al. 2018), the convex extension of 1 - IoU.

    Over all pixels of the batch, then the mean of the classes in its truth, background included:
    the published default. In [0, 1]. Sample weights only scale it.
    """

    def _cost(self, truth: Tensor, probs: Tensor) -> Tensor:
        truth = ops.transpose(ops.reshape(truth, (-1, truth.shape[-1])))
        probs = ops.transpose(ops.reshape(probs, (-1, probs.shape[-1])))
        errors = ops.abs(truth - probs)
        order = ops.argsort(-errors, axis=-1)
        jaccard = _jaccard_of_first(ops.take_along_axis(truth, order, axis=-1))
        steps = ops.diff(ops.pad(jaccard, ((0, 0), (1, 0))), axis=-1)
        costs = ops.sum(ops.take_along_axis(errors, order, axis=-1) * steps, axis=-1)
        present = ops.cast(ops.any(truth > 0, axis=-1), costs.dtype)
        return ops.sum(costs * present) / ops.maximum(ops.sum(present), 1)


@_register
class DiceCrossEntropy(_Weighted, _Overlap):
    """The sum of `SoftDice` and the mean cross-entropy of all pixels.

    Args:
        class_weights: Weight of each class in the cross-entropy, background first; None is 1.
            Lesions above 1 keep a network from staying at background for long.
        **options: `counted` of the Dice, and `name`, `reduction` and `dtype` of
            `keras.losses.Loss`.
    """

    def _cost(self, truth: Tensor, probs: Tensor) -> Tensor:
        entropies = keras.losses.categorical_crossentropy(truth, probs)
        if self.class_weights is not None:
            entropies = ops.sum(truth * self._weights(truth, otherwise=1.0), axis=-1) * entropies
        return _soft_dice(truth, probs, self.counted) + ops.mean(entropies)


@_register
class SegmentationModelsDice(keras.losses.Loss):
    """`dice_loss` of segmentation_models, background included, as the USTH report trains with.

    It needs the TensorFlow backend.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the loss of a batch, a scalar; arguments as those of the other losses."""
        from stroke_tf.models.unet import sm_dice_loss  # classifiers need no segmentation_models

        return sm_dice_loss(y_true, y_pred)


LOSSES: dict[str, Callable[[], keras.losses.Loss]] = {
    "dice": SoftDice,
    "jaccard": SoftJaccard,
    "tversky": SoftTversky,
    "lovasz": LovaszSoftmax,
    "focal": Focal,
    "weighted-ce": WeightedCrossEntropy,
    "cross-entropy": keras.losses.SparseCategoricalCrossentropy,
    "dice+ce": DiceCrossEntropy,
    "dice+weighted-ce": functools.partial(DiceCrossEntropy, class_weights=(1.0, 10.0, 10.0)),
    "sm-dice": SegmentationModelsDice,
}
"""The constructor of each loss of masks, which compares class ids, shape (B, H, W, 1), with softmax
probabilities, shape (B, H, W, C). All but "cross-entropy" take those of a sigmoid as well, shape
(B, H, W, 1); those with "weighted-ce" need two weights for it."""


def make_loss(name: str, *, counted: Sequence[int] | None = None) -> keras.losses.Loss:
    """Returns a loss of masks.

    Args:
        name: A key of LOSSES.
        counted: Ids of the classes whose overlap counts, see `SoftDice`; losses of single pixels
            count all. None is all but background.
    """
    loss = LOSSES[name]()
    if counted is not None and isinstance(loss, _Overlap):
        loss.counted = [int(class_id) for class_id in counted]
    return loss


def _soft_dice(truth: Tensor, probs: Tensor, counted: Sequence[int] | None) -> Tensor:
    return _tversky(truth, probs, counted, alpha=0.5, beta=0.5, smooth=SMOOTH / 2)


def _tversky(
    truth: Tensor,
    probs: Tensor,
    counted: Sequence[int] | None,
    *,
    alpha: float,
    beta: float,
    smooth: float,
) -> Tensor:
    if counted is None:
        truth, probs = truth[..., 1:], probs[..., 1:]
    else:
        truth, probs = (ops.take(tensor, counted, axis=-1) for tensor in (truth, probs))
    hits = ops.sum(truth * probs, axis=(0, 1, 2))
    false = ops.sum(probs, axis=(0, 1, 2)) - hits
    missed = ops.sum(truth, axis=(0, 1, 2)) - hits
    return ops.mean(1 - (hits + smooth) / (hits + alpha * false + beta * missed + smooth))


def _jaccard_of_first(truth: Tensor) -> Tensor:
    """Returns 1 - IoU of the truth if its first 1, 2, 3... pixels are wrong, shape (C, N)."""
    total = ops.sum(truth, axis=-1, keepdims=True)
    overlap = total - ops.cumsum(truth, axis=-1)
    return 1 - overlap / (total + ops.cumsum(1 - truth, axis=-1))
