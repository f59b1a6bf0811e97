"""How many wrong labels and masks, planted in records, the audit of labels finds.

    python -m benchmarks.planted_mistakes --records records

- labels: 5 % of all are flipped, anew with each seed, and the quick classifier learns from all.
  Recall is the share of flipped labels that are doubted; precision is the share of doubted labels
  that are flipped. By chance both are 0.05.
- masks: each mask that is compared with its neighbours is changed alone, in four ways. Counted are
  those that are then named, inside a lesion (masks below and above) and at its ends.

One line of JSON for each seed and for each way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stroke_tf.audits.slices import SliceSet

WRONG = 0.05
_CHAIN = np.array([[-1, -1], [0, 2], [-1, -1]])  # the middle one of three slices is judged
Change = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]
CHANGES: dict[str, Change] = {
    "mirrored": lambda mask, other: mask[:, ::-1],
    "turned by 180 degrees": lambda mask, other: mask[::-1, ::-1],
    "of another patient": lambda mask, other: other,
    "lost": lambda mask, other: np.zeros_like(mask),
}


@dataclass(frozen=True)
class Settings:
    """Settings of the benchmark: the records to plant mistakes in, and the quick classifier.

    Attributes:
        records: Folder of records of known patients.
        backbone: The frozen network of the quick classifier.
        weights: Its weights: imagenet, a file (looked up in $STROKE_TF_WEIGHTS too), or None.
        image_size: Side of the slices in pixels.
        seeds: Seeds of the labels that are flipped.
    """

    records: Path = Path("records")
    backbone: str = "mobilenetv2"
    weights: str | None = "imagenet"
    image_size: int = 128
    seeds: tuple[int, ...] = (0, 1, 2)


def main(settings: Settings) -> None:
    """Prints what is found of labels, then of masks."""
    from stroke_tf.audits.audit import Subject
    from stroke_tf.audits.masks import read_masks
    from stroke_tf.audits.slices import backbone_features, read_slices

    slices = read_slices(settings.records, image_size=settings.image_size)
    subject = Subject(
        settings.records, None, settings.backbone, settings.weights, settings.image_size
    )
    features = backbone_features(slices.images, subject)
    for seed in settings.seeds:
        print(json.dumps({"planted": "labels", "seed": seed, **_labels(slices, features, seed)}))
    masks, known = read_masks(settings.records, slices.rows, image_size=settings.image_size)
    for name, change in CHANGES.items():
        print(json.dumps({"planted": f"masks {name}", **_masks(slices, masks, known, change)}))


def _labels(slices: SliceSet, features: NDArray[np.float32], seed: int) -> dict[str, float]:
    from stroke_tf.audits.issues import rank_labels
    from stroke_tf.audits.quick import out_of_fold
    from stroke_tf.labels import Task

    truth = slices.truth(Task.DETECT)
    wrong = np.zeros(len(truth), bool)
    chosen = np.random.default_rng(seed).choice(len(truth), int(WRONG * len(truth)), replace=False)
    wrong[chosen] = True
    scores = out_of_fold(features, truth ^ wrong, slices.parts, seed=seed)
    ranked = rank_labels(truth ^ wrong, scores, slices.groups)
    doubted = np.isin(np.arange(len(truth)), ranked["place"][ranked["doubted"]])
    shares = {
        "recall": doubted[wrong].mean(),
        "recall_of_lost_lesions": doubted[wrong & truth].mean(),
        "precision": wrong[doubted].mean(),
    }
    counts = {"slices": len(truth), "flipped": int(wrong.sum()), "doubted": int(doubted.sum())}
    return {**counts, **{name: round(float(share), 3) for name, share in shares.items()}}


def _masks(
    slices: SliceSet, masks: NDArray[np.uint8], known: NDArray[np.bool_], change: Change
) -> dict[str, int]:
    from stroke_tf.audits.odd_masks import compared, odd_masks
    from stroke_tf.audits.stacks import neighbours_of

    neighbours, lesion = neighbours_of(slices.rows), masks.any(axis=(1, 2))
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(("inside", "inside_named", "ends", "ends_named"), 0)
    for place in np.flatnonzero(compared(masks, neighbours, known=known) & lesion):
        below, above = neighbours[place]
        kind = "inside" if lesion[below] and lesion[above] else "ends"
        other = masks[rng.choice(np.flatnonzero(lesion & (slices.groups != slices.groups[place])))]
        trio = np.stack([masks[below], change(masks[place], other), masks[above]])
        counts[kind] += 1
        counts[f"{kind}_named"] += len(odd_masks(trio, _CHAIN, known=np.ones(3, bool)))
    return counts


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.planted_mistakes", description=__doc__))
