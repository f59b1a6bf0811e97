"""The CLAIM checklist, 2024 update, with where each of its 44 items is answered.

After Tejani et al. 2024, "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024
Update", doi 10.1148/ryai.240300. The numbers are the checklist's; what an item asks is said in
words of our own, so hand in the checklist itself with a paper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from stroke_tf.audits.data_card import groups_of
from stroke_tf.audits.evidence import Evidence
from stroke_tf.evaluation.intervals import INTERVALS, Metric
from stroke_tf.page import markdown_table, plain_text

AUTHOR = "to be answered by the author"
"""The answer to an item that no file answers."""
_Answer: TypeAlias = Callable[[Evidence], str | None]
_FIT = ("epochs", "learning_rate", "patience", "precision")
_PERFORMANCE = ("roc_auc", "average_precision", "f1", "brier", "lesion_dice", "lesion_iou")
_DIAGNOSTIC = (
    *("sensitivity", "specificity", "precision", "npv"),
    *("any_lesion_lesionwise_recall", "any_lesion_false_lesions_per_slice"),
    "normal_slice_false_rate",
)


class Item(NamedTuple):
    """One item: its section, what it asks, and what answers it, None where no file can."""

    section: str
    asks: str
    answer: _Answer | None = None


def answers(known: Evidence) -> list[tuple[int, Item, str | None]]:
    """Returns each item with its number and what the files answer; None where they do not."""
    return [
        (number, item, item.answer(known) if item.answer else None)
        for number, item in enumerate(ITEMS, start=1)
    ]


def tally(found: Sequence[tuple[int, Item, str | None]]) -> str:
    """Returns in a sentence how many items files answer, wholly or in part."""
    told = [text for *_, text in found if text is not None]
    part = sum(AUTHOR in text for text in told)
    return (
        f"Files answer {len(told) - part} of {len(found)} items and {part} more in part; "
        f"{len(found) - len(told)} are for the author."
    )


def claim_checklist(known: Evidence) -> str:
    """Returns the checklist as Markdown."""
    found = answers(known)
    rows = [
        [str(number), item.section, item.asks, plain_text(AUTHOR if told is None else told)]
        for number, item, told in found
    ]
    about = (
        f"{tally(found)} Read every line: the author knows what files cannot. Items are in short "
        "words of our own; their text is in doi 10.1148/ryai.240300."
    )
    header = ("item", "section", "what it asks", "where it is answered")
    return f"# CLAIM 2024 checklist\n\n{about}\n\n{markdown_table(header, rows)}\n"


def _goal(known: Evidence) -> str | None:
    if known.model is None:
        return None
    return f"a model of task {known.model.task}: built, and tested on held-out slices"


def _sources(known: Evidence) -> str | None:
    if not known.facts:
        return None
    return (
        f"layout {known.facts['layout']}, manifest {str(known.data_sha256)[:12]} (DATA_CARD.md); "
        f"hospitals and years: {AUTHOR}"
    )


def _criteria(known: Evidence) -> str | None:
    if known.manifest is None:
        return None
    left_out = len(known.manifest.rejected)
    return f"files left out: {left_out}, reasons in manifest.json; choice of patients: {AUTHOR}"


def _preprocessing(known: Evidence) -> str | None:
    if not known.facts:
        return None
    told = f"stored at {known.facts['size']} px, pixels {known.facts['pixels']} (DATA_CARD.md)"
    if known.model is None:
        return told
    side = known.model.image_size
    windows = ", ".join(f"{centre:g}/{width:g}" for centre, width in known.model.windows)
    view = f"windows (HU centre/width) {windows}, view {known.model.view}"
    return f"{told}; input {side} x {side} px, {view} (config.json)"


def _subsets(known: Evidence) -> str | None:
    if known.result is None:
        return None
    told = [f"{part} folds {_folds(folds)}" for part, folds in known.parts().items()]
    if (most := known.settings.get("negatives_per_positive")) is not None:
        told.append(f"at most {most:g} negative slices for each positive one in an epoch")
    return "; ".join(told)


def _deidentified(known: Evidence) -> str | None:
    if not known.facts:
        return None
    return f"records hold pixels and ids, no DICOM header; the source's own way: {AUTHOR}"


def _missing(known: Evidence) -> str | None:
    if known.manifest is None:
        return None
    masks, untyped = known.counts()["masks"], known.facts["classes"].get("UNSPECIFIED", 0)
    return (
        f"a faulty file is left out and named ({len(known.manifest.rejected)} files); "
        f"{masks} of {len(known.rows)} slices have a mask; {untyped} strokes have no type"
    )


def _acquired(known: Evidence) -> str | None:
    spaced = sum(bool(row.spacing_mm) for row in known.rows)
    if not spaced:
        return None
    return f"pixel size of {spaced} slices in folds.csv; scanner and protocol: {AUTHOR}"


def _dealt(known: Evidence) -> str | None:
    if known.manifest is None:
        return None
    return f"folds stratified by class, seed {known.manifest.seed}, in folds.csv"


def _disjoint(known: Evidence) -> str | None:
    protocol = known.result.protocol if known.result else known.manifest and known.manifest.protocol
    if protocol is None:
        return None
    level = groups_of(known) if protocol == "clean" else "slices: those of a patient may be in two"
    return f"protocol {protocol}: {level}"


def _size(known: Evidence) -> str | None:
    if known.result is None:
        return None
    told = f"{known.result.n} test slices"
    if known.rows:
        told += f", folds with {known.counts(known.parts()['test'])['groups']} {groups_of(known)}"
    return f"{told}; how the size was chosen: {AUTHOR}"


def _network(known: Evidence) -> str | None:
    if known.model is None:
        return None
    name = known.settings.get("backbone") or known.settings.get("encoder")
    kind = known.settings.get("architecture", "classifier")
    return f"{kind} on {name}, classes {', '.join(known.model.classes)}: config.json, model.keras"


def _software(known: Evidence) -> str | None:
    packages = known.environment.get("packages", {})
    told = [f"{name} {packages[name]}" for name in _PACKAGES if name in packages]
    return f"{', '.join(told)}; all in env.json" if told else None


def _start(known: Evidence) -> str | None:
    if known.result is None:
        return None
    return f"{known.settings.get('weights') or 'random'} weights, seed {known.result.seed}"


def _training(known: Evidence) -> str | None:
    fit = known.settings.get("fit")
    if not fit:
        return None
    names = ("training", "loss", "batch_size", "augment", "class_weights")
    told = {name: known.settings[name] for name in names if name in known.settings}
    told |= {name: fit[name] for name in _FIT if name in fit}
    words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items())
    return f"{words}: config.json, history.csv"


def _selection(known: Evidence) -> str | None:
    if known.result is None:
        return None
    if not known.result.split["val"]:
        rules = ", mask rule and threshold by networks that had not seen the slices"
        return f"the last epoch{rules if known.result.threshold is not None else ''}: config.json"
    watched = f"the epoch of the best validation {known.settings.get('watch', 'loss')}"
    if known.result.threshold is None:
        return f"{watched} on folds {_folds(known.result.split['val'])}"
    rule = known.settings.get("threshold_rule", "unknown")
    return (
        f"{watched}; threshold {known.result.threshold:.4g} by the rule {rule}, both on folds "
        + (_folds(known.result.split["val"]))
    )


def _ensemble(known: Evidence) -> str | None:
    if known.model is None:
        return None
    if known.result is None:
        return f"{len(known.model.networks)} networks, each for the slices of its part"
    return "one network" + ", mean of slice and mirror image" * known.model.mirror


def _metrics(known: Evidence) -> str | None:
    return None if known.result is None else f"metrics.json: {', '.join(known.result.metrics)}"


def _uncertainty(known: Evidence) -> str | None:
    if known.result is None:
        return None
    return f"95 % intervals of a bootstrap over {groups_of(known)}: {INTERVALS}"


def _explained(known: Evidence) -> str | None:
    return "Grad-CAM: figures/grad_cam.png" if "figures/grad_cam.png" in known.files else None


def _inside(known: Evidence) -> str | None:
    if known.result is None:
        return None
    if not known.result.split["test"]:
        return f"cross-validation of the same settings, n {known.result.n}: metrics.json"
    folds = _folds(known.result.split["test"])
    return f"test folds {folds} of the same records, n {known.result.n}: metrics.json"


def _outside(known: Evidence) -> str | None:
    names = sorted(name for name in known.files if name.startswith("outside-"))
    return ", ".join(names) or None


def _included(known: Evidence) -> str | None:
    if not known.rows or known.manifest is None:
        return None
    parts = {part: known.counts(folds) for part, folds in known.parts().items()}
    parts = parts or {"all": known.counts()}
    told = [
        f"{part} {counted['slices']} slices, {counted['groups']} groups"
        for part, counted in parts.items()
    ]
    return f"{'; '.join(told)}; {len(known.manifest.rejected)} files left out"


def _cases(known: Evidence) -> str | None:
    if not known.rows:
        return None
    return f"classes of each fold and part: DATA_CARD.md; age, sex and findings: {AUTHOR}"


def _performance(known: Evidence) -> str | None:
    return _scores(known, _PERFORMANCE)


def _diagnostic(known: Evidence) -> str | None:
    return _scores(known, _DIAGNOSTIC)


def _failed(known: Evidence) -> str | None:
    shown = [name for name in _FAILED if name in known.files]
    return f"{', '.join(shown)}; `stroke-tf audit --only failures`" if shown else None


def _limits(known: Evidence) -> str | None:
    return None if known.model is None else f"MODEL_CARD.md, Caveats; those of the study: {AUTHOR}"


def _role(known: Evidence) -> str | None:
    if known.model is None:
        return None
    return f"MODEL_CARD.md, Intended use: research alone; clinical role: {AUTHOR}"


def _details(known: Evidence) -> str | None:
    return None if known.result is None else "config.json and env.json: settings and versions"


def _available(known: Evidence) -> str | None:
    if known.result is None:
        return None
    commit = str((known.environment.get("git") or {}).get("commit") or "unknown")[:12]
    return f"code at commit {commit}; licences of model and data, and where they are: {AUTHOR}"


def _scores(known: Evidence, names: tuple[str, ...]) -> str | None:
    metrics: dict[str, Metric] = known.result.metrics if known.result else {}
    told = [f"{name} {metrics[name].text()}" for name in names if name in metrics]
    return "; ".join(told) or None


def _folds(folds: tuple[int | str, ...]) -> str:
    return ", ".join(map(str, folds))


_PACKAGES = ("stroke_tf", "tensorflow", "keras", "segmentation-models", "scikit-learn")
_FAILED = ("predictions.csv", "figures/predictions.png", "figures/segmentation.png")


def _items() -> Iterator[Item]:
    for section, lines in _SECTIONS.items():
        for asks, answer in lines:
            yield Item(section, asks, answer)


_SECTIONS: dict[str, tuple[tuple[str, _Answer | None], ...]] = {
    "title": (("The title says that it is about AI, and of which kind", None),),
    "abstract": (("A summary: design, methods, results, conclusions", None),),
    "introduction": (
        ("Background, and the part the AI is to play", None),
        ("Aims and hypotheses", None),
    ),
    "study design": (
        ("Looking back or forward", None),
        ("What the study is for", _goal),
    ),
    "data": (
        ("Where the data come from", _sources),
        ("Who and what was taken in or left out", _criteria),
        ("What was done to the data first", _preprocessing),
        ("Which part of the data was used", _subsets),
        ("How people were made unrecognisable", _deidentified),
        ("What was done about missing data", _missing),
        ("How the images were taken", _acquired),
    ),
    "reference standard": (
        ("How the truth was found", None),
        ("Why that way", None),
        ("Who marked it", None),
        ("How the test set was marked", None),
        ("How far those who marked agree", None),
    ),
    "data partitions": (
        ("How cases were dealt to the parts", _dealt),
        ("What the parts do not share", _disjoint),
    ),
    "testing data": (("How many cases were meant to be tested", _size),),
    "model": (
        ("The model in full", _network),
        ("Software with versions", _software),
        ("What the weights started from", _start),
    ),
    "training": (
        ("How it was trained", _training),
        ("How the final model was chosen", _selection),
        ("Whether several models were joined", _ensemble),
    ),
    "evaluation": (
        ("Which scores", _metrics),
        ("Which tests and intervals", _uncertainty),
        ("What if assumptions or data change", None),
        ("How answers are explained", _explained),
        ("Tests on data of the same source", _inside),
        ("Tests on data of another source", _outside),
        ("Registration of a clinical trial", None),
    ),
    "results: data": (
        ("Patients or examinations in and out, counted", _included),
        ("Who the patients of each part were", _cases),
    ),
    "results: performance": (
        ("Scores with their uncertainty", _performance),
        ("Diagnostic accuracy with its precision", _diagnostic),
        ("What went wrong, looked at", _failed),
    ),
    "discussion": (
        ("Limits of the study", _limits),
        ("What follows for practice", _role),
    ),
    "other": (
        ("Where the protocol or further details are", _details),
        ("Whether code, model and data can be had", _available),
        ("Who paid, and what part they had", None),
    ),
}
ITEMS = tuple(_items())
"""The 44 items, in the order of the checklist."""
