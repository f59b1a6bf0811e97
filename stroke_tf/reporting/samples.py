"""Slices to look at: some of each class, what the augmentations do to them, lesions drawn in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from stroke_tf.config import AugmentStrength
from stroke_tf.data import make_dataset
from stroke_tf.data.selection import is_used, rows_of_folds
from stroke_tf.labels import LESION_CLASSES, StrokeType, Task
from stroke_tf.manifest import FOLDS, FoldName, FoldRow, read_manifest
from stroke_tf.reading.mask_pictures import paint_overlay
from stroke_tf.reporting.figures import draw_augmentations, figure_augmentations
from stroke_tf.run_folder import save_figure

Sample = tuple[np.ndarray, np.ndarray]
"""A slice and its label: uint8 (S, S, 3); its mask, uint8 (S, S, 1), or a number."""

_NAMES = {
    StrokeType.NONE: "no stroke",
    StrokeType.ISCHEMIA: "ischaemia",
    StrokeType.HEMORRHAGE: "haemorrhage",
    StrokeType.UNSPECIFIED: "stroke",
}
FIGURES = (
    "saucis-1-usth-1-classes",
    "saucis-2-augmentations",
    "usth-2-test-session",
    "saucis-3-usth-3-lesions",
)
"""The names of the figures: the paper's, and what they show."""
FOLDER = Path("samples", "figures")
"""Where the figures are kept in a folder of results."""
SMALL_SAMPLES = {"columns": 2, "image_size": 96}
"""The figures of a smoke run."""
_TRAINING: tuple[FoldName, ...] = tuple(range(FOLDS))
_BATCH = 64


def write_samples(
    records: Path, out: Path, *, names: Sequence[str] = (), seed: int = 0, **shown: int
) -> list[Path]:
    """Writes figures to `<out>/samples/figures/<name>-s<seed>.png` and returns where they are.

    Args:
        records: Folder of records.
        out: Folder of results.
        names: Which of FIGURES; all when none is given.
        seed: Seed of the choice of slices and of the augmentations.
        shown: As for `draw_samples`, whose errors these are.
    """
    if unknown := [name for name in names if name not in FIGURES]:
        raise ValueError(f"--rows must be of {list(FIGURES)}. Received: {unknown}")
    paths = []
    for name, figure in draw_samples(records, seed=seed, **shown):
        if not names or name in names:
            paths.append(out / FOLDER / f"{name}-s{seed}.png")
            save_figure(figure, paths[-1])
    return paths


def draw_samples(
    records: Path, *, columns: int = 6, image_size: int = 256, seed: int = 0
) -> Iterator[tuple[str, Figure]]:
    """Draws the figures that a folder of records has slices for; gives the name of each and it.

    Args:
        records: Folder of records.
        columns: Most slices of each class.
        image_size: Side of the slices, pixels.
        seed: Seed of the choice of slices and of the augmentations.

    Raises:
        FileNotFoundError: If the records are missing.
        ValueError: If a number is below 1, or the records hold no slice in folds 0 to 9.
    """
    if columns < 1:
        raise ValueError(f"`columns` must be >= 1. Received: {columns}")
    chosen = {"most": columns, "image_size": image_size, "seed": seed}
    classes = pick_samples(records, _TRAINING, Task.DETECT, **chosen)
    yield FIGURES[0], _figure_classes(classes)
    every = np.stack([image for kind in classes.values() for image, _ in kind[:2]])
    batches = tf.data.Dataset.from_tensors((every, np.zeros(len(every))))
    figure = draw_augmentations(batches, strength=AugmentStrength(), seed=seed)
    yield FIGURES[1], figure
    stored = {fold.fold for fold in read_manifest(records).folds}
    if "stage2" in stored:
        session = pick_samples(records, ("stage2",), Task.DETECT, **chosen)
        yield FIGURES[2], _figure_classes(session)
    rows = rows_of_folds(records, _TRAINING)
    if any(is_used(row, task=Task.SEGMENT, lesions_only=True) for row in rows):
        lesions = pick_samples(records, _TRAINING, Task.SEGMENT, **chosen)
        yield FIGURES[3], _figure_lesions(lesions)


def pick_samples(
    records: Path, folds: Sequence[FoldName], task: Task, *, most: int, image_size: int, seed: int
) -> dict[StrokeType, list[Sample]]:
    """Returns slices of each class, drawn at random, of different groups as far as there are.

    Args:
        records: Folder of records.
        folds: Folds to choose from; copies augmented before folding are left out.
        task: DETECT for every class; SEGMENT for lesions whose mask is known, labels their masks.
        most: Most slices of a class.
        image_size: Side of the slices, pixels.
        seed: Seed of the choice.

    Raises:
        FileNotFoundError: If the records are missing.
        ValueError: If the folds hold no slice for the task, or the size is out of range.
    """
    lesions_only = task == Task.SEGMENT
    rows = [
        row
        for row in rows_of_folds(records, tuple(folds))
        if is_used(row, task=task, lesions_only=lesions_only)
    ]
    class_of = _choose(rows, most=most, seed=seed)
    dataset = make_dataset(
        records,
        folds=tuple(folds),
        task=task,
        image_size=image_size,
        batch_size=_BATCH,
        lesions_only=lesions_only,
    )
    slices = enumerate(dataset.unbatch().as_numpy_iterator())
    found = {place: sample for place, sample in slices if place in class_of}
    return {
        kind: [found[place] for place in class_of if class_of[place] == kind]
        for kind in StrokeType
        if kind in class_of.values()
    }


def _choose(rows: Sequence[FoldRow], *, most: int, seed: int) -> dict[int, StrokeType]:
    """Returns the places of the chosen rows and their classes, in random order."""
    of_group: Counter[tuple[str, str]] = Counter()
    candidates = []
    for place in np.random.default_rng(seed).permutation(len(rows)).tolist():
        row = rows[place]
        if not row.copy:
            candidates.append((of_group[row.stroke_type, row.group_id], place))
            of_group[row.stroke_type, row.group_id] += 1
    of_class: Counter[str] = Counter()
    chosen = {}
    # The first of each group first.
    for _, place in sorted(candidates, key=lambda candidate: candidate[0]):
        kind = rows[place].stroke_type
        of_class[kind] += 1
        if of_class[kind] <= most:
            chosen[place] = StrokeType[kind]
    return chosen


def _figure_classes(samples: Mapping[StrokeType, Sequence[Sample]]) -> Figure:
    return figure_augmentations(
        {_NAMES[kind]: [image for image, _ in chosen] for kind, chosen in samples.items()}
    )


def _figure_lesions(samples: Mapping[StrokeType, Sequence[Sample]]) -> Figure:
    """Draws each slice twice: plain, and below it with its lesion as on an overlay."""
    columns = max(len(chosen) for chosen in samples.values())
    figure = Figure(figsize=(1.5 * columns + 0.9, 3.1 * len(samples)), layout="constrained")
    grid = figure.subplots(2 * len(samples), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for (kind, chosen), (plain, drawn) in zip(
        samples.items(), grid.reshape(len(samples), 2, columns), strict=True
    ):
        plain[0].set_title(_NAMES[kind], loc="left", fontsize=9)
        for sample, above, below in zip(chosen, plain, drawn, strict=False):
            above.imshow(sample[0][..., 0], cmap="gray", vmin=0, vmax=255)
            below.imshow(_overlay(*sample), interpolation="nearest")
    return figure


def _overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    # Fewer greys, so that greys and reds all find a place among the 256 colours of a saved figure.
    grey = image[..., :1].astype(np.uint8) // 4 * 4
    overlay = np.concatenate([grey, grey, grey, np.full_like(grey, 255)], axis=-1)
    for kind in LESION_CLASSES:
        overlay = paint_overlay(overlay, mask[..., 0] == kind, kind)
    return overlay
