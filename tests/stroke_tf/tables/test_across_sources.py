from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from experiments.across_hospitals import RUN, AcrossHospitals, main
from stroke_tf.models.backbones import build_backbone
from stroke_tf.runs.cross_validation import CrossValidated
from stroke_tf.tables.across_sources import TOGETHER, score_across, write_across


@pytest.fixture(scope="module")
def base(phantom_records, tmp_path_factory):
    """A tiny network; untrained norms would let nothing through."""
    out = tmp_path_factory.mktemp("across")
    network = build_backbone("mobilenet025", image_size=32, weights=None)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(np.random.default_rng(0).normal(0, 1, (64, 32, 32, 3)), training=True)
    network.save_weights(out / "start.weights.h5")
    return replace(
        RUN,
        records=phantom_records[0],
        out=out,
        backbone="mobilenet025",
        weights=str(out / "start.weights.h5"),
        image_size=32,
        view="windows",
        inverse_penalty=1.0,
    )


def test_own_slices_are_scored_out_of_fold_and_those_of_others_by_all_that_they_teach(
    base, phantom_records
):
    same = {"here": phantom_records[0], "there": phantom_records[0]}
    found = score_across(base, same)
    assert {*found} == {
        (learned, tested) for learned in ("here", "there", TOGETHER) for tested in ("here", "there")
    }
    own, other = found["here", "here"], found["there", "here"]
    assert len(own.frame) == len(other.frame) == own.frame["id"].nunique()
    assert (own.frame.groupby("group")["part"].nunique() == 1).all()
    # The "other" source is the same slices, so its head has seen what it is tested on.
    assert np.mean(other.part_aucs()) > np.mean(own.part_aucs()) + 0.05
    np.testing.assert_allclose(
        found["there", "there"].frame["score"], own.frame["score"], atol=1e-6
    )


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"one": 0}, "must be two or more"),
        ({"one": 0, "two": 1}, "two must be clean. Received: as"),
    ],
)
def test_sources_that_cannot_be_compared_are_refused(base, phantom_records, sources, message):
    with pytest.raises(ValueError, match=message):
        score_across(base, {name: phantom_records[place] for name, place in sources.items()})


def test_folders_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="different names. Received: .*a/records.*b/records"):
        main(AcrossHospitals(records=(tmp_path / "a/records", tmp_path / "b/records")))


def test_the_table_has_each_source_by_each_and_gains_over_the_own(tmp_path):
    truth = np.tile([0, 1], 20)
    frame = pd.DataFrame(
        {
            "id": [f"{place}" for place in range(40)],
            "group": np.repeat([f"g{place}" for place in range(10)], 4),
            "part": np.repeat(range(5), 8),
            "truth": truth,
            "score": truth * 0.8 + 0.1,
            "called": truth > 0,
        }
    )
    right = CrossValidated("clean", frame, 0.0)
    wrong = CrossValidated("clean", frame.assign(score=0.9 - truth * 0.8), 0.0)
    found = {
        ("b", "a"): wrong,
        ("a", "a"): right,
        (TOGETHER, "a"): right,
        ("a", "b"): right,
        ("b", "b"): right,
        (TOGETHER, "b"): right,
    }
    text = write_across(found, tmp_path)
    assert (tmp_path / "TABLE.md").read_text() == text
    rows = {line.split(" | ")[0]: line.split(" | ")[1] for line in text.splitlines()[2:5]}
    assert rows == {
        "| a": "1.000 [1.000, 1.000]",
        "| b": "0.000 [0.000, 0.000]",
        f"| {TOGETHER}": "1.000 [1.000, 1.000]",
    }
    assert "| b | a | -1.000 [-1.000, -1.000] (" in text
    assert "a, 40 slices of 10 patients, 20 with a lesion" in text
    kept = pd.read_csv(tmp_path / "predictions.csv")
    assert len(kept) == 6 * 40
    assert set(kept["learned_from"]) == {"a", "b", TOGETHER}
