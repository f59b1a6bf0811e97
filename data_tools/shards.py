"""Writes TFRecord files without TensorFlow: whole or not at all, equal bytes for equal records.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import google_crc32c

from stroke_tf.files import replacing
from stroke_tf.manifest import Compression, Shard

# Slices are PNG inside, so deflating them once more saves under 1 % and costs most of the writing
# time: the ZLIB stream holds them in stored blocks.
_ZLIB_LEVEL = 0


def write_shard(
    path: Path, records: Iterable[bytes], *, compression: Compression, scratch: Path
) -> Shard:
    """Writes serialised records to a TFRecord file, whole or not at all.

    Args:
        path: The file to write.
        records: Serialised records.
        scratch: Folder on the same disk for the file while it is unfinished.
        compression: "zlib" for `TFRecordDataset(..., compression_type="ZLIB")`, or "none".

    Returns:
        The name, number of records, bytes and SHA-256 of the file.

    Raises:
        OSError: If the file cannot be written, for example when no space is left.
    """
    packer = zlib.compressobj(_ZLIB_LEVEL) if compression == "zlib" else None
    digest, count, size = hashlib.sha256(), 0, 0
    with replacing(path, scratch=scratch, sync=True) as temporary, temporary.open("wb") as file:
        for record in records:
            count += 1
            for part in _framed(record):
                block = packer.compress(part) if packer else part
                digest.update(block)
                size += file.write(block)
        last = packer.flush() if packer else b""
        digest.update(last)
        size += file.write(last)
    return Shard(name=path.name, records=count, bytes=size, sha256=digest.hexdigest())


def describe_shard(path: Path, *, records: int) -> Shard:
    """Describes a finished file of `records` records, with the same result as `write_shard`."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Shard(name=path.name, records=records, bytes=path.stat().st_size, sha256=digest)


def _framed(record: bytes) -> tuple[bytes, bytes, bytes]:
    length = struct.pack("<Q", len(record))
    return length + _masked_crc(length), record, _masked_crc(record)


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
