import dataclasses
import gc
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.data import memory
from stroke_tf.data.memory import load_slices
from stroke_tf.labels import Task
from stroke_tf.manifest import read_manifest


@pytest.fixture
def copied(gray_records: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(gray_records, tmp_path / "records"))


def load(records: Path, **options):
    defaults = {"task": Task.SEGMENT, "image_size": 16}
    return load_slices(records, options.pop("folds", (0,)), **(defaults | options))


def test_slices_come_in_the_order_of_the_folds_asked_for(gray_records, gray_image):
    slices = load(gray_records, folds=(2, 0), task=Task.DETECT)
    names = [row.source_id for row in slices.rows]
    assert names == ["s20", "s21", "s22", "s23", "s24", "s0", "s1", "s2", "s3", "s4"]
    assert slices.images.dtype == np.uint8
    assert slices.masks is None
    for name, image in zip(names, slices.images, strict=True):
        np.testing.assert_array_equal(image[..., 0], gray_image(int(name[1:])))


def test_masks_are_those_stored_and_background_where_a_normal_slice_has_none(
    gray_records, lesion_mask
):
    slices = load(gray_records)
    assert [row.source_id for row in slices.rows] == ["s0", "s1", "s2", "s4"]
    expected = [lesion_mask(class_id) for class_id in (0, 1, 2, 0)]
    np.testing.assert_array_equal(slices.masks[..., 0], expected)


def test_uncompressed_shards_are_read_too(write_records, some_records, tmp_path, gray_records):
    plain = write_records(tmp_path / "plain", some_records, compression="none")
    np.testing.assert_array_equal(load(plain).images, load(gray_records).images)


def test_smaller_images_are_antialiased_and_masks_keep_their_classes(
    write_records, make_record, tmp_path
):
    # Columns 0 255 0 255 ...: without antialiasing a picture of a quarter the size is all one.
    image = np.tile(np.array([0, 255], np.uint8), (32, 16))
    mask = np.repeat(np.repeat([[0, 1], [2, 0]], 16, 0), 16, 1).astype(np.uint8)
    record = make_record("a", 0, 2, image, mask)
    records = write_records(tmp_path / "records", [record, record], size=32)
    slices = load(records, image_size=8)
    assert slices.images.dtype == np.uint8
    assert np.abs(slices.images[0, :, 2:6].astype(int) - 128).max() <= 8
    np.testing.assert_array_equal(slices.masks[0, ..., 0], mask[::4, ::4])


def test_16_bit_and_8_bit_slices_share_a_folder(mixed_records, hu_image, gray_image):
    slices = load(mixed_records, task=Task.DETECT)
    assert slices.images.dtype == np.uint16
    np.testing.assert_array_equal(slices.is_hu, [True, False])
    np.testing.assert_array_equal(slices.images[0, ..., 0], hu_image(0))
    np.testing.assert_array_equal(slices.images[1, ..., 0], gray_image(1))


def test_slices_in_a_file_are_those_in_memory_and_leave_nothing_behind(
    gray_records, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    slices, expected = load(gray_records, cache="file"), load(gray_records, cache="memory")
    np.testing.assert_array_equal(slices.images, expected.images)
    np.testing.assert_array_equal(slices.masks, expected.masks)
    assert list(tmp_path.iterdir()) == []
    assert len(_deleted_files(tmp_path)) == 2
    del slices
    gc.collect()
    assert _deleted_files(tmp_path) == []


@pytest.mark.parametrize(("available", "place"), [(10240, "memory"), (10239, "a file in ")])
def test_auto_keeps_in_memory_what_needs_a_fifth_of_it(
    gray_records, tmp_path, monkeypatch, caplog, available, place
):
    # 4 slices of 16 x 16 pixels, image and mask: 2048 bytes.
    monkeypatch.setattr(memory, "available_memory", lambda: available)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with caplog.at_level(logging.INFO):
        slices = load(gray_records)
    assert len(slices.images) == 4
    assert bool(_deleted_files(tmp_path)) == (place != "memory")
    assert f"Decoding 4 slices, 0.00 GB, to {place}" in caplog.text


def test_a_full_disk_is_an_error_before_anything_is_written(gray_records, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        load(gray_records, cache="file")


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"manifest\.json must exist"):
        load(tmp_path)


def test_a_missing_shard_is_named(copied):
    (copied / "fold-00-00001-of-00002.tfrecord").unlink()
    with pytest.raises(FileNotFoundError, match="fold-00-00001-of-00002.tfrecord must exist"):
        load(copied)


def test_a_shard_of_another_size_is_named(copied):
    path = copied / "fold-00-00001-of-00002.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"{path.name} must have \d+ bytes.*Received: \d+"):
        load(copied)


@pytest.mark.parametrize("place", [20, -20])
def test_a_shard_with_a_flipped_byte_is_named(copied, place):
    path = copied / "fold-00-00001-of-00002.tfrecord"
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"since they were written: \['{path.name}'\]"):
        load(copied)


def test_shards_of_other_folds_are_not_looked_at(copied):
    (copied / "fold-01-00000-of-00002.tfrecord").unlink()
    assert len(load(copied, folds=(0, 2)).rows) == 8


def test_unknown_keys_in_the_first_record_are_refused(copied):
    path = copied / "fold-00-00000-of-00002.tfrecord"
    (serialized,) = tf.data.TFRecordDataset(str(path), "ZLIB").take(1)
    example = tf.train.Example.FromString(serialized.numpy())
    example.features.feature["name"].bytes_list.value.append(b"?")
    with tf.io.TFRecordWriter(str(path), "ZLIB") as writer:
        writer.write(example.SerializeToString())
    _change_shard(copied, path.name, bytes=path.stat().st_size)
    with pytest.raises(ValueError, match=rf"{path.name}: keys must be those.*unknown: \['name'\]"):
        load(copied)


def test_folds_csv_in_another_order_than_the_shards_is_refused(copied):
    header, first, second, *rest = (copied / "folds.csv").read_text().splitlines(keepends=True)
    (copied / "folds.csv").write_text("".join([header, second, first, *rest]))
    with pytest.raises(ValueError, match="in the order of the shards.*'s0'.*'s1'"):
        load(copied)


def test_a_shard_with_fewer_records_than_folds_csv_is_refused(copied):
    path = copied / "fold-00-00001-of-00002.tfrecord"
    shutil.copy(copied / "fold-03-00001-of-00002.tfrecord", path)
    _change_shard(copied, path.name, bytes=path.stat().st_size)
    with pytest.raises(ValueError, match="order of the shards"):
        load(copied, task=Task.DETECT)
    with tf.io.TFRecordWriter(str(path), "ZLIB"):
        pass
    _change_shard(copied, path.name, bytes=path.stat().st_size)
    with pytest.raises(ValueError, match="must hold 5 slices. Received: 3"):
        load(copied, task=Task.DETECT)


def test_images_of_another_size_than_the_manifest_says_are_refused(
    write_records, make_record, gray_image, tmp_path
):
    record = make_record("a", 0, 0, gray_image(0), None)
    records = write_records(tmp_path / "records", [record], size=32)
    with pytest.raises(ValueError, match=r"whole records of 32 x 32 pixels. Changed .*: \[\]"):
        load(records)


def _change_shard(records: Path, name: str, **values) -> None:
    manifest = read_manifest(records)
    folds = tuple(
        dataclasses.replace(
            fold,
            shards=tuple(
                dataclasses.replace(shard, **values) if shard.name == name else shard
                for shard in fold.shards
            ),
        )
        for fold in manifest.folds
    )
    (records / "manifest.json").write_text(dataclasses.replace(manifest, folds=folds).to_json())


def _deleted_files(folder: Path) -> list[str]:
    """The files without a name in a folder that this process has mapped."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in maps if f" {folder}/" in line and line.endswith("(deleted)")]
