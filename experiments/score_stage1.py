r"""Writes stage-1 answers from a run's predictions and scores them by the rule of the competition.

    stroke-tf score-stage1 --threshold 0.43 --out answers.txt \
        --predictions results/classifier/mobilenetv2-s0/predictions.csv
    stroke-tf score-stage1 --truth labels_stage1.txt --answers answers.txt

Truth and answers are text files in the organisers' format; an id without an answer counts as wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.evaluation.teknofest import Stage1Score, score_stage1
from stroke_tf.files import write_text
from stroke_tf.label_file import parse_stage1, stage1_text
from stroke_tf.runs.settings import ClassifierRun, small
from stroke_tf.text_tables import read_table, read_text

EXPERIMENT = "score-stage1"


@dataclass(frozen=True)
class Stage1:
    """Settings of the stage-1 answers and their score.

    Attributes:
        truth: The true answers.
        answers: The answers to score.
        predictions: predictions.csv of a classifier's run, to make answers of.
        threshold: A score at or above it is a stroke; the run's own is in its metrics.json.
        out: File for the answers made of predictions; with --smoke a folder of results.
        smoke: Only see that everything runs: a small detector answers for phantoms.
    """

    truth: Path | None = None
    answers: Path | None = None
    predictions: Path | None = None
    threshold: float | None = None
    out: Path | None = None
    smoke: bool = False


def read_answers(path: Path) -> dict[str, bool]:
    """Returns the answers of a stage-1 file by id.

    Raises:
        ValueError: If the file is no text or not in the organisers' format. Names the file.
    """
    return parse_stage1(read_text(path).text, name=str(path))


def answers_of(predictions: Path, *, threshold: float) -> dict[str, bool]:
    """Returns whether each slice of a predictions.csv scores at least the threshold: a stroke.

    Raises:
        ValueError: If a column is missing, an id repeats or a score is not in [0, 1].
    """
    answers: dict[str, bool] = {}
    for line, row in read_table(predictions, ("id", "score")):
        score = float(row["score"])
        if row["id"] in answers or not 0 <= score <= 1:
            raise ValueError(
                f"{predictions}: line {line} must give a new id a score in [0, 1]. "
                f"Received: {row['id']!r}, {score}"
            )
        answers[row["id"]] = score >= threshold
    return answers


def main(config: Stage1) -> int:
    """Writes and scores what is asked for; returns the exit code."""
    if config.smoke:
        config = _smoke(config)
    to_write = (config.predictions, config.threshold, config.out)
    to_score = (config.truth, config.answers)
    if all(value is None for value in (*to_write, *to_score)):
        raise ValueError("give --truth and --answers, or --predictions, --threshold and --out")
    if config.predictions and config.threshold is not None and config.out:
        answers = answers_of(config.predictions, threshold=config.threshold)
        write_text(config.out, stage1_text(answers))
        print(f"{len(answers)} answers are in {config.out}")
    elif any(value is not None for value in to_write):
        raise ValueError("--predictions, --threshold and --out must be given together")
    if config.truth and config.answers:
        _print(score_stage1(read_answers(config.truth), read_answers(config.answers)))
    elif any(to_score):
        raise ValueError("--truth and --answers must be given together")
    return 0


def _smoke(config: Stage1) -> Stage1:
    """Trains a small detector on phantoms and asks for its answers to the first test session."""
    from stroke_tf.runs.classifier import run_classifier
    from stroke_tf.runs.keep_or_run import folder_of

    out = config.out or Path("results")
    (records, *_) = smoke_records((), out=out)
    run = small(
        ClassifierRun(records, out, EXPERIMENT, backbone="mobilenet025", test_folds=("stage1",))
    )
    result, folder = run_classifier(run), folder_of(run)
    answers = folder.path / "answers.txt"
    return Stage1(
        truth=next(records.parent.glob("slices/**/labels_stage1.txt")),
        answers=answers,
        predictions=folder.predictions,
        threshold=result.threshold,
        out=answers,
    )


def _print(score: Stage1Score) -> None:
    counts = score.counts
    print(f"Stage-1 score {score.score:.4f}")
    print(f"Recall {score.recall:.4f}, specificity {score.specificity:.4f}")
    print(f"Slices: TP {counts.tp}, FP {counts.fp}, FN {counts.fn}, TN {counts.tn}")
    if score.missing:
        print(f"Missing, counted as wrong: {score.missing}")


if __name__ == "__main__":
    command.run(main, Stage1, doc=__doc__)
