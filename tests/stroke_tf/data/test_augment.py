import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.config import AugmentStrength
from stroke_tf.data.augment import AUGMENTATIONS, Augmentation, augment_batch

SEED = tf.constant([7, 11], tf.int32)
NONE = AugmentStrength(rotation_deg=0, contrast=0, brightness=0, mirror=0, roi=0)
PAPER = AugmentStrength(rotation_deg=45, contrast=0.5, brightness=0.3, mirror=0.5, roi=0.5)
STRONG = dataclasses.replace(PAPER, gamma=0.5, noise=0.1, elastic=0.1)
ALL = AUGMENTATIONS | {"all": augment_batch}
GEOMETRIC = ["rotate", "mirror", "roi", "elastic", "all"]


def strength(**values: float) -> AugmentStrength:
    return dataclasses.replace(NONE, **values)


def batch(count: int = 6, height: int = 12, width: int = 16) -> tuple[tf.Tensor, tf.Tensor]:
    random = np.random.default_rng(0)
    images = random.uniform(0, 255, (count, height, width, 3)).astype(np.float32)
    masks = random.integers(0, 3, (count, height, width, 1)).astype(np.uint8)
    return tf.constant(images), tf.constant(masks)


@pytest.mark.parametrize("name", ALL)
def test_strength_0_is_the_identity(name):
    images, masks = batch()
    new_images, new_masks = ALL[name](images, masks, NONE, SEED)
    np.testing.assert_allclose(new_images, images, atol=1e-3)
    np.testing.assert_array_equal(new_masks, masks)


@pytest.mark.parametrize("name", ALL)
def test_every_slice_of_a_batch_is_changed_by_itself(name):
    image, mask = (part[:1] for part in batch())
    images, _ = ALL[name](tf.repeat(image, 8, 0), tf.repeat(mask, 8, 0), STRONG, SEED)
    distinct = {slice_.tobytes() for slice_ in images.numpy()}
    assert len(distinct) == (2 if name == "mirror" else 8)


@pytest.mark.parametrize("name", ALL)
def test_values_shapes_and_types_are_kept(name):
    images, masks = batch()
    new_images, new_masks = ALL[name](images, masks, STRONG, SEED)
    assert new_images.shape == images.shape and new_images.dtype == tf.float32
    assert new_masks.shape == masks.shape and new_masks.dtype == tf.uint8
    assert 0 <= new_images.numpy().min() and new_images.numpy().max() <= 255
    assert set(np.unique(new_masks)) <= {0, 1, 2}


@pytest.mark.parametrize("name", ALL)
def test_the_same_inside_map_as_eagerly(name):
    images, masks = batch()
    eager = ALL[name](images, masks, STRONG, SEED)
    dataset = tf.data.Dataset.from_tensors((images, masks)).map(
        lambda images, masks: ALL[name](images, masks, STRONG, SEED)
    )
    assert [part.shape[1:] for part in dataset.element_spec] == [(12, 16, 3), (12, 16, 1)]
    for mapped, expected in zip(dataset.get_single_element(), eager, strict=True):
        np.testing.assert_allclose(mapped, expected, atol=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_the_seed_decides(name):
    images, masks = batch()
    first, again = (ALL[name](images, masks, STRONG, SEED)[0].numpy() for _ in range(2))
    other = ALL[name](images, masks, STRONG, SEED + 1)[0].numpy()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ALL)
def test_images_without_masks_change_alike(name):
    images, masks = batch()
    with_masks, _ = ALL[name](images, masks, STRONG, SEED)
    alone, no_masks = ALL[name](images, None, STRONG, SEED)
    assert no_masks is None
    np.testing.assert_array_equal(alone, with_masks)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_image_and_mask_move_together(name):
    # Each pixel of the image says where it is, so it says which class the moved mask must have.
    rows, columns = np.mgrid[:48, :60].astype(np.float32)
    image = np.stack([4 * rows, 4 * columns, np.full_like(rows, 255)], axis=-1)
    mask = np.random.default_rng(0).integers(0, 3, (48, 60, 1)).astype(np.uint8)
    values = dataclasses.replace(STRONG, contrast=0, brightness=0, gamma=0, noise=0)
    images, masks = ALL[name](
        tf.constant(np.tile(image, (8, 1, 1, 1))),
        tf.constant(np.tile(mask, (8, 1, 1, 1))),
        values,
        SEED,
    )
    places = images.numpy()[..., :2] / 4
    inside = images.numpy()[..., 2] > 254.99
    certain = inside & (np.abs(places % 1 - 0.5) > 0.01).all(axis=-1)
    row, column = np.floor(places[certain] + 0.5).astype(int).T
    np.testing.assert_array_equal(masks.numpy()[certain], mask[row, column])
    assert certain.mean() > 0.6
    assert not np.array_equal(masks[0], masks[1])


@pytest.mark.parametrize("size", [192, 191])
@pytest.mark.parametrize("name", GEOMETRIC)
def test_a_disc_and_its_mask_keep_one_centre(name, size):
    # The disc's edge falls off over a pixel, about where the mask ends.
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    distance = np.hypot(rows - 15.3, columns + 12.2)
    disc = (200 * (34.5 - distance).clip(0, 1)).round().astype(np.uint8)
    images, masks = ALL[name](
        tf.constant(np.tile(disc[..., None], (64, 1, 1, 1))),
        tf.constant(np.tile((distance < 34)[..., None].astype(np.uint8), (64, 1, 1, 1))),
        dataclasses.replace(STRONG, contrast=0, brightness=0, gamma=0, noise=0, roi=0.2),
        SEED,
    )
    pairs = zip(images.numpy()[..., 0], masks.numpy()[..., 0], strict=True)
    off = np.array([_centre(image) - _centre(mask) for image, mask in pairs])
    # One mask may be off by the part of a pixel that whole pixels cannot follow, all never are.
    assert np.abs(off).max() <= 0.5
    assert np.hypot(*off.mean(axis=0)) < 0.05


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_8_bits_are_the_same_as_float32_but_for_rounding(name, channels):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 13, 16, channels)).astype(np.uint8)
    masks = random.integers(0, 3, (6, 13, 16, 1)).astype(np.uint8)
    exact, expected_masks = ALL[name](images.astype(np.float32), masks, STRONG, SEED)
    rounded, new_masks = ALL[name](images, masks, STRONG, SEED)
    assert rounded.dtype == tf.uint8 and rounded.shape == images.shape
    # Half a grey value of the resampling, scaled by the contrast of at most 1.5 and the power of at
    # most 1.5, and half one more each of grey values and noise.
    difference = np.abs(rounded.numpy() - exact.numpy())
    assert difference.max() <= (2.2 if name == "all" else 0.51)
    np.testing.assert_array_equal(new_masks, expected_masks)


@pytest.mark.parametrize("name", ["contrast", "brightness", "gamma", "noise"])
def test_grey_values_change_without_the_mask(name):
    images, masks = batch()
    np.testing.assert_array_equal(AUGMENTATIONS[name](images, masks, STRONG, SEED)[1], masks)


@pytest.mark.parametrize("name", ["rotate", "mirror"])
def test_what_is_mirrored_or_turned_by_hand(name, monkeypatch):
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    mask = np.array([[0, 1, 2], [0, 0, 2], [1, 0, 0]], np.uint8).reshape(1, 3, 3, 1)
    turned = [[6, 3, 0], [7, 4, 1], [8, 5, 2]]  # clockwise: the left column is on top
    mirrored = [[2, 1, 0], [5, 4, 3], [8, 7, 6]]
    expected = np.array(mirrored if name == "mirror" else turned)
    monkeypatch.setattr(tf.random, "stateless_uniform", _lowest)  # -90 degrees; below 1
    images, masks = AUGMENTATIONS[name](image, mask, strength(rotation_deg=90, mirror=1), SEED)
    np.testing.assert_allclose(images[0, ..., 0], expected, atol=1e-4)
    np.testing.assert_array_equal(masks[0, ..., 0], mask.ravel()[expected])


def test_crop_by_hand(monkeypatch):
    image = np.zeros((1, 4, 4, 1), np.float32)
    image[0, :2, :2, 0] = [[10, 20], [30, 40]]
    monkeypatch.setattr(tf.random, "stateless_uniform", _ends)  # side 1/2, in the top left corner
    images, masks = AUGMENTATIONS["roi"](image, image.astype(np.uint8), strength(roi=0.5), SEED)
    # Twice the size: output pixel i is at (i + 0.5) / 2 - 0.5 of the crop, -0.25 0.25 0.75 1.25.
    assert float(images[0, 1, 1, 0]) == pytest.approx(10 + 0.25 * 10 + 0.25 * 20)
    assert float(images[0, 2, 1, 0]) == pytest.approx(10 + 0.25 * 10 + 0.75 * 20)
    expected = np.repeat(np.repeat([[10, 20], [30, 40]], 2, 0), 2, 1)
    np.testing.assert_array_equal(masks[0, ..., 0], expected)


def test_contrast_by_hand(monkeypatch):
    monkeypatch.setattr(tf.random, "stateless_uniform", _lowest)  # factor 1/2
    image = np.array([0, 100, 200, 100], np.float32).reshape(1, 2, 2, 1)
    images, _ = AUGMENTATIONS["contrast"](image, None, strength(contrast=0.5), SEED)
    np.testing.assert_allclose(images.numpy().ravel(), [50, 100, 150, 100])


def test_brightness_by_hand(monkeypatch):
    monkeypatch.setattr(tf.random, "stateless_uniform", _lowest)  # -0.2 * 255 = -51
    image = np.array([0, 51, 52, 255], np.float32).reshape(1, 2, 2, 1)
    images, _ = AUGMENTATIONS["brightness"](image, None, strength(brightness=0.2), SEED)
    np.testing.assert_allclose(images.numpy().ravel(), [0, 0, 1, 204], atol=1e-4)


def test_a_new_entry_is_one_more_change_of_a_batch(monkeypatch):
    def draw_brighter(shape, strength, seed):
        change = AUGMENTATIONS["brightness"].draw(shape, NONE, seed)
        return change._replace(added=change.added + 9)

    images = np.full((2, 3, 3, 1), 100, np.uint8)
    monkeypatch.setitem(AUGMENTATIONS, "brighter", Augmentation(draw_brighter))
    brighter, _ = augment_batch(images, None, NONE, SEED)
    np.testing.assert_array_equal(brighter, images + 9)


def test_draws_keep_to_the_strength():
    images = tf.ones((400, 2, 2, 1)) * tf.constant([100.0, 150.0, 100.0, 150.0], shape=(2, 2, 1))
    brighter, _ = AUGMENTATIONS["brightness"](images, None, strength(brightness=0.1), SEED)
    added = (brighter - images).numpy()[:, 0, 0, 0]
    assert -25.5 <= added.min() < -23 and 23 < added.max() <= 25.5
    steeper, _ = AUGMENTATIONS["contrast"](images, None, strength(contrast=0.2), SEED)
    factor = (steeper[:, 0, 1, 0] - steeper[:, 0, 0, 0]).numpy() / 50
    assert 0.8 - 1e-5 <= factor.min() < 0.82 and 1.18 < factor.max() <= 1.2 + 1e-5


def test_mirror_takes_its_share_of_the_slices():
    image = np.tile(np.array([0, 255], np.float32).reshape(1, 1, 2, 1), (400, 2, 1, 1))
    images, _ = AUGMENTATIONS["mirror"](image, None, strength(mirror=0.25), SEED)
    assert 0.18 < np.mean(images[:, 0, 0, 0] == 255) < 0.32


def test_a_turn_uncovers_air_and_background():
    image, mask = np.full((8, 32, 32, 1), 200, np.float32), np.full((8, 32, 32, 1), 2, np.uint8)
    images, masks = AUGMENTATIONS["rotate"](image, mask, strength(rotation_deg=45), SEED)
    corners = np.s_[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    turned = np.abs(images.numpy()[corners]).max(axis=(1, 2)) == 0
    assert turned.any()
    assert not masks.numpy()[corners][turned].any()


def _centre(weights: np.ndarray) -> np.ndarray:
    places = np.indices(weights.shape).reshape(2, -1)
    return places @ weights.ravel().astype(float) / weights.sum()


def _lowest(shape, seed, minval=0, maxval=1):
    return tf.fill(shape, float(minval))


def _ends(shape, seed, minval=0, maxval=1):
    return tf.constant([[1.0], [0.0], [0.0]])


def test_gamma_by_hand(monkeypatch):
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda shape, *_, **__: tf.ones(shape))
    image = tf.constant([[[[51.0], [204.0]]]])
    images, _ = AUGMENTATIONS["gamma"](image, None, strength(gamma=0.5), SEED)
    expected = [255 * (51 / 255) ** np.e, 255 * (204 / 255) ** np.e]
    np.testing.assert_allclose(images.numpy().ravel(), expected, rtol=1e-4)


def test_noise_keeps_the_mean_and_is_equal_in_all_channels():
    image = tf.fill((4, 64, 64, 3), 128.0)
    images, _ = AUGMENTATIONS["noise"](image, None, strength(noise=0.1), SEED)
    noise = images.numpy() - 128
    np.testing.assert_array_equal(noise[..., 0], noise[..., 2])
    assert np.abs(noise.mean(axis=(1, 2, 3))).max() < 2
    deviations = noise.std(axis=(1, 2, 3))
    assert deviations.max() < 25.5
    assert deviations.min() < deviations.max() / 1.5


def test_a_bent_slice_keeps_its_border_and_moves_no_further_than_asked():
    rows, columns = np.mgrid[:64, :64].astype(np.float32)
    places = np.stack([rows, columns, np.full_like(rows, 255)], axis=-1)
    images, _ = AUGMENTATIONS["elastic"](places[None], None, strength(elastic=0.1), SEED)
    (bent,) = images.numpy()
    moved = np.abs(bent - places)[bent[..., 2] > 254.99][:, :2]
    assert 1 < moved.max() < 1.3 * 6.4  # the cubic between knots goes a little beyond them
    assert (bent[..., 2] > 254.99).mean() > 0.95
