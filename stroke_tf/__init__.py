"""Finding strokes in brain CT with Keras and TensorFlow.

The public names are loaded when they are first used, so that importing the package takes no time.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stroke_tf.config import AugmentStrength, FitConfig
    from stroke_tf.data import AUGMENTATIONS, class_weights, make_dataset
    from stroke_tf.deploy.answers import predict_masks, predict_scores
    from stroke_tf.deploy.load import load_model
    from stroke_tf.deploy.model import StrokeModel
    from stroke_tf.evaluation.grad_cam import grad_cam
    from stroke_tf.evaluation.metrics import classification_metrics
    from stroke_tf.evaluation.operating_point import choose_threshold
    from stroke_tf.evaluation.segmentation import count_masks, segmentation_metrics
    from stroke_tf.labels import StrokeType, Task
    from stroke_tf.manifest import read_manifest
    from stroke_tf.models import BACKBONES, build_classifier
    from stroke_tf.models.unet import build_unet
    from stroke_tf.reporting.report import write_report
    from stroke_tf.training import LOSSES, fit

if os.environ.get("STROKE_TF_FAST", "1") != "0":
    # Read when TensorFlow is imported, which leaves oneDNN off on processors with AVX2 alone.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_HOMES = {
    "AUGMENTATIONS": "data",
    "AugmentStrength": "config",
    "BACKBONES": "models",
    "FitConfig": "config",
    "LOSSES": "training",
    "StrokeModel": "deploy.model",
    "StrokeType": "labels",
    "Task": "labels",
    "build_classifier": "models",
    "build_unet": "models.unet",
    "choose_threshold": "evaluation.operating_point",
    "class_weights": "data",
    "classification_metrics": "evaluation.metrics",
    "count_masks": "evaluation.segmentation",
    "fit": "training",
    "grad_cam": "evaluation.grad_cam",
    "load_model": "deploy.load",
    "make_dataset": "data",
    "predict_masks": "deploy.answers",
    "predict_scores": "deploy.answers",
    "read_manifest": "manifest",
    "segmentation_metrics": "evaluation.segmentation",
    "write_report": "reporting.report",
}

__all__ = [
    "AUGMENTATIONS",
    "BACKBONES",
    "LOSSES",
    "AugmentStrength",
    "FitConfig",
    "StrokeModel",
    "StrokeType",
    "Task",
    "build_classifier",
    "build_unet",
    "choose_threshold",
    "class_weights",
    "classification_metrics",
    "count_masks",
    "fit",
    "grad_cam",
    "load_model",
    "make_dataset",
    "predict_masks",
    "predict_scores",
    "read_manifest",
    "segmentation_metrics",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
