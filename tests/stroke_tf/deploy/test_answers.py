import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf import load_model, predict_masks, predict_scores
from stroke_tf.evaluation.mask_rule import MaskRule, apply_mask_rule
from stroke_tf.inference import Predictor
from stroke_tf.reading.dicom import read_dicom

SIZE = 32


@keras.saving.register_keras_serializable("test")
class GreyIsLesion(keras.layers.Layer):
    """Haemorrhage as likely as a pixel is bright; or, of more than one channel, ischaemia too."""

    def call(self, images):
        first, last = images[..., :1] / 255, images[..., -1:] / 255
        return keras.ops.concatenate([1 - first, first - last / 2, last / 2], axis=-1)


@pytest.fixture(scope="module")
def bright():
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), GreyIsLesion()])


def picture(height, width, *, top, left, side):
    image = np.zeros((height, width), np.uint8)
    image[top : top + side, left : left + side] = 255
    return image


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


SIZES = [(32, 32), (31, 33), (1, 5), (47, 101), (128, 64), (513, 511)]


@pytest.mark.parametrize("rule", [None, MaskRule(0.3, min_area_px=2)])
def test_masks_have_the_size_of_their_slice(bright, rule):
    images = [np.random.default_rng(0).integers(0, 256, size).astype(np.uint8) for size in SIZES]
    masks = predict_masks(bright, images, rule=rule, batch_size=4)
    assert [mask.shape for mask in masks] == SIZES
    assert all(mask.dtype == np.uint8 and mask.max() <= 2 for mask in masks)


@pytest.mark.parametrize(("height", "width"), [(48, 96), (97, 61), (20, 27), (64, 64)])
def test_masks_lie_where_the_slice_shows_something(bright, height, width):
    image = picture(height, width, top=height // 4, left=width // 2, side=height // 3)
    (mask,) = predict_masks(bright, [image], rule=MaskRule(0.5))
    assert dice(mask > 0, image > 0) > 0.9


def test_slices_of_the_models_size_are_only_passed_through():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 64), keras.layers.Conv2D(3, 3, padding="same")]
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *layers, keras.layers.Softmax()])
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE)).astype(np.uint8)
    rgb = tf.constant(np.stack([images] * 3, axis=-1).astype(np.float32))
    for rule in (None, MaskRule(0.6, min_area_px=9)):
        expected = apply_mask_rule(Predictor(model).probs(rgb), rule)
        np.testing.assert_array_equal(predict_masks(model, list(images), rule=rule), expected)


def test_air_around_a_slice_is_no_place_for_a_lesion(bright):
    white = np.full((10, 40), 255, np.uint8)
    assert (predict_masks(bright, [white])[0] > 0).all()
    hu = np.full((40, 10), 3000, np.int16)
    assert (predict_masks(bright, [hu])[0] > 0).all()


def test_slices_in_hu_are_seen_through_windows(bright):
    hu = np.array([[-1000, 0, 40, 80, 3000]] * 5, np.int16)
    (mask,) = predict_masks(bright, [hu], windows=((40.0, 80.0),), rule=MaskRule(0.9))
    assert (mask > 0).tolist() == [[False, False, False, True, True]] * 5
    (third,) = predict_masks(bright, [hu], windows=((40.0, 80.0), (80.0, 200.0), (32.0, 8.0)))
    assert third[0, 0] == 0
    assert third[0, 4] > 0


def test_the_smallest_area_is_in_pixels_of_the_models_input(bright):
    image = picture(4 * SIZE, 4 * SIZE, top=40, left=40, side=20)  # 5 x 5 at the model's input
    (kept,) = predict_masks(bright, [image], rule=MaskRule(0.5, min_area_px=20))
    (dropped,) = predict_masks(bright, [image], rule=MaskRule(0.5, min_area_px=30))
    assert kept.any()
    assert not dropped.any()


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), np.zeros((0, 4), np.uint8)],
)
def test_other_arrays_are_refused(bright, image):
    with pytest.raises(ValueError, match="slices must be uint8 grey or int16 HU"):
        predict_masks(bright, [image])


@pytest.mark.parametrize(
    ("shape", "head"),
    [
        ((None, None, 3), GreyIsLesion()),
        ((32, 64, 3), GreyIsLesion()),
        ((32, 32, 3), keras.layers.GlobalAveragePooling2D()),
        ((32, 32, 3), keras.layers.Conv2D(1, 1)),
    ],
)
def test_models_that_do_not_segment_squares_are_refused(shape, head):
    model = keras.Sequential([keras.Input(shape), head])
    with pytest.raises(ValueError, match="must have a fixed square input of 3 channels"):
        predict_masks(model, [np.zeros((4, 4), np.uint8)])


def test_a_joint_network_gives_its_mask_and_what_it_says_of_the_slice():
    images = keras.Input((SIZE, SIZE, 3))
    mask = GreyIsLesion()(images)
    left = keras.layers.Cropping2D(((0, 0), (0, SIZE // 2)))(mask)
    outputs = {"mask": mask, "slice": keras.layers.GlobalAveragePooling2D()(left)}
    joint = keras.Model(images, outputs)
    (drawn,) = predict_masks(joint, [picture(31, 33, top=8, left=4, side=9)])
    alone = keras.Model(images, mask)
    expected = predict_masks(alone, [picture(31, 33, top=8, left=4, side=9)])[0]
    np.testing.assert_array_equal(drawn, expected)
    assert drawn.any()


def test_one_slice_gives_one_mask_and_files_are_taken_as_arrays(bright, tmp_path):
    image = picture(40, 30, top=5, left=6, side=20)
    paths = [tmp_path / "a.png", tmp_path / "b.jpg"]
    for path in paths:
        cv2.imwrite(str(path), image)
    one = predict_masks(bright, image)
    assert one.shape == image.shape
    assert one.any()
    np.testing.assert_array_equal(predict_masks(bright, str(paths[0])), one)
    several = predict_masks(bright, [paths[0], image, paths[1]])
    assert len(several) == 3
    np.testing.assert_array_equal(several[0], several[1])
    assert dice(several[2] > 0, one > 0) > 0.95


def test_a_dicom_file_gives_the_mask_of_its_hu(bright, open_data):
    path = next(iter(sorted((open_data / "dicom_ge_head").rglob("*.dcm"))))
    hu = read_dicom(path.read_bytes(), name=path.name, key=b"test").hu
    np.testing.assert_array_equal(predict_masks(bright, path), predict_masks(bright, hu))


def test_scores_of_one_slice_or_several(runs, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    model = load_model(runs.detect)
    one = predict_scores(model, tmp_path / "a.png")
    assert one.keys() == {"stroke", "stroke_calibrated"}
    assert predict_scores(model, [image])[0] == pytest.approx(one)
    (network,) = model.networks
    assert predict_scores(network, image)["stroke"] == pytest.approx(one["stroke"])


def test_masks_that_detect_give_scores_too(runs):
    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
    assert predict_scores(load_model(runs.top), image).keys() == {"stroke", "stroke_calibrated"}


def test_a_model_is_asked_for_what_it_can_give(runs):
    image = np.zeros((SIZE, SIZE), np.uint8)
    with pytest.raises(ValueError, match="`model` must give scores of slices"):
        predict_scores(load_model(runs.segment), image)
    with pytest.raises(ValueError, match="`model` must give 3 classes for each pixel"):
        predict_masks(load_model(runs.detect), image)


def test_a_file_that_is_no_slice_is_named(bright, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match="notes.txt"):
        predict_masks(bright, tmp_path / "notes.txt")
    with pytest.raises(FileNotFoundError, match="missing.png"):
        predict_masks(bright, tmp_path / "missing.png")
