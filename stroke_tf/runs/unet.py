"""One run of a U-Net, or of a joint network: trained, tested once, its lesions counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from matplotlib.figure import Figure

from stroke_tf.data import Hardness, check_lesions, decode_slices, make_dataset
from stroke_tf.data.memory import Slices
from stroke_tf.data.pipeline import check_series
from stroke_tf.data.selection import check_both_kinds, rows_of_folds
from stroke_tf.evaluation.mask_rule import MaskRule
from stroke_tf.evaluation.mask_score import Detector, mask_score_of_json
from stroke_tf.evaluation.operating_point import OperatingPoint
from stroke_tf.evaluation.segmented import Segmented
from stroke_tf.files import read_json
from stroke_tf.inference.predict import (
    Predictor,
    Unseen,
    chosen,
    segment_slices,
    unseen_answers,
)
from stroke_tf.labels import LESION_CLASSES, MASK, MASK_CLASSES, SLICE, StrokeType, Task
from stroke_tf.manifest import FoldName, read_manifest
from stroke_tf.models.composed import SUPERVISED, supervised_outputs
from stroke_tf.models.segmenters import SEGMENTERS
from stroke_tf.reporting.figures import draw_augmentations, draw_scores, figure_segmentation
from stroke_tf.run_folder import RunMetrics
from stroke_tf.runs.keep_or_run import OpenRun, Outcome, Split, folder_of, keep_or_run
from stroke_tf.runs.same_training import is_taken_over, seconds_taken_over, take_over_training
from stroke_tf.runs.settings import UnetRun
from stroke_tf.training import fit, make_loss, pixel_scores, training_scope
from stroke_tf.training.callbacks import TryNegatives
from stroke_tf.training.fit import restore_best
from stroke_tf.training.recipe import encoder_weights

MASK_RULE_NAME = "mask_rule.json"
CHOSEN_ON_NAME = "chosen_on.json"
MASK_SCORE_NAME, POINT_NAME = "mask_score.json", "operating_point.json"


@dataclass(frozen=True)
class Answered:
    """What the network of a finished run says of its test slices, which it has not learned from.

    Attributes:
        row: Name of the run's row.
        folds: Its test folds.
        answers: What rules are chosen on.
    """

    row: str
    folds: tuple[FoldName, ...]
    answers: Unseen


def answered(run: UnetRun, *, like: UnetRun) -> Answered:
    """Returns what the network of a finished run says of its test slices.

    Args:
        run: The run.
        like: The run that something is to be chosen for: slices are answered as it answers them.
    """
    model = keras.models.load_model(folder_of(run).model, compile=False)
    testing = {name: getattr(like, name) for name in ("mirror_test", "smooth_slices")}
    slices = dataset_of(replace(run, **testing), run.test_folds, with_ids=True)
    answers = _unseen(like, Predictor(model, mirror=like.mirror_test), slices)
    return Answered(run.row_name, run.test_folds, answers)


def run_unet(
    config: UnetRun,
    *,
    train_elsewhere: Callable[[], None] | None = None,
    chosen_on: Sequence[Answered] = (),
) -> RunMetrics:
    """Trains and tests one U-Net, or returns its result if it is done already.

    Args:
        config: The run's settings.
        train_elsewhere: Trains the U-Net in the run's folder by other processes; None trains here.
        chosen_on: Where `choose_on` is other-parts: what the networks of the other parts say of
            their test slices. Mask rule, score and threshold are chosen on that.

    Raises:
        FileNotFoundError: If the records or the weight file are missing.
        OSError: If ImageNet weights cannot be downloaded.
        RuntimeError: If another process has the run open.
        ValueError: If a setting is out of range, the run's folder was started with others, or
            something would be chosen on the run's test folds, or on nothing.
    """
    _check_chosen_on(config, chosen_on)

    def work(run: OpenRun) -> Outcome:
        if run.split.val and config.score_rule is not None:
            check_both_kinds(config.records, run.split.val)
        take_over_training(config, run.folder, data_manifest_sha256=run.sha256)
        if train_elsewhere is not None:
            train_elsewhere()
        check_smoothing(config)
        model = train(config, run)
        slices = dataset_of(config, run.split.test, with_ids=True)
        predictor = Predictor(model, mirror=config.mirror_test)
        several, shown = [other.answers for other in chosen_on], slices
        if run.split.val:
            shown = dataset_of(config, run.split.val, with_ids=True)
            several.append(_unseen(config, predictor, shown))
        rule, detector = choose_rules(config, several)
        drawing = drawing_of(config)
        test = segment_slices(predictor, slices, rule=rule, detector=detector, **drawing)
        drawn = _draw_scores(test, config.classes)
        figures = {"segmentation": figure_segmentation(*test.panels()), **drawn}
        if config.augment:
            augmented = draw_augmentations(shown, strength=config.strength, seed=config.fit.seed)
            figures["augmentations"] = augmented
        return Outcome(
            predictions=test.to_frame(),
            metrics=test.metrics(seed=config.fit.seed),
            figures=figures,
            seconds_before=seconds_taken_over(run.folder),
            **kept_rules(rule, detector, chosen_on),
        )

    return keep_or_run(config, work)


def check_smoothing(config: UnetRun) -> None:
    """Checks, before a training, that test slices can be smoothed along series as a run says.

    Raises:
        ValueError: If patients are unknown, or their series not whole in the test folds.
    """
    if config.smooth_slices:
        options: dict[str, Any] = {"task": Task.SEGMENT, "lesions_only": config.lesions_only}
        check_series("`in_series`", config.records, config.test_folds, **options)


def _check_chosen_on(config: UnetRun, chosen_on: Sequence[Answered]) -> None:
    needed = config.chooses_on_parts  # before anything is done: it refuses what has no effect
    if needed and not chosen_on and not folder_of(config).is_done():
        raise ValueError(
            "`choose_on` other-parts needs a cross-validation, whose other parts there are to "
            "choose on. Received: a run alone"
        )
    if not config.test_folds:
        raise ValueError("`test_folds` must name folds. Received: none")
    if chosen_on and not needed:
        raise ValueError(
            "`chosen_on` needs `choose_on` other-parts and something to choose. "
            f"Received: {config.choose_on}"
        )
    for other in chosen_on:
        if shared := set(other.folds) & set(config.test_folds):
            raise ValueError(
                "`chosen_on` must hold no test fold of the run. "
                f"Received: folds {sorted(shared, key=str)} of {other.row}"
            )


def _unseen(config: UnetRun, predictor: Predictor, slices: tf.data.Dataset) -> Unseen:
    return unseen_answers(
        predictor,
        slices,
        tune_mask=config.tune_mask,
        score=config.score_rule,
        smooth_slices=config.smooth_slices,
    )


def choose_rules(
    config: UnetRun, several: Sequence[Unseen]
) -> tuple[MaskRule | None, Detector | None]:
    """Returns the rule of pixels and how masks detect, as a run chooses them, see `chosen`."""
    return chosen(several, of_series=read_manifest(config.records).knows_series)


def kept_rules(
    rule: MaskRule | None, detector: Detector | None, chosen_on: Sequence[Answered] = ()
) -> dict[str, Any]:
    """Returns what an `Outcome` keeps of what was chosen: `threshold` and `files`.

    The threshold is that of slices where their masks detect, else that of pixels.
    """
    threshold = rule.threshold if rule is not None else None
    files: dict[str, Any] = {} if rule is None else {MASK_RULE_NAME: rule}
    if detector is not None:
        threshold = detector.point.threshold
        files |= {MASK_SCORE_NAME: detector.score, POINT_NAME: detector.point}
    if chosen_on:
        files[CHOSEN_ON_NAME] = {other.row: other.folds for other in chosen_on}
    return {"threshold": threshold, "files": files}


def _draw_scores(test: Segmented, labels: tuple[str, str]) -> dict[str, Figure]:
    if test.detected is None or test.point is None:
        return {}
    truth, scores = test.detected["truth"].to_numpy(bool), test.detected["score"].to_numpy()
    return draw_scores(truth, scores, threshold=test.point.threshold, labels=labels)


def read_detector(run: Path) -> Detector | None:
    """Returns the detector of a run with masks; None where its masks do not detect."""
    path = run / MASK_SCORE_NAME
    if not path.is_file():
        return None
    return Detector(
        mask_score_of_json(read_json(path)), OperatingPoint(**read_json(run / POINT_NAME))
    )


def read_mask_rule(run: Path) -> MaskRule | None:
    """Returns the rule that a run chose for its masks; None where it chose none."""
    path = run / MASK_RULE_NAME
    return MaskRule(**read_json(path)) if path.is_file() else None


def train(
    config: UnetRun, run: OpenRun, *, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> keras.Model:
    """Trains the U-Net of a run in its folder and returns it with the weights that were kept.

    Args:
        config: The run's settings.
        run: Its folder and folds.
        callbacks: Callbacks that look on.

    Raises:
        ValueError: If its training folds hold no lesion, before anything is built.
    """
    check_lesions(config.records, run.split.train)
    hardness = _hardness(config)
    with training_scope(config.fit):  # before the data: what a weight file lacks is told at once
        model = build(config)
    if is_taken_over(run.folder):
        restore_best(model, run.folder.path)
        return model
    folds, decoded = run.split.train, run.decoded
    if hardness and not decoded:
        decoded = decode_slices(
            config.records,
            folds,
            task=Task.SEGMENT,
            image_size=config.image_size,
            view=config.view,
            lesions_only=config.lesions_only,
        )
    training = _examples(config, folds, training=True, decoded=decoded, hardness=hardness)
    val = _examples(config, run.split.val, decoded=run.decoded) if run.split.val else None
    objective = objective_of(config, model)
    fit(
        model,
        training,
        val,
        config=config.fit,
        run_dir=run.folder.path,
        progress=run.folder.title,
        callbacks=callbacks,
        steering=[TryNegatives(hardness, _negatives(config, folds, decoded))] if hardness else [],
        **objective,
    )
    return model


def _hardness(config: UnetRun) -> Hardness | None:
    """Returns the hardness that hard negatives are drawn by; None where none are drawn.

    Raises:
        ValueError: If that is out of range, or would have no effect.
    """
    if not config.hard_negatives:
        return None
    if config.negatives_per_positive is None or config.fit.epochs < 2:
        raise ValueError(
            "`hard_negatives` needs `negatives_per_positive` and a second epoch. "
            f"Received: {config.negatives_per_positive}, {config.fit.epochs} epochs"
        )
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "`hard_negatives` needs TensorFlow, and so one process. "
            f"Received: {keras.backend.backend()}"
        )
    return Hardness(config.hard_negatives)


def _negatives(
    config: UnetRun, folds: tuple[FoldName, ...], decoded: Slices | None
) -> tf.data.Dataset:
    """Returns batches, with ids, of the slices without a lesion."""
    slices = dataset_of(config, folds, with_ids=True, decoded=decoded).unbatch()
    chosen = slices.filter(lambda *element: element[2]["stroke_type"] == int(StrokeType.NONE))
    return chosen.batch(config.batch_size)


def _examples(config: UnetRun, folds: tuple[FoldName, ...], **options: Any) -> tf.data.Dataset:
    """Returns batches that a run is fitted to, with the labels of `labels_of`."""
    if config.architecture != "joint":
        slices = dataset_of(config, folds, **options)
        if not config.deep_supervision:
            return slices
        return slices.map(lambda images, masks: (images, labels_of(config, masks, None)))

    def name_labels(images: tf.Tensor, masks: tf.Tensor, known: dict[str, tf.Tensor]) -> tuple:
        # A lesion can leave the slice when that is cropped, and come into it when one is pasted.
        stated, drawn = known["stroke_type"], tf.reduce_max(masks, axis=(1, 2, 3))
        types = tf.where(stated == int(StrokeType.NONE), tf.cast(drawn, stated.dtype), stated)
        return images, labels_of(config, masks, types[:, None])

    return dataset_of(config, folds, with_ids=True, **options).map(name_labels)


def labels_of(config: UnetRun, masks: Any, types: Any) -> Any:
    """Returns the labels of a training: the masks, or a dict for several outputs.

    Args:
        config: The run's settings.
        masks: Class ids, shape (B, S, S, 1).
        types: Class ids of the slices, shape (B, 1), for a joint network.
    """
    labels = {MASK: masks}
    if config.architecture == "joint":
        labels[SLICE] = types
    if config.deep_supervision:
        labels |= dict.fromkeys(SUPERVISED, masks)
    return labels if len(labels) > 1 else masks


def slices_tested(
    config: UnetRun, folds: tuple[FoldName, ...], ids: Sequence[str]
) -> tf.data.Dataset:
    """Returns batches, with ids, of some slices as a run is tested on them.

    Where it smooths along series, all slices of their patients are among them.

    Args:
        config: The run's settings.
        folds: The folds that hold the slices.
        ids: Their source ids.
    """
    known, wanted = "source_id", sorted(ids)
    if config.smooth_slices:
        rows = rows_of_folds(config.records, folds)
        known, wanted = "group_id", sorted({row.group_id for row in rows if row.source_id in ids})
    slices = dataset_of(config, folds, with_ids=True).unbatch()
    chosen = slices.filter(lambda *element: tf.reduce_any(element[2][known] == wanted))
    return chosen.batch(config.batch_size)


def drawing_of(config: UnetRun) -> dict[str, Any]:
    """Returns the settings of a run that `segment_slices` takes."""
    shown = int(config.view == "neighbours")
    return {"shown": shown, "smooth_slices": config.smooth_slices}


def build(config: UnetRun) -> keras.Model:
    """Returns the network of a run, to be called inside `training_scope`."""
    return SEGMENTERS[config.architecture](**config.network)


def objective_of(config: UnetRun, model: keras.Model) -> dict[str, Any]:
    """Returns losses, metrics and the weights of the encoder for `fit`."""
    counted = _classes_shown(config)
    loss, metrics = make_loss(config.loss, counted=counted), pixel_scores(len(MASK_CLASSES))
    slow = encoder_weights(model) if config.architecture in ("composed", "joint") else []
    if config.architecture != "joint" and not config.deep_supervision:
        return {"loss": loss, "metrics": metrics, "slow": slow}
    found: dict[str, Any] = {
        "slow": slow,
        "loss": {MASK: loss},
        "loss_weights": {MASK: 1.0},
        "metrics": {MASK: metrics},
    }
    if config.architecture == "joint":
        found["loss"][SLICE] = keras.losses.SparseCategoricalCrossentropy()
        found["loss_weights"][SLICE] = config.slice_weight
        found["metrics"][SLICE] = ["accuracy"]
    if config.deep_supervision:
        with training_scope(config.fit):
            found["outputs"] = supervised_outputs(model)
        found["loss"] |= {name: make_loss(config.loss, counted=counted) for name in SUPERVISED}
        found["loss_weights"] |= SUPERVISED
        if config.architecture != "joint":
            found["monitor"] = f"val_{MASK}_loss"  # what is kept of the network
    return found


def _classes_shown(config: UnetRun) -> list[int]:
    """Returns the ids of the lesions that training slices show; the others cannot be learned."""
    rows = rows_of_folds(config.records, Split.of(config).train)
    shown = {row.stroke_type for row in rows}
    return [int(kind) for kind in LESION_CLASSES if kind.name in shown]


def dataset_of(
    config: UnetRun,
    folds: tuple[FoldName, ...],
    *,
    training: bool = False,
    with_ids: bool = False,
    decoded: Slices | None = None,
    hardness: Hardness | None = None,
) -> tf.data.Dataset:
    """Returns batches of some folds as a run reads them."""
    return make_dataset(
        config.records,
        folds=folds,
        task=Task.SEGMENT,
        image_size=config.image_size,
        batch_size=config.batch_size,
        training=training,
        augment=config.strength if training and config.augment else None,
        negatives_per_positive=config.negatives_per_positive if training else None,
        hardness=hardness,
        small_lesions=config.small_lesions if training else 0.0,
        pasted_lesions=config.pasted_lesions if training else 0.0,
        windows=config.windows,
        view=config.view,
        lesions_only=config.lesions_only,
        with_ids=with_ids,
        in_series=not training and config.smooth_slices > 0,
        seed=config.fit.seed,
        decoded=decoded,
    )
