"""How stored values become HU, wherever a DICOM file says it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from stroke_tf.reading.dicom_header import Tags

_LIMIT = 1 << 24  # far beyond every HU, and float32 still counts up to it


@dataclass(frozen=True)
class Rescale:
    """A straight line or a table from stored values to HU.

    Attributes:
        slope: HU of one step; 1 where it is missing.
        intercept: HU of 0; None where it is missing.
        table: HU of the stored values from `first` on, instead of slope and intercept.
        first: The stored value of the table's first entry; those below have its HU as well.
        doubts: What the header leaves open.
    """

    slope: float = 1.0
    intercept: float | None = None
    table: np.ndarray | None = field(default=None, compare=False)
    first: int = 0
    doubts: tuple[str, ...] = ()

    def hounsfield(self, values: np.ndarray) -> np.ndarray:
        """Returns int32 HU, rounded, not clipped, of stored values."""
        if self.table is not None:
            places = values.astype(np.int32) - self.first
            return self.table[places.clip(0, len(self.table) - 1)].astype(np.int32)
        intercept = self.intercept or 0.0
        if self.slope == 1 and intercept.is_integer() and abs(intercept) < _LIMIT:
            return values.astype(np.int32) + np.int32(intercept)
        hu = np.rint(values.astype(np.float64) * self.slope + intercept)
        return hu.clip(-_LIMIT, _LIMIT).astype(np.int32)

    def without_intercept(self) -> Rescale:
        """Returns the same for values that were rescaled before they were stored."""
        return replace(self, slope=1.0, intercept=0.0)


def rescale_of(tags: Tags, frame: int) -> Rescale:
    """Returns how the stored values of a frame become HU.

    Raises:
        ValueError: If the slope is 0, two ways are given, or the result is said to be no HU.
    """
    place = tags.group("PixelValueTransformationSequence", frame) or tags
    tables = tags.items("ModalityLUTSequence")
    intercept = place.numbers("RescaleIntercept")
    if tables and intercept:
        raise tags.fault("must have a RescaleIntercept or a ModalityLUTSequence. Received: both")
    if tables:
        return _table(tables[0])
    slope = place.numbers("RescaleSlope")
    if slope and slope[0] == 0:
        raise tags.fault("RescaleSlope must not be 0. Received: 0")
    doubts = _doubts_of_unit(place, "RescaleType")
    doubts += [] if slope else ["no RescaleSlope"]
    doubts += [] if intercept else ["no RescaleIntercept"]
    return Rescale(
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else None,
        doubts=tuple(doubts),
    )


def _table(item: Tags) -> Rescale:
    doubts = _doubts_of_unit(item, "ModalityLUTType")
    descriptor = [int(one) for one in item.numbers("LUTDescriptor")]
    data = item.value("LUTData")
    if isinstance(data, bytes):
        bits = descriptor[2] if len(descriptor) == 3 else 16
        entries = np.frombuffer(
            data, np.uint8 if bits == 8 and len(data) == descriptor[0] else "<u2"
        )
    else:
        entries = np.array(item.numbers("LUTData"), np.int64)
    count = (descriptor[0] or 1 << 16) if len(descriptor) == 3 else -1
    if len(entries) != count:
        raise item.fault(
            f"LUTData must have the length its LUTDescriptor says. Received: {len(entries)} entries"
        )
    table = entries.astype(np.int32)
    if int(table.max()) > np.iinfo(np.int16).max:  # no HU is that large: they are negative
        table = table.astype(np.uint16).astype(np.int16).astype(np.int32)
    first = descriptor[1] - (1 << 16 if descriptor[1] > np.iinfo(np.int16).max else 0)
    return Rescale(table=table, first=first, doubts=tuple(doubts))


def _doubts_of_unit(place: Tags, keyword: str) -> list[str]:
    """Returns the doubt that a unit other than HU leaves; one that says no HU is a fault."""
    units = place.words(keyword)
    if units <= {"HU"}:
        return []
    if units == {"US"}:
        return [f"{keyword} US (unspecified)"]
    known = sorted(units & {"OD", "HU_MOD", "PCT", "Z_EFF", "ED", "MGML", "EDW", "US"})
    raise place.fault(f"{keyword} must be HU. Received: {', '.join(known) or 'another'}")
