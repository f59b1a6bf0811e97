"""Networks: backbones, the classifier on them, and the U-Net.

`stroke_tf.models.unet` is not loaded here, so that classifiers need no segmentation_models.
"""

from stroke_tf.models.backbones import BACKBONES, Backbone, build_backbone, unfreeze
from stroke_tf.models.classifier import build_classifier
from stroke_tf.models.custom_cnn import CUSTOM_CNNS
from stroke_tf.models.heads import HEADS, split_head
from stroke_tf.models.weights import Weights, resolve_weights

__all__ = [
    "BACKBONES",
    "CUSTOM_CNNS",
    "HEADS",
    "Backbone",
    "Weights",
    "build_backbone",
    "build_classifier",
    "resolve_weights",
    "split_head",
    "unfreeze",
]
