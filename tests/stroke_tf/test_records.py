import dataclasses

import pytest
import tensorflow as tf

from stroke_tf.records import FEATURES, Record, decode_record, encode_record, parse_record

RECORD = Record(
    image=b"\x89PNG image",
    mask=b"",
    stroke_type=2,
    source_id="İ-10001",
    group_id="g-10000",
    fold=-1,
    copy=3,
    source="teknofest",
    pixels="hu16",
    height=650,
    width=512,
)


def example_of(record=RECORD):
    return tf.train.Example.FromString(encode_record(record))


def test_decode_gives_back_what_was_encoded():
    assert decode_record(encode_record(RECORD)) == RECORD


def test_encoding_is_a_tensorflow_example_with_exactly_the_features():
    features = example_of().features.feature
    assert set(features) == set(FEATURES)
    assert features["image"].bytes_list.value[:] == [b"\x89PNG image"]
    assert features["source_id"].bytes_list.value[:] == ["İ-10001".encode()]
    assert features["fold"].int64_list.value[:] == [-1]


def test_encoding_equals_that_of_tensorflow_byte_for_byte():
    assert example_of().SerializeToString(deterministic=True) == encode_record(RECORD)


def test_parse_gives_the_same_values_inside_a_dataset():
    dataset = tf.data.Dataset.from_tensors(encode_record(RECORD)).map(parse_record)
    parsed = next(dataset.as_numpy_iterator())
    for key, value in dataclasses.asdict(RECORD).items():
        expected = value.encode() if isinstance(value, str) else value
        assert parsed[key] == expected, key


def test_decode_rejects_unknown_schema_version():
    example = example_of()
    example.features.feature["schema_version"].int64_list.value[:] = [99]
    with pytest.raises(ValueError, match=r"shard 3: schema_version must be 1. Received: \[99\]"):
        decode_record(example.SerializeToString(), name="shard 3")


def test_parse_rejects_unknown_schema_version():
    example = example_of()
    example.features.feature["schema_version"].int64_list.value[:] = [99]
    with pytest.raises(tf.errors.InvalidArgumentError, match="schema_version must be 1"):
        parse_record(tf.constant(example.SerializeToString()))


def test_decode_rejects_missing_and_unknown_keys():
    example = example_of()
    del example.features.feature["mask"]
    example.features.feature["patient_name"].bytes_list.value.append(b"x")
    with pytest.raises(ValueError, match=r"Missing: \['mask'\], unknown: \['patient_name'\]"):
        decode_record(example.SerializeToString())


def test_parse_rejects_a_missing_key():
    example = example_of()
    del example.features.feature["mask"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="mask"):
        parse_record(tf.constant(example.SerializeToString()))


def test_decode_rejects_what_is_not_an_example():
    with pytest.raises(ValueError, match="must be a tf.train.Example"):
        decode_record(b"\xff\xff\xff not a record")


def test_decode_rejects_two_values_for_one_key():
    example = example_of()
    example.features.feature["fold"].int64_list.value.append(4)
    with pytest.raises(ValueError, match="fold must hold one int value. Received: 2"):
        decode_record(example.SerializeToString())


def test_encode_rejects_unknown_pixels():
    with pytest.raises(ValueError, match="İ-10001: pixels must be one of .* Received: 'rgb'"):
        encode_record(dataclasses.replace(RECORD, pixels="rgb"))
