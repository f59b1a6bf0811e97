"""The report of finished runs, as Markdown and as one HTML page that loads nothing.

    stroke-tf report --out results --experiment demo

Everything comes from what `stroke_tf.run_folder` left on disk.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stroke_tf import command
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.files import read_json, write_text
from stroke_tf.page import markdown_table, plain_text, render_page
from stroke_tf.reporting.glossary import glossary_section
from stroke_tf.run_folder import RunFolder, RunMetrics, read_runs

CAPTIONS: dict[str, str] = {
    "history_head": "The same of the head alone, on the features of the frozen backbone.",
    "history": "Loss and scores of training and validation slices over the epochs.",
    "confusion": "Confusion matrix of the test slices; shares are of the true class.",
    "roc": "ROC curve of the test slices with the operating point.",
    "reliability": "Share of class 1 among test slices of a score, and how many have it.",
    "predictions": "Test slices by outcome, the surest answers first: truth / score.",
    "grad_cam": "Grad-CAM: what speaks for class 1 in the test slices scored highest.",
    "segmentation": "Test slices, their true and their predicted outlines.",
    "augmentations": "Slices as they are and after each augmentation alone.",
}
"""Captions by the stem of a figure's file name, in the order of the report."""

HEADLINES = (
    *("accuracy", "sensitivity", "specificity", "precision", "f1", "roc_auc", "average_precision"),
    *("sensitivity_at_90_specificity", "brier", "ece"),
    *("lesion_dice", "lesion_iou", "ischemia_dice", "hemorrhage_dice", "lesion_slice_dice"),
    *("any_lesion_lesionwise_recall", "any_lesion_false_lesions_per_slice", "any_lesion_hd95_px"),
    *("normal_slice_false_rate", "sm_f1", "sm_iou"),
)
"""The metrics that the tables of classifiers and U-Nets show; of other runs, they show all."""


@dataclass(frozen=True)
class ReportConfig:
    """Collects finished runs into REPORT.md and report.html.

    Attributes:
        out: Folder of all results.
        experiment: The experiment to report; all of them when not given.
        title: Heading of the report.
    """

    out: Path = Path("results")
    experiment: str | None = None
    title: str = "Stroke detection in brain CT: results"


def write_report(
    out: Path | str, experiment: str | None = None, *, title: str, notes: Sequence[str] = ()
) -> Path:
    """Writes REPORT.md and report.html for the runs of an experiment, or of all.

    Args:
        out: Folder of all results.
        experiment: The experiment: the report goes into its folder. None reports all of them,
            into `out`.
        title: Heading, plain text.
        notes: Paragraphs of Markdown below the heading. Raw HTML in them shows as text.

    Returns:
        The path of report.html.

    Raises:
        FileNotFoundError: If there is no run, finished or not.
        ValueError: If a file of a run is not valid.

    Example:
        >>> from stroke_tf import write_report
        >>> str(write_report("results", title="What was trained"))
        'results/report.html'
    """
    out = Path(out)
    folder = out / experiment if experiment else out
    configs = sorted(folder.glob("*/config.json" if experiment else "*/*/config.json"))
    if not configs:
        raise FileNotFoundError(f"{folder} must hold runs. Received: no config.json in it")
    runs = [run for run in read_runs(out) if experiment in (None, run.experiment)]
    markdown = "\n\n".join(_sections(out, folder, runs, configs, title=title, notes=notes)) + "\n"
    write_text(folder / "REPORT.md", markdown)
    write_text(folder / "report.html", render_page(markdown, folder, title=title))
    return folder / "report.html"


def _sections(
    out: Path,
    folder: Path,
    runs: list[RunMetrics],
    configs: list[Path],
    *,
    title: str,
    notes: Sequence[str],
) -> Iterator[str]:
    yield f"# {plain_text(title)}"
    yield from notes
    unfinished = [path.parent for path in configs if not (path.parent / "metrics.json").is_file()]
    if unfinished:
        yield "## Unfinished runs"
        yield "They have no result yet; the same command resumes them."
        yield markdown_table(
            ["run folder"], [[plain_text(str(path.relative_to(out)))] for path in unfinished]
        )
    if not runs:
        return
    yield "## Data"
    yield _data_table(runs)
    yield "## Results"
    yield (
        "Numbers are of test slices, with 95 % intervals in brackets; n/a: not defined. "
        "The end of this page says what each of them means. "
        "What a classifier's table leaves out stands in the `metrics.json` of its run."
    )
    for names in dict.fromkeys(map(_shown, runs)):
        yield _metrics_table([run for run in runs if _shown(run) == names], names)
    yield from _cautions(out, runs)
    yield "## Runs"
    for run in runs:
        yield from _run_section(out, folder, run)
    yield "## Environment"
    yield from environment_section(out, runs)
    yield from glossary_section(["n", "threshold", *(name for run in runs for name in _shown(run))])


def _data_table(runs: list[RunMetrics]) -> str:
    rows: dict[tuple[str, ...], list[str]] = {}
    for run in runs:
        folds = [", ".join(map(str, run.split.get(part, ()))) for part in ("train", "val", "test")]
        key = (run.protocol, *folds, str(run.n), run.data_manifest_sha256[:12])
        rows.setdefault(key, []).append(_name(run))
    header = (
        *("protocol", "training folds", "validation folds", "test folds"),
        *("test slices", "data manifest", "runs"),
    )
    lines = [(*key, "; ".join(names)) for key, names in rows.items()]
    return markdown_table(header, [[plain_text(cell) for cell in line] for line in lines])


def _shown(run: RunMetrics) -> tuple[str, ...]:
    return tuple(name for name in HEADLINES if name in run.metrics) or tuple(run.metrics)


def _metrics_table(runs: list[RunMetrics], names: tuple[str, ...]) -> str:
    header = ("run", "protocol", "seed", "n", "threshold", *names)
    rows = [
        [
            plain_text(f"{run.experiment} / {run.row}"),
            plain_text(run.protocol),
            str(run.seed),
            str(run.n),
            "–" if run.threshold is None else f"{run.threshold:.3f}",
            *(_narrow(run.metrics[name]) for name in names),
        ]
        for run in runs
    ]
    return markdown_table([plain_text(name.replace("_", " ")) for name in header], rows)


def _cautions(out: Path, runs: list[RunMetrics]) -> Iterator[str]:
    """Yields the cautions about scores that mean little, each sentence once."""
    of: dict[str, list[str]] = {}
    for run in runs:
        for line in _folder(out, run).cautions():
            of.setdefault(line, []).append(_name(run))
    if of:
        yield "Beware:"
        yield "\n".join(
            f"- {plain_text(line)} ({plain_text('; '.join(names))})" for line, names in of.items()
        )


def _run_section(out: Path, folder: Path, run: RunMetrics) -> Iterator[str]:
    path = _folder(out, run).path
    yield f"### {plain_text(_name(run))}"
    seconds = run.wall_seconds
    took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    about = f"Protocol {plain_text(run.protocol)}, seed {run.seed}, {run.n} test slices"
    yield f"{about}, {took}."
    order = {stem: place for place, stem in enumerate(CAPTIONS)}
    for figure in sorted(
        (path / "figures").glob("*.png"),
        key=lambda figure: (order.get(figure.stem, len(order)), figure.stem),
    ):
        caption = plain_text(CAPTIONS.get(figure.stem, figure.stem.replace("_", " ")))
        yield f"![{caption}]({quote(str(figure.relative_to(folder)))})\n*{caption}*"
    settings = _read(path / "config.json")
    if command_line := _command(path.relative_to(out) / "config.json", settings):
        yield "The same training again, from the folder of results, on the same records:"
        yield f"```\n{command_line}\n```"
    yield f"```json Settings\n{json.dumps(settings, indent=2)}\n```"


def _command(config: Path, settings: Mapping[str, Any]) -> str:
    """Returns the command that trains with the settings of a run; "" where no command does."""
    verbs = {"backbone": "train-classifier", "encoder": "train-unet"}
    verb = next((verb for key, verb in verbs.items() if isinstance(settings.get(key), str)), None)
    if verb is None or settings.get("backbone") == "histogram":
        return ""
    if settings.get("choose_on", "validation") != "validation":
        return ""  # a part of a cross-validation, which the others belong to
    words = ("stroke-tf", verb, "--config", str(config), "--records", "RECORDS", "--out", "again")
    return shlex.join(words)


def environment_section(out: Path, runs: Sequence[RunMetrics]) -> Iterator[str]:
    """Yields the distinct environments, each with the runs made in it, in Markdown."""
    made_in: dict[str, list[str]] = {}
    for run in runs:
        env = {
            key: value
            for key, value in _read(_folder(out, run).path / "env.json").items()
            if key != "data_manifest_sha256"  # stands beside the data
        }
        made_in.setdefault(json.dumps(env), []).append(_name(run))
    for text, names in made_in.items():
        if len(made_in) > 1:
            yield f"{plain_text('; '.join(names))}:"
        rows = [
            [plain_text(key), plain_text(_value(value))] for key, value in json.loads(text).items()
        ]
        yield markdown_table(("what", "version or value"), rows)


def _narrow(metric: Metric) -> str:
    # Non-breaking inside the brackets: a narrow column breaks before them only.
    return metric.text().replace(", ", ",\N{NO-BREAK SPACE}")


def _value(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _folder(out: Path, run: RunMetrics) -> RunFolder:
    return RunFolder(out, run.experiment, run.row, run.seed)


def _name(run: RunMetrics) -> str:
    return f"{run.experiment} / {run.row}, seed {run.seed}"


def _read(path: Path) -> dict[str, Any]:
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object. Received: {values!r}")
    return values


def main(config: ReportConfig) -> int:
    """Writes the report and says where it is; returns the exit code."""
    print(write_report(config.out, config.experiment, title=config.title))
    return 0


if __name__ == "__main__":
    command.run(main, ReportConfig, doc=__doc__)
