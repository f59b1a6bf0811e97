"""One network for both tasks of the USTH report's phase 2, its future work: where and of what type.

A U-Net of segmentation_models with a second head on its encoder.
"""

from __future__ import annotations

import keras

from stroke_tf.labels import MASK, MASK_CLASSES, SLICE
from stroke_tf.models.backbones import preprocess
from stroke_tf.models.unet import ENCODERS, build_network, probabilities
from stroke_tf.models.weights import Weights


def build_joint(
    encoder: str = "mobilenetv2",
    *,
    image_size: int = 256,
    weights: Weights = None,
    freeze_encoder: bool = False,
    decoder_filters: tuple[int, ...] | None = None,
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Returns an uncompiled U-Net that also names what the slice as a whole shows.

    The slice's head is the pooled deepest feature map of the encoder, dropout and a dense layer.
    Compile it with a loss and a weight for each output, as `{"mask": ..., "slice": ...}`.

    `dropout` is the share of the pooled features dropped in training, in [0, 1); the other
    arguments and the errors are those of `build_unet`.

    Returns:
        A model that takes RGB images, shape (B, S, S, 3), in [0, 255] and gives float32
        probabilities of none, ischaemia and haemorrhage: a dict of "mask", shape (B, S, S, 3), for
        each pixel and "slice", shape (B, 3), for the slice. Saved, it loads without this package.
    """
    keras.utils.set_random_seed(seed)
    classes = len(MASK_CLASSES)
    network = build_network(
        encoder,
        classes=classes,
        image_size=image_size,
        weights=weights,
        freeze_encoder=freeze_encoder,
        decoder_filters=decoder_filters,
        features_of="decoder_stage0_upsampling",
    )
    images = keras.Input((image_size, image_size, 3), name="image")
    logits, features = network(preprocess(images, ENCODERS[encoder].preprocessing))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    outputs = {
        MASK: probabilities(logits, name=MASK),
        SLICE: probabilities(keras.layers.Dense(classes, name="slice_logits")(x), name=SLICE),
    }
    return keras.Model(images, outputs, name=f"joint_{encoder}")
