"""The report of a search: a page, a table, figures and TensorBoard's HParams."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from stroke_tf.evaluation.intervals import INTERVALS, Gain, p_text
from stroke_tf.files import write_text
from stroke_tf.page import markdown_table, plain_text, render_page
from stroke_tf.run_folder import RunMetrics, save_figure
from stroke_tf.search.figures import figure_curves, figure_importance, figure_parallel, searched
from stroke_tf.search.spaces import Space
from stroke_tf.search.tuning import Trial, best_trial

_CAPTIONS = {
    "parallel": "Parameters and score of each trial, the best in colour.",
    "importance": "How much the score depends on each parameter: the loss in R² of a random forest "
    "fitted to the trials when the parameter is shuffled. Rough for few trials.",
    "curves": "Validation loss of each trial over the epochs (the first part of a "
    "cross-validation), the best in colour.",
}


@dataclass(frozen=True)
class TestResult:
    """The best settings and the defaults on the test folds.

    Attributes:
        results: By the name of the run, the best first.
        score: Name of the score that tells them apart.
        gain: That of the best settings minus that of the defaults.
    """

    results: Mapping[str, RunMetrics]
    score: str
    gain: Gain


def write_search_report(
    folder: Path,
    space: Space,
    trials: Sequence[Trial],
    *,
    objective: str,
    protocol: str,
    tested: TestResult | None = None,
) -> Path:
    """Writes REPORT.md, report.html, trials.csv, figures and TensorBoard's HParams of a search.

    The trials are those that have ended. The objective says what a score is. `tested` holds the
    results on the test folds, if those were asked for. Returns the path of report.html.
    """
    ranked = sorted(
        trials, key=lambda trial: (trial.error is not None, -trial.score if trial.scores else 0)
    )
    frame = pd.DataFrame([_row(trial) for trial in ranked])
    write_text(folder / "trials.csv", frame.to_csv(index=False))
    _write_hparams(folder / "tensorboard", trials)
    figures = _draw(folder, space, trials)
    title = f"Search {folder.name}: {objective}"
    blocks = _blocks(ranked, figures, title=title, protocol=protocol, tested=tested)
    markdown = "\n\n".join(blocks) + "\n"
    write_text(folder / "REPORT.md", markdown)
    write_text(folder / "report.html", render_page(markdown, folder, title=title))
    return folder / "report.html"


def _row(trial: Trial) -> dict[str, object]:
    spread = pd.Series(trial.scores).std() if len(trial.scores) > 1 else None
    return {
        "trial": trial.name,
        "score": trial.score,
        **({} if spread is None else {"sd_of_parts": spread}),
        "seconds": trial.seconds,
        **trial.values,
        "error": trial.error or "",
    }


def _draw(folder: Path, space: Space, trials: Sequence[Trial]) -> list[str]:
    done = [trial for trial in trials if trial.error is None]
    varied = searched(space)
    figures = {}
    if varied and len(done) > 1:
        figures["parallel"] = figure_parallel(varied, done)
    if varied and len(done) > len(varied):
        figures["importance"] = figure_importance(varied, done)
    histories = {trial.name: path for trial in done if (path := _history(folder, trial))}
    best = best_trial(done)
    if histories and best is not None:
        figures["curves"] = figure_curves(histories, best=best.name)
    for name, figure in figures.items():
        save_figure(figure, folder / "figures" / f"{name}.png")
    return list(figures)


def _history(folder: Path, trial: Trial) -> Path | None:
    paths = sorted((folder / f"trial_{trial.name}").glob("part0-*/**/history.csv"))
    return paths[-1] if paths else None


def _blocks(
    ranked: Sequence[Trial],
    figures: Sequence[str],
    *,
    title: str,
    protocol: str,
    tested: TestResult | None,
) -> Iterator[str]:
    failed = [trial for trial in ranked if trial.error]
    seconds = sum(trial.seconds for trial in ranked)
    yield f"# {plain_text(title)}"
    yield (
        f"{len(ranked)} trials, {len(failed)} of them failed, {seconds:.0f} s in all. Protocol "
        f"{protocol}. Scores are of validation folds: the best of many is better than it will be "
        "on new patients."
    )
    if tested is not None:
        yield "## On the test folds"
        yield _test_table(tested)
    yield "## Trials"
    yield _trial_table([trial for trial in ranked if trial.error is None])
    if failed:
        yield "## Failed trials"
        rows = [[trial.name, plain_text(trial.error or ""), _words(trial)] for trial in failed]
        yield markdown_table(("trial", "error", "values"), rows)
    for name in figures:
        yield f"![{name}](figures/{name}.png)"
        yield _CAPTIONS[name]


def _words(trial: Trial) -> str:
    return plain_text(", ".join(f"{name} {value}" for name, value in trial.values.items()))


def _trial_table(done: Sequence[Trial]) -> str:
    if not done:
        return "None came to a score."
    names = list(done[0].values)
    rows = [
        [
            trial.name,
            f"{trial.score:.4f}",
            " ".join(f"{score:.3f}" for score in trial.scores),
            f"{trial.seconds:.0f}",
            *(plain_text(str(trial.values[name])) for name in names),
        ]
        for trial in done
    ]
    header = ("trial", "score", "of each part", "seconds", *(plain_text(name) for name in names))
    return markdown_table(header, rows)


def _test_table(tested: TestResult) -> str:
    runs = tested.results.values()
    names = list(next(iter(runs)).metrics)
    rows = [
        ["n", *(str(run.n) for run in runs)],
        *([plain_text(name), *(run.metrics[name].text() for run in runs)] for name in names),
    ]
    table = markdown_table(("", *map(plain_text, tested.results)), rows)
    return (
        f"{table}\n\nBest settings minus defaults, {tested.score}: "
        f"{tested.gain.difference.text(sign=True)}, p {p_text(tested.gain.p_value)} of this one "
        f"comparison. Brackets are 95 % intervals of a bootstrap over groups: {INTERVALS}."
    )


def _write_hparams(folder: Path, trials: Sequence[Trial]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    names = dict.fromkeys(name for trial in trials for name in trial.values)
    with tf.summary.create_file_writer(str(folder)).as_default():
        hparams.hparams_config([hparams.HParam(name) for name in names], [hparams.Metric("score")])
    for trial in trials:
        with tf.summary.create_file_writer(str(folder / trial.name)).as_default():
            hparams.hparams(dict(trial.values), trial_id=trial.name)
            if trial.error is None:
                tf.summary.scalar("score", trial.score, step=0)
