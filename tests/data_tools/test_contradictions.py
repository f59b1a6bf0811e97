"""Tests of `data_tools.contradictions`."""

import pytest

from data_tools.contradictions import contradictions
from stroke_tf.labels import StrokeType

NONE, ISCHEMIA, HEMORRHAGE = StrokeType.NONE, StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE
UNSPECIFIED = StrokeType.UNSPECIFIED


@pytest.mark.parametrize(
    ("labels", "wrong"),
    [
        ((NONE, HEMORRHAGE), True),
        ((ISCHEMIA, HEMORRHAGE), True),
        ((NONE, UNSPECIFIED), True),
        ((ISCHEMIA, UNSPECIFIED), False),
        ((NONE, NONE), False),
        ((None, HEMORRHAGE), False),
    ],
)
def test_only_labels_that_exclude_each_other_are_faults(labels, wrong):
    found = contradictions(["a", "b"], labels, [b"h", b"h"], lambda number: b"same")
    assert [fault.file for fault in found.values()] == (["a", "b"] if wrong else [])


def test_pixels_decide_and_are_read_only_where_hash_and_label_call_for_it():
    pixels = {0: b"x", 1: b"y", 2: b"x"}  # the others must not be read
    labels = [NONE, HEMORRHAGE, ISCHEMIA, NONE, NONE, HEMORRHAGE]
    hashes = [b"1", b"1", b"1", b"2", b"2", b"3"]
    found = contradictions(list("abcdef"), labels, hashes, pixels.__getitem__)
    assert {number: fault.file for number, fault in found.items()} == {0: "a", 2: "c"}
    assert found[0].reason.endswith("Received: a (NONE) and c (ISCHEMIA)")
