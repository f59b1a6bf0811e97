"""Finds pictures that stand under two classes: one of their labels is wrong.

Knows hashes and labels. The caller reads the pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from stroke_tf.labels import StrokeType
from stroke_tf.manifest import Rejected


def contradictions(
    files: Sequence[str],
    labels: Sequence[StrokeType | None],
    hashes: Sequence[bytes],
    pixels_of: Callable[[int], bytes],
) -> dict[int, Rejected]:
    """Returns the faults of slices whose picture, pixel for pixel, has another class elsewhere.

    Args:
        files: A file of each slice, for the message.
        labels: The class of each slice; None where nothing is known.
        hashes: The difference hash of each picture.
        pixels_of: Returns equal bytes for equal pictures, by the slice's number. Called only for
            slices that share a hash and not the class.

    Returns:
        The number of each such slice and its fault.
    """
    faults: dict[int, Rejected] = {}
    for alike in _grouped(range(len(files)), hashes.__getitem__):
        if _contradict({labels[number] for number in alike}):
            for same in _grouped(alike, pixels_of):
                if _contradict({labels[number] for number in same}):
                    said = [f"{files[number]} ({_name(labels[number])})" for number in same]
                    reason = f"a picture must be in one class. Received: {' and '.join(said)}"
                    faults |= {number: Rejected(files[number], reason) for number in same}
    return faults


def _grouped(numbers: Sequence[int], key: Callable[[int], bytes]) -> Iterator[list[int]]:
    """Yields the numbers that share a key, where two or more do."""
    groups: dict[bytes, list[int]] = defaultdict(list)
    for number in numbers:
        groups[key(number)].append(number)
    return (group for group in groups.values() if len(group) > 1)


def _contradict(labels: set[StrokeType | None]) -> bool:
    """Returns whether labels exclude each other; a lesion of unknown type may be of either."""
    known = labels - {None}
    return len(known - {StrokeType.UNSPECIFIED}) > 1 or known == {
        StrokeType.NONE,
        StrokeType.UNSPECIFIED,
    }


def _name(label: StrokeType | None) -> str:
    return "no class" if label is None else StrokeType(label).name
