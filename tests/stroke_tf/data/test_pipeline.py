import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.config import BRAIN, THREE_WINDOWS, AugmentStrength
from stroke_tf.data import augment_batch, make_dataset, named_batches
from stroke_tf.data.rendering import gray_to_rgb, window_hu
from stroke_tf.data.upright import turn_mask, upright_views
from stroke_tf.labels import StrokeType, Task
from stroke_tf.records import HU_OFFSET
from stroke_tf.square import fit_mask, fit_square


def dataset(records, **options) -> tf.data.Dataset:
    defaults = {"folds": (0, 1), "task": Task.DETECT, "image_size": 16, "batch_size": 4}
    return make_dataset(records, **(defaults | options))


def ids(batches) -> list[list[str]]:
    return [[name.decode() for name in batch[2]["source_id"].numpy()] for batch in batches]


def numpy_epoch(batches) -> list[np.ndarray]:
    return [np.concatenate(parts) for parts in zip(*batches.as_numpy_iterator(), strict=True)]


def numpy_epoch_with_ids(batches) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    parts = [(images, labels, known["source_id"]) for images, labels, known in batches]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def test_detect_gives_every_slice_in_order_as_rgb_and_its_label(gray_records, gray_image):
    images, labels = numpy_epoch(dataset(gray_records, folds=(1, "stage1")))
    assert (images.dtype, labels.dtype) == (np.uint8, np.float32)
    np.testing.assert_array_equal(labels, [[0], [1], [1], [1], [0], [1]])
    numbers = [10, 11, 12, 13, 14, 40]
    expected = [np.repeat(gray_image(number)[..., None], 3, -1) for number in numbers]
    np.testing.assert_array_equal(images, expected)


def test_type_gives_ischaemia_0_and_haemorrhage_1_alone(gray_records):
    *_, labels = numpy_epoch(dataset(gray_records, folds=(1, 3), task=Task.TYPE))
    np.testing.assert_array_equal(labels, [[0], [1], [1]])


@pytest.mark.parametrize(("lesions_only", "classes"), [(False, [0, 1, 2, 0]), (True, [1, 2])])
def test_segment_gives_masks_where_they_are_known(gray_records, lesion_mask, lesions_only, classes):
    batches = dataset(gray_records, folds=(1,), task=Task.SEGMENT, lesions_only=lesions_only)
    images, masks = numpy_epoch(batches)
    assert masks.dtype == np.uint8
    assert images.shape == (len(classes), 16, 16, 3)
    np.testing.assert_array_equal(masks[..., 0], [lesion_mask(class_id) for class_id in classes])


@pytest.mark.parametrize("task", Task)
def test_the_shapes_and_the_length_are_known_beforehand(gray_records, task):
    batches = dataset(gray_records, folds=(0, 1, 2), task=task, batch_size=2)
    image, label = batches.element_spec
    assert image == tf.TensorSpec((None, 16, 16, 3), tf.uint8)
    if task == Task.SEGMENT:
        assert label == tf.TensorSpec((None, 16, 16, 1), tf.uint8)
    else:
        assert label == tf.TensorSpec((None, 1), tf.float32)
    assert len(batches) == sum(1 for _ in batches) == {"detect": 8, "type": 5, "segment": 6}[task]


def test_ids_say_what_each_slice_is(gray_records):
    (*_, batch), *_ = dataset(gray_records, with_ids=True, training=True)
    assert {key: value.dtype.name for key, value in batch.items()} == {
        "source_id": "string",
        "group_id": "string",
        "height": "int64",
        "width": "int64",
        "stroke_type": "int64",
    }
    assert batch["height"].numpy().tolist() == [16] * 4
    assert batch["width"].numpy().tolist() == [17] * 4
    place = {b"0": 0, b"1": 1, b"2": 2, b"3": 2, b"4": 0}
    names = batch["source_id"].numpy()
    assert batch["group_id"].numpy().tolist() == [b"group-" + name for name in names]
    assert batch["stroke_type"].numpy().tolist() == [place[name[-1:]] for name in names]


def test_training_shuffles_all_folds_anew_in_each_epoch(gray_records):
    batches = dataset(gray_records, training=True, with_ids=True)
    first, second = ids(batches), ids(batches)
    in_order = ids(dataset(gray_records, with_ids=True))
    assert first != second
    assert sorted(sum(first, [])) == sorted(sum(second, [])) == sorted(sum(in_order, []))
    assert {name[1:-1] for name in first[0] + first[1]} == {"", "1"}


def test_images_labels_and_ids_stay_together_when_shuffled(gray_records, gray_image):
    batches = dataset(gray_records, folds=(0, 1, 2), training=True, with_ids=True)
    for images, labels, known in batches:
        for image, label, name in zip(images, labels, known["source_id"].numpy(), strict=True):
            np.testing.assert_array_equal(image[..., 0], gray_image(int(name[1:])))
            assert label[0] == (name[-1:] in b"123")


def test_equal_seeds_give_equal_epochs_whatever_the_global_seed(gray_records):
    options = {"training": True, "augment": AugmentStrength(), "task": Task.SEGMENT, "seed": 1}
    epochs = []
    for global_seed in (3, 4):
        keras.utils.set_random_seed(global_seed)
        batches = dataset(gray_records, **options)
        epochs.append([numpy_epoch(batches) for _ in range(2)])
    for first, again in zip(*epochs, strict=True):
        for part, part_again in zip(first, again, strict=True):
            np.testing.assert_array_equal(part, part_again)
    assert not np.array_equal(epochs[0][0][0], epochs[0][1][0])


def test_another_seed_gives_another_order(gray_records):
    orders = [
        ids(dataset(gray_records, training=True, with_ids=True, seed=seed)) for seed in (0, 1)
    ]
    assert orders[0] != orders[1]


def test_augmentations_differ_from_epoch_to_epoch_and_batch_to_batch(gray_records):
    batches = dataset(gray_records, augment=AugmentStrength(), batch_size=5, folds=(0, 1))
    plain = numpy_epoch(dataset(gray_records, folds=(0, 1)))[0].astype(int)
    first, second = (numpy_epoch(batches)[0] for _ in range(2))
    assert not np.array_equal(first, second)
    brightness = AugmentStrength(rotation_deg=0, contrast=0, brightness=0.1, mirror=0, roi=0)
    brighter = numpy_epoch(dataset(gray_records, augment=brightness, batch_size=5))[0]
    added = [
        np.unique((after - before)[(before > 30) & (before < 225)])
        for before, after in zip(plain, brighter, strict=True)
    ]
    assert all(len(values) == 1 for values in added)  # one shift a slice, in whole grey values
    assert len({int(values[0]) for values in added}) > 5


def test_augmented_grey_is_the_same_in_all_channels_and_in_range(gray_records):
    images, _ = numpy_epoch(dataset(gray_records, augment=AugmentStrength(contrast=0.9)))
    np.testing.assert_array_equal(images[..., :1], images[..., 1:2])
    np.testing.assert_array_equal(images[..., :1], images[..., 2:])
    assert 0 <= images.min() and images.max() <= 255


def test_windows_by_hand():
    hu = np.array([-1000, 0, 20, 40, 80, 1000], np.int16)[None, None, :, None]
    gray = window_hu(hu, ((40, 80), (80, 200)))
    assert gray.dtype == np.uint8
    # 63.75 and 127.5; 25.5, 76.5 and 127.5: halves go to the even number.
    np.testing.assert_array_equal(gray[0, 0, :, 0], [0, 0, 64, 128, 255, 255])
    np.testing.assert_array_equal(gray[0, 0, :, 1], [0, 26, 51, 76, 128, 255])


def test_hu_slices_are_windowed_and_8_bit_slices_left_alone(mixed_records, hu_image, gray_image):
    images, _ = numpy_epoch(dataset(mixed_records, folds=(0,)))
    hu = hu_image(0).astype(float) - HU_OFFSET
    for channel, (centre, width) in enumerate(THREE_WINDOWS):
        expected = np.clip((hu - (centre - width / 2)) * 255 / width, 0, 255).round()
        np.testing.assert_array_equal(images[0, ..., channel], expected)
        np.testing.assert_array_equal(images[1, ..., channel], gray_image(1))


@pytest.mark.parametrize("fold", [0, 1])
def test_one_window_fills_all_channels(mixed_records, hu_image, fold):
    images, _ = numpy_epoch(dataset(mixed_records, folds=(fold,), windows=(BRAIN,)))
    hu = hu_image(2 * fold).astype(float) - HU_OFFSET
    expected = np.repeat(np.clip(hu * 255 / 80, 0, 255).round()[..., None], 3, -1)
    np.testing.assert_array_equal(images[0], expected)


def test_folds_of_hu_alone_give_the_same_as_among_8_bit_slices(mixed_records):
    both, _ = numpy_epoch(dataset(mixed_records, folds=(0, 1)))
    alone, _ = numpy_epoch(dataset(mixed_records, folds=(1,)))
    np.testing.assert_array_equal(both[2:], alone)


def test_neighbours_are_the_channels_and_the_ends_of_a_series_repeat(series_records, gray_image):
    images, _ = numpy_epoch(dataset(series_records, folds=(0,), view="neighbours"))
    order = {"p-10": (1, 2, 3), "p-11": (2, 3, 3), "p-9": (1, 1, 2), "q-1": (4, 4, 4)}
    expected = [np.stack([gray_image(n) for n in around], -1) for around in order.values()]
    np.testing.assert_array_equal(images, expected)


def test_neighbours_stay_together_when_shuffled_and_augmented(series_records, gray_image):
    options = {"folds": (0,), "view": "neighbours", "training": True, "augment": STILL}
    batches = dataset(series_records, **options, with_ids=True)
    images, _, known = numpy_epoch_with_ids(batches)
    middle = {b"p-9": 1, b"p-10": 2, b"p-11": 3, b"q-1": 4}
    for image, name in zip(images, known, strict=True):
        np.testing.assert_array_equal(image[..., 1], gray_image(middle[name]))


def test_neighbours_of_hu_slices_are_windowed_alike(series_hu_records, hu_image):
    options = {"folds": (0,), "view": "neighbours", "windows": (BRAIN,)}
    images, _ = numpy_epoch(dataset(series_hu_records, **options))
    plain, _ = numpy_epoch(dataset(series_hu_records, folds=(0,), windows=(BRAIN,)))
    np.testing.assert_allclose(images[1], np.stack([plain[i][..., 0] for i in (0, 1, 1)], -1))


def test_neighbours_are_refused_where_a_series_is_not_whole(series_records, tmp_path):
    with pytest.raises(
        ValueError, match="needs every slice of a series. Received: 0 of 4 slices for task type"
    ):
        dataset(series_records, folds=(0,), view="neighbours", task=Task.TYPE)
    unknown = shutil.copytree(series_records, tmp_path / "unknown")
    text = (unknown / "manifest.json").read_text()
    (unknown / "manifest.json").write_text(text.replace('"patient"', '"near-duplicate"'))
    with pytest.raises(ValueError, match="known patients.*are whole.*groups by near-duplicate"):
        dataset(unknown, folds=(0,), view="neighbours")


STILL = AugmentStrength(rotation_deg=0, contrast=0, brightness=0, mirror=0, roi=0)


def head_image(turn: float, brain: int) -> np.ndarray:
    image = np.zeros((40, 40), np.uint8)
    for grey, axes in ((255, (22, 30)), (brain, (18, 26))):
        cv2.ellipse(image, ((20, 20), axes, turn), grey, -1)
    return image


@pytest.fixture(scope="module")
def head_folder(write_records, make_record, tmp_path_factory):
    """Slices s0 to s3 of 40 pixels, each of a patient of its own; s3 is stored in HU."""
    images = [head_image(15 * number, 90 + 10 * number) for number in range(4)]
    hu = np.round(images[3] * 80 / 255).astype(np.uint16) + HU_OFFSET
    types = (StrokeType.NONE, StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE, StrokeType.HEMORRHAGE)
    records = [
        make_record(f"s{number}", 0, kind, image, None)
        for number, (kind, image) in enumerate(zip(types, [*images[:3], hu], strict=True))
    ]
    return write_records(tmp_path_factory.mktemp("heads"), records, size=40)


def expected_heads() -> np.ndarray:
    # The brain window of the HU slice, centre 40 and width 80, takes HU 0 to 80 to 0 to 255.
    images = [head_image(15 * number, 90 + 10 * number) for number in range(4)]
    images[3] = np.round(np.round(images[3] * 80 / 255) * 255 / 80).astype(np.uint8)
    return upright_views(np.stack(images), list("abcd"), size=32)


def heads_of(folder, **options) -> tf.data.Dataset:
    # Slices are decoded a quarter larger than the view: at 40 pixels, as they are stored.
    return dataset(folder, folds=(0,), view="upright", image_size=32, **options)


def test_heads_are_the_channels_whether_stored_grey_or_in_hu(head_folder):
    images, labels = numpy_epoch(heads_of(head_folder))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, expected_heads())
    np.testing.assert_array_equal(labels, [[0], [1], [1], [1]])


def test_heads_of_types_are_those_of_lesion_slices_and_stay_with_their_labels(head_folder):
    options = {"task": Task.TYPE, "training": True, "augment": STILL, "with_ids": True}
    images, labels, names = numpy_epoch_with_ids(heads_of(head_folder, **options))
    assert sorted(names) == [b"s1", b"s2", b"s3"]
    for image, label, name in zip(images, labels, names, strict=True):
        np.testing.assert_allclose(image, expected_heads()[int(name[1:])], atol=1e-3)
        assert label[0] == (name != b"s1")


@pytest.fixture(scope="module")
def turned_lesion(write_records, make_record, tmp_path_factory):
    """A slice of 40 pixels, its head turned, with a bright lesion, and its mask."""
    image, mask = head_image(15, 100), np.zeros((40, 40), np.uint8)
    cv2.circle(mask, (24, 16), 4, 2, -1)
    image[mask > 0] = 180
    record = make_record("s0", 0, StrokeType.HEMORRHAGE, image, mask)
    folder = write_records(tmp_path_factory.mktemp("lesion"), [record], size=40)
    return folder, image, mask


def test_masks_go_with_heads_seen_upright(turned_lesion):
    folder, image, _ = turned_lesion
    images, masks = numpy_epoch(heads_of(folder, task=Task.SEGMENT))
    np.testing.assert_array_equal(images, upright_views(image[None], ["a"], size=32))
    assert masks.shape == (1, 32, 32, 1)
    lesion = images[0, ..., 0][masks[0, ..., 0] == 2]
    assert len(lesion) > 30
    assert lesion.mean() > 160  # of 180, in a brain of 100


def test_slices_seen_upright_are_known_as_they_lie(turned_lesion):
    folder, image, mask = turned_lesion
    (batch,) = named_batches(heads_of(folder, task=Task.SEGMENT, with_ids=True))
    np.testing.assert_array_equal(batch.labels[0, ..., 0], fit_mask(mask, size=32))
    np.testing.assert_array_equal(batch.shown[0, ..., 0], fit_square(image, size=32))
    there = turn_mask(fit_mask(mask, size=32), batch.moves[0], size=32)
    _, masks = numpy_epoch(heads_of(folder, task=Task.SEGMENT))
    np.testing.assert_array_equal(there, masks[0, ..., 0])


def test_slices_come_patient_by_patient_in_their_order(series_records):
    batches = dataset(series_records, folds=(0,), with_ids=True, in_series=True)
    assert ids(batches) == [["p-9", "p-10", "p-11", "q-1"]]
    with pytest.raises(ValueError, match="`in_series` must be False in training"):
        dataset(series_records, folds=(0,), in_series=True, training=True)
    with pytest.raises(ValueError, match="`in_series` needs every slice.*Received: 0 of 4"):
        dataset(series_records, folds=(0,), in_series=True, task=Task.TYPE)


def test_unknown_views_list_the_known(gray_records):
    with pytest.raises(ValueError, match="'windows', 'neighbours', 'upright'.*Received: 'body'"):
        dataset(gray_records, view="body")


def negatives_and_positives(batches) -> tuple[list[str], list[str]]:
    images, labels, names = numpy_epoch_with_ids(batches)
    assert len(images) == len(names)
    return tuple(sorted(names[labels[:, 0] == label]) for label in (0, 1))


@pytest.mark.parametrize(("ratio", "kept"), [(0.5, 5), (1, 9), (7, 9)])
def test_an_epoch_has_all_positives_and_so_many_negatives(gray_records, ratio, kept):
    options = {"folds": (0, 1, 2, 3), "training": True, "with_ids": True}
    batches = dataset(gray_records, negatives_per_positive=ratio, **options)
    everything = negatives_and_positives(dataset(gray_records, **options))
    assert [len(part) for part in everything] == [9, 9]
    seen = set()
    for _ in range(8):
        negatives, positives = negatives_and_positives(batches)
        assert positives == everything[1]
        assert len(set(negatives)) == len(negatives) == kept
        seen |= set(negatives)
    assert seen == set(everything[0])  # drawn anew: 8 epochs of 5 leave one out by a chance of 1 %
    assert len(batches) == sum(1 for _ in batches) == -(-(9 + kept) // 4)


def test_negatives_are_drawn_for_masks_as_for_detection(gray_records):
    def types(**drawn):
        options = {"folds": (0, 1, 2, 3), "training": True, "with_ids": True, "task": Task.SEGMENT}
        batches = dataset(gray_records, **options, **drawn)
        return [kind for *_, known in batches for kind in known["stroke_type"].numpy().tolist()]

    everything, drawn = types(), types(negatives_per_positive=0.5)
    lesions = sorted(kind for kind in everything if kind)
    assert sorted(kind for kind in drawn if kind) == lesions
    assert drawn.count(0) == -(-len(lesions) // 2) < everything.count(0)


def test_negatives_depend_on_the_seed_alone(gray_records):
    def epochs(seed):
        options = {"folds": (0, 1, 2, 3), "training": True, "with_ids": True, "seed": seed}
        batches = dataset(gray_records, negatives_per_positive=0.5, **options)
        return [ids(batches) for _ in range(2)]

    first = epochs(0)
    assert first == epochs(0) != epochs(1)
    assert first[0] != first[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"training": False}, "above 0 in training. Received: 1, training False"),
        ({"negatives_per_positive": 0}, "above 0 .* Received: 0, training True"),
        ({"folds": (3,)}, "needs a slice with label 1. Received: none"),
    ],
)
def test_negatives_are_drawn_in_training_alone(gray_records, options, message):
    with pytest.raises(ValueError, match=message):
        dataset(gray_records, **{"training": True, "negatives_per_positive": 1, **options})


def test_small_lesions_come_more_often(write_records, make_record, tmp_path):
    image, records = np.zeros((16, 16), np.uint8), []
    for number, side in enumerate((2, 8)):
        mask = np.zeros((16, 16), np.uint8)
        mask[:side, :side] = 2
        records.append(make_record(f"lesion-{number}", 0, StrokeType.HEMORRHAGE, image, mask))
    folder = write_records(tmp_path / "records", records, size=16)
    options = {"folds": (0,), "training": True, "task": Task.SEGMENT, "with_ids": True}
    batches = dataset(folder, **options, small_lesions=0.5)
    drawn = [name for _ in range(50) for (name,) in ids(batches.unbatch().batch(1))]
    # Of areas 4 and 64 the roots are 2 and 8: four times as often, two an epoch.
    assert len(drawn) == 100
    assert drawn.count("lesion-0") == pytest.approx(80, abs=10)
    for wrong in ({"small_lesions": -1}, {"small_lesions": 1, "training": False}):
        with pytest.raises(ValueError, match="`small_lesions` must be 0, or above it in training"):
            dataset(folder, **options | wrong)


def test_gray_to_rgb_repeats_exactly():
    rgb = gray_to_rgb(np.array([[[7]], [[255]]], np.uint8))
    np.testing.assert_array_equal(rgb, [[[7, 7, 7]], [[255, 255, 255]]])


@pytest.mark.parametrize("task", [Task.DETECT, Task.SEGMENT])
def test_what_is_augmented_is_what_augment_batch_gives(gray_records, task):
    strength = AugmentStrength(rotation_deg=30, contrast=0.4, brightness=0.2, mirror=0.5, roi=0.3)
    options = {"folds": (0, 1), "task": task, "batch_size": 5, "training": True, "seed": 3}
    images, labels = numpy_epoch(dataset(gray_records, **options))
    augmented, augmented_labels = numpy_epoch(dataset(gray_records, augment=strength, **options))
    random = np.random.default_rng((3, 0))  # as an epoch draws: first the order, then the seeds
    random.permutation(len(images))
    seeds = random.integers(2**31, size=(len(images) // 5, 2), dtype=np.int32)
    masks = labels if task == Task.SEGMENT else None
    for number, seed in enumerate(seeds):
        part = slice(5 * number, 5 * number + 5)
        expected, moved = augment_batch(
            tf.constant(images[part]), None if masks is None else masks[part], strength, seed
        )
        np.testing.assert_array_equal(augmented[part], expected)
        np.testing.assert_array_equal(
            augmented_labels[part], labels[part] if moved is None else moved
        )


def test_batches_kept_by_the_reader_are_not_written_to_again(gray_records):
    batches = dataset(gray_records, task=Task.SEGMENT, batch_size=2)
    kept = [
        (images, masks, images.numpy().copy(), masks.numpy().copy()) for images, masks in batches
    ]
    for _ in range(3):
        numpy_epoch(batches)
    for images, masks, images_then, masks_then in kept:
        np.testing.assert_array_equal(images, images_then)
        np.testing.assert_array_equal(masks, masks_then)


def test_batches_can_be_changed_without_changing_the_next_epoch(gray_records):
    batches = dataset(gray_records, task=Task.SEGMENT)
    expected = numpy_epoch(batches)
    for images, masks in batches:
        images.numpy()[...] = 7
        masks.numpy()[...] = 7
    for part, part_expected in zip(numpy_epoch(batches), expected, strict=True):
        np.testing.assert_array_equal(part, part_expected)


def test_keras_trains_on_it_and_ends_its_epochs(gray_records):
    model = keras.Sequential(
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy")
    training = dataset(gray_records, training=True, augment=AugmentStrength())
    validation = dataset(gray_records, folds=(2,))
    # Keras would warn that it cannot shuffle a data set.
    history = model.fit(training, validation_data=validation, epochs=2, verbose=0, shuffle=False)
    assert model.optimizer.iterations == 2 * len(training) == 6
    assert len(history.history["val_loss"]) == 2


@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_test_sessions_are_never_trained_on(gray_records, stage):
    with pytest.raises(ValueError, match=rf"never trained on. Received: \['{stage}'\]"):
        dataset(gray_records, folds=(0, stage), training=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windows": THREE_WINDOWS[:2]}, "`windows` must be one or three"),
        ({"windows": ((40, 0),)}, r"of a width > 0. Received: \(\(40, 0\),\)"),
        ({"image_size": 0}, "`image_size` must be >= 1. Received: 0"),
        ({"batch_size": 0}, "`batch_size` must be >= 1. Received: 0"),
        ({"folds": (0, 7)}, r"folds must be different ones of .*Received: \[0, 7\]"),
        ({"folds": ()}, r"folds \[\] must hold a slice for task detect"),
        (
            {"folds": (3,), "task": Task.TYPE},
            r"folds \[3\] must .* task type. Received: 0; slices are in \[",
        ),
        (
            {"folds": (3,), "task": Task.SEGMENT, "lesions_only": True},
            r"folds \[3\] must hold a slice for task segment with lesions only",
        ),
    ],
)
def test_a_wrong_choice_is_named(gray_records, options, message):
    with pytest.raises(ValueError, match=message):
        dataset(gray_records, **options)


def test_converted_real_slices_come_out_as_they_were(open_data: Path, tmp_path: Path):
    from data_tools.conversion import build_tfrecords
    from data_tools.options import Conversion

    source = open_data / "open_stroke_ct"
    build_tfrecords(Conversion(data=source, out=tmp_path / "records", jobs=2))
    options = {"folds": (0, 1), "image_size": 512, "batch_size": 8, "with_ids": True}
    for images, masks, known in dataset(tmp_path / "records", task=Task.SEGMENT, **options):
        for image, mask, name in zip(images, masks, known["source_id"].numpy(), strict=True):
            (picture,) = source.glob(f"TRAINING/*/PNG/{name.decode()}.png")
            expected = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
            np.testing.assert_array_equal(image[..., 1], expected)
            class_id = {"INMEYOK": 0, "ISKEMI": 1, "KANAMA": 2}[picture.parent.parent.name]
            assert set(np.unique(mask)) == {0, class_id}
