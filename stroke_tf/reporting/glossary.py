"""The glossary of the reports: what each number is, its range, what is good, when it is undefined.

`docs/reference/glossary.md` prints all of it, and a report the part that its tables show. Knows
nothing of how a number is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stroke_tf.page import markdown_table, plain_text


class Term(NamedTuple):
    """The explanation of one number.

    Attributes:
        what: What it is.
        range: Its lowest and highest value, and its unit.
        good: Which values are good, and what guessing gives.
        undefined: When it is n/a.
    """

    what: str
    range: str
    good: str
    undefined: str


_NO_SLICE = "no test slice"
_ONE_CLASS = "only one class among the test slices"
_BOTH = "0 to 1"

TERMS: dict[str, Term] = {
    "n": Term("number of test slices", "0 and up", "many; of few patients all is uncertain", "–"),
    "threshold": Term(
        "score from which on a slice is called positive, chosen on slices of no test",
        _BOTH,
        "none is good in itself",
        "–: the run calls no slices",
    ),
    "accuracy": Term(
        "share of slices that are called rightly",
        _BOTH,
        "high; calling all slices by the larger class gives that class's share",
        _NO_SLICE,
    ),
    "sensitivity": Term(
        "share of the positive slices that are called positive; also named recall",
        _BOTH,
        "high, at a specificity that is high too",
        "no positive slice",
    ),
    "specificity": Term(
        "share of the negative slices that are called negative",
        _BOTH,
        "high, at a sensitivity that is high too",
        "no negative slice",
    ),
    "precision": Term(
        "share of the slices called positive that are positive; falls where positives are rare",
        _BOTH,
        "high; guessing gives the share of positive slices",
        "no slice is called positive",
    ),
    "npv": Term(
        "share of the slices called negative that are negative",
        _BOTH,
        "high; guessing gives the share of negative slices",
        "no slice is called negative",
    ),
    "f1": Term(
        "harmonic mean of sensitivity and precision",
        _BOTH,
        "high",
        "no slice is positive and none is called so",
    ),
    "f1_negative": Term(
        "F1 of the negative class", _BOTH, "high", "no slice is negative and none is called so"
    ),
    "roc_auc": Term(
        "chance that a positive slice has a higher score than a negative one",
        _BOTH,
        "high; guessing gives 0.5, below that the order is upside down",
        _ONE_CLASS,
    ),
    "average_precision": Term(
        "mean precision over all sensitivities",
        _BOTH,
        "high; guessing gives the share of positive slices",
        "no positive slice",
    ),
    "sensitivity_at_90_specificity": Term(
        "highest sensitivity that leaves a specificity of 0.90, on the test slices themselves",
        _BOTH,
        "high; guessing gives 0.1",
        _ONE_CLASS,
    ),
    "brier": Term(
        "mean squared difference of score and truth (0 or 1)",
        _BOTH,
        "low; a score of 0.5 for all gives 0.25",
        _NO_SLICE,
    ),
    "ece": Term(
        "expected calibration error: mean distance of score and share of positives, in 15 bins",
        _BOTH,
        "low; 0.1 means that scores are 10 percentage points off",
        _NO_SLICE,
    ),
    "…_calibrated": Term(
        "the same number of scores after the temperature that was fitted on slices of no test",
        "as without",
        "lower than without",
        "as without",
    ),
    "…_macro": Term(
        "plain mean of the number for the positive and for the negative class",
        _BOTH,
        "high",
        "it is undefined for one of the classes",
    ),
    "…_weighted": Term(
        "mean of the number for both classes, each weighted by its slices",
        _BOTH,
        "high; it hides a rare class",
        "it is undefined for one of the classes that has slices",
    ),
    "…_dice": Term(
        "overlap of true and drawn pixels: twice the shared ones over the sum of both, of all test "
        "slices together",
        _BOTH,
        "high; 0 where nothing is shared",
        "no such pixel in truth and prediction",
    ),
    "…_iou": Term(
        "overlap of true and drawn pixels: the shared ones over those of either; of one "
        "class equal to Dice / (2 - Dice)",
        _BOTH,
        "high",
        "no such pixel in truth and prediction",
    ),
    "…_slice_dice": Term(
        "mean Dice of the slices that have such a pixel in truth or prediction; a false alarm "
        "counts 0",
        _BOTH,
        "high",
        "no such slice",
    ),
    "…_slice_iou": Term("the same of IoU", _BOTH, "high", "no such slice"),
    "…_lesionwise_recall": Term(
        "share of the true lesions of which at least one pixel is drawn",
        _BOTH,
        "high, with few false lesions",
        "no true lesion",
    ),
    "…_false_lesions_per_slice": Term(
        "drawn lesions that share no pixel with a true one, over the number of test slices",
        "0 and up",
        "low",
        _NO_SLICE,
    ),
    "…_hd95_px": Term(
        "95th percentile of the distances between true and drawn outline, mean over slices that "
        "have both",
        "0 and up, pixels of the model's input",
        "low; slices without one of the outlines do not count",
        "no slice has both",
    ),
    "…_hd95_missing": Term(
        "number of slices that have a lesion in truth or prediction alone, where no distance can "
        "be measured",
        "0 and up",
        "low",
        "never",
    ),
    "normal_slice_false_rate": Term(
        "share of the slices without a lesion on which one is drawn",
        _BOTH,
        "low",
        "each slice has a lesion",
    ),
    "normal_slice_false_px": Term(
        "mean number of pixels drawn on a slice without a lesion",
        "0 and up, pixels of the model's input",
        "low",
        "each slice has a lesion",
    ),
    "sm_f1": Term(
        "F1 of segmentation_models: background counts, absent classes count, batches are averaged",
        _BOTH,
        "says little about lesions; only for comparison with papers that print it",
        _NO_SLICE,
    ),
    "sm_iou": Term(
        "IoU of segmentation_models, in the same way",
        _BOTH,
        "says little about lesions; only for comparison with papers that print it",
        _NO_SLICE,
    ),
    "slice_accuracy": Term(
        "of a joint network: share of slices whose likeliest of none, ischaemia and haemorrhage is "
        "theirs",
        _BOTH,
        "high; calling all slices by the largest class gives that class's share",
        _NO_SLICE,
    ),
    "stroke_…": Term(
        "the number for any stroke against none, by the second head of a joint network",
        "as without",
        "as without",
        "as without",
    ),
    "type_…": Term(
        "the number for haemorrhage against ischaemia, of slices with a lesion alone",
        "as without",
        "as without",
        "as without",
    ),
    "train_…, val_…": Term(
        "accuracy or loss of training or validation slices in the epoch that was kept; accuracy of "
        "a U-Net is of pixels, background included",
        "accuracy 0 to 1, loss 0 and up",
        "no result: training slices are known, validation slices chose the epoch",
        "the run has no epochs",
    ),
}
"""Every number of a run's `metrics.json` and of the tables, by its name; … stands for a part of it:
before an ending for the class (`lesion` is the mean of ischaemia and haemorrhage, `any_lesion`
ignores the type) or another number."""


def terms_of(name: str) -> tuple[str, ...]:
    """Returns the keys of TERMS that explain a number; none for a name that it does not know."""
    name = {"recall": "sensitivity"}.get(name, name)
    if name in TERMS:
        return (name,)
    for beginning in ("stroke_", "type_"):
        if name.startswith(beginning):
            return (f"{beginning}…", *terms_of(name.removeprefix(beginning)))
    if name.startswith(("train_", "val_")):
        return ("train_…, val_…",)
    endings = sorted((key for key in TERMS if key.startswith("…")), key=len, reverse=True)
    ending = next((key for key in endings if name.endswith(key[1:])), None)
    if ending is None:
        return ()
    return (*terms_of(name.removesuffix(ending[1:])), ending)


def glossary_table(keys: Iterable[str]) -> str:
    """Returns a Markdown table of terms, in the order of TERMS, each once.

    Raises:
        KeyError: If a key is not one of TERMS.
    """
    wanted = set(keys)
    if unknown := wanted - TERMS.keys():
        raise KeyError(f"`keys` must be of TERMS. Received: {sorted(unknown)}")
    rows = [
        [plain_text(name.replace("_", " ")), *map(plain_text, term)]
        for name, term in TERMS.items()
        if name in wanted
    ]
    return markdown_table(("number", "what it is", "range", "good", "n/a when"), rows)


def glossary_section(names: Iterable[str]) -> Iterator[str]:
    """Yields the foot of a report in Markdown: the terms of the numbers that it shows."""
    yield "## What the numbers mean"
    yield (
        "Brackets hold a 95 % interval: of a bootstrap over patients where they are known. A "
        "positive slice is one of class 1: stroke, or haemorrhage where the question is its type. "
        "Before an ending stands the class: lesion is the mean of ischaemia and haemorrhage, "
        "any lesion ignores the type. More stands in docs/reference/glossary.md of the package."
    )
    yield glossary_table(key for name in names for key in terms_of(name))
