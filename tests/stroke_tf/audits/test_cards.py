"""Cards of a real small run on phantoms: they say what the files say, and name no slice."""

import json
import re

import pytest
from finished_runs import SIZE, tiny_network, write_run

from stroke_tf.audits.claim import AUTHOR, ITEMS
from stroke_tf.audits.evidence import UNKNOWN
from stroke_tf.audits.run_audits import run_audits
from stroke_tf.audits.settings import AuditConfig
from stroke_tf.manifest import manifest_sha256, read_folds, read_manifest
from stroke_tf.run_folder import read_metrics
from stroke_tf.runs.classifier import run_classifier
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun, FitConfig, UnetRun

CARDS = ("MODEL_CARD.md", "DATA_CARD.md", "CLAIM.md")
DATASHEET = ["Motivation", "Composition", "Collection", "Preprocessing", "Uses", "Distribution"]


@pytest.fixture(scope="module")
def run(phantom_records, tmp_path_factory):
    """A finished run of a small network, and its records."""
    config = ClassifierRun(
        records=phantom_records[0],
        out=tmp_path_factory.mktemp("results"),
        backbone="cnn-detect",
        weights=None,
        image_size=32,
        fit=FitConfig(epochs=1),
    )
    run_classifier(config)
    return folder_of(config).path, phantom_records[0]


@pytest.fixture(scope="module")
def cards(run, tmp_path_factory):
    """The folder of the cards of that run."""
    return audited(run[0], tmp_path_factory.mktemp("cards"), records=run[1])


def audited(subject, out, **settings):
    run_audits(AuditConfig(subject, out=out, only=("cards",), **settings))
    return out


def rows_of(claim):
    lines = [line for line in claim.splitlines() if re.match(r"\| \d+ \|", line)]
    cells = (line.strip("| ").split(" | ") for line in lines)
    return {int(number): told for number, _, _, told in cells}


def table(card, title):
    """Returns the table whose first column is `title`: its rows by their first cell."""
    lines = [line.strip("| ").split(" | ") for line in card.splitlines() if line.startswith("| ")]
    start = next(at for at, line in enumerate(lines) if line[0] == title)
    header, rows = lines[start], {}
    for line in lines[start + 2 :]:
        if len(line) != len(header):
            break
        rows[line[0]] = dict(zip(header[1:], line[1:], strict=True))
    return rows


def test_the_data_card_has_the_sections_of_a_datasheet_and_counts_by_hand(run, cards):
    card = (cards / "DATA_CARD.md").read_text()
    sections = [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]
    assert sections == [*DATASHEET, "Maintenance"]
    rows, manifest = read_folds(run[1]), read_manifest(run[1])
    of_fold = [row for row in rows if row.fold == "3"]
    line = table(card, "fold")["3"]
    assert line["slices"] == str(len(of_fold))
    assert line["groups"] == str(len({row.group_id for row in of_fold}))
    assert line["masks"] == str(sum(row.has_mask for row in of_fold))
    assert line["ISCHEMIA"] == str(sum(row.stroke_type == "ISCHEMIA" for row in of_fold))
    test = [row for row in rows if row.fold == "9"]
    assert table(card, "part")["test"]["slices"] == str(len(test))
    for told in (manifest.source_sha256, manifest_sha256(run[1]), f"seed {manifest.seed}"):
        assert told in card
    assert card.count(UNKNOWN) > 5  # what no file can say is left to a person


def test_claim_has_44_items_and_the_answers_of_the_run(run, cards):
    assert len(ITEMS) == 44
    told = rows_of((cards / "CLAIM.md").read_text())
    assert sorted(told) == list(range(1, 45))
    result = read_metrics(run[0] / "metrics.json")
    env = json.loads((run[0] / "env.json").read_text())
    plain = {number: text.replace("\\", "") for number, text in told.items()}
    assert "protocol clean: patients" in plain[20]
    assert f"{result.n} test slices" in plain[21]
    assert "cnn-detect" in plain[22]
    assert f"keras {env['packages']['keras']}" in plain[23]
    assert "random weights, seed 0" in plain[24]
    assert "epochs 1" in plain[25]
    assert f"threshold {result.threshold:.4g}" in plain[26]
    assert plain[31] == "Grad-CAM: figures/grad_cam.png"
    assert f"roc_auc {result.metrics['roc_auc'].text()}" in plain[37]
    assert f"sensitivity {result.metrics['sensitivity'].text()}" in plain[38]
    for number in (1, 2, 3, 4, 5, 14, 15, 16, 17, 18, 30, 33, 34, 44):
        assert plain[number].startswith(AUTHOR)


def test_scores_on_outside_data_are_named(run, tmp_path):
    outside = run[0] / "outside-elsewhere.json"
    outside.write_text("{}")
    claim = (audited(run[0], tmp_path, records=run[1]) / "CLAIM.md").read_text()
    outside.unlink()
    assert rows_of(claim)[33].startswith("outside-elsewhere.json")


def test_a_kept_card_is_written_anew_when_outside_scores_come(run, tmp_path):
    audited(run[0], tmp_path, records=run[1])
    outside = run[0] / "outside-later.json"
    outside.write_text("{}")
    claim = (audited(run[0], tmp_path, records=run[1]) / "CLAIM.md").read_text()
    outside.unlink()
    assert rows_of(claim)[33].startswith("outside-later.json")


def test_the_model_card_is_that_of_save_model(run, cards):
    card = (cards / "MODEL_CARD.md").read_text()
    assert "# Model card: whether a slice shows a stroke" in card
    assert f"n {read_metrics(run[0] / 'metrics.json').n}, protocol `clean`" in card


def test_no_card_names_a_slice_a_patient_or_a_folder(run, cards):
    rows = read_folds(run[1])
    names = {name for row in rows for name in (row.source_id, row.group_id)}
    assert len(names) > 100
    for path in (*(cards / name for name in CARDS), cards / "cards.json", cards / "AUDIT.md"):
        words = set(re.findall(r"[\w.-]+", path.read_text()))
        assert not names & words, path.name
        assert str(run[0].parents[2]) not in path.read_text()


def test_the_page_shows_the_checklist_and_names_the_files(cards):
    page = (cards / "audit.html").read_text()
    assert all(name in page for name in CARDS)
    assert "How cases were dealt to the parts" in page
    text = (cards / "AUDIT.md").read_text().replace("\\", "")
    told = rows_of(text).values()
    whole, left = (
        sum(AUTHOR not in answer for answer in told),
        sum(answer.startswith(AUTHOR) for answer in told),
    )
    part = f"{44 - whole - left} more in part"
    assert f"Files answer {whole} of 44 items and {part}; {left} are for the author." in text


def test_records_alone_have_a_data_card_and_a_checklist(phantom_records, tmp_path):
    out = audited(phantom_records[1], tmp_path)
    assert not (out / "MODEL_CARD.md").exists()
    told = rows_of((out / "CLAIM.md").read_text())
    assert "may be in two" in told[20]
    assert told[22].startswith(AUTHOR)
    assert "all " in told[35]


def test_a_run_without_its_records_says_what_is_not_counted(run, tmp_path):
    card = (audited(run[0], tmp_path) / "DATA_CARD.md").read_text()
    assert f"Patients, masks and folds: {UNKNOWN}" in card
    assert f"{read_manifest(run[1]).records} records" in card
    assert "give the records with --records" in (tmp_path / "AUDIT.md").read_text()


def test_records_of_another_run_are_refused(run, phantom_records, tmp_path):
    with pytest.raises(ValueError, match="must be the records that .* was made of"):
        audited(run[0], tmp_path, records=phantom_records[1])


def test_a_cross_validation_has_no_model_card(run, tmp_path):
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "predictions.csv").write_text("id,group,part,seed,truth,score,called\n")
    out = audited(folder, tmp_path / "out", records=run[1])
    assert not (out / "MODEL_CARD.md").exists()
    assert "each part of a cross-validation" in (out / "AUDIT.md").read_text()


def test_the_cards_of_a_cross_validation_are_those_of_its_parts(tmp_path):
    for part in range(2):
        config = UnetRun(
            out=tmp_path, experiment="cv", row=f"unet-clean-part{part}", image_size=SIZE
        )
        path = write_run(config, tiny_network("mask"))
    said = "id,row,protocol,part,any_lesion_tp\n7,unet,clean,0,1\n"
    (path.parent / "predictions.csv").write_text(said)
    out = audited(path.parent, tmp_path / "out")
    card = (out / "MODEL_CARD.md").read_text()
    assert "2 networks; each for the part that it has not seen, input 32 x 32" in card
    for part in range(2):
        assert f"run `cv/unet-clean-part{part}`" in card
    told = rows_of((out / "CLAIM.md").read_text())
    assert told[22].startswith("unet on mobilenetv2")
    assert told[21] == AUTHOR  # the parts have no test set in common


def test_a_segmentation_is_described_by_its_masks(tmp_path):
    config = UnetRun(out=tmp_path, image_size=SIZE, weights=None, tune_mask=True)
    rule = {"threshold": 0.4, "min_area_px": 3}
    path = write_run(config, tiny_network("mask"), files={"mask_rule.json": rule})
    out = audited(path, tmp_path / "out")
    told = rows_of((out / "CLAIM.md").read_text())
    assert told[6].startswith("a model of task segment")
    assert told[22].startswith("unet on mobilenetv2, classes background, ischaemia, haemorrhage")
    assert "loss dice+ce" in told[25]
    assert told[26] == "the epoch of the best validation loss on folds 8"
    assert told[31] == AUTHOR  # no Grad-CAM was drawn
    assert "which pixels of a slice" in (out / "MODEL_CARD.md").read_text()
    assert "asked them for: segment" in (out / "DATA_CARD.md").read_text()
