"""Data sets that share the slices decoded for several of them."""

import gc
import weakref

import numpy as np
import pytest

from stroke_tf.config import AugmentStrength
from stroke_tf.data import decode_slices, make_dataset, pipeline
from stroke_tf.labels import Task

FOLDS = (0, 1, 2, 3)
SHARED = {"task": Task.SEGMENT, "image_size": 16}


def two_epochs(records, **options):
    batches = make_dataset(records, folds=(3, 1), with_ids=True, **(SHARED | options))
    return [
        [images.numpy(), labels.numpy(), known["source_id"].numpy()]
        for _ in range(2)
        for images, labels, known in batches
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"training": True, "augment": AugmentStrength(), "seed": 3},
        {"task": Task.DETECT, "training": True, "negatives_per_positive": 1.0},
        {"task": Task.DETECT, "view": "upright"},
    ],
)
def test_shared_slices_give_the_batches_of_ones_own(gray_records, options):
    of_all = {name: options[name] for name in ("task", "view") if name in options}
    decoded = decode_slices(gray_records, FOLDS, **(SHARED | of_all))
    for batch_size in (2, 3):
        own = two_epochs(gray_records, batch_size=batch_size, **options)
        shared = two_epochs(gray_records, batch_size=batch_size, decoded=decoded, **options)
        assert len(own) == len(shared) > 2
        for one, other in zip(own, shared, strict=True):
            for expected, found in zip(one, other, strict=True):
                np.testing.assert_array_equal(found, expected)


def test_shared_slices_hold_more_than_one_task_needs(gray_records):
    decoded = decode_slices(gray_records, FOLDS, **SHARED)
    batches = make_dataset(
        gray_records, folds=(1,), batch_size=9, lesions_only=True, decoded=decoded, **SHARED
    )
    ((_, masks),) = batches.as_numpy_iterator()
    assert masks.max(axis=(1, 2, 3)).tolist() == [1, 2]


def test_shared_slices_are_not_decoded_again(gray_records, monkeypatch):
    decoded = decode_slices(gray_records, FOLDS, **SHARED)
    monkeypatch.setattr(pipeline, "load_slices", None)
    assert len(two_epochs(gray_records, batch_size=4, decoded=decoded)) > 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"folds": (0, 9)}, "folds"),
        ({"image_size": 32}, "side 32. Received: .* side 16"),
        ({"task": Task.DETECT}, "Received: .* masks True"),
    ],
)
def test_slices_of_something_else_are_refused(gray_records, options, said):
    decoded = decode_slices(gray_records, (0, 1), **SHARED)
    with pytest.raises(ValueError, match=said):
        make_dataset(
            gray_records,
            batch_size=4,
            decoded=decoded,
            **({"folds": (0, 1)} | SHARED | options),
        )


def test_slices_of_other_folds_are_refused(gray_records):
    decoded = decode_slices(gray_records, (0,), **SHARED)
    with pytest.raises(ValueError, match=r"must hold the \d+ slices of folds \[0, 1\]"):
        make_dataset(gray_records, folds=(0, 1), batch_size=4, decoded=decoded, **SHARED)


@pytest.mark.parametrize(("task", "view"), [(Task.DETECT, "windows"), (Task.SEGMENT, "upright")])
def test_slices_are_freed_with_the_data_set_and_its_iterators(gray_records, task, view):
    settings = {"folds": (0, 1), "task": task, "image_size": 16, "view": view}
    decoded = decode_slices(gray_records, **settings)
    held = weakref.ref(decoded)
    batches = make_dataset(
        gray_records, **settings, batch_size=2, decoded=decoded, with_ids=True
    ).repeat(2)
    del decoded
    iterator = iter(batches)
    del batches
    gc.collect()
    assert len([*iterator]) > 2
    assert held() is not None
    del iterator
    gc.collect()
    assert held() is None
