import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from finished_runs import SIZE, tiny_network

from stroke_tf.config import BRAIN
from stroke_tf.deploy.load import load_model, read_model
from stroke_tf.deploy.save_model import SaveConfig, main, save_model
from stroke_tf.deploy.sources import file_of, read_source

SCORES = """
import sys, json, numpy as np
from stroke_tf import load_model
images = np.load("images.npy")
model = load_model(sys.argv[1], runtime="keras")
print(json.dumps([one.scores["stroke"] for one in model.predict(images)]))
"""
SECTIONS = [
    *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"),
    *("Quantitative analyses", "Ethical considerations", "Caveats and recommendations"),
]


@pytest.fixture(scope="module")
def saved(runs, tmp_path_factory):
    """An ensemble of two classifiers."""
    folder = tmp_path_factory.mktemp("shared") / "ensemble"
    save_model([runs.detect, runs.detect_again], folder)
    return folder


@pytest.fixture
def changed(saved, tmp_path):
    """A copy to be changed."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in saved.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_folder_holds_networks_description_card_licence_and_checksums(saved):
    names = {"network-1.keras", "network-2.keras", "model.json", "MODEL_CARD.md", "LICENSE"}
    assert {path.name for path in saved.iterdir()} == names | {"SHA256SUMS"}
    lines = (saved / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{file_of(saved / name).sha256}  {name}" for name in sorted(names)]
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=saved, capture_output=True)
    assert done.returncode == 0
    assert "licence of this model is not stated" in (saved / "LICENSE").read_text()


def test_a_folder_gives_the_description_that_it_was_made_of(runs, saved):
    made, _ = read_model([runs.detect, runs.detect_again])
    found = read_source(saved).description
    assert [file.name for file in found.networks] == ["network-1.keras", "network-2.keras"]
    for name in ("task", "windows", "threshold", "temperatures", "mask_rule", "pixels"):
        assert getattr(found, name) == getattr(made, name)
    assert [run.seed for run in found.trained_on] == [0, 1]
    assert str(found.trained_on) == str(made.trained_on).replace("(40, 80)", "[40, 80]")


def test_another_process_gets_equal_scores_from_the_folder(runs, saved, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 40, SIZE)).astype(np.uint8)
    np.save(tmp_path / "images.npy", images)
    model = load_model([runs.detect, runs.detect_again], runtime="keras")
    expected = [one.scores["stroke"] for one in model.predict(images)]
    done = subprocess.run(
        [sys.executable, "-c", SCORES, str(saved)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == expected


def test_networks_are_saved_without_what_training_needs(runs, tmp_path):
    network = tiny_network("score")
    network.compile(optimizer="adam", loss="binary_crossentropy")
    network.fit(np.zeros((1, SIZE, SIZE, 3)), np.zeros((1, 1)), verbose=0)
    network.save(tmp_path / "trained.keras")
    save_model([tmp_path / "trained.keras"], tmp_path / "out")
    again = tmp_path / "out" / "network.keras"
    assert again.stat().st_size < (tmp_path / "trained.keras").stat().st_size
    assert not keras.models.load_model(again).compiled


def test_the_card_has_its_sections_and_numbers_with_n_and_protocol(saved, runs, tmp_path):
    card = (saved / "MODEL_CARD.md").read_text()
    headings = [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]
    assert headings == SECTIONS
    assert "`classifier/detect`, seed 1, n 48, protocol `clean`" in card
    assert "| roc_auc | 0.750 | 0.625 to 0.875 |" in card
    assert "| sensitivity | – | – |" in card
    assert "no medical device" in card
    assert "Licence: not stated" in card
    assert "ab" * 32 in card
    assert "The ensemble itself was measured nowhere" in card
    tiny_network("mask").save(tmp_path / "bare.keras")
    save_model([tmp_path / "bare.keras"], tmp_path / "out")
    bare = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "Not known: the model came without its run" in bare
    assert "Nobody states whether it was trained on HU or on 8-bit grey" in bare


def test_the_command_takes_a_licence_and_says_what_it_saved(runs, tmp_path, capsys):
    (tmp_path / "terms.txt").write_text("Free to all.")
    out = tmp_path / "new" / "model"
    assert main(SaveConfig((runs.segment,), out, licence=tmp_path / "terms.txt")) == 0
    assert "task segment, networks 1, pixels gray8" in capsys.readouterr().out
    assert (out / "LICENSE").read_text() == "Free to all."
    assert "Licence: in `LICENSE`" in (out / "MODEL_CARD.md").read_text()


def test_what_a_model_learned_from_is_stated_once_for_all(runs, tmp_path):
    run = shutil.copytree(runs.segment, tmp_path / "run")
    (run / "data.json").unlink()
    assert main(SaveConfig((run,), tmp_path / "out", pixels="gray8")) == 0
    saved = read_source(tmp_path / "out").description
    assert (saved.pixels, saved.windows) == ("gray8", (BRAIN,))


def test_a_folder_with_something_in_it_is_left_alone(runs, tmp_path):
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(ValueError, match="must be new or empty"):
        save_model([runs.detect], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_is_whole_or_not_there(runs, tmp_path):
    with pytest.raises(ValueError, match="must fit together"):
        save_model([runs.detect, runs.segment], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        save_model([runs.detect], tmp_path / "out", licence=tmp_path / "missing.txt")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(runs, tmp_path):
    save_model([runs.joint], tmp_path)
    assert read_source(tmp_path).description.task == "joint"


def test_a_folder_keeps_how_masks_detect(runs, tmp_path):
    made = save_model([runs.regression], tmp_path / "shared")
    found = read_source(tmp_path / "shared").description
    assert found == made
    (score,) = found.mask_scores
    assert score.of_series and len(score.coefficients) == 9
    assert (found.threshold, found.temperatures) == (0.4, (2.0,))
    card = (tmp_path / "shared" / "MODEL_CARD.md").read_text()
    assert "score of a slice comes from its mask, by the rule `regression`" in card


@pytest.mark.parametrize("name", ["network-2.keras", "model.json"])
def test_a_changed_file_is_refused_by_name(changed, name):
    data = (changed / name).read_bytes()
    (changed / name).write_bytes(data.replace(b'"threshold": 0.5', b'"threshold": 0.1') + b" ")
    with pytest.raises(ValueError, match=rf"{name} must have the SHA-256 \w+: it was changed"):
        read_model(changed)


@pytest.mark.parametrize("name", ["network-1.keras", "SHA256SUMS"])
def test_a_missing_file_is_told_by_name(changed, name):
    (changed / name).unlink()
    with pytest.raises(ValueError, match=f"{name} must exist"):
        read_model(changed)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"schema_version": 1}, "schema_version must be 2. Received: 1"),
        ({"extra": 1}, "keys must be"),
        ({"task": "guess"}, "must describe a model. Received: `task` must be one of"),
        ({"windows": 3}, "must describe a model"),
        ({"classes": ["a"]}, r"must describe a model. Received: classes \['a'\]"),
    ],
)
def test_another_schema_is_refused(changed, values, told):
    path = changed / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    with pytest.raises(ValueError, match=f"model.json.* {told}"):
        read_model(changed)


def test_a_file_outside_the_folder_is_refused(changed):
    path = changed / "model.json"
    values = json.loads(path.read_text())
    values["networks"][0]["name"] = "../network-1.keras"
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match="files of a model must lie in it"):
        read_model(changed)
