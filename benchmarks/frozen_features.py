"""Training a head on a frozen backbone: on features computed once beside plain `fit`, in one run.

    python -m benchmarks.frozen_features [--records FOLDER] [--weights FILE] [--quick]

- ours: features of all slices computed once, kept on disk, then `fit` of the head on them.
- plain: `fit` of the whole classifier, its backbone frozen.

Same slices, labels, initial weights, order, batch and epochs; both validate and save in each epoch,
and both pay for decoding. Slices are not augmented, or as --copies says: plain draws anew in each
epoch, ours chooses among the slice and its copies. Ours runs first, so that it pays for
TensorFlow's start. It gains from three things: the backbone runs once, not in each epoch; its
weights are constants then, so that batch norms are folded into convolutions; and it is not saved
in each epoch. The AUCs are of the weights that each way is left with, on the same validation
slices. Without --records the slices are phantoms.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from benchmarks._side_by_side import Timed, compared, convert, phantom_slices, tell, timed
from stroke_tf.config import AugmentStrength, FitConfig
from stroke_tf.labels import Task

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Train = Callable[["Settings", "keras.Model", Path, Path], float]
"""Trains a model on records, in a folder for the run; returns the seconds spent on features."""

_BACKBONE = "mobilenetv2"
_TRAIN, _VAL = (0, 1, 2, 3, 4, 5, 6, 7), (8, 9)
_QUICK_PATIENTS, _QUICK_SIZE = 24, 96


@dataclass(frozen=True)
class Settings:
    """Settings of the benchmark.

    Attributes:
        records: Folder of records; None makes phantoms.
        weights: Weight file of MobileNetV2 (looked up in $STROKE_TF_WEIGHTS too), imagenet, or None
            for random ones.
        patients: Phantom patients, 8 slices each.
        size: Side of the model's input in pixels.
        batch: Slices in a batch of the training.
        epochs: Epochs of the training.
        copies: Augmented copies of each slice; 0 trains both ways without augmentation.
        seed: Seed of weights, order and augmentations.
        quick: Take 24 phantom patients and 96 pixels: a minute, most of it TensorFlow's start.
    """

    records: Path | None = None
    weights: str | None = None
    patients: int = 240
    size: int = 224
    batch: int = 32
    epochs: int = 10
    copies: int = 0
    seed: int = 0
    quick: bool = False


def main(settings: Settings) -> None:
    """Measures both ways and prints a table and a line of JSON."""
    if settings.quick:
        settings = dataclasses.replace(settings, patients=_QUICK_PATIENTS, size=_QUICK_SIZE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = settings.records or _make_phantoms(folder, settings)
        ways = {"ours": train_on_features, "plain": train_plainly}
        results = {
            way: measure(settings, records, folder / way, train=train)
            for way, train in ways.items()
        }
        _print(results, settings, slices=_count(records))


def measure(
    settings: Settings, records: Path, run_dir: Path, *, train: Train
) -> tuple[Timed, float]:
    """Trains a new classifier in one of the two ways; returns its time and validation ROC AUC."""
    from sklearn.metrics import roc_auc_score

    from stroke_tf.models import build_classifier

    model = build_classifier(
        _BACKBONE,
        image_size=settings.size,
        weights=settings.weights,
        trainable=False,
        seed=settings.seed,
    )
    took = timed(train, settings, model, records, run_dir)
    val = _images(settings, records, _VAL)
    truth = np.concatenate([labels.numpy()[:, 0] for _, labels in val])
    return took, roc_auc_score(truth, model.predict(val, verbose=0)[:, -1])


def train_on_features(
    settings: Settings, model: keras.Model, records: Path, run_dir: Path
) -> float:
    """Computes features once and trains the head on them; returns the seconds of the features."""
    from stroke_tf.models.heads import split_head
    from stroke_tf.training.features import FeatureSet, extract_features, feature_dataset

    extractor, head = split_head(model)

    def extract(folds: tuple[int, ...], copies: int) -> FeatureSet:
        return extract_features(
            extractor,
            records,
            folds,
            key_of_network=_BACKBONE,
            copies=copies,
            strength=AugmentStrength(),
            cache_dir=run_dir / "features",
            **_shown(settings),
        )

    def extract_all() -> list[FeatureSet]:
        extract(_TRAIN + _VAL, 0)  # all at once: the network is compiled once
        return [extract(_TRAIN, settings.copies), extract(_VAL, 0)]

    extraction = timed(extract_all)
    batches = (
        feature_dataset(features, batch_size=settings.batch, training=training, seed=settings.seed)
        for features, training in zip(extraction.value, (True, False), strict=True)
    )
    _fit(settings, head, batches, run_dir)
    return extraction.seconds


def train_plainly(settings: Settings, model: keras.Model, records: Path, run_dir: Path) -> float:
    """Trains the whole classifier; returns 0, the seconds of features."""
    train = _images(settings, records, _TRAIN, training=True)
    _fit(settings, model, (train, _images(settings, records, _VAL)), run_dir)
    return 0.0


def _fit(settings: Settings, model: keras.Model, batches: Iterable[Any], run_dir: Path) -> None:
    from stroke_tf.training import fit
    from stroke_tf.training.classification import class_one_auc, classifier_loss

    config = FitConfig(epochs=settings.epochs, patience=settings.epochs, seed=settings.seed)
    loss, metrics = classifier_loss(model.output_shape[-1]), [class_one_auc()]
    fit(model, *batches, config=config, run_dir=run_dir, loss=loss, metrics=metrics)


def _images(
    settings: Settings, records: Path, folds: tuple[int, ...], *, training: bool = False
) -> tf.data.Dataset:
    from stroke_tf.data import make_dataset

    return make_dataset(
        records,
        folds=folds,
        batch_size=settings.batch,
        training=training,
        augment=AugmentStrength() if training and settings.copies else None,
        **_shown(settings),
    )


def _shown(settings: Settings) -> dict[str, Any]:
    return {"task": Task.DETECT, "image_size": settings.size, "seed": settings.seed}


def _make_phantoms(folder: Path, settings: Settings) -> Path:
    slices = phantom_slices(folder, patients=settings.patients, size=256, seed=settings.seed)
    return convert(slices, folder / "records", size=settings.size)


def _count(records: Path) -> int:
    from stroke_tf.data import count_samples

    return count_samples(records, _TRAIN + _VAL, Task.DETECT)


def _print(results: dict[str, tuple[Timed, float]], settings: Settings, *, slices: int) -> None:
    (ours, auc), (plain, plain_auc) = results.values()
    rows = [
        (
            name,
            *(f"{value:.1f}" for value in (measured.seconds, measured.value, measured.cpu)),
            f"{measured.seconds / ours.seconds:.1f}x",
            f"{of_way:.4f}",
        )
        for name, (measured, of_way) in results.items()
    ]
    result = {
        "name": "frozen_features",
        **compared(ours.seconds, plain.seconds, unit="s", ratio=plain.seconds / ours.seconds),
        "cpu_ratio": round(plain.cpu / ours.cpu, 2),
        "n": slices,
        **{name: getattr(settings, name) for name in ("size", "epochs", "copies")},
        "extraction": round(ours.value, 1),
        "auc": round(auc, 4),
        "auc_plain": round(plain_auc, 4),
    }
    title = f"{slices} slices, {settings.size} x {settings.size}, {settings.epochs} epochs"
    tell(title, ("", "seconds", "of these features", "CPU seconds", "ours is", "AUC"), rows, result)


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.frozen_features", description=__doc__))
