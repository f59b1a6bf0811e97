import pytest

from stroke_tf.fold_audit import audit_folds, check_clean, relations


def test_an_audit_counts_what_lies_in_several_folds():
    zero, some, far = bytes(32), b"\x0f" * 32, b"\xff" * 32
    ids = ["1", "2", "3", "3_flip"]
    related = relations(
        ids,
        patients=["a", "a", "b", None],
        pictures=[b"x", b"y", b"y", b"x"],
        hashes=[zero, far, far, zero],
        turned=[some * 8, far * 8, far * 7 + some, far * 8],
    )
    folds = {"1": 0, "2": 1, "3": 1, "3_flip": 2}
    assert audit_folds(ids, folds, related) == [
        ("patients", "1", "2", "1 in 0, 2 in 1"),
        ("identical pictures", "1", "2", "1 in 0, 3_flip in 2"),
        ("near-duplicates", "1", "2", "1 in 0, 3_flip in 2"),
        ("flipped or turned copies", "1", "4", "1 in 0, 2 in 1"),
        ("ids that name copies", "1", "2", "3 in 1, 3_flip in 2"),
    ]


def test_clean_folds_must_not_split_groups():
    check_clean(["1", "2"], {"1": 0, "2": 0}, ["a", "a"])
    with pytest.raises(ValueError, match=r"split 1 of 2, such as 1 in 0, 2 in 1\. Mend them, or"):
        check_clean(["1", "2", "3"], {"1": 0, "2": 1, "3": 1}, ["a", "a", "b"])
