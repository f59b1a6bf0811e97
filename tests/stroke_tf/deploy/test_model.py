import cv2
import keras
import numpy as np
import pytest
from finished_runs import SIZE

from stroke_tf.data.rendering import window_hu
from stroke_tf.data.upright import upright_views
from stroke_tf.deploy.load import load_model
from stroke_tf.evaluation.calibration import apply_temperature
from stroke_tf.evaluation.mask_rule import MaskRule, apply_mask_rule
from stroke_tf.evaluation.series import smooth_series
from stroke_tf.inference import Predictor
from stroke_tf.square import fit_square

BRAIN = ((40.0, 80.0),)


def greys(count, shape=(SIZE, SIZE), seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, *shape)).astype(np.uint8))


def heads(count, side=96):
    """Returns tilted ellipses with a bright rim, as a head in a brain window."""
    pictures = []
    for place in range(count):
        picture = np.zeros((side, side), np.uint8)
        ellipse = ((side // 2, side // 2), (50 + place, 70), 12)
        cv2.ellipse(picture, ellipse, 110 + 5 * place, -1)
        cv2.ellipse(picture, ellipse, 255, 4)
        pictures.append(picture)
    return pictures


def network_of(run):
    return keras.models.load_model(run / "model.keras", compile=False)


def scores_of(run, images):
    """Returns the scores of the network itself, images uint8 of shape (B, S, S) or (B, S, S, 3)."""
    images = np.asarray(images, np.float32)
    rgb = images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=-1)
    return network_of(run)(rgb, training=False).numpy()[:, -1]


def said(model, images, **options):
    return [next(iter(one.scores.values())) for one in model.predict(images, **options)]


@pytest.fixture(scope="module")
def detect(runs):
    return load_model(runs.detect, runtime="keras")


def test_scores_are_those_of_the_network_and_calibrated_ones_beside(runs, detect):
    images = greys(5)
    expected = scores_of(runs.detect, images)
    found = list(detect.predict(images, batch_size=2))
    assert [one.scores["stroke"] for one in found] == pytest.approx(expected, abs=1e-6)
    calibrated = apply_temperature(expected, 2.0)
    assert [one.scores["stroke_calibrated"] for one in found] == pytest.approx(calibrated, abs=1e-6)
    assert [one.positive for one in found] == (expected >= 0.5).tolist()
    assert all(one.mask is one.lesion_prob is None and one.spread == {} for one in found)


def test_slices_are_taken_as_they_come_one_batch_ahead(detect):
    taken = []

    def stream():
        for place, image in enumerate(greys(9)):
            taken.append(place)
            yield image

    answers = detect.predict(stream(), batch_size=2)
    next(answers)
    assert taken == [0, 1, 2, 3]


def test_no_slices_give_no_answers(detect, runs):
    assert list(detect.predict([])) == []
    assert list(load_model(runs.upright, runtime="keras").predict([], series=True)) == []


def test_a_type_is_told_as_the_share_of_haemorrhage(runs):
    (one,) = load_model(runs.type, runtime="keras").predict(greys(1))
    assert one.scores.keys() == {"haemorrhage", "haemorrhage_calibrated"}


def test_a_joint_network_gives_three_scores_and_a_mask(runs):
    model = load_model(runs.joint, runtime="keras")
    (image,) = greys(1)
    (one,) = model.predict([image])
    assert sum(one.scores.values()) == pytest.approx(1)
    assert list(one.scores) == ["no stroke", "ischaemia", "haemorrhage"]
    assert one.positive == (one.scores["no stroke"] <= 0.5)
    rgb = np.repeat(image[None, ..., None], 3, axis=-1).astype(np.float32)
    probs = network_of(runs.joint)(rgb)["mask"].numpy()
    np.testing.assert_array_equal(one.mask, probs[0].argmax(-1))
    np.testing.assert_allclose(one.lesion_prob, 255 * (1 - probs[0, ..., 0]), atol=0.51)


def test_masks_follow_the_runs_rule_scaled_to_the_slice(runs):
    model = load_model(runs.segment, runtime="keras")
    image = greys(1, (3 * SIZE, 2 * SIZE))[0]
    (one,) = model.predict([image])
    assert (one.positive, one.scores) == (None, {})
    square = np.zeros((3 * SIZE, 3 * SIZE), np.uint8)
    square[:, SIZE // 2 : -SIZE // 2] = image
    small = fit_square(square, size=SIZE)[..., None].repeat(3, -1).astype(np.float32)
    probs = Predictor(network_of(runs.segment), runtime="keras").probs(small[None])[0]
    whole = cv2.resize(probs, (3 * SIZE, 3 * SIZE))[:, SIZE // 2 : -SIZE // 2]
    expected = apply_mask_rule(whole[None], MaskRule(0.4, min_area_px=4 * 9))[0]
    np.testing.assert_array_equal(one.mask, expected)
    assert one.lesion_prob.shape == image.shape


def test_an_ensemble_takes_the_mean_and_shows_the_spread(runs):
    images = greys(3)
    each = np.array([scores_of(run, images) for run in (runs.detect, runs.detect_again)])
    model = load_model([runs.detect, runs.detect_again], runtime="keras")
    found = list(model.predict(images))
    assert [one.scores["stroke"] for one in found] == pytest.approx(each.mean(0), abs=1e-6)
    assert [one.spread["stroke"] for one in found] == pytest.approx(each.std(0), abs=1e-6)
    calibrated = apply_temperature(each.ravel(), 2.0).reshape(each.shape).mean(0)
    assert [one.scores["stroke_calibrated"] for one in found] == pytest.approx(calibrated, abs=1e-6)


def test_an_ensemble_of_masks_takes_the_mean_of_probabilities(runs):
    model = load_model([runs.segment, runs.segment_again], runtime="keras")
    assert model.description.mask_rule == MaskRule(0.5, 6)
    (image,) = greys(1)
    rgb = np.repeat(image[None, ..., None], 3, axis=-1).astype(np.float32)
    probs = np.stack(
        [network_of(run)(rgb).numpy()[0] for run in (runs.segment, runs.segment_again)]
    )
    (one,) = model.predict([image])
    expected = apply_mask_rule(probs.mean(0)[None], MaskRule(0.5, 6))[0]
    np.testing.assert_array_equal(one.mask, expected)
    lesion = expected > 0
    assert lesion.any()
    assert one.spread["mask"] == pytest.approx(probs[..., 0].std(0)[lesion].mean(), abs=1e-6)


def test_a_series_is_seen_between_neighbours(runs):
    model = load_model(runs.neighbours, runtime="keras")
    first, second, third = images = greys(3)
    seen = np.stack(
        [
            np.stack(around, axis=-1)
            for around in ((first, first, second), (first, second, third), (second, third, third))
        ]
    )
    found = said(model, images, series=True, batch_size=2)
    assert found == pytest.approx(scores_of(runs.neighbours, seen), abs=1e-6)
    alone = said(model, images)
    assert alone == pytest.approx(scores_of(runs.neighbours, np.stack(images)), abs=1e-6)
    assert "single slices" in model.notes_for("gray8", series=False)[-1]
    assert model.notes_for("gray8") == ()


def test_a_series_is_seen_upright_turned_as_one(runs):
    model = load_model(runs.upright, runtime="keras")
    images = heads(4)
    small = np.stack([fit_square(image, size=40) for image in images])
    views = upright_views(small, ["one"] * 4, size=SIZE)
    found = said(model, images, series=True)
    assert found == pytest.approx(scores_of(runs.upright, views), abs=1e-6)
    apart = upright_views(small, list("abcd"), size=SIZE)
    assert said(model, images) == pytest.approx(scores_of(runs.upright, apart), abs=1e-6)


def test_scores_are_smoothed_along_a_series_alone(runs):
    model = load_model(runs.detect_hu, runtime="keras")
    hu = [image.astype(np.int16) - 60 for image in greys(4)]
    seen = window_hu(np.stack(hu)[..., None], model.description.windows)
    raw = scores_of(runs.detect_hu, seen)
    assert said(model, hu) == pytest.approx(raw, abs=1e-6)
    smooth = smooth_series(raw, [""] * 4, ids=list("0123"), sigma=1.0)
    assert said(model, hu, series=True) == pytest.approx(smooth, abs=1e-6)
    assert len(model.description.windows) == 3


def test_hu_are_made_grey_at_their_own_size_for_a_model_trained_on_grey(runs, detect):
    hu = np.random.default_rng(0).integers(-1000, 1000, (70, 50)).astype(np.int16)
    grey = window_hu(hu[..., None], BRAIN)[..., 0]
    assert said(detect, [hu]) == pytest.approx(said(detect, [grey]), abs=1e-6)
    assert detect.notes_for("hu16")[0].startswith("HU were made 8-bit grey by the window 40/80")


def test_grey_is_refused_by_a_model_trained_on_hu(runs):
    model = load_model(runs.segment_hu, runtime="keras")
    with pytest.raises(ValueError, match="trained on HU, which an 8-bit picture does not hold"):
        list(model.predict(greys(1)))


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)]
)
def test_other_arrays_are_refused(detect, image):
    with pytest.raises(ValueError, match="slices must be uint8 grey or int16 HU"):
        list(detect.predict([image]))


def top_of(run, images):
    """Returns the highest lesion probability of each slice: one pixel of 32 x 32 is taken."""
    rgb = np.repeat(np.asarray(images, np.float32)[..., None], 3, axis=-1)
    probs = network_of(run)(rgb, training=False)
    probs = (probs["mask"] if isinstance(probs, dict) else probs).numpy()
    return (1 - probs[..., 0]).max(axis=(1, 2))


def test_masks_that_detect_give_a_score_and_its_call(runs):
    images = greys(5)
    model = load_model(runs.top, runtime="keras")
    found = list(model.predict(images, batch_size=2))
    expected = top_of(runs.top, images)
    assert [one.scores["stroke"] for one in found] == pytest.approx(expected, abs=1e-6)
    calibrated = apply_temperature(expected, 2.0)
    assert [one.scores["stroke_calibrated"] for one in found] == pytest.approx(calibrated, abs=1e-6)
    assert [one.positive for one in found] == (expected >= 0.4).tolist()
    assert all(one.mask.shape == (SIZE, SIZE) for one in found)
    assert model.notes_for("gray8", series=False) == ()


def test_the_score_of_a_mask_stands_before_those_of_a_second_head(runs):
    (image,) = greys(1)
    (one,) = load_model(runs.top_joint, runtime="keras").predict([image])
    names = ("stroke", "no stroke", "ischaemia", "haemorrhage", "stroke_calibrated")
    assert tuple(one.scores) == names
    (expected,) = top_of(runs.top_joint, [image])
    assert one.scores["stroke"] == pytest.approx(expected, abs=1e-6)
    assert one.positive == (expected >= 0.4)
    (head,) = load_model(runs.joint, runtime="keras").predict([image])
    assert one.scores["no stroke"] == pytest.approx(head.scores["no stroke"], abs=1e-6)


def test_scores_of_several_masks_are_averaged(runs):
    images = greys(3)
    each = np.array([top_of(run, images) for run in (runs.top, runs.top_again)])
    found = list(load_model([runs.top, runs.top_again], runtime="keras").predict(images))
    assert [one.scores["stroke"] for one in found] == pytest.approx(each.mean(0), abs=1e-6)
    assert [one.spread["stroke"] for one in found] == pytest.approx(each.std(0), abs=1e-6)


def test_a_regression_sees_the_slices_beside_in_a_series(runs):
    model = load_model(runs.regression, runtime="keras")
    images = greys(4)
    rgb = np.repeat(np.stack(images).astype(np.float32)[..., None], 3, axis=-1)
    score = model.description.mask_scores[0]
    numbers = score.numbers(network_of(runs.regression)(rgb, training=False).numpy())
    beside = score.scores(numbers, ["p"] * 4, ids=list("0123"))
    assert said(model, images, series=True, batch_size=2) == pytest.approx(beside, abs=1e-5)
    alone = score.scores(numbers, list("abcd"), ids=list("0123"))
    assert said(model, images, batch_size=3) == pytest.approx(alone, abs=1e-5)
    assert np.abs(beside - alone).max() > 1e-4
    assert said(model, images[:1], series=True) == pytest.approx(alone[:1], abs=1e-5)
    assert said(model, [], series=True) == []
    assert "single slices" in model.notes_for("gray8", series=False)[-1]


def test_mirroring_is_off_on_a_cpu_unless_asked(runs, monkeypatch):
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    plain = load_model(runs.segment_hu, runtime="keras")
    asked = load_model(runs.segment_hu, runtime="keras", mirror=True)
    assert (plain.mirror, asked.mirror) == (False, True)
    assert plain.notes_for("hu16")[0].endswith(": predict --mirror adds it")
    assert asked.notes_for("hu16") == ()
    hu = np.random.default_rng(0).integers(-50, 120, (SIZE, SIZE)).astype(np.int16)
    (one,), (other,) = asked.predict([hu]), asked.predict([hu[:, ::-1]])
    np.testing.assert_array_equal(one.lesion_prob, other.lesion_prob[:, ::-1])
