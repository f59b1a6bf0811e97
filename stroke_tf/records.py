"""The record contract: what one slice is on disk.

Writer and reader both use it, so they cannot drift. A record is a serialised `tf.train.Example`
with exactly the keys of `FEATURES`. Encoding needs no TensorFlow (importing it costs seconds and
400 MB in each worker process); `parse_record` is the graph version for `tf.data`.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

if TYPE_CHECKING:
    import tensorflow as tf

SCHEMA_VERSION = 1
HU_OFFSET = 32768  # 16-bit records hold HU + 32768
AIR_HU = -1000
Stage = Literal["stage1", "stage2"]
STAGE_FOLDS: dict[str, int] = {"stage1": -1, "stage2": -2}
"""Fold numbers of the official test sessions, which are never trained on."""

Pixels = Literal["gray8", "hu16"]


@dataclass(frozen=True)
class Record:
    """One slice as it is stored.

    Attributes:
        image: PNG bytes, one channel: 8-bit grey (`pixels="gray8"`) or 16-bit HU + 32768 ("hu16").
        mask: Grey 8-bit PNG bytes of class ids (0 none, 1 ischaemia, 2 haemorrhage), of the same
            size as the image; empty where there is no mask, which for a lesion slice means that
            the lesion's place is not known.
        stroke_type: A `StrokeType` value.
        source_id: The slice's id in its source; an augmented copy carries that of its original.
        group_id: Slices with the same group id (one patient, or near-duplicates) share a fold
            under the `clean` protocol.
        fold: 0 to 9, or a value of `STAGE_FOLDS`.
        copy: 0 for the slice itself, 1... for copies augmented before folding.
        source: Name of the source layout.
        pixels: What `image` holds.
        height: Rows of the slice before it was padded and resized, in pixels.
        width: Columns of the slice before it was padded and resized, in pixels.
        schema_version: Version of this contract.
    """

    image: bytes
    mask: bytes
    stroke_type: int
    source_id: str
    group_id: str
    fold: int
    copy: int
    source: str
    pixels: Pixels
    height: int
    width: int
    schema_version: int = SCHEMA_VERSION


FEATURES: dict[str, str] = {
    field.name: str(field.type).replace("Pixels", "str") for field in dataclasses.fields(Record)
}
"""Every key of a record and its kind: "bytes", "str" (UTF-8) or "int"."""


def encode_record(record: Record) -> bytes:
    """Returns the record as a serialised `tf.train.Example`; equal records give equal bytes.

    Raises:
        ValueError: If `pixels` or `schema_version` is not one this version writes.
    """
    _check(record, name=record.source_id)
    example = _example_class()()
    for key, kind in FEATURES.items():
        value = getattr(record, key)
        feature = example.features.feature[key]
        if kind == "int":
            feature.int64_list.value.append(value)
        else:
            feature.bytes_list.value.append(value.encode() if kind == "str" else value)
    return example.SerializeToString(deterministic=True)


def decode_record(serialized: bytes, *, name: str = "record") -> Record:
    """Returns the record held by a serialised `tf.train.Example`.

    Args:
        serialized: What `encode_record` gave.
        name: Where the bytes come from, for the error messages.

    Raises:
        ValueError: If the bytes are not an Example, a key is missing or unknown, or the schema
            version is not `SCHEMA_VERSION`.
    """
    example = _example_class()()
    try:
        example.ParseFromString(serialized)
    except DecodeError as error:
        raise ValueError(
            f"{name}: a record must be a tf.train.Example. Received: {error}"
        ) from error
    features = example.features.feature
    version = list(features["schema_version"].int64_list.value)
    if version != [SCHEMA_VERSION]:
        raise ValueError(f"{name}: schema_version must be {SCHEMA_VERSION}. Received: {version}")
    missing, extra = sorted(FEATURES.keys() - features), sorted(set(features) - FEATURES.keys())
    if missing or extra:
        raise ValueError(
            f"{name}: keys must be those of FEATURES. Missing: {missing}, unknown: {extra}"
        )
    values: dict[str, Any] = {
        key: _value(features[key], kind, key, name) for key, kind in FEATURES.items()
    }
    record = Record(**values)
    _check(record, name=name)
    return record


def parse_record(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses one record inside a `tf.data` graph.

    Args:
        serialized: Scalar string tensor.

    Returns:
        A scalar tensor for each key of `FEATURES`: string for "bytes" and "str", int64 for "int".

    Raises:
        tf.errors.InvalidArgumentError: When it runs, if a key is missing or the schema version
            is not `SCHEMA_VERSION`.
    """
    import tensorflow as tf

    features = tf.io.parse_single_example(serialized, feature_spec())
    check = tf.debugging.assert_equal(
        features["schema_version"],
        tf.constant(SCHEMA_VERSION, tf.int64),
        message=f"schema_version must be {SCHEMA_VERSION}",
    )
    with tf.control_dependencies([check] if check is not None else []):
        return {key: tf.identity(value) for key, value in features.items()}


def feature_spec() -> dict[str, tf.io.FixedLenFeature]:
    """Returns the argument for `tf.io.parse_single_example`: one scalar for each key."""
    import tensorflow as tf

    return {
        key: tf.io.FixedLenFeature([], tf.int64 if kind == "int" else tf.string)
        for key, kind in FEATURES.items()
    }


def _check(record: Record, *, name: str) -> None:
    if record.schema_version != SCHEMA_VERSION:
        raise ValueError(
            f"{name}: schema_version must be {SCHEMA_VERSION}. Received: {record.schema_version}"
        )
    if record.pixels not in get_args(Pixels):
        raise ValueError(
            f"{name}: pixels must be one of {get_args(Pixels)}. Received: {record.pixels!r}"
        )


def _value(feature: Any, kind: str, key: str, name: str) -> int | str | bytes:
    values = feature.int64_list.value if kind == "int" else feature.bytes_list.value
    if len(values) != 1:
        raise ValueError(f"{name}: {key} must hold one {kind} value. Received: {len(values)}")
    return values[0].decode() if kind == "str" else values[0]


_EXAMPLE = """
    name: "stroke_tf/example.proto" package: "stroke_tf" syntax: "proto3"
    message_type { name: "BytesList"
      field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
    message_type { name: "FloatList"
      field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
    message_type { name: "Int64List"
      field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
    message_type { name: "Feature" oneof_decl { name: "kind" }
      field { name: "bytes_list" number: 1 type_name: ".stroke_tf.BytesList" oneof_index: 0 }
      field { name: "float_list" number: 2 type_name: ".stroke_tf.FloatList" oneof_index: 0 }
      field { name: "int64_list" number: 3 type_name: ".stroke_tf.Int64List" oneof_index: 0 } }
    message_type { name: "Features"
      field { name: "feature" number: 1 label: LABEL_REPEATED
        type_name: ".stroke_tf.Features.FeatureEntry" }
      nested_type { name: "FeatureEntry" options { map_entry: true }
        field { name: "key" number: 1 type: TYPE_STRING }
        field { name: "value" number: 2 type_name: ".stroke_tf.Feature" } } }
    message_type { name: "Example"
      field { name: "features" number: 1 type_name: ".stroke_tf.Features" } }
"""
"""The published wire format of `tf.train.Example`."""


@functools.cache
def _example_class() -> Any:
    file = text_format.Parse(_EXAMPLE, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("stroke_tf.Example"))
