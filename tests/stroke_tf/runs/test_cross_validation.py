import dataclasses

import numpy as np
import pandas as pd
import pytest
from fold_tables import fold_row, write_folds

from stroke_tf.evaluation.intervals import UNDEFINED, Gain, Metric
from stroke_tf.evaluation.lesions import count_lesions, lesion_metrics
from stroke_tf.evaluation.metrics import classification_metrics
from stroke_tf.evaluation.segmentation import count_masks, segmentation_metrics
from stroke_tf.evaluation.slice_answers import slice_frame
from stroke_tf.files import write_json, write_text
from stroke_tf.manifest import FOLDS
from stroke_tf.run_folder import RunMetrics
from stroke_tf.runs.cross_validation import (
    CrossValidated,
    CrossValidatedMasks,
    cross_validate,
    mean_of,
    pooled,
    read_out_of_fold,
    write_out_of_fold,
)
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun, UnetRun

PER_FOLD = 6
KINDS = ("NONE", "HEMORRHAGE")


def frame(scores, truth, *, part=None, called=None):
    count = len(scores)
    return pd.DataFrame(
        {
            "id": [f"s-{place}" for place in range(count)],
            "group": [f"p-{place // 2}" for place in range(count)],
            "part": [0] * count if part is None else part,
            "truth": truth,
            "score": scores,
            "called": np.greater_equal(scores, 0.5) if called is None else called,
        }
    )


def validated(*arguments, seconds=1.0, **options):
    return CrossValidated("clean", frame(*arguments, **options), seconds)


@pytest.fixture
def records(tmp_path):
    """folds.csv of sixty slices, six in each fold, two slices for each patient."""
    rows = [
        # an id that is read as a number would lose its zero.
        fold_row(f"0{place}", place // PER_FOLD, KINDS[place % 2], patient=f"patient-{place // 2}")
        for place in range(FOLDS * PER_FOLD)
    ]
    return write_folds(tmp_path, rows)


def scores_of(config):
    """A run that scores a slice by its number, and takes half a minute and a threshold of 0.5."""
    places = [fold * PER_FOLD + place for fold in config.test_folds for place in range(PER_FOLD)]
    folder = folder_of(config)
    table = {"id": [f"0{place}" for place in places], "truth": [place % 2 for place in places]}
    scores = [place / (FOLDS * PER_FOLD) for place in places]
    frame = pd.DataFrame(table | {"score": scores})
    write_text(folder.predictions, frame.to_csv(index=False))
    return RunMetrics(
        config.experiment, config.row, 0, "clean", {}, len(places), 0.5, {}, 30.0, "data"
    )


def test_five_parts_test_every_fold_once_and_never_on_a_validation_fold(records, tmp_path):
    runs = []

    def run(config):
        runs.append(config)
        return scores_of(config)

    base = ClassifierRun(records=records, out=tmp_path / "out", row="mine-clean", weights=None)
    result = cross_validate(base, run)
    assert [config.test_folds for config in runs] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    assert not any(set(config.test_folds) & set(config.val_folds) for config in runs)
    assert len({config.row for config in runs}) == 5
    assert result.frame["id"].tolist() == [f"0{place}" for place in range(60)]
    assert result.frame["part"].tolist() == sorted([0, 1, 2, 3, 4] * 12)
    assert result.frame["group"].tolist() == [f"patient-{place // 2}" for place in range(60)]
    assert result.frame["called"].tolist() == [False] * 30 + [True] * 30
    assert (result.seconds, result.protocol) == (150.0, "clean")
    assert result.runs == tuple(runs)
    assert "calibrated" not in result.frame  # these runs leave no temperature


def test_folds_that_lack_a_class_are_refused_before_the_first_run(records, tmp_path):
    rows = [fold_row(f"{fold}", fold, "NONE") for fold in range(FOLDS)]
    base = ClassifierRun(records=write_folds(tmp_path, rows), out=tmp_path / "out", row="mine")
    with pytest.raises(ValueError, match="training folds of part 0 must hold both classes"):
        cross_validate(base, lambda run: pytest.fail(f"{run.row} was started"))


def test_predictions_come_back_as_they_were_kept(records, tmp_path):
    base = ClassifierRun(records=records, out=tmp_path / "out", row="mine-clean")
    point = {"threshold": 0.5, "temperature": 2.0}

    def run(config):
        write_json(folder_of(config).path / "operating_point.json", point)
        return scores_of(config)

    result = cross_validate(base, run, parts=10)
    masks = cross_validate(dataclasses.replace(MASKS, records=records, out=tmp_path), masks_of)
    hospitals = {f"0{place}": "ab"[place % 2] for place in range(59)}
    answers = [("mine", 0, result), ("mine", 1, result), ("masks", 0, masks)]
    write_out_of_fold(tmp_path, answers, {"hospital": hospitals})
    kept = read_out_of_fold(tmp_path, "mine")
    assert [*kept.columns[:6]] == ["id", "group", "part", "seed", "row", "protocol"]
    assert kept["seed"].tolist() == [0] * 60 + [1] * 60
    of_seed = kept[kept["seed"] == 1].reset_index(drop=True)
    assert of_seed["id"].tolist() == result.frame["id"].tolist()
    assert of_seed["called"].tolist() == result.frame["called"].tolist()
    np.testing.assert_allclose(of_seed["score"], result.frame["score"])
    odds = of_seed["score"].iloc[1:] / (1 - of_seed["score"].iloc[1:])
    np.testing.assert_allclose(of_seed["calibrated"].iloc[1:], 1 / (1 + odds**-0.5))
    assert of_seed["part"].nunique() == 10
    assert of_seed["hospital"].tolist()[:3] == ["a", "b", "a"]
    assert of_seed["hospital"].isna().sum() == 1
    again = CrossValidatedMasks("clean", read_out_of_fold(tmp_path, "masks"), 0.0)
    assert str(again.metrics(resamples=5)) == str(masks.metrics(resamples=5))  # NaN is not NaN
    assert len(read_out_of_fold(tmp_path)) == 120 + len(masks.frame)
    with pytest.raises(ValueError, match=r"must be one of \['masks', 'mine'\]. Received: other"):
        read_out_of_fold(tmp_path, "other")
    with pytest.raises(FileNotFoundError, match="a finished cross-validation leaves it"):
        read_out_of_fold(tmp_path / "out")


def test_roc_auc_is_the_mean_of_the_parts_whatever_their_scales():
    # each part ranks perfectly, on scales of their own; all slices together do not
    result = validated(
        [0.1, 0.2, 0.1, 0.2, 0.8, 0.9, 0.8, 0.9], [0, 1, 0, 1] * 2, part=[0] * 4 + [1] * 4
    )
    assert result.part_aucs() == [1.0, 1.0]
    assert result.metrics(resamples=10)["roc_auc"].value == 1.0
    half = validated([0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.5, 0.5], [0, 1] * 4, part=[0] * 4 + [1] * 4)
    # second part: 0.1 and 0.5 against 0.9 and 0.5, a tie among four pairs
    expected = (1 + 0.5 / 4) / 2
    assert half.metrics(resamples=10)["roc_auc"].value == pytest.approx(expected)


def test_counts_are_of_each_parts_own_calls():
    result = validated([0.9, 0.9, 0.9, 0.9], [1, 1, 0, 0], called=[True, False, False, True])
    metrics = result.metrics(resamples=10)
    assert [metrics[name].value for name in ("accuracy", "sensitivity", "specificity")] == [0.5] * 3


def test_of_one_part_the_scores_are_those_of_classification_metrics():
    random = np.random.default_rng(1)
    truth, scores = random.integers(0, 2, 80), random.random(80).round(2)
    mine = validated(scores, truth).metrics(seed=3, resamples=50)
    groups = [f"p-{place // 2}" for place in range(80)]
    theirs = classification_metrics(
        truth, scores, threshold=0.5, groups=groups, seed=3, resamples=50
    )
    for name, metric in mine.items():
        assert metric == pytest.approx(theirs[name]), name


def test_a_gain_is_the_difference_of_the_means_paired_by_slice():
    truth = [0, 1, 0, 1, 0, 1, 0, 1]
    good = validated([0.1, 0.9] * 4, truth)
    poor = validated([0.1, 0.9, 0.1, 0.9, 0.9, 0.1, 0.9, 0.1], truth)
    shuffled = dataclasses.replace(poor, frame=poor.frame.iloc[::-1].reset_index(drop=True))
    # of the sixteen pairs of the poor model: 4 right, 8 ties, 4 wrong
    for other in (poor, shuffled):
        assert good.gain_over(other, resamples=50).difference.value == pytest.approx(0.5)
    assert poor.gain_over(good, resamples=50).difference.value == pytest.approx(-0.5)


def test_a_model_gains_nothing_over_itself():
    model = validated([0.3, 0.6, 0.2, 0.9, 0.5, 0.4], [0, 1, 0, 1, 1, 0])
    assert model.gain_over(model, resamples=50) == Gain(Metric(0.0, 0.0, 0.0), 1.0)


def test_models_of_other_parts_are_not_compared():
    model = validated([0.3, 0.6, 0.2, 0.9], [0, 1, 0, 1])
    other = validated([0.3, 0.6, 0.2, 0.9], [0, 1, 0, 1], part=[0, 0, 1, 1])
    with pytest.raises(ValueError, match="same slices and parts only. Received: 4 and 4 slices"):
        model.gain_over(other)


def test_the_mean_of_three_models_is_by_slice_and_its_calls_by_majority():
    truth = [0, 1]
    first = validated([0.1, 0.4], truth, called=[False, True], seconds=1)
    second = validated([0.2, 0.8], truth, called=[True, True], seconds=2)
    third = validated([0.6, 0.9], truth, called=[False, False], seconds=4)
    second = dataclasses.replace(second, frame=second.frame.iloc[::-1])
    mean = mean_of([first, second, third])
    assert mean.frame["id"].tolist() == ["s-0", "s-1"]
    np.testing.assert_allclose(mean.frame["score"], [0.3, 0.7])
    assert mean.frame["called"].tolist() == [False, True]
    assert mean.seconds == 7


def test_smoothing_stays_within_a_patient_and_leaves_the_calls():
    model = validated([0.0, 1.0, 0.5, 0.5], [0, 1, 0, 1])
    smooth = model.smoothed(1.0)
    first, second, *rest = smooth.frame["score"]
    assert 0 < first < second < 1
    assert first + second == pytest.approx(1)
    np.testing.assert_allclose(rest, [0.5, 0.5])
    assert smooth.frame["called"].equals(model.frame["called"])
    assert model.frame["score"].tolist() == [0.0, 1.0, 0.5, 0.5]


def test_areas_are_means_of_the_parts_that_hold_both_classes():
    result = validated([0.1, 0.9, 0.4, 0.3], [0, 0, 0, 1], part=[0, 0, 1, 1])
    assert result.metrics(resamples=5)["roc_auc"].value == 0.0
    assert result.gain_over(result, resamples=5).difference.value == 0.0
    assert result.metrics(resamples=5)["specificity"].value == pytest.approx(2 / 3)
    nowhere = result.of_slices(["s-0", "s-1"])
    assert str(nowhere.metrics(resamples=5)["roc_auc"]) == str(UNDEFINED)


def one_positive_patient_a_part(random):
    """A cross-validation of five parts, each of one positive and five negative patients."""
    truth = np.tile([1, 0, 0, 0, 0, 0], 5)
    odds = np.exp(1.5 * truth + random.normal(0, 1.5, len(truth)))
    part = np.repeat(np.arange(5), 6)
    result = validated(odds / (1 + odds), truth, part=part)
    groups = [f"p-{place}" for place in range(len(truth))]
    return dataclasses.replace(result, frame=result.frame.assign(group=groups))


def test_an_interval_is_as_wide_as_its_score_varies_where_a_part_has_one_positive_patient():
    random = np.random.default_rng(0)
    several = [one_positive_patient_a_part(random) for _ in range(400)]
    spread = np.std([np.mean(validation.part_aucs()) for validation in several])
    aucs = [validation.metrics(resamples=100)["roc_auc"] for validation in several[:6]]
    gains = [
        validation.gain_over(other, resamples=100).difference
        for validation, other in zip(several[:6], several[6:12], strict=True)
    ]
    # of a normal distribution 95 % lie within 3.92 standard deviations; two differ by sqrt(2) more
    for expected, found in ((3.92 * spread, aucs), (3.92 * 2**0.5 * spread, gains)):
        width = np.mean([interval.high - interval.low for interval in found])
        assert 0.75 * expected < width < 1.25 * expected


def test_a_resample_is_scored_on_the_parts_that_keep_both_classes():
    # a slice a patient; the second part loses its positive one in a third of the resamples
    truth, part = [0, 1, 0, 1], [0, 0, 1, 1]
    result = validated([0.1, 0.9, 0.9, 0.1], truth, part=part)
    frame = result.frame.assign(group=result.frame["id"])
    metrics = dataclasses.replace(result, frame=frame).metrics(resamples=200)
    # areas of 1 and 0: either part may be the only one
    for name in ("roc_auc", "sensitivity_at_90_specificity"):
        assert metrics[name] == Metric(0.5, 0.0, 1.0), name


MASKS = UnetRun(row="mine")
IDS = ("04", "05", "06", "07")
TRUTH = np.zeros((4, 2, 2), np.uint8)
TRUTH[0, 0, 0] = 1  # ischaemia, a pixel
TRUTH[1, 0] = 2  # haemorrhage, two pixels
TRUTH[2, 0, 0] = 2
# slice 4 is without a lesion
GOOD = TRUTH.copy()
GOOD[1, 0, 1] = 0  # a pixel of the haemorrhage is missed
POOR = TRUTH.copy()
POOR[0] = 0
POOR[3, 0, 0] = 2


def segmented(drawn, *, part=(0, 0, 1, 1), groups=("a", "a", "b", "c"), stroke_types=None):
    frame = count_masks(TRUTH, drawn).to_frame(IDS).join(count_lesions(TRUTH, drawn).to_frame())
    if stroke_types is not None:
        probs = np.eye(3)[stroke_types] * 0.7 + 0.1
        frame = frame.join(slice_frame([1, 2, 2, 0], probs))
    frame = frame.assign(part=part, group=groups)
    return CrossValidatedMasks("clean", frame, 1.0)


def test_masks_are_scored_from_all_slices_together():
    result = segmented(GOOD)
    metrics = result.metrics(seed=2, resamples=20)
    counts, groups = count_masks(TRUTH, GOOD), ["a", "a", "b", "c"]
    options = {"seed": 2, "resamples": 20}
    expected = segmentation_metrics(counts, groups, **options)
    expected |= lesion_metrics(counts, count_lesions(TRUTH, GOOD), groups, **options)
    assert metrics.keys() == expected.keys()
    for name, metric in expected.items():
        assert metrics[name] == pytest.approx(metric, nan_ok=True), name
    assert metrics["hemorrhage_dice"].value == pytest.approx(2 * 2 / (2 * 2 + 1))
    # part 0: ischaemia 1, haemorrhage 2 / 3; part 1: haemorrhage alone, 1
    assert result.part_dices() == pytest.approx([(1 + 2 / 3) / 2, 1.0])


def test_a_part_of_the_slices_can_be_looked_at_alone():
    alone = segmented(GOOD).of_slices({"07", "05", "unknown"})
    assert alone.frame["id"].tolist() == ["05", "07"]
    assert alone.metrics(resamples=5)["hemorrhage_dice"].value == pytest.approx(2 / 3)
    assert alone.part_dices() == pytest.approx([2 / 3, float("nan")], nan_ok=True)


def test_a_gain_of_masks_is_the_difference_of_their_lesion_dice():
    good, poor = segmented(GOOD), segmented(POOR)
    # good: ischaemia 1, haemorrhage 4 / 5; poor: 0 and 2 * 3 / (2 * 3 + 1)
    expected = (1 + 4 / 5) / 2 - (0 + 6 / 7) / 2
    shuffled = dataclasses.replace(poor, frame=poor.frame.iloc[::-1].reset_index(drop=True))
    for other in (poor, shuffled, pooled([poor, poor])):
        assert good.gain_over(other, resamples=50).difference.value == pytest.approx(expected)
    assert good.gain_over(good, resamples=50) == Gain(Metric(0.0, 0.0, 0.0), 1.0)
    with pytest.raises(ValueError, match="same slices and parts only. Received: 4 and 2 slices"):
        good.gain_over(poor.of_slices(IDS[:2]))
    with pytest.raises(ValueError, match="same slices and parts only"):
        good.gain_over(segmented(POOR, part=(0, 0, 0, 1)))


def test_masks_of_several_seeds_are_pooled():
    both = pooled([segmented(GOOD), segmented(POOR)])
    assert both.seconds == 2
    # haemorrhage: 2 + 3 pixels found, one missed, one false; ischaemia: 1 found, 1 missed
    metrics = both.metrics(resamples=5)
    assert metrics["hemorrhage_dice"].value == pytest.approx(10 / (10 + 1 + 1))
    assert metrics["ischemia_dice"].value == pytest.approx(2 / (2 + 1))


def test_a_joint_network_answers_types_as_a_classifier_does():
    assert segmented(GOOD).types() is None
    types = segmented(GOOD, stroke_types=[1, 2, 1, 0]).types()
    assert types.frame["id"].tolist() == list(IDS[:3])
    assert types.frame["called"].tolist() == [False, True, False]
    metrics = types.metrics(resamples=5)
    assert metrics["accuracy"].value == pytest.approx(2 / 3)
    assert metrics["roc_auc"].value == 1.0  # of part 0: part 1 has one class


def test_masks_that_detect_answer_as_a_classifier_does():
    assert segmented(GOOD).detections() is None
    result = segmented(GOOD)
    scored = {"truth": [1, 1, 1, 0], "score": [0.9, 0.2, 0.4, 0.6]}
    called = [True, False, True, False]
    frame = result.frame.assign(**scored, called=called)
    found = dataclasses.replace(result, frame=frame).detections()
    assert found.frame["id"].tolist() == list(IDS)
    metrics = found.metrics(resamples=5)
    assert metrics["roc_auc"].value == 0.0  # of part 1: part 0 has one class
    assert (metrics["sensitivity"].value, metrics["specificity"].value) == (2 / 3, 1.0)


def masks_of(config):
    """A run whose slices all show a haemorrhage that is found."""
    mask = np.full((1, 2, 2), 2, np.uint8)
    names = [f"0{fold * PER_FOLD}" for fold in config.test_folds]
    counts, lesions = count_masks(mask, mask), count_lesions(mask, mask)
    frame = (counts + counts).to_frame(names).join((lesions + lesions).to_frame())
    write_text(folder_of(config).predictions, frame.to_csv(index=False))
    return RunMetrics(config.experiment, config.row, 0, "clean", {}, 2, None, {}, 30.0, "data")


def test_a_unet_is_cross_validated_to_masks(records, tmp_path):
    result = cross_validate(UnetRun(records=records, out=tmp_path / "out", row="mine"), masks_of)
    assert isinstance(result, CrossValidatedMasks)
    assert result.frame["id"].tolist() == [f"0{place}" for place in range(0, 60, PER_FOLD)]
    assert result.frame["group"].iloc[1] == "patient-3"
    assert result.frame["part"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert result.part_dices() == [1.0] * 5
    assert result.seconds == 150


def test_copies_that_share_an_id_are_averaged_and_compared_one_by_one():
    frame = pd.DataFrame(
        {
            "id": ["a", "a", "b", "c"],
            "group": ["a", "a", "b", "c"],
            "part": 0,
            "truth": [1, 1, 0, 0],
            "score": [0.2, 0.8, 0.4, 0.6],
            "called": [False, True, False, True],
        }
    )
    one = CrossValidated("as-published", frame, 1.0)
    other = CrossValidated("as-published", frame.assign(score=[0.4, 0.6, 0.2, 0.0]), 1.0)
    mean = mean_of([one, other])
    assert mean.frame["id"].tolist() == ["a", "a", "b", "c"]
    assert mean.frame["score"].tolist() == pytest.approx([0.3, 0.7, 0.3, 0.3])
    assert other.gain_over(one, resamples=0).difference.value == pytest.approx(1 - 0.5)
