"""Trials of a search per minute: ours beside a plain keras-tuner loop over records, in one run.

    python -m benchmarks.search [--kind frozen] [--records FOLDER] [--weights FILE] [--quick]

- ours: `experiments.tune_classifier`: slices decoded once for all trials, or, with a frozen
  backbone, its features computed once. Its trials also save models, histories and what a resumed
  search needs.
- plain: `keras_tuner.RandomSearch`, which builds the same classifier and calls `model.fit` on the
  records, parsed and decoded in each epoch as in the Keras TFRecord example.

Both try the same learning rates and head sizes by random search with the same seed, train for the
same epochs and keep the best of the same score. Ours runs first, on a TensorFlow that has started;
the times include everything else, and the best validation AUC of both is shown.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro

from benchmarks._side_by_side import Timed, compared, convert, phantom_slices, tell, timed

_BATCH = 32
_TRAIN, _VAL, _TEST = (0, 1, 2, 3, 4, 5), (6, 7), (8, 9)
_RATES, _UNITS = (1e-4, 1e-2), (32, 64, 128, 256)
_TUNER_SEED = 1  # ours for the search seed 0


@dataclass(frozen=True)
class Settings:
    """Settings of the benchmark.

    Attributes:
        kind: The head on a frozen backbone, or the whole network.
        records: Folder of records; None makes phantoms.
        backbone: Network name, as train-classifier takes it.
        weights: Its weight file (looked up in $STROKE_TF_WEIGHTS too), imagenet, or None.
        trials: Trials of each way.
        epochs: Epochs of each trial.
        size: Side of the model's input in pixels.
        stored: Side of the phantoms' records in pixels.
        patients: Phantom patients, 8 slices each.
        seed: Seed of weights and order.
        quick: Take 24 patients, 3 trials and 3 epochs.
    """

    kind: Literal["frozen", "full"] = "frozen"
    records: Path | None = None
    backbone: str = "mobilenetv2"
    weights: str | None = None
    trials: int = 6
    epochs: int = 10
    size: int = 128
    stored: int = 512
    patients: int = 120
    seed: int = 0
    quick: bool = False


def main(settings: Settings) -> None:
    """Measures both ways and prints a table and a line of JSON."""
    import stroke_tf.training  # noqa: F401 - TensorFlow's start belongs to neither

    if settings.quick:
        settings = replace(settings, patients=24, trials=3, epochs=3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = settings.records or _make_phantoms(folder, settings)
        results = {
            "ours": timed(search_ours, settings, records, folder / "ours"),
            "plain": timed(search_plainly, settings, records, folder / "plain"),
        }
    _print(results, settings)


def search_ours(settings: Settings, records: Path, out: Path) -> float:
    """Searches as `experiments.tune_classifier` does; returns the best score."""
    from experiments.tune_classifier import main as tune
    from stroke_tf.config import FitConfig
    from stroke_tf.runs.settings import ClassifierRun
    from stroke_tf.search.settings import ClassifierSearch, search_folder
    from stroke_tf.search.spaces import ClassifierSpace, Range
    from stroke_tf.search.tuning import best_trial, read_trials

    fit = FitConfig(
        epochs=settings.epochs,
        patience=settings.epochs,
        reduce_patience=settings.epochs,
        seed=settings.seed,
    )
    run = ClassifierRun(
        records=records,
        out=out,
        backbone=settings.backbone,
        weights=settings.weights,
        training=settings.kind,
        image_size=settings.size,
        batch_size=_BATCH,
        class_weights=False,
        augment=False,
        watch="auc",
        val_folds=_VAL,
        test_folds=_TEST,
        fit=fit,
        head_fit=fit,
    )
    space = ClassifierSpace(
        learning_rate=Range(*_RATES, log=True),
        batch_size=(),
        dropout=Range(run.dropout, run.dropout),
        dense_units=_UNITS,
        unfrozen=(),
        augmentation=(),
    )
    config = ClassifierSearch(run=run, space=space, trials=settings.trials)
    if tune(config):
        raise RuntimeError("the search must come to a score")
    best = best_trial(read_trials(search_folder(config)))
    return best.score if best else float("nan")


def search_plainly(settings: Settings, records: Path, out: Path) -> float:
    """Searches with keras-tuner's own loop; returns the best score."""
    import keras_tuner

    tuner = keras_tuner.RandomSearch(
        lambda hp: _plain_model(hp, settings),
        objective=keras_tuner.Objective("val_auc", "max"),
        max_trials=settings.trials,
        seed=_TUNER_SEED,
        directory=str(out),
    )
    tuner.search(
        _plain_dataset(records, _TRAIN, settings, shuffle=True),
        validation_data=_plain_dataset(records, _VAL, settings),
        epochs=settings.epochs,
        verbose=0,
    )
    return tuner.oracle.get_best_trials()[0].score


def _plain_model(hp: Any, settings: Settings) -> Any:
    import keras

    from stroke_tf.models import build_classifier

    rate = hp.Float("learning_rate", *_RATES, sampling="log")  # first, as ours draws it
    model = build_classifier(
        settings.backbone,
        image_size=settings.size,
        weights=settings.weights,
        trainable=settings.kind == "full",
        dense_units=_UNITS[hp.Choice("dense_units", list(range(len(_UNITS))))],
        seed=settings.seed,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="binary_crossentropy",
        metrics=[keras.metrics.AUC(name="auc")],
        jit_compile=False,
    )
    return model


def _plain_dataset(
    records: Path, folds: tuple[int, ...], settings: Settings, *, shuffle: bool = False
) -> Any:
    import tensorflow as tf

    from stroke_tf.manifest import read_manifest, select_folds

    manifest = read_manifest(records)
    spec = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "stroke_type": tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(record: Any) -> tuple[Any, Any]:
        values = tf.io.parse_single_example(record, spec)
        image = tf.io.decode_png(values["image"], channels=1)
        image = tf.ensure_shape(image, (manifest.size, manifest.size, 1))
        image = tf.image.resize(image, (settings.size, settings.size), antialias=True)
        label = tf.cast(values["stroke_type"] > 0, tf.float32)[None]
        return tf.image.grayscale_to_rgb(image), label

    paths = [
        str(records / shard.name) for fold in select_folds(manifest, folds) for shard in fold.shards
    ]
    dataset = tf.data.TFRecordDataset(
        paths, compression_type="ZLIB" if manifest.compression == "zlib" else ""
    )
    if shuffle:
        dataset = dataset.shuffle(4096, seed=settings.seed)
    return dataset.map(parse, tf.data.AUTOTUNE).batch(_BATCH).prefetch(tf.data.AUTOTUNE)


def _make_phantoms(folder: Path, settings: Settings) -> Path:
    patients, size = settings.patients, settings.stored
    slices = phantom_slices(folder, patients=patients, size=size, seed=settings.seed)
    return convert(slices, folder / "records", size=size)


def _print(results: dict[str, Timed], settings: Settings) -> None:
    ours, plain = results["ours"], results["plain"]
    speeds = {name: 60 * settings.trials / measured.seconds for name, measured in results.items()}
    rows = [
        (
            name,
            f"{speeds[name]:.2f}",
            f"{measured.cpu:.1f}",
            f"{measured.seconds / ours.seconds:.1f}x",
            f"{measured.value:.4f}",
        )
        for name, measured in results.items()
    ]
    result = {
        "name": f"search_{settings.kind}",
        **compared(*speeds.values(), unit="trials/min"),
        "cpu_ratio": round(plain.cpu / ours.cpu, 2),
        **{name: getattr(settings, name) for name in ("trials", "epochs", "size")},
        "best": round(ours.value, 4),
        "best_plain": round(plain.value, 4),
    }
    title = (
        f"{settings.kind}, {settings.backbone}, {settings.trials} trials of "
        f"{settings.epochs} epochs, {settings.size} x {settings.size}"
    )
    tell(title, ("", "trials a minute", "CPU seconds", "ours is", "best AUC"), rows, result)


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.search", description=__doc__))
