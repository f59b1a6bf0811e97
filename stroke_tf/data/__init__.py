"""From folders of records to batches of slices for training and evaluation."""

from stroke_tf.data.augment import AUGMENTATIONS, augment_batch
from stroke_tf.data.memory import Cache
from stroke_tf.data.named import NamedBatch, named_batches
from stroke_tf.data.pipeline import decode_slices, make_dataset
from stroke_tf.data.rendering import gray_images, gray_to_rgb, window_hu
from stroke_tf.data.selection import Hardness, check_lesions, class_weights, count_samples

__all__ = [
    "AUGMENTATIONS",
    "Cache",
    "Hardness",
    "NamedBatch",
    "augment_batch",
    "check_lesions",
    "class_weights",
    "count_samples",
    "decode_slices",
    "gray_images",
    "gray_to_rgb",
    "make_dataset",
    "named_batches",
    "window_hu",
]
