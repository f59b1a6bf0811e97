"""Drawn heads with mistakes planted in their labels and masks, for audits to find."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from stroke_tf.text_tables import csv_text

SIZE_PX, PATIENTS, SLICES = 64, 20, 8
WRONG = 0.05


@dataclass(frozen=True)
class Drawn:
    """One slice as it is drawn: `disc` is centre and radius of its lesion, or None."""

    patient: int
    number: int
    disc: tuple[int, int, int] | None

    @property
    def id(self):
        return f"p{self.patient:02}-{self.number}"


@dataclass(frozen=True)
class Planted:
    """Records, what is drawn on each slice, and the planted mistakes.

    Attributes:
        records: Folder of records.
        slices: Slices by id.
        labels: Ids whose label is not what is drawn.
        mask: Id of a slice whose mask is turned by 180 degrees.
    """

    records: Path
    slices: dict[str, Drawn]
    labels: frozenset[str]
    mask: str


def draw_series(patient, rng):
    """Returns the slices of a patient; two of three have a bleeding on some of them."""
    first, depth = rng.integers(0, SLICES - 3), rng.integers(3, 5) * (patient % 3 > 0)
    turn, radius = rng.uniform(0, 2 * np.pi), int(rng.integers(5, 9))
    x, y = (SIZE_PX // 2 + round(0.22 * SIZE_PX * f(turn)) for f in (np.cos, np.sin))
    lesion = range(first, first + depth)
    return [
        Drawn(patient, number, (x, y, radius) if number in lesion else None)
        for number in range(SLICES)
    ]


def picture_of(drawn, rng):
    """Returns grey values: a skull, a brain and a bright disc."""
    picture, middle = np.zeros((SIZE_PX, SIZE_PX), np.uint8), (SIZE_PX // 2, SIZE_PX // 2)
    for inset, grey in ((0, 240), (3, 110)):
        cv2.ellipse(picture, middle, (24 - inset, 29 - inset), 0, 0, 360, grey, -1)
    if drawn.disc:
        cv2.circle(picture, drawn.disc[:2], drawn.disc[2], 200, -1)
    noise = rng.normal(0, 6, picture.shape) * (picture > 0)
    return (picture + noise).clip(0, 255).astype(np.uint8)


def mask_of(drawn):
    """Returns 1 where the disc is, else 0."""
    mask = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    cv2.circle(mask, drawn.disc[:2], drawn.disc[2], 1, -1)
    return mask


def plant_mistakes(folder) -> Planted:
    """Writes records of which 5 % of the labels and one mask are wrong."""
    rng = np.random.default_rng(0)
    slices = {
        slice_.id: slice_ for patient in range(PATIENTS) for slice_ in draw_series(patient, rng)
    }
    wrong = {
        str(slice_id)
        for slice_id in rng.choice(list(slices), round(WRONG * len(slices)), replace=False)
    }
    mask = next(slice_.id for slice_ in slices.values() if is_inside(slice_, slices, wrong))
    rows = [["image", "id", "patient", "label", "mask"]]
    for drawn in slices.values():
        cv2.imwrite(str(folder / f"{drawn.id}.png"), picture_of(drawn, rng))
        lesion = (drawn.disc is None) == (drawn.id in wrong)
        has_mask = lesion and drawn.disc is not None
        if has_mask:
            turned = mask_of(drawn)[::-1, ::-1] if drawn.id == mask else mask_of(drawn)
            cv2.imwrite(str(folder / f"{drawn.id}_mask.png"), turned)
        named = f"{drawn.id}_mask.png" if has_mask else ""
        rows.append([f"{drawn.id}.png", drawn.id, drawn.patient, int(lesion), named])
    (folder / "table.csv").write_text(csv_text(rows))
    conversion = Conversion(
        table=folder / "table.csv",
        out=folder / "records",
        labels=("0=normal", "1=hemorrhage"),
        mask_values=("1=hemorrhage",),
        size=SIZE_PX,
        jobs=1,
    )
    build_tfrecords(conversion)
    return Planted(folder / "records", slices, frozenset(wrong), mask)


def is_inside(drawn, slices, wrong):
    """Returns whether a slice and those below and above show the lesion and say so."""
    around = [dataclasses.replace(drawn, number=drawn.number + step).id for step in (-1, 0, 1)]
    return all(
        slice_id in slices and slices[slice_id].disc and slice_id not in wrong
        for slice_id in around
    )
