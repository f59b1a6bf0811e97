import numpy as np
import pandas as pd
import pytest
from finished_runs import tiny_network, write_run

from stroke_tf.audits.answers import read_answers
from stroke_tf.evaluation.calibration import apply_temperature
from stroke_tf.runs.settings import ClassifierRun, UnetRun


def masks(ids, *, tp, fp, fn, **columns):
    """Returns the answers of a U-Net's run on slices, as far as audits read them."""
    pixels = {f"any_lesion_{name}": cells for name, cells in {"tp": tp, "fp": fp, "fn": fn}.items()}
    lesions = {"any_lesion_lesions": np.sign(fn), "any_lesion_found": np.sign(tp)}
    return pd.DataFrame({"id": ids, **pixels, **lesions, **columns})


def run(config, predictions, **options):
    return write_run(config, tiny_network("score"), predictions=predictions, **options)


def test_a_classifier_calls_by_its_own_threshold(tmp_path):
    said = pd.DataFrame({"id": ["01", "2"], "truth": [1, 0], "score": [0.3, 0.25]})
    point = {"threshold": 0.3, "temperature": 2.0}
    files = {"operating_point.json": point}
    answers = read_answers(run(ClassifierRun(out=tmp_path), said, threshold=0.3, files=files))
    assert answers.frame["id"].tolist() == ["01", "2"]
    assert answers.frame["called"].tolist() == [True, False]
    assert np.allclose(answers.frame["calibrated"], apply_temperature([0.3, 0.25], 2.0))
    assert "0.300" in answers.rule
    assert answers.labels == ("no lesion", "lesion")
    assert (answers.has_scores, answers.has_masks) == (True, False)


def test_a_classifier_of_types_names_them(tmp_path):
    said = pd.DataFrame({"id": ["1"], "truth": [1], "score": [0.5]})
    answers = read_answers(run(ClassifierRun(out=tmp_path, task="type"), said, threshold=0.5))
    assert answers.labels == ("ischaemia", "haemorrhage")
    assert "calibrated" not in answers.frame


def test_a_segmentation_calls_what_it_draws_on(tmp_path):
    said = masks(["1", "2", "3"], tp=[5, 0, 0], fp=[0, 0, 2], fn=[1, 4, 0])
    answers = read_answers(run(UnetRun(out=tmp_path), said))
    assert answers.frame["truth"].tolist() == [True, True, False]
    assert answers.frame["called"].tolist() == [True, False, True]
    assert answers.frame["tp"].tolist() == [5, 0, 0]
    assert (answers.has_scores, answers.has_masks) == (False, True)


def test_a_joint_network_calls_by_its_probabilities(tmp_path):
    probs = {"stroke_type": [2, 0], "p_none": [0.7, 0.2], "p_ischemia": 0, "p_hemorrhage": 0}
    said = masks(["1", "2"], tp=[5, 0], fp=[0, 0], fn=[1, 0], **probs)
    answers = read_answers(run(UnetRun(out=tmp_path, architecture="joint"), said))
    assert answers.frame["truth"].tolist() == [True, False]
    assert np.allclose(answers.frame["score"], [0.3, 0.8])
    assert answers.frame["called"].tolist() == [False, True]
    assert answers.frame["drawn"].tolist() == [True, False]


def test_masks_that_detect_call_by_their_score(tmp_path):
    said = masks(["1", "2"], tp=[5, 0], fp=[0, 2], fn=[1, 0], truth=[1, 0], score=[0.2, 0.6])
    point = {"threshold": 0.3, "temperature": 2.0}
    files = {"operating_point.json": point}
    config = UnetRun(out=tmp_path, score="mask")
    answers = read_answers(run(config, said, threshold=0.3, files=files))
    assert answers.frame["called"].tolist() == [False, True]
    assert answers.frame["drawn"].tolist() == [True, True]
    assert np.allclose(answers.frame["calibrated"], apply_temperature([0.2, 0.6], 2.0))
    assert (answers.has_scores, answers.has_masks) == (True, True)


def test_seeds_of_a_cross_validation_are_one_answer_of_a_row(tmp_path):
    said = {"id": list("aabbc"), "group": list("ppqqp"), "part": [0, 0, 1, 1, 0]}
    said |= {"seed": [0, 1, 0, 1, 0], "row": ["x"] * 4 + ["y"], "truth": [1, 1, 0, 0, 1]}
    said |= {"score": [0.4, 0.8, 0.2, 0.3, 1.0], "called": [True, True, True, False, True]}
    pd.DataFrame(said).assign(protocol="clean").to_csv(tmp_path / "predictions.csv")
    frame = read_answers(tmp_path, row="x").frame
    assert frame["id"].tolist() == ["a", "b"]
    assert np.allclose(frame["score"], [0.6, 0.25])
    assert frame["called"].tolist() == [True, False]
    assert frame["part"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("task", "labels"),
    [("detect", ("no lesion", "lesion")), ("type", ("ischaemia", "haemorrhage"))],
)
def test_a_cross_validation_names_the_classes_of_its_task(task, labels, tmp_path):
    said = {"id": ["a", "b"], "truth": [1, 0], "score": [0.9, 0.1], "called": [True, False]}
    frame = pd.DataFrame(said).assign(part=0, row="cnn", protocol="clean")
    frame.to_csv(tmp_path / "predictions.csv", index=False)
    for row, of_row in (("cnn-clean-part0-s0", task), ("cnn-192-clean-part0-s0", "segment")):
        (tmp_path / row).mkdir()
        (tmp_path / row / "config.json").write_text(f'{{"task": "{of_row}"}}')
    assert read_answers(tmp_path).labels == labels


def test_a_row_of_masks_stands_beside_rows_of_scores(tmp_path):
    drawn = masks(["a", "b"], tp=[5, 0], fp=[0, 0], fn=[1, 0], part=0, row="unet")
    said = {"id": ["a", "b"], "truth": [1, 0], "score": [0.9, 0.1], "called": [True, False]}
    both = pd.concat([drawn, pd.DataFrame(said).assign(part=0, row="cnn")])
    both.to_csv(tmp_path / "predictions.csv", index=False)
    answers = read_answers(tmp_path, row="unet")
    assert (answers.has_scores, answers.has_masks) == (False, True)
    assert answers.frame["called"].tolist() == [True, False]


def test_a_row_is_chosen_of_several_and_must_be_there(tmp_path):
    said = {"id": ["a", "a"], "truth": 1, "score": [0.9, 0.1], "called": True, "part": 0}
    frame = pd.DataFrame(said).assign(row=["cnn", "vgg16"], protocol="clean")
    frame.to_csv(tmp_path / "predictions.csv", index=False)
    assert read_answers(tmp_path, row="vgg16").frame["score"].tolist() == [0.1]
    with pytest.raises(ValueError, match=r"rows of .*, \['cnn', 'vgg16'\]. Received: None"):
        read_answers(tmp_path)
    with pytest.raises(ValueError, match="Received: resnet50"):
        read_answers(tmp_path, row="resnet50")


def test_an_id_that_reads_like_a_missing_value_is_a_slice(tmp_path):
    ids = ["NA", "None", "null", "nan", "01"]
    said = pd.DataFrame({"id": ids, "truth": [1, 0, 1, 0, 1], "score": 0.5})
    answers = read_answers(run(ClassifierRun(out=tmp_path), said, threshold=0.5))
    assert answers.frame["id"].tolist() == ids


@pytest.mark.parametrize("name", ["lesions", "found", "tp", "fp", "fn", "drawn"])
@pytest.mark.parametrize("row", ["unet", "cnn"])
def test_a_shown_column_may_be_called_as_a_count_of_masks(name, row, tmp_path):
    drawn = masks(["a", "b"], tp=[5, 0], fp=[0, 0], fn=[1, 0], part=0, row="unet")
    said = {"id": ["a", "b"], "truth": [1, 0], "score": [0.9, 0.1], "called": [True, False]}
    said |= {"protocol": "clean"}
    both = pd.concat([drawn, pd.DataFrame(said).assign(part=0, row="cnn")])
    both.assign(**{name: "of a hospital"}).to_csv(tmp_path / "predictions.csv", index=False)
    answers = read_answers(tmp_path, row=row)
    assert answers.has_masks == (row == "unet")
    assert answers.frame["called"].tolist() == [True, False]


def test_a_run_has_no_rows_to_choose(tmp_path):
    said = pd.DataFrame({"id": ["1"], "truth": [1], "score": [0.5]})
    folder = run(ClassifierRun(out=tmp_path), said, threshold=0.5)
    with pytest.raises(ValueError, match=r"predictions.csv, \[\]. Received: cnn"):
        read_answers(folder, row="cnn")


def test_predictions_of_another_kind_are_named(tmp_path):
    pd.DataFrame({"id": ["1"]}).to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(ValueError, match="predictions.csv must have the column score or any_l"):
        read_answers(tmp_path)
