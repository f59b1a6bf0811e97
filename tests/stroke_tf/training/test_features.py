import json
import logging
import sys

import keras
import numpy as np
import pytest
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from stroke_tf.config import AugmentStrength, FitConfig
from stroke_tf.data import make_dataset
from stroke_tf.labels import Task
from stroke_tf.manifest import manifest_sha256, read_folds
from stroke_tf.models import build_classifier
from stroke_tf.models.heads import split_head
from stroke_tf.training import fit
from stroke_tf.training.features import FeatureSet, extract_features, feature_dataset

features_module = sys.modules["stroke_tf.training.features"]

SIZE = 32
MIRROR = AugmentStrength(rotation_deg=0, contrast=0, brightness=0, mirror=1, roi=0)
STRENGTH = AugmentStrength()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """60 slices of 32 x 32 in ten folds; lesions in a few of them only."""
    folder = tmp_path_factory.mktemp("features")
    tree = write_tree(folder / "tree", none=56, ischemia=2, hemorrhage=2)
    build_tfrecords(Conversion(data=tree, out=folder / "records", size=SIZE, jobs=1))
    return folder / "records"


def halves(scale=2.0):
    """Grey of the left and right half, through a batch norm with statistics of its own."""
    images = keras.Input((SIZE, SIZE, 3))
    sides = [
        keras.layers.Cropping2D(((0, 0), cut))(images) for cut in ((0, SIZE // 2), (SIZE // 2, 0))
    ]
    gray = [keras.layers.GlobalAveragePooling2D()(side)[:, :1] for side in sides]
    norm = keras.layers.BatchNormalization(epsilon=0.0)
    model = keras.Model(images, norm(keras.layers.Concatenate()(gray)))
    ones = np.ones(2, np.float32)
    norm.set_weights([scale * ones, 3 * ones, 10 * ones, 16 * ones])  # gamma, beta, mean, variance
    return model


def tiny_classifier():
    """A frozen network of one convolution and a batch norm, pooled, under a small head."""
    keras.utils.set_random_seed(4)
    images = keras.Input((SIZE, SIZE, 3))
    frozen = keras.Sequential(
        [keras.layers.Conv2D(8, 3, strides=2), keras.layers.BatchNormalization()]
    )
    frozen.trainable = False
    x = keras.layers.GlobalAveragePooling2D(name="pool")(frozen(images / 255))
    x = keras.layers.Dense(8, activation="relu")(keras.layers.Dropout(0.3)(x))
    return keras.Model(images, keras.layers.Dense(1, activation="sigmoid")(x))


def extract(records, folds=(0, 1), *, extractor=None, **options):
    defaults = {"task": Task.DETECT, "image_size": SIZE, "key_of_network": "halves"}
    return extract_features(extractor or halves(), records, folds, **defaults | options)


def slices_of(records, folds):
    batches = make_dataset(
        records, folds=folds, task=Task.DETECT, image_size=SIZE, batch_size=7, with_ids=True
    )
    images, labels, known = zip(*batches.as_numpy_iterator(), strict=True)
    ids = np.concatenate([batch["source_id"] for batch in known]).astype(str)
    return np.concatenate(images), np.concatenate(labels), ids


@pytest.fixture
def decoded(monkeypatch):
    """The folds that are decoded from here on."""
    folds = []

    def spy(records, **options):
        folds.extend(options["folds"])
        return make_dataset(records, **options)

    monkeypatch.setattr(features_module, "make_dataset", spy)
    return folds


def test_features_are_those_of_each_slice_in_inference_mode(records):
    found = extract(records, (2, 0))
    images, labels, ids = slices_of(records, (2, 0))
    halves_gray = images[..., 0].reshape(-1, SIZE, 2, SIZE // 2).mean(axis=(1, 3))
    np.testing.assert_allclose(found.features, [2 * (halves_gray - 10) / 4 + 3], rtol=1e-5)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.ids == tuple(ids)
    groups = {row.source_id: row.group_id for row in read_folds(records)}
    assert found.groups == tuple(groups[name] for name in ids)
    assert found.features.dtype == found.labels.dtype == np.float32


def test_a_backbone_with_constant_weights_gives_what_it_gives_itself(records):
    model = build_classifier("mobilenet025", image_size=SIZE, trainable=False)
    extractor, _ = split_head(model)
    found = extract(records, extractor=extractor)
    expected = extractor.predict(slices_of(records, (0, 1))[0], verbose=0)
    np.testing.assert_allclose(found.features[0], expected, rtol=1e-4, atol=1e-5)


def test_copies_are_augmented_slices(records):
    found = extract(records, copies=2, strength=MIRROR).features
    for copy in found[1:]:
        np.testing.assert_allclose(copy, found[0, :, ::-1], rtol=1e-5)


def test_copies_differ_and_depend_on_the_seed_alone(records, tmp_path):
    first, again, other = (
        extract(records, copies=2, strength=STRENGTH, seed=seed).features for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[0], other[0])
    arrays = [*first, *other[1:]]
    for number, one in enumerate(arrays):
        assert not any(np.allclose(one, two) for two in arrays[:number])


def test_folds_are_kept_and_shared_by_splits(records, tmp_path, decoded):
    first = extract(records, (0, 1), cache_dir=tmp_path)
    second = extract(records, (1, 2), cache_dir=tmp_path)
    assert decoded == [0, 1, 2]
    both = extract(records, (0, 1, 2), cache_dir=tmp_path)
    assert decoded == [0, 1, 2]
    assert both.ids[: len(first.ids)] == first.ids
    assert both.groups[-len(second.groups) :] == second.groups
    np.testing.assert_array_equal(both.features[:, : len(first.ids)], first.features)
    np.testing.assert_array_equal(both.labels[-len(second.ids) :], second.labels)


def test_a_fold_is_decoded_once_for_all_missing_copies(records, tmp_path, decoded):
    extract(records, (3,), cache_dir=tmp_path)
    extract(records, (3,), copies=2, strength=STRENGTH, cache_dir=tmp_path)
    assert decoded == [3, 3]


def test_the_file_of_a_fold_does_not_depend_on_the_folds_beside_it(records, tmp_path):
    for name, folds in (("together", (0, 1)), ("alone", (1,))):
        extract(records, folds, copies=1, strength=STRENGTH, cache_dir=tmp_path / name)
    together, alone = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in paths}
        for name in ("together", "alone")
        for paths in [(tmp_path / name).glob("*/fold-01-*.npz")]
    )
    assert len(alone) == 2
    assert together == alone


def test_only_copies_are_kept_apart_by_seed_and_strength(records, tmp_path):
    extract(records, (3,), copies=1, strength=STRENGTH, cache_dir=tmp_path)
    extract(records, (3,), copies=1, strength=STRENGTH, seed=1, cache_dir=tmp_path)
    extract(records, (3,), copies=1, strength=MIRROR, cache_dir=tmp_path)
    names = sorted(path.name for path in tmp_path.glob("*/*.npz"))
    assert names == ["fold-03-copy-0.npz", *3 * ["fold-03-copy-1.npz"]]


def test_the_key_says_in_words_what_features_depend_on(records, tmp_path):
    extract(records, (3,), copies=1, strength=MIRROR, seed=5, cache_dir=tmp_path)
    plain, copy = sorted(
        (json.loads(path.read_text()) for path in tmp_path.glob("*/key.json")),
        key=lambda settings: settings["seed"] is not None,
    )
    assert plain["augmentation"] is None
    assert copy["augmentation"]["mirror"] == 1
    assert copy["seed"] == 5
    assert len(plain.pop("weights_sha256")) == 64
    assert plain == {
        "network": "halves",
        "output_shape": [2],
        "manifest_sha256": manifest_sha256(records),
        "task": "detect",
        "image_size": SIZE,
        "windows": [[40, 80], [80, 200], [32, 8]],
        "view": "windows",
        "augmentation": None,
        "seed": None,
        "keras": keras.__version__,
    }


def test_another_view_is_never_answered_from_the_same_file(records, tmp_path):
    plain = extract(records, cache_dir=tmp_path).features
    heads = extract(records, view="upright", cache_dir=tmp_path).features
    views = {json.loads(path.read_text())["view"] for path in tmp_path.glob("*/key.json")}
    assert views == {"windows", "upright"}
    assert not np.allclose(plain, heads)
    images = make_dataset(
        records, folds=(0, 1), task=Task.DETECT, image_size=SIZE, batch_size=99, view="upright"
    )
    expected = halves()(next(iter(images))[0], training=False)
    np.testing.assert_allclose(heads[0], expected, rtol=1e-4)


def test_other_weights_are_never_answered_from_the_same_file(records, tmp_path):
    first = extract(records, cache_dir=tmp_path).features
    other = extract(records, extractor=halves(scale=4.0), cache_dir=tmp_path).features
    np.testing.assert_allclose(other - 3, 2 * (first - 3), rtol=1e-5)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-40], lambda data: b"no"])
def test_a_damaged_file_is_computed_anew_with_a_warning(records, tmp_path, caplog, damage):
    first = extract(records, (3,), cache_dir=tmp_path)
    (path,) = tmp_path.glob("*/*.npz")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    with caplog.at_level(logging.WARNING):
        again = extract(records, (3,), cache_dir=tmp_path)
    assert str(path) in caplog.text
    np.testing.assert_array_equal(again.features, first.features)
    assert path.read_bytes() == whole


def test_a_failed_write_leaves_nothing(records, tmp_path, monkeypatch):
    def fail(file, **arrays):
        file.write_bytes(b"half")
        raise OSError("no space")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="no space"):
        extract(records, (3,), cache_dir=tmp_path)
    assert [path.name for path in tmp_path.glob("*/*")] == ["key.json"]


def test_folds_without_a_slice_for_the_task_are_left_out(records):
    found = extract(records, tuple(range(10)), task=Task.TYPE)
    lesions = {row.source_id for row in read_folds(records) if row.stroke_type != "NONE"}
    assert set(found.ids) == lesions
    assert sorted(found.labels[:, 0]) == [0, 0, 1, 1]


def test_no_slice_at_all_is_refused(records):
    with_lesions = {row.fold for row in read_folds(records) if row.stroke_type != "NONE"}
    empty = tuple(fold for fold in range(10) if str(fold) not in with_lesions)
    with pytest.raises(ValueError, match="must hold a slice for task type"):
        extract(records, empty, task=Task.TYPE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": Task.SEGMENT}, "`task` must be detect or type. Received: segment"),
        ({"copies": -1}, "`copies` must be >= 0. Received: -1"),
        ({"copies": 1}, "`strength` must be given for copies"),
    ],
)
def test_wrong_arguments_are_refused(records, options, message):
    with pytest.raises(ValueError, match=message):
        extract(records, **options)


def numbered(copies=3, count=10):
    """Features that say which copy and slice they are: (copy, slice)."""
    grid = np.stack(np.mgrid[:copies, :count], axis=-1).astype(np.float32)
    names = tuple(str(number) for number in range(count))
    labels = (np.arange(count)[:, None] % 2).astype(np.float32)
    return FeatureSet(features=grid, labels=labels, ids=names, groups=names)


def epochs_of(dataset, count):
    return [np.concatenate([batch for batch, _ in dataset]).astype(int) for _ in range(count)]


def test_without_training_slices_come_in_order_as_they_are():
    dataset = feature_dataset(numbered(), batch_size=4)
    assert [len(batch) for batch, _ in dataset] == [4, 4, 2]
    assert len(dataset) == 3
    for epoch in epochs_of(dataset, 2):
        assert epoch.tolist() == [[0, number] for number in range(10)]


def test_training_draws_each_slice_once_as_any_of_its_copies():
    dataset = feature_dataset(numbered(), batch_size=4, training=True)
    epochs = epochs_of(dataset, 20)
    for epoch in epochs:
        assert sorted(epoch[:, 1]) == list(range(10))
    assert len({tuple(epoch[:, 1]) for epoch in epochs}) == 20
    drawn = {tuple(pair) for epoch in epochs for pair in epoch}
    assert drawn == {(copy, number) for copy in range(3) for number in range(10)}


def test_labels_follow_their_slices():
    for batch, labels in feature_dataset(numbered(), batch_size=4, training=True):
        np.testing.assert_array_equal(labels[:, 0], batch[:, 1] % 2)


def test_equal_seeds_give_equal_epochs_counted_by_iterations_begun():
    first, second, resumed, other = (
        feature_dataset(numbered(), batch_size=4, training=True, seed=seed) for seed in (7, 7, 7, 8)
    )
    expected = np.array(epochs_of(first, 3))
    np.testing.assert_array_equal(epochs_of(second, 3), expected)
    for _ in range(2):
        next(iter(resumed))
    np.testing.assert_array_equal(epochs_of(resumed, 1)[0], expected[2])
    assert not np.array_equal(epochs_of(other, 1)[0], expected[0])


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="`batch_size` must be >= 1. Received: 0"):
        feature_dataset(numbered(), batch_size=0)


def test_a_head_trained_on_features_is_what_plain_fit_makes_of_it(records, tmp_path):
    """Same order, same dropout: the two ways end in the same model."""
    config = FitConfig(epochs=3, learning_rate=1e-2, seed=4)
    options = {"config": config, "loss": "binary_crossentropy", "metrics": ["accuracy"]}
    train, val = (0, 1, 2, 3), (4, 5)

    def images(folds, *, training=False):
        shape = {"task": Task.DETECT, "image_size": SIZE, "batch_size": 8}
        return make_dataset(records, folds=folds, training=training, seed=4, **shape)

    plain, ours = tiny_classifier(), tiny_classifier()
    expected = fit(
        plain, images(train, training=True), images(val), run_dir=tmp_path / "plain", **options
    )
    extractor, head = split_head(ours)
    found = fit(
        head,
        feature_dataset(
            extract(records, train, extractor=extractor), batch_size=8, training=True, seed=4
        ),
        feature_dataset(extract(records, val, extractor=extractor), batch_size=8),
        run_dir=tmp_path / "ours",
        **options,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    batch = slices_of(records, val)[0]
    np.testing.assert_allclose(
        ours.predict(batch, verbose=0), plain.predict(batch, verbose=0), atol=1e-3
    )


@pytest.mark.slow
def test_benchmark_prints_both_ways(tmp_path, capsys):
    benchmark = pytest.importorskip("benchmarks.frozen_features")
    tree = write_tree(tmp_path / "tree", none=30, ischemia=15, hemorrhage=15)
    records = tmp_path / "records"  # with both labels in every fold
    build_tfrecords(Conversion(data=tree, out=records, size=SIZE, jobs=1))
    benchmark.main(benchmark.Settings(records=records, size=SIZE, epochs=1))
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["n"] == 60
    assert result["auc"] == pytest.approx(result["auc_plain"], abs=0.02)
    assert min(result["ours"], result["other"], result["ratio"]) > 0
