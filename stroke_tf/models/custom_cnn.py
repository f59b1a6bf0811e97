"""The custom CNNs of the USTH report: convolutions without a pretrained backbone. Knows no heads.

The report says little of them. Theirs: stages of convolution, ReLU and max-pooling, then flattening
(II-C2); ImageNet normalisation before the one for types (II-C2); a binary cross-entropy, hence one
sigmoid, for the one that detects (II-B2), and two outputs for the other (II-C2). Our choice: four
stages of 32, 64, 128 and 128 filters, 3x3 convolutions and 2x2 max-pooling; the same stages for
both; pixels scaled to [-1, 1] for the one that detects, where the report hands them over unscaled
(II-B1); and the widths and dropout of the dense layer, which the head takes as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from stroke_tf.models.backbones import Preprocessing, preprocess


@dataclass(frozen=True)
class CustomCNN:
    """One network that is trained from scratch.

    Attributes:
        preprocessing: How its first layers prepare raw pixels.
        head: The key of HEADS that stands on its features, unless another is asked for.
        filters: Filters of the convolution of each stage; each stage halves the side.
    """

    preprocessing: Preprocessing
    head: str
    filters: tuple[int, ...] = (32, 64, 128, 128)

    @property
    def min_size(self) -> int:
        """Smallest side of the input in pixels."""
        return 2 ** len(self.filters)


CUSTOM_CNNS: dict[str, CustomCNN] = {
    "cnn-detect": CustomCNN("tf", head="usth-detect"),
    "cnn-type": CustomCNN("torch", head="usth-cnn"),
}


def flat_features(name: str, images: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the flattened features of a custom CNN, shape (B, F).

    Args:
        name: A key of CUSTOM_CNNS.
        images: RGB in [0, 255], shape (B, S, S, 3).

    Raises:
        ValueError: If the images are too small.
    """
    entry = CUSTOM_CNNS[name]
    if images.shape[1] < entry.min_size:
        raise ValueError(
            f"`image_size` must be >= {entry.min_size} for {name}. Received: {images.shape[1]}"
        )
    x = preprocess(images, entry.preprocessing)
    for stage, filters in enumerate(entry.filters, start=1):
        options = {"padding": "same", "activation": "relu", "name": f"conv{stage}"}
        x = keras.layers.Conv2D(filters, 3, **options)(x)
        x = keras.layers.MaxPooling2D(name=f"max_pool{stage}")(x)
    return keras.layers.Flatten(name="flatten")(x)
