"""Runs that several experiments begin from.

Imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

from stroke_tf.config import AugmentStrength, FitConfig
from stroke_tf.runs.settings import UnetRun

SAUCIS_UNET = UnetRun(
    architecture="improved",
    weights=None,
    image_size=256,
    batch_size=8,
    loss="dice",  # 2.5, equation 6
    tune_mask=True,  # 2.5
    lesions_only=True,  # Table 3
    val_folds=(7,),
    test_folds=(8, 9),
    fit=FitConfig(epochs=50, learning_rate=3e-4, patience=10, reduce_patience=4),
)
"""The improved U-Net of SAUCIS; what the paper leaves open is listed in `saucis_t6_unet`."""

CT_ICH_UNET = UnetRun(
    architecture="composed",
    encoder="efficientnetlite0",
    image_size=192,
    batch_size=8,
    decoder_filters=(128, 64, 32, 16),
    narrow_skips=True,
    loss="dice+ce",
    view="upright",
    strength=AugmentStrength(
        rotation_deg=15, contrast=0.2, brightness=0.1, roi=0.2, gamma=0.3, elastic=0.02
    ),
    negatives_per_positive=2,
    pasted_lesions=0.5,
    score="mask",
    mask_score="regression",
    tune_mask=True,
    mirror_test=True,
    smooth_slices=1.0,
    choose_on="other-parts",
    val_folds=(),
    fit=FitConfig(
        epochs=14,
        learning_rate=1e-3,
        patience=20,
        schedule="cosine",
        warmup_epochs=1,
        weight_decay=0.01,
        clip_norm=1.0,
        encoder_rate=0.5,
    ),
)
"""A U-Net of half the slice's side on a pretrained encoder that sees upright heads, with lesions
pasted into half of the slices. Its probabilities are smoothed along the series."""
