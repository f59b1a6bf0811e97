"""Known ways in which stored values mean something else than their header says."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stroke_tf.reading.hu_proof import (
    LOWEST_HU,
    PADDING,
    Verdict,
    judge,
    one_valued_rim,
    thin_out,
)
from stroke_tf.reading.rescale import Rescale
from stroke_tf.reading.stored_values import Bits
from stroke_tf.records import AIR_HU

_TWELVE_BITS = 1 << 12
_TOP = LOWEST_HU + _TWELVE_BITS
_AIR_UP_TO = -900
_SMOOTHER = 3  # jumps so many times smaller are clearly smaller


@dataclass(frozen=True)
class Reading:
    """One way to read words as HU.

    Attributes:
        bits: The bits that count.
        rescale: What makes HU of them.
        wrapped: Whether HU beyond 12 bits came in at the other end.
        rim: Whether the one value all around is padding.
    """

    bits: Bits
    rescale: Rescale
    wrapped: bool = False
    rim: bool = False

    def told_against(self, declared: Reading) -> str:
        """Returns in words how this differs from the declared reading; empty where it does not."""
        bits = self.bits
        told = []
        if bits != declared.bits and not self.wrapped:
            sign = "signed" if bits.signed else "unsigned"
            told.append(f"{bits.count} {sign} bits from bit {bits.low} on")
        told += ["values wrapped at 4096"] if self.wrapped else []
        told += ["HU already before the rescale"] if self.rescale != declared.rescale else []
        told += ["a rim of one value as padding"] if self.rim else []
        return ", ".join(told)

    def hounsfield(self, words: np.ndarray) -> np.ndarray:
        """Returns int32 HU of words; what is known to be padding has the value `PADDING`."""
        hu = self.rescale.hounsfield(self.bits.values(words))
        if self.wrapped:
            hu = np.where(hu >= _TOP, hu - _TWELVE_BITS, hu)
        return np.where(one_valued_rim(hu), np.int32(PADDING), hu) if self.rim else hu


def proved_readings(declared: Reading, words: np.ndarray) -> list[tuple[Reading, np.ndarray]]:
    """Returns the readings by which the words are a head in HU, one for each different result.

    Args:
        declared: What the header says.
        words: uint8 or uint16, shape (H, W).
    """
    found: list[tuple[Reading, np.ndarray]] = []
    thin = thin_out(words)
    for plain in dict.fromkeys(_readings(declared, words.itemsize * 8)):
        for reading in (plain, replace(plain, rim=True)):
            if judge(reading.hounsfield(thin)) == "proved":
                hu = reading.hounsfield(words)
                known = any(np.array_equal(_matter(hu), _matter(other)) for _, other in found)
                if not known and judge_whole(hu) == "proved":
                    found.append((reading, hu))
                break
    return found


def cleared(hu: np.ndarray) -> np.ndarray:
    """Returns HU with air for what lies below all that is measured."""
    return np.where(hu < LOWEST_HU, np.int32(AIR_HU), hu)


def judge_whole(hu: np.ndarray) -> Verdict:
    """Returns what a whole picture tells, int32 HU of shape (H, W)."""
    return "wrong" if int(hu.max()) > np.iinfo(np.int16).max else judge(thin_out(hu))


def smoothest(found: list[tuple[Reading, np.ndarray]]) -> tuple[Reading, np.ndarray] | None:
    """Returns the one reading that is smooth where all others jump; None if there is none."""
    for best in found:
        others = (other[1] for other in found if other is not best)
        if all(_is_smoother(cleared(best[1]), cleared(hu)) for hu in others):
            return best
    return None


def _readings(declared: Reading, width: int) -> list[Reading]:
    """Returns all readings to try, the declared one first: of equal results the first is kept."""
    bits, rescale = declared.bits, declared.rescale
    layouts = [bits, Bits(width, 0, signed=bits.signed)]
    if width == 16:
        layouts += [
            Bits(12, 0, signed=bits.signed),
            Bits(bits.count, width - bits.count, bits.signed),
        ]
    layouts += [replace(layout, signed=not layout.signed) for layout in layouts]
    plain = [Reading(layout, rescale) for layout in layouts]
    if width == 16 and rescale.slope == 1 and rescale.table is None:
        plain.append(Reading(Bits(12, 0, signed=False), rescale, wrapped=True))
    if rescale.intercept:
        plain += [Reading(layout, rescale.without_intercept()) for layout in layouts]
    return plain


def _matter(hu: np.ndarray) -> np.ndarray:
    """Returns HU with all values of air made equal."""
    return np.maximum(hu, _AIR_UP_TO)


def _is_smoother(hu: np.ndarray, other: np.ndarray) -> bool:
    """Returns whether HU jump clearly less at the borders of the area where two pictures differ.

    Bits with another meaning make values jump by thousands; so do values cut to too few bits.
    """
    differ = hu != other
    if not differ.any():
        return True
    jumps: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for axis in (0, 1):
        border = np.diff(differ, axis=axis)
        for found, picture in zip(jumps, (hu, other), strict=True):
            found.append(np.abs(np.diff(picture, axis=axis)[border]))
    mine, others = (float(np.median(np.concatenate(found))) for found in jumps)
    return _SMOOTHER * mine < others
