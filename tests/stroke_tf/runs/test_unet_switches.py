"""Switches of a U-Net's run, on phantom patients and tiny networks."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
from finished_runs import tiny_network

from stroke_tf.config import PLAIN_DECODER, FitConfig
from stroke_tf.data.memory import load_slices
from stroke_tf.data.selection import rows_of_folds
from stroke_tf.deploy.load import load_model
from stroke_tf.evaluation.segmentation import SegmentationCounts, count_masks
from stroke_tf.files import read_json
from stroke_tf.inference.predict import Predictor, segment_slices
from stroke_tf.labels import MASK, SLICE, Task
from stroke_tf.manifest import natural_key
from stroke_tf.models.composed import probabilities
from stroke_tf.models.decoders import decode
from stroke_tf.models.segmenters import SEGMENTERS
from stroke_tf.runs.settings import UnetRun
from stroke_tf.runs.unet import (
    _examples,
    dataset_of,
    drawing_of,
    read_mask_rule,
    run_unet,
    slices_tested,
)

SIZE = 96  # that of the records, so that masks at the slices' own size are those of the test


@pytest.fixture(scope="module")
def config(phantom_records, tmp_path_factory):
    """Settings of a run of a joint network on the records of phantom patients."""
    return UnetRun(
        records=phantom_records[0],
        out=tmp_path_factory.mktemp("results"),
        weights=None,
        architecture="joint",
        image_size=SIZE,
        batch_size=16,
        negatives_per_positive=0.5,
        tune_mask=True,
        val_folds=(6, 7),
        test_folds=(8, 9),
        fit=FitConfig(epochs=2, learning_rate=0.01, seed=3),
    )


def tiny(*, image_size, seed, **options):
    return tiny_network("both", seed=seed, size=image_size)


@pytest.fixture(scope="module")
def run(config):
    """A finished run that sees slices upright, smooths, draws hard and small ones, and detects."""
    drawn = {"hard_negatives": 0.5, "small_lesions": 0.5, "pasted_lesions": 0.5}
    shown = {"view": "upright", "smooth_slices": 1.0, "score": "mask", "mask_score": "regression"}
    config = replace(config, **drawn, **shown)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SEGMENTERS, "joint", tiny)
        run_unet(config)
    return config, config.out / "unet" / "joint-s3"


def test_a_loaded_run_draws_on_each_series_the_masks_it_was_tested_with(run):
    config, folder = run
    frame = pd.read_csv(folder / "predictions.csv", dtype={"id": str}).set_index("id")
    stored = load_slices(config.records, (8, 9), task=Task.SEGMENT, image_size=SIZE)
    model = load_model(folder)
    assert (model.description.view, model.description.smooth_slices) == ("upright", 1.0)
    places = sorted(range(len(stored.rows)), key=lambda n: natural_key(stored.rows[n].source_id))
    for patient in {row.group_id for row in stored.rows}:
        series = [place for place in places if stored.rows[place].group_id == patient]
        ids = [stored.rows[place].source_id for place in series]
        said = list(model.predict(stored.images[series, ..., 0], series=True))
        expected = frame.loc[ids, ["score", "p_none", "p_ischemia", "p_hemorrhage"]].to_numpy()
        scores = [list(one.scores.values())[:4] for one in said]
        np.testing.assert_allclose(scores, expected, atol=1e-4)
        counts = count_masks(stored.masks[series], np.stack([one.mask for one in said]))
        tested = SegmentationCounts.from_frame(frame.loc[ids])
        np.testing.assert_allclose(counts.per_slice, tested.per_slice, atol=2)  # pixels at the edge
    assert frame["any_lesion_fp"].sum() > 100


def test_all_training_slices_without_a_lesion_were_tried(run):
    config, folder = run
    drawn = read_json(folder / "backup" / "state.json")["TryNegatives"]["drawn"]
    rows = rows_of_folds(config.records, tuple(range(6)))
    assert set(drawn) == {row.source_id for row in rows if row.stroke_type == "NONE"}
    assert all(0 < share < 1 for share in drawn.values())


def test_slices_drawn_again_are_drawn_as_in_the_test(run):
    config, folder = run
    frame = pd.read_csv(folder / "predictions.csv", dtype={"id": str})
    chosen = frame["id"].tolist()[3:5]
    model = keras.models.load_model(folder / "model.keras", compile=False)
    slices = slices_tested(config, (8, 9), chosen)
    again = segment_slices(
        Predictor(model), slices, rule=read_mask_rule(folder), **drawing_of(config)
    )
    assert set(chosen) <= set(again.ids)
    assert len(again.ids) < len(frame)
    expected = SegmentationCounts.from_frame(frame.set_index("id").loc[again.ids].reset_index())
    np.testing.assert_array_equal(again.counts.per_slice, expected.per_slice)
    assert [frame["id"].tolist().index(name) for name in again.ids] == sorted(
        frame["id"].tolist().index(name) for name in again.ids
    )


def test_masks_seen_upright_are_scored_against_the_masks_as_they_lie(run):
    config, _ = run
    batches = dataset_of(config, (8, 9), with_ids=True)
    perfect = segment_slices(Truthful(batches), batches)
    truth = load_slices(config.records, (8, 9), task=Task.SEGMENT, image_size=SIZE)
    masks = dict(zip((row.source_id for row in truth.rows), truth.masks[..., 0], strict=True))
    stored = np.stack([masks[name] for name in perfect.ids])
    np.testing.assert_array_equal(perfect.truth, stored)
    cells = count_masks(stored, perfect.predicted).total()["any_lesion"]
    assert 2 * cells.tp / (2 * cells.tp + cells.fp + cells.fn) > 0.9


class Truthful:
    """A predictor that says of each pixel of a view what its mask there says."""

    def __init__(self, batches):
        self._masks = iter([masks.numpy() for _, masks, _ in batches])

    def outputs(self, images):
        return {MASK: np.eye(3, dtype=np.float32)[next(self._masks)[..., 0]]}


def test_a_joint_network_learns_that_a_slice_shows_what_was_pasted_into_it(config):
    config = replace(config, view="upright", pasted_lesions=1.0, batch_size=64)
    seen = 0
    for _, labels in _examples(config, (0, 1), training=True):
        drawn, types = labels[MASK].numpy().max(axis=(1, 2, 3)), labels[SLICE].numpy()[:, 0]
        assert (types[drawn > 0] > 0).all()
        seen += np.count_nonzero(drawn)
    plain = _examples(replace(config, pasted_lesions=0.0), (0, 1), training=True)
    assert seen > sum(np.count_nonzero(y[MASK].numpy().max(axis=(1, 2, 3))) for _, y in plain)


@pytest.mark.parametrize("narrow", [True, False])
def test_the_network_of_a_run_has_the_skips_that_are_asked_for(config, narrow):
    network = replace(config, encoder="mobilenetv2", narrow_skips=narrow).network
    assert network["narrow_skips"] is narrow


def test_smoothed_probabilities_are_means_along_a_patients_series(config):
    config = replace(config, smooth_slices=0.5)
    model = tiny_network("both", size=SIZE)
    batches = dataset_of(config, (8,), with_ids=True)
    plain = segment_slices(Predictor(model), batches)
    smooth = segment_slices(Predictor(model), batches, **drawing_of(config))
    assert smooth.ids == plain.ids
    first = [place for place, group in enumerate(plain.groups) if group == plain.groups[0]]
    weights = np.exp(-2.0 * np.arange(-2, 3) ** 2)
    weights /= weights.sum()
    named = ["p_none", "p_ischemia", "p_hemorrhage"]
    raw, found = (result.slices[named].to_numpy()[first] for result in (plain, smooth))
    np.testing.assert_allclose(found[2], weights @ raw[:5], atol=1e-5)
    assert not np.allclose(found[2], raw[2], atol=1e-5)


def test_unknown_patients_are_told_before_a_training_that_would_smooth(
    config, phantom_records, tmp_path, monkeypatch
):
    monkeypatch.setitem(SEGMENTERS, "joint", tiny)
    monkeypatch.setattr("stroke_tf.runs.unet.fit", None)
    config = replace(config, records=phantom_records[1], out=tmp_path, smooth_slices=1.0)
    with pytest.raises(ValueError, match="`in_series` needs records of known patients"):
        run_unet(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hard_negatives": 0.5, "negatives_per_positive": None}, "needs `negatives_per_positive`"),
        ({"hard_negatives": 0.5, "fit": FitConfig(epochs=1)}, "a second epoch. .* 1 epochs"),
        ({"hard_negatives": 0.5, "negatives_per_positive": 99.0}, "leave some slices out"),
        ({"hard_negatives": -1.0}, r"must be in \[0, 1\]. Received: -1.0"),
        ({"smooth_slices": -1.0}, "`smooth_slices` must be >= 0. Received: -1.0"),
        ({"small_lesions": -1.0}, "`small_lesions` must be 0, or above it"),
        ({"pasted_lesions": 2.0}, r"`pasted_lesions` must be in \[0, 1\]. Received: 2.0"),
        ({"narrow_skips": True, "architecture": "unet"}, "composed or joint. Received: unet"),
        ({"deep_supervision": True, "architecture": "unet"}, "composed or joint. Received: unet"),
        (
            {"deep_supervision": True, "architecture": "joint", "decoder_filters": (8, 8, 4, 4)},
            r"of five widths. Received `decoder_filters`: \(8, 8, 4, 4\)",
        ),
    ],
)
def test_settings_without_effect_or_out_of_range_are_refused(
    config, tmp_path, monkeypatch, change, message
):
    monkeypatch.setitem(SEGMENTERS, "joint", tiny)
    monkeypatch.setattr("stroke_tf.runs.unet.fit", None)
    with pytest.raises(ValueError, match=message):
        run_unet(replace(config, out=tmp_path, **change))


def tiny_decoder(*, image_size, seed, **options):
    """Stands for `build_composed`: a decoder of three levels on an encoder of poolings."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((image_size, image_size, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    maps = [x, *(keras.layers.AveragePooling2D(2**halvings)(x) for halvings in (1, 2, 3))]
    logits = keras.layers.Conv2D(3, 1, name="logits")(decode(maps, (4, 4, 4), PLAIN_DECODER))
    return keras.Model(images, probabilities(logits))


@pytest.mark.slow
def test_deep_supervision_trains_more_than_is_saved(config, tmp_path, monkeypatch):
    monkeypatch.setitem(SEGMENTERS, "composed", tiny_decoder)
    config = replace(config, out=tmp_path, architecture="composed", deep_supervision=True)
    config = replace(config, image_size=32, tune_mask=False, fit=replace(config.fit, epochs=1))
    run_unet(config)
    folder = tmp_path / "unet" / "composed-s3"
    history = pd.read_csv(folder / "history.csv").iloc[0]
    parts = {MASK: 1.0, "half": 0.5, "quarter": 0.25}
    total = sum(weight * history[f"val_{name}_loss"] for name, weight in parts.items())
    assert history["val_loss"] == pytest.approx(total, rel=5e-3)  # of means over batches
    saved = keras.models.load_model(folder / "model.keras")
    assert saved.output_shape == (None, 32, 32, 3)
    assert not any("half" in layer.name for layer in saved.layers)
