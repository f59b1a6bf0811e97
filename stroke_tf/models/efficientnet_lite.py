"""EfficientNet-Lite 0 to 2, which keras.applications lacks, called like its networks.

EfficientNet without squeeze-and-excitation and with ReLU6 for swish, as TensorFlow's reference has
it: faster on a CPU, sound in 8 bits, and its batch norms are genuine in the files at hand.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import keras
from keras import layers

from stroke_tf.models.lite_weights import imagenet_file

Tensor: TypeAlias = keras.KerasTensor


class _Stage(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    filters: int
    blocks: int


_STAGES = (
    _Stage(3, 1, 1, 16, 1),
    _Stage(3, 2, 6, 24, 2),
    _Stage(5, 2, 6, 40, 2),
    _Stage(3, 2, 6, 80, 3),
    _Stage(5, 1, 6, 112, 3),
    _Stage(5, 2, 6, 192, 4),
    _Stage(3, 1, 6, 320, 1),
)
_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))
"""Width and depth of each network; the stem, the head and their stages keep theirs."""
_STEM, _HEAD = 32, 1280


def efficientnet_lite(
    *,
    number: int,
    weights: str | None,
    input_shape: tuple[int, int, int],
    include_top: bool = False,
) -> keras.Model:
    """Returns an EfficientNet-Lite without its top.

    Args:
        number: 0, 1 or 2.
        weights: None for random weights, a weight file of this network, or "imagenet", see
            `imagenet_file`.
        input_shape: (S, S, 3).
        include_top: Must be False.

    Returns:
        A model that takes RGB images, shape (B, S, S, 3), in [0, 255], scales them itself and gives
        the last feature map, 1280 channels. Its blocks are `b0` to `b15`, to `b20` in 1 and 2.

    Raises:
        OSError: If the ImageNet weights cannot be downloaded.
        ValueError: If `include_top` is asked for.
    """
    if include_top:
        raise ValueError("EfficientNet-Lite is built without its top. Received: include_top=True")
    width, depth = _SCALES[number]
    images = keras.Input(input_shape, name="image")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(images)
    x = _conv(x, _STEM, "stem", kernel=3, stride=2)
    block = 0
    for place, stage in enumerate(_STAGES):
        is_end = place in (0, len(_STAGES) - 1)
        for repeat in range(stage.blocks if is_end else math.ceil(depth * stage.blocks)):
            stride = 1 if repeat else stage.stride
            x = _block(x, stage, f"b{block}", stride=stride, filters=_whole(width * stage.filters))
            block += 1
    model = keras.Model(images, _conv(x, _HEAD, "head"), name=f"efficientnetlite{number}")
    if weights is not None:
        model.load_weights(imagenet_file(model, number) if weights == "imagenet" else weights)
    return model


def _conv(x: Tensor, filters: int, name: str, *, relu: bool = True, **options: Any) -> Tensor:
    kernel, stride = options.get("kernel", 1), options.get("stride", 1)
    convolve = layers.Conv2D(
        filters, kernel, stride, padding="same", use_bias=False, name=f"{name}_conv"
    )
    return _normed(convolve(x), name, relu=relu)


def _normed(x: Tensor, name: str, *, relu: bool = True) -> Tensor:
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6, name=f"{name}_relu")(x) if relu else x


def _block(inputs: Tensor, stage: _Stage, name: str, *, stride: int, filters: int) -> Tensor:
    """Widens, convolves each channel, narrows; its input is added where the shapes agree."""
    width, x = inputs.shape[-1], inputs
    if stage.expansion > 1:
        x = _conv(x, stage.expansion * width, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_dw"
    )(x)
    x = _normed(x, f"{name}_dw")
    x = _conv(x, filters, f"{name}_project", relu=False)
    if stride > 1 or filters != width:
        return x
    return layers.Add(name=f"{name}_add")([inputs, x])


def _whole(filters: float, step: int = 8) -> int:
    """Returns the multiple of eight nearest to a width, but not more than a tenth below it."""
    whole = max(step, int(filters + step / 2) // step * step)
    return whole + step if whole < 0.9 * filters else whole
