"""The model card: what a model is, for what and for whom, and its numbers with what they rest on.

Sections as in Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from stroke_tf.deploy.description import ModelDescription, TrainedOn
from stroke_tf.evaluation.intervals import INTERVALS, Metric
from stroke_tf.zoo.shipped import listed

_ANSWERS = {
    "detect": "whether a slice shows a stroke",
    "type": "whether the stroke that a slice shows is ischaemia or haemorrhage",
    "segment": "which pixels of a slice are ischaemia or haemorrhage",
    "joint": "which pixels of a slice are ischaemia or haemorrhage, and what the slice shows",
}
_UNSEEN = "answers of networks that had not learned from the slices"
_MEAN = "the mean of their probabilities"
_PIXELS = {
    "gray8": "8-bit grey pictures; slices in HU are made grey first by the window {windows}",
    "hu16": "HU, seen through the windows {windows}; 8-bit grey pictures are refused",
    "mixed": "both 8-bit grey pictures and HU, the latter through the windows {windows}",
    "unknown": "pixels of a kind that is not known; HU are seen through the windows {windows}",
}
_OF_GROUPS = {
    "clean": "slices of one patient, or near-duplicates where patients are unknown, never lie in "
    "training and test at once",
    "as-published": "slices of one patient may lie in training and test at once, which flatters "
    "the numbers: they compare with papers that did so, and say little of new patients",
}


def model_card(model: ModelDescription, *, is_licensed: bool, are_parts: bool = False) -> str:
    """Returns the card as Markdown.

    Args:
        model: What the card is of.
        is_licensed: Whether a licence is stated.
        are_parts: Whether its networks are those of the parts of a cross-validation.
    """
    sections = {
        "Model details": _details(model, is_licensed=is_licensed, are_parts=are_parts),
        "Intended use": _use(model),
        "Factors": _factors(model),
        "Metrics": _metrics(model),
        "Evaluation data": _data(model, part="test"),
        "Training data": _data(model, part="train"),
        "Quantitative analyses": _analyses(model),
        "Ethical considerations": _ethics(),
        "Caveats and recommendations": _caveats(model),
    }
    parts = [f"## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in sections.items()]
    return "\n".join([f"# Model card: {_ANSWERS[model.task]}\n", *parts])


def _details(model: ModelDescription, *, is_licensed: bool, are_parts: bool) -> Iterator[str]:
    count = len(model.networks)
    yield f"- Task `{model.task}`: it says {_ANSWERS[model.task]}, in brain CT."
    yield f"- Classes: {', '.join(model.classes)}."
    together = "each for the part that it has not seen" if are_parts else _MEAN
    several = "one network" if count == 1 else f"{count} networks; {together}"
    yield f"- {several[0].upper()}{several[1:]}, input {model.image_size} x {model.image_size}."
    for file, run in zip(model.networks, model.trained_on, strict=False):
        name = f"{run.experiment}/{run.row}"
        yield f"- `{file.name}`: {_network(run)}, run `{name}`, seed {run.seed}."
    yield f"- Trained on {_pixels(model)}. View: {model.view}."
    if model.mask_score_rule is not None:
        yield f"- The score of a slice comes from its mask, by the rule `{model.mask_score_rule}`."
    if model.threshold is not None:
        yield f"- A slice is called positive from a score of {model.threshold:.4g} on."
    for name, threshold in model.operating_points.items():
        on = f"from {threshold:.4g} on, chosen on {_UNSEEN}"
        yield f"- Operating point `{name}`: {on}."
    if model.temperatures:
        told = ", ".join(f"{value:.3g}" for value in model.temperatures)
        yield f"- Calibrated scores: logits divided by {told}, fitted to {_UNSEEN}."
    if rule := model.mask_rule:
        small = f"lesions below {rule.min_area_px} pixels of the input are dropped"
        dropped = f"; {small}" if rule.min_area_px else ""
        yield f"- A pixel is lesion from a probability of {rule.threshold:.3g} on{dropped}."
    if count > 1 and (model.mask_rule or model.temperatures):
        yield "- Thresholds and mask rules are the means of those that the runs chose, each alone."
    terms = "in `LICENSE`" if is_licensed else "not stated"
    yield f"- Licence: {terms}."


def _use(model: ModelDescription) -> Iterator[str]:
    yield "- For research, teaching and comparison with other methods, on axial brain CT slices."
    yield "- Not for diagnosis, triage or any decision about a patient. It is no medical device."
    yield "- Not for other parts of the body, MRI, CT with contrast, or other patients than below."
    if model.limits:
        yield f"- Not for {listed(model.limits)}."
    if model.task == "type":
        yield "- Not for slices without a stroke: it answers one of two types whatever is shown."


def _factors(model: ModelDescription) -> Iterator[str]:
    yield (
        "Scanner, dose, reconstruction kernel, slice thickness, tilt, the time since the stroke, "
        "age and earlier lesions change how a stroke looks. The records name none of them for each "
        "slice, so no numbers are given by group."
    )
    if model.view != "windows":
        yield f"It expects whole series in their order: view `{model.view}`."


def _metrics(model: ModelDescription) -> Iterator[str]:
    yield (
        "Scores are counted first and then divided, over all test slices; intervals are 95 %, by "
        f"a bootstrap over groups ({INTERVALS}) or by Wilson. A dash: not defined."
    )
    if any(not run.split["test"] for run in model.trained_on):
        yield "Areas under curves are means of the parts of a cross-validation."
    if model.draws_masks:
        yield "Dice and IoU leave background out, and are means over the lesion classes present."


def _data(model: ModelDescription, *, part: str) -> Iterator[str]:
    if part == "train":
        yield from (f"- {source[0].upper()}{source[1:]}." for source in model.sources)
    if not model.trained_on:
        yield "Not known: the model came without its run."
    for run in model.trained_on:
        folds = "folds " + ", ".join(map(str, run.split[part]))
        if part == "test":
            apart = "each by a network of the same settings that had not learned from its patient"
            folds = f"{run.n_test} slices, {folds if run.split[part] else apart};"
        yield (
            f"- `{run.experiment}/{run.row}` seed {run.seed}: {folds} of records with "
            f"manifest `{run.data_manifest_sha256}`, {_facts(run)}."
        )


def _analyses(model: ModelDescription) -> Iterator[str]:
    if not model.trained_on:
        yield "None: the model came without its run."
    for run in model.trained_on:
        yield (
            f"`{run.experiment}/{run.row}`, seed {run.seed}, n {run.n_test}, protocol "
            f"`{run.protocol}`:\n\n| Score | Value | 95 % interval |\n|---|---|---|"
        )
        for name, score in run.scores.items():
            low, high = _number(score.low), _number(score.high)
            yield f"| {name} | {_number(score.value)} | {_interval(score, low, high)} |"
        yield ""
    if len(model.networks) > 1 and model.trained_on:
        yield "Each is of one network alone. The ensemble itself was measured nowhere."


def _ethics() -> Iterator[str]:
    yield "- Whom the data stand for is not known beyond the above; others may fare worse."
    yield "- A missed stroke and a false alarm both harm, and the model makes both."
    yield "- The records hold no names or dates. Weights can still remember pictures: the terms of"
    yield "  the data say whether they may be shared."


def _caveats(model: ModelDescription) -> Iterator[str]:
    for protocol in dict.fromkeys(run.protocol for run in model.trained_on):
        yield f"- Protocol `{protocol}`: {_OF_GROUPS.get(protocol, 'not described')}."
    yield "- Numbers are of slices, not of patients, unless a score says so."
    yield "- Measure it on data of your own, of the scanner and patients it is meant for, first."
    if model.pixels == "unknown":
        yield "- Nobody states whether it was trained on HU or on 8-bit grey: try both."


def _network(run: TrainedOn) -> str:
    settings = run.settings
    name = settings.get("backbone") or settings.get("encoder") or "a network"
    design = settings.get("architecture", "classifier")
    start = settings.get("weights") or "random weights"
    return f"{design} on {name}, begun from {start}" if design != "improved" else "improved U-Net"


def _facts(run: TrainedOn) -> str:
    data = run.data
    if not data:
        return f"protocol `{run.protocol}`"
    classes = ", ".join(f"{name} {count}" for name, count in data["classes"].items())
    return (
        f"protocol `{run.protocol}`, layout {data['layout']}, groups by {data['grouping']}, "
        f"{data['records']} records ({classes})"
    )


def _pixels(model: ModelDescription) -> str:
    windows = ", ".join(f"{centre:g}/{width:g}" for centre, width in model.windows)
    return _PIXELS[model.pixels].format(windows=windows)


def _interval(score: Metric, low: str, high: str) -> str:
    return "–" if math.isnan(score.low) else f"{low} to {high}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
