"""The improved U-Net of the SAUCIS paper, each improvement a switch; with none it is the plain one.

Built of Keras' own layers only: it trains on any backend and a saved model loads without this
package. Knows nothing of segmentation_models.
"""

from __future__ import annotations

import keras
from keras import layers

from stroke_tf.config import IMPROVED_UNET, Improvements
from stroke_tf.models.decoders import convolve_twice, decode


def build_improved_unet(
    improvements: Improvements = IMPROVED_UNET,
    *,
    classes: int = 3,
    image_size: int = 256,
    filters: int = 32,
    depth: int = 4,
    seed: int = 0,
) -> keras.Model:
    """Returns an uncompiled U-Net with the improvements asked for.

    With `PLAIN_UNET`, 64 filters and depth 4 it is the network of Ronneberger et al. 2015, but for
    same padding and no dropout: two 3x3 convolutions with ReLU at each level, 2x2 max pooling down,
    2x2 up-convolutions that halve the filters, skip connections, a 1x1 convolution last. `decode`
    says how the improvements are read; residual and batch_norm are in the encoder too.

    Args:
        improvements: Which improvements to build in.
        classes: Number of classes, background included, for a softmax; 1 for a sigmoid.
        image_size: Side S of the input in pixels, divisible by 2**depth.
        filters: Filters of the finest level, doubled at each deeper one.
        depth: Number of times the image is halved, >= 1.
        seed: Seed of the initial weights and of dropout, set with `keras.utils.set_random_seed`:
            the global seeds of Python, NumPy and the backend are set with it.

    Returns:
        A model that takes RGB images, shape (B, S, S, 3), in [0, 255] and gives float32
        probabilities, shape (B, S, S, classes). Saved, it loads without this package.

    Raises:
        ValueError: If an argument is out of range.
    """
    _check_arguments(improvements, classes, image_size, filters, depth)
    keras.utils.set_random_seed(seed)
    images = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    maps = []
    for level in range(depth):
        maps.append(convolve_twice(x, filters << level, improvements, name=f"encoder{level}"))
        x = layers.MaxPooling2D(name=f"pool{level}")(maps[-1])
    maps.append(convolve_twice(x, filters << depth, improvements, name="bottom"))
    x = decode(maps, [filters << level for level in reversed(range(depth))], improvements)
    logits = layers.Conv2D(classes, 1, name="logits")(x)
    head = "softmax" if classes > 1 else "sigmoid"
    probs = layers.Activation(head, dtype="float32", name="probs")(logits)
    return keras.Model(images, probs, name="improved_unet")


def _check_arguments(
    improvements: Improvements, classes: int, image_size: int, filters: int, depth: int
) -> None:
    for name, value in {"classes": classes, "filters": filters, "depth": depth}.items():
        if value < 1:
            raise ValueError(f"`{name}` must be >= 1. Received: {value}")
    step = 2**depth
    if image_size < 1 or image_size % step:
        raise ValueError(
            f"`image_size` must be a multiple of {step} at depth {depth}. Received: {image_size}"
        )
    if not 0 <= improvements.spatial_dropout < 1:
        raise ValueError(
            f"`spatial_dropout` must be in [0, 1). Received: {improvements.spatial_dropout}"
        )
