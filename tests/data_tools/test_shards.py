import hashlib

import pytest
import tensorflow as tf

from data_tools.shards import describe_shard, write_shard

RECORDS = [b"first", b"", b"\x00" * 100_000, bytes(range(256)) * 300]


@pytest.mark.parametrize("compression", ["zlib", "none"])
def test_tensorflow_reads_what_was_written(tmp_path, compression):
    path = tmp_path / "a.tfrecord"
    write_shard(path, RECORDS, compression=compression, scratch=tmp_path)
    kind = "ZLIB" if compression == "zlib" else ""
    dataset = tf.data.TFRecordDataset(str(path), compression_type=kind)
    assert list(dataset.as_numpy_iterator()) == RECORDS


@pytest.mark.parametrize("compression", ["zlib", "none"])
def test_description_is_that_of_the_file(tmp_path, compression):
    path = tmp_path / "a.tfrecord"
    shard = write_shard(path, iter(RECORDS), compression=compression, scratch=tmp_path)
    assert (shard.name, shard.records, shard.bytes) == ("a.tfrecord", 4, path.stat().st_size)
    assert shard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert describe_shard(path, records=4) == shard


def test_a_failure_leaves_no_shard(tmp_path):
    def records():
        yield b"first"
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_shard(tmp_path / "a.tfrecord", records(), compression="zlib", scratch=tmp_path)
    assert not (tmp_path / "a.tfrecord").exists()
