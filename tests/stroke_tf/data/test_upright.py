import cv2
import numpy as np
import pytest

from stroke_tf.data.upright import (
    HEAD_SIZE,
    turn_back,
    turn_mask,
    upright_heads,
    upright_views,
)
from stroke_tf.manifest import natural_key
from stroke_tf.square import fit_mask, fit_square

SIDE, SIZE = 200, 128
BRAIN = 110
MIDDLE = SIZE // 2
# An ellipse of length 1 without half a percent of its area at each end is 0.959 long (the caps are
# those of an angle t with t - sin t = 0.01 pi). The view is 1.06 of that, of a head of 144 pixels.
ZOOM = SIZE / (1.06 * 0.959 * 144)


def ellipse(image, grey, *, axes, at=(SIDE / 2, SIDE / 2), turn=0.0):
    """Draws a filled ellipse; `axes` are its half width and half length, pixels."""
    cv2.ellipse(image, (at, (2 * axes[0], 2 * axes[1]), turn), grey, -1)


def slice_of(*, turn=0.0, shift=(0, 0), brain=BRAIN, scale=1.0, skull=255, table=False):
    """A head with skin, skull and brain, and ventricles on the long axis, nearer to the nose.

    `turn` is in degrees, clockwise on the screen.
    """
    image = np.zeros((SIDE, SIDE), np.uint8)
    centre = (SIDE / 2 + shift[0], SIDE / 2 + shift[1])
    for grey, axes in ((90, (56, 72)), (skull, (52, 68)), (brain, (44, 60))):
        ellipse(image, grey, axes=(scale * axes[0], scale * axes[1]), at=centre, turn=turn)
    angle = np.radians(turn)
    front = (centre[0] + 25 * scale * np.sin(angle), centre[1] - 25 * scale * np.cos(angle))
    ellipse(image, brain - 30, axes=(6 * scale, 12 * scale), at=front, turn=turn)
    if table:
        cv2.line(image, (5, SIDE - 12), (SIDE - 5, SIDE - 12), 150, 3)
    return image


def view(*images, size=SIZE):
    return upright_views(np.stack(images), ["patient"] * len(images), size=size)


def shares(one, other, channel=0):
    """The mean difference of two views as a share of the range."""
    return np.abs(one[..., channel].astype(float) - other[..., channel]).mean() / 255


def box(picture):
    rows, columns = np.nonzero(picture)
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_the_head_fills_the_view_in_its_middle():
    (upright,) = view(slice_of(shift=(-20, 15)))
    top, bottom, left, right = box(upright[..., 0])
    assert bottom - top == pytest.approx(144 * ZOOM, abs=3)
    assert right - left == pytest.approx(112 * ZOOM, abs=3)
    assert (top + bottom) / 2 == pytest.approx(MIDDLE, abs=1.5)
    assert (left + right) / 2 == pytest.approx(MIDDLE, abs=1.5)


@pytest.mark.parametrize("turn", [-15, -8, 12])
def test_a_turned_head_looks_like_an_upright_one(turn):
    (upright,), (turned,) = view(slice_of()), view(slice_of(turn=turn, shift=(10, -5)))
    assert shares(upright, np.rot90(upright)) > 0.1
    for channel in range(3):
        assert shares(upright, turned, channel) < 0.03


@pytest.mark.parametrize("turn", [-40, -15, 8, 30])
def test_the_nose_is_up(turn):
    (picture,) = view(slice_of(turn=turn))
    rows, columns = np.nonzero((picture[..., 0] > BRAIN - 32) & (picture[..., 2] > 0))
    ventricle = picture[rows, columns, 0] < BRAIN - 25
    ahead, aside = MIDDLE - rows[ventricle].mean(), columns[ventricle].mean() - MIDDLE
    assert np.degrees(np.arctan2(aside, ahead)) == pytest.approx(0, abs=3)


def test_all_slices_of_a_patient_are_turned_by_one_angle():
    line = slice_of(turn=20)
    round_one = np.zeros_like(line)  # which has no long axis of its own
    ellipse(round_one, 255, axes=(50, 50))
    ellipse(round_one, BRAIN, axes=(42, 42))
    cv2.line(round_one, (100, 100), (100, 70), 200, 3)  # upwards
    _, turned = view(line, round_one)
    rows, columns = np.nonzero((turned[..., 0] > 150) & (turned[..., 0] < 230))
    angle = np.degrees(np.arctan2(columns.mean() - MIDDLE, MIDDLE - rows.mean()))
    assert angle == pytest.approx(-20, abs=4)


def test_patients_are_turned_and_windowed_apart():
    images = np.stack([slice_of(turn=-20), slice_of(turn=20, brain=140), slice_of(turn=-20)])
    together = upright_views(images, ["a", "b", "a"], size=SIZE)
    (alone,) = view(images[1])
    np.testing.assert_array_equal(together[1], alone)
    np.testing.assert_array_equal(together[[0, 2]], view(images[0], images[2]))


def test_the_largest_head_of_a_patient_settles_the_scale():
    large, small = view(slice_of(), slice_of(scale=0.5))
    heights = [np.ptp(box(picture[..., 0])[:2]) for picture in (large, small)]
    assert heights[1] / heights[0] == pytest.approx(0.5, abs=0.03)


def test_the_table_is_gone():
    with_table, without = view(slice_of(table=True))[0], view(slice_of())[0]
    assert slice_of(table=True)[SIDE - 12, 10] == 150
    np.testing.assert_array_equal(with_table, without)


@pytest.mark.parametrize("brain", [80, 110, 150])
def test_brain_has_one_grey_whatever_the_window(brain):
    (picture,) = view(slice_of(brain=brain))
    centre = picture[MIDDLE + 20, MIDDLE]
    assert centre[0] == pytest.approx(brain, abs=2)  # as it was
    # 40 greys below the brain's are 0, 80 above it are 255: the brain itself is 40 * 255 / 120.
    np.testing.assert_allclose(centre[1:].astype(int), 85, atol=5)
    assert picture[MIDDLE - 22, MIDDLE, 1] == pytest.approx(10 * 255 / 120, abs=5)  # ventricle


def test_the_third_channel_is_the_second_inside_the_skull():
    (picture,) = view(slice_of())
    _, bright, inner = np.moveaxis(picture, -1, 0)
    assert bright[MIDDLE, MIDDLE - 43] == 255 and inner[MIDDLE, MIDDLE - 43] == 0  # bone
    inside = inner > 0
    np.testing.assert_array_equal(inner[inside], bright[inside])
    expected = np.pi * 44 * 60 * ZOOM**2  # area of the brain, pixels
    assert inside.sum() == pytest.approx(expected, rel=0.08)


def test_a_skull_with_a_small_gap_still_surrounds_the_brain():
    image = slice_of()
    cv2.line(image, (100, 25), (100, 60), BRAIN, 5)
    assert (view(image)[0, ..., 2] > 0).sum() == pytest.approx(
        (view(slice_of())[0, ..., 2] > 0).sum(), rel=0.05
    )


@pytest.mark.parametrize("grey", [0, 9])
def test_a_slice_without_a_head_is_black_and_leaves_the_others_alone(grey):
    nothing = np.full((SIDE, SIDE), grey, np.uint8)
    black, head = view(nothing, slice_of(turn=10))
    assert not black.any()
    assert shares(head, view(slice_of(turn=10))[0]) < 0.001
    assert not view(nothing).any()


def test_a_head_without_a_skull_has_its_brain_at_one_grey_too():
    greys = []
    for brain in (90, 140):
        image = np.zeros((SIDE, SIDE), np.uint8)
        ellipse(image, brain, axes=(50, 65))
        (picture,) = view(image)
        assert not picture[..., 2].any()
        greys.append(picture[MIDDLE, MIDDLE, 1])
    np.testing.assert_allclose(greys, 85, atol=5)


@pytest.mark.parametrize("grey", [41, 255])
def test_a_slice_of_one_grey_does_no_harm(grey):
    assert view(np.full((SIDE, SIDE), grey, np.uint8)).shape == (1, SIZE, SIZE, 3)


@pytest.mark.parametrize("size", [1, 31, 64])
def test_the_result_is_uint8_of_the_size_asked_for_and_the_same_each_time(size):
    noise = np.random.default_rng(0).integers(0, 256, (2, 33, 33), np.uint8)
    first, again = (upright_views(noise, ["a", "b"], size=size) for _ in range(2))
    assert first.shape == (2, size, size, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)


def test_the_slices_are_not_changed():
    images = np.stack([slice_of(turn=9)])
    upright_views(images, ["a"], size=SIZE)
    np.testing.assert_array_equal(images[0], slice_of(turn=9))


def test_no_slices_give_no_views():
    assert upright_views(np.zeros((0, 8, 8), np.uint8), [], size=4).shape == (0, 4, 4, 3)


def there_and_back(mask, move, *, size=SIZE):
    """A mask on the view, and what probabilities that say just that are on the slice."""
    there = turn_mask(mask, move, size=size)
    return there, turn_back(np.eye(3, dtype=np.float32)[there], move)


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


@pytest.mark.parametrize("turn", [-15, 8])
def test_a_mask_lies_on_the_view_as_its_lesion_does(turn):
    image = slice_of(turn=turn, shift=(10, -5))
    lesion = np.zeros_like(image)
    cv2.ellipse(lesion, ((120, 90), (24, 16), 30), 2, -1)
    image[lesion > 0] = 220  # brighter than all but the skull, which is not inside it
    views, moves = upright_heads(image[None], ["a"], size=SIZE)
    there, _ = there_and_back(lesion, moves[0])
    assert dice(there == 2, (views[0, ..., 0] > 200) & (views[0, ..., 2] > 0)) > 0.9


@pytest.mark.parametrize("turn", [-15, 8])
@pytest.mark.parametrize("size", [96, 160])
def test_a_mask_comes_back_where_it_was_at_another_size(turn, size):
    image = slice_of(turn=turn, shift=(10, -5))
    lesion = np.zeros_like(image)
    cv2.ellipse(lesion, ((120, 90), (40, 26), 30), 1, -1)
    _, moves = upright_heads(image[None], ["a"], size=size)
    _, probs = there_and_back(lesion, moves[0], size=size)
    assert probs.shape == (size, size, 3)
    np.testing.assert_allclose(probs.sum(axis=-1), 1, atol=1e-5)
    assert dice(probs.argmax(-1) == 1, fit_mask(lesion, size=size) == 1) > 0.96


def test_what_a_view_does_not_show_is_background():
    image = slice_of(scale=0.4)
    _, moves = upright_heads(image[None], ["a"], size=SIZE)
    everywhere = np.zeros((SIZE, SIZE, 3), np.float32)
    everywhere[..., 2] = 1
    back = turn_back(everywhere, moves[0])
    assert back[0, 0].tolist() == [1, 0, 0]
    assert back[MIDDLE, MIDDLE].tolist() == [0, 0, 1]
    shown = np.count_nonzero(back[..., 2] > 0.5)
    assert shown == pytest.approx((SIZE / (ZOOM / 0.4 * SIDE / SIZE)) ** 2, rel=0.05)


def test_real_masks_come_back_where_they_were(open_data):
    size, shared, drawn = 192, 0, 0
    for patient in ("050", "074", "081"):
        folder = open_data / "ct_ich" / "Patients_CT" / patient / "brain"
        masks = {path.name.split("_")[0]: path for path in folder.glob("*_HGE_Seg.jpg")}
        names = [path.stem for path in folder.glob("*.jpg") if "_" not in path.stem]
        names.sort(key=natural_key)
        slices = [cv2.imread(str(folder / f"{name}.jpg"), cv2.IMREAD_GRAYSCALE) for name in names]
        larger = round(HEAD_SIZE * size)
        fitted = np.stack([fit_square(image, size=larger) for image in slices])
        _, moves = upright_heads(fitted, [patient] * len(names), size=size)
        for name, move in zip(names, moves, strict=True):
            if name in masks:
                painted = cv2.imread(str(masks[name]), cv2.IMREAD_GRAYSCALE)
                mask = 2 * (painted > 127).astype(np.uint8)
                fitting = fit_mask(mask, size=size)
                _, probs = there_and_back(fitting, move, size=size)
                back, truth = probs.argmax(-1) == 2, fitting == 2
                shared += 2 * np.count_nonzero(back & truth)
                drawn += np.count_nonzero(back) + np.count_nonzero(truth)
    assert drawn > 10_000
    assert shared / drawn >= 0.99
