from dataclasses import replace
from pathlib import Path

import pytest

from experiments import score_stage1
from experiments.score_stage1 import Stage1, answers_of, main, read_answers
from stroke_tf.runs.settings import small

HEADER = "Image Id\tİnme Var mı?\r\n"
PREDICTIONS = "id,truth,score\n10,1,0.9\n11,0,0.43\n12,0,0.4299\n13,1,0\n"


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.fixture
def truth(tmp_path):
    lines = "10\t1\r\n11\t0\r\n12\t0\r\n13\t1\r\n14\t1\r\n15\t1\r\n"
    return written(tmp_path / "truth.txt", HEADER + lines)


@pytest.fixture
def predictions(tmp_path):
    return written(tmp_path / "predictions.csv", PREDICTIONS)


def test_predictions_become_the_organisers_file_by_the_threshold(tmp_path, predictions, capsys):
    out = tmp_path / "answers.txt"
    assert main(Stage1(predictions=predictions, threshold=0.43, out=out)) == 0
    assert out.read_bytes().decode() == HEADER + "10\t1\r\n11\t1\r\n12\t0\r\n13\t0\r\n"
    assert capsys.readouterr().out == f"4 answers are in {out}\n"


def test_answers_are_scored_and_missing_ids_are_wrong(tmp_path, truth, capsys):
    answers = written(tmp_path / "a.txt", "\ufeff" + HEADER + "10\t1\n11\t1\n12\t0\n13\t1\n14\t0\n")
    assert main(Stage1(truth=truth, answers=answers)) == 0
    # 10 and 13 found, 14 missed, 15 without an answer: recall 2/4. 11 wrong, 12 right: 1/2.
    assert capsys.readouterr().out.splitlines() == [
        "Stage-1 score 0.5000",
        "Recall 0.5000, specificity 0.5000",
        "Slices: TP 2, FP 1, FN 2, TN 1",
        "Missing, counted as wrong: 1",
    ]


def test_both_can_be_done_at_once(tmp_path, truth, predictions, capsys):
    out = tmp_path / "answers.txt"
    asked = Stage1(truth, answers=out, predictions=predictions, threshold=0.0, out=out)
    assert main(asked) == 0
    assert "TP 2, FP 2, FN 2, TN 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Stage1(), "give --truth and --answers, or"),
        (Stage1(truth=Path("t")), "--truth and --answers must be given together"),
        (Stage1(predictions=Path("p"), threshold=0.5), "--threshold and --out must be given"),
        (Stage1(threshold=0.0), "--threshold and --out must be given together"),
        (Stage1(truth=Path("no-such-file"), answers=Path("a")), "no-such-file"),
    ],
)
def test_half_a_request_or_a_missing_file_ends_with_its_message(asked, message):
    with pytest.raises((ValueError, OSError), match=message):
        main(asked)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,truth\n1,0\n", r"columns \['id', 'score'\].*Received: \['id', 'truth'\]"),
        ("", r"columns \['id', 'score'\].*Received: \[\]"),
        ("id,score\n1,0.5\n1,0.5\n", "line 3 must give a new id .* Received: '1', 0.5"),
        ("id,score\n1,1.5\n", r"line 2 must .* in \[0, 1\]. Received: '1', 1.5"),
        ("id,score\n1,nan\n", "Received: '1', nan"),
    ],
)
def test_predictions_that_are_no_scores_are_refused_with_file_and_line(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"predictions.csv: .*{message}"):
        answers_of(written(tmp_path / "predictions.csv", text), threshold=0.5)


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path):
    path = tmp_path / "answers.txt"
    path.write_bytes(HEADER.encode("utf-16-le"))
    with pytest.raises(ValueError, match="answers.txt must be text in UTF-8"):
        read_answers(path)


def test_a_smoke_run_answers_the_first_session_of_phantoms(
    phantom_records, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(score_stage1, "smoke_records", lambda *_, **options: phantom_records)
    tiny = {"backbone": "cnn-detect", "image_size": 32}
    monkeypatch.setattr(score_stage1, "small", lambda run: replace(small(run), **tiny))
    assert main(Stage1(out=tmp_path, smoke=True)) == 0
    said = capsys.readouterr().out
    assert f"24 answers are in {tmp_path}" in said
    assert "Stage-1 score " in said
