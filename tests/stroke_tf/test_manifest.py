import json

import pytest

from stroke_tf.manifest import (
    Fold,
    Manifest,
    Rejected,
    Shard,
    fold_number,
    manifest_sha256,
    read_folds,
    read_manifest,
    select_folds,
)

SHARD = Shard(name="fold-00-00000-of-00001.tfrecord", records=2, bytes=99, sha256="ab")
MANIFEST = Manifest(
    protocol="clean",
    seed=0,
    size=64,
    layout="teknofest",
    compression="zlib",
    pixels="gray8",
    grouping="patient",
    augmented="none",
    source_sha256="cd",
    records=3,
    classes={"NONE": 2, "ISCHEMIA": 0, "HEMORRHAGE": 1},
    folds=(
        Fold(0, 2, {"NONE": 1, "ISCHEMIA": 0, "HEMORRHAGE": 1}, (SHARD,)),
        Fold("stage1", 1, {"NONE": 1, "ISCHEMIA": 0, "HEMORRHAGE": 0}, ()),
    ),
    rejected=(Rejected("a.png", "must be a PNG"),),
)


def write(folder, text):
    (folder / "manifest.json").write_text(text)
    return folder


def test_read_gives_back_what_was_written(tmp_path):
    assert read_manifest(write(tmp_path, MANIFEST.to_json())) == MANIFEST


@pytest.mark.parametrize("read", [read_manifest, read_folds, manifest_sha256])
def test_a_folder_without_records_says_how_to_make_them(tmp_path, read):
    with pytest.raises(FileNotFoundError, match="must exist: .* Convert with `stroke-tf convert"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version must be 1. Received: 2"),
        ({"unknown": 1}, "keys must be"),
    ],
)
def test_read_rejects_another_version_and_unknown_keys(tmp_path, change, message):
    values = {**json.loads(MANIFEST.to_json()), **change}
    with pytest.raises(ValueError, match=message):
        read_manifest(write(tmp_path, json.dumps(values)))


def test_read_rejects_a_cut_file(tmp_path):
    with pytest.raises(ValueError, match="must be JSON"):
        read_manifest(write(tmp_path, MANIFEST.to_json()[:50]))


def test_select_folds_keeps_the_order_asked_for():
    assert [fold.fold for fold in select_folds(MANIFEST, ("stage1", 0))] == ["stage1", 0]


@pytest.mark.parametrize("folds", [(7,), (0, 0), ("stage2",)])
def test_select_folds_rejects_unknown_and_repeated_folds(folds):
    with pytest.raises(ValueError, match="folds must be different ones"):
        select_folds(MANIFEST, folds)


def test_fold_number_of_test_sessions_is_negative():
    assert [fold_number(name) for name in (3, "stage1", "stage2")] == [3, -1, -2]


def test_read_folds_converts_numbers(tmp_path):
    (tmp_path / "folds.csv").write_text(
        "source_id,group_id,stroke_type,fold,has_mask,width,height,file,copy\n"
        "007,006,NONE,stage1,0,640,480,PNG/007.png,2\n"
    )
    (row,) = read_folds(tmp_path)
    assert (row.source_id, row.has_mask, row.width, row.height, row.copy) == ("007", 0, 640, 480, 2)


def test_manifest_sha256_is_that_of_the_file(tmp_path):
    write(tmp_path, "abc")
    # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest_sha256(tmp_path) == expected
