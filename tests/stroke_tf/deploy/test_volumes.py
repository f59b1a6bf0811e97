"""Tests of `stroke_tf.deploy.volumes`."""

from pathlib import Path

import numpy as np
import pytest
from series_files import UPRIGHT, tilted

from stroke_tf.deploy.volumes import study_volumes
from stroke_tf.reading.input_slice import InputSlice, PlacedSlice
from stroke_tf.reading.series import Series, pictures_as_series, stack_as_series

SIZE, PIXEL = 64, 2.0
RADIUS = 30.0
SPHERE_ML = 4 / 3 * np.pi * RADIUS**3 / 1000  # 113.1


def make_series(corners, *, axes=UPRIGHT, spacing=(PIXEL, PIXEL), nominal=5.0) -> Series:
    stack = [
        PlacedSlice(
            slice=InputSlice(f"{place}.dcm", Path(f"{place}.dcm"), 0),
            number=place,
            size=(SIZE, SIZE),
            spacing_mm=spacing,
            axes=tuple(axes),
            corner_mm=tuple(corner),
            nominal_mm=nominal,
            thickness_mm=nominal,
            gantry_deg=0.0,
        )
        for place, corner in enumerate(corners)
    ]
    return stack_as_series("series-001", stack)


def sphere(series: Series, centre, radius=RADIUS, kind=1) -> list[np.ndarray]:
    """Masks of a sphere, by where the centres of pixels lie in the patient."""
    geometry = series.geometry
    across, down = np.array(geometry.axes[:3]), np.array(geometry.axes[3:])
    rows, columns = np.mgrid[:SIZE, :SIZE]
    masks = []
    for corner in geometry.corners_mm:
        where = (
            np.array(corner)
            + rows[..., None] * geometry.row_mm * down
            + columns[..., None] * geometry.column_mm * across
        )
        inside = np.linalg.norm(where - centre, axis=-1) < radius
        masks.append(np.where(inside, np.uint8(kind), np.uint8(0)))
    return masks


def heights(steps) -> list[tuple[float, float, float]]:
    return [(-63.0, -63.0, float(z)) for z in np.cumsum([-50.0, *steps])]


@pytest.mark.parametrize(
    ("corners", "axes"),
    [
        (heights([4] * 25), UPRIGHT),
        (heights([4] * 25)[::-1], UPRIGHT),
        (heights([4] * 28), tilted(20)),  # the table goes straight on: a sheared stack
        (heights([3] * 16 + [1] + [6] * 9), UPRIGHT),
        (heights([3] * 16 + [1] + [6] * 10), tilted(18.5)),
        (heights([4] * 10 + [12] + [4] * 13), UPRIGHT),  # two slices are missing
        (heights([4] * 10 + [0] + [4] * 15), UPRIGHT),  # two at one position
    ],
    ids=["upright", "reversed", "tilted", "uneven", "tilted-uneven", "missing", "twice"],
)
def test_a_sphere_has_its_volume_centre_and_diameter(corners, axes):
    series = make_series(corners, axes=axes)
    centre = np.array([1.3, 0.4, 2.1])
    found = study_volumes(series, sphere(series, centre))
    assert found.ml["ischaemia"] == pytest.approx(SPHERE_ML, rel=0.02)
    assert found.ml["haemorrhage"] == 0
    (lesion,) = found.lesions
    assert lesion.ml == pytest.approx(found.ml["ischaemia"])
    assert lesion.diameter_mm == pytest.approx(2 * RADIUS, abs=2 * PIXEL)
    np.testing.assert_allclose(lesion.centroid_mm, centre, atol=0.8)


def test_lesions_are_told_apart_and_placed():
    series = make_series(heights([5] * 9))
    masks = [np.zeros((SIZE, SIZE), np.uint8) for _ in range(10)]
    masks[2][10, 10] = 1
    masks[3][10:12, 11:14] = 1  # touches the first by a corner
    masks[5][40, 40] = 1  # a slice between is empty
    masks[3][11, 14] = 2  # another class beside
    found = study_volumes(series, iter(masks))
    pixel_ml = 2 * 2 * 5 / 1000
    assert found.ml == {
        "ischaemia": pytest.approx(8 * pixel_ml),
        "haemorrhage": pytest.approx(pixel_ml),
    }
    assert found.slice_ml[3]["ischaemia"] == pytest.approx(6 * pixel_ml)
    assert [
        (lesion.kind, lesion.first, lesion.last, lesion.largest) for lesion in found.lesions
    ] == [
        ("ischaemia", 2, 3, 3),
        ("haemorrhage", 3, 3, 3),
        ("ischaemia", 5, 5, 5),
    ]
    first = found.lesions[0]
    assert first.ml == pytest.approx(7 * pixel_ml)
    assert first.diameter_mm == pytest.approx(np.hypot(2 * 2, 3 * 2))  # 2 by 3 pixels of 2 mm
    # pixel (40, 40) of a corner (-63, -63), five steps of 5 mm above -50
    assert found.lesions[2].centroid_mm == pytest.approx((17, 17, -25))


def test_a_sheared_stack_is_joined_where_it_lies_in_the_patient():
    # Steps of 20 mm at 30 degrees shift slices by 20 sin(30) / 2 = 5 pixels against each other.
    series = make_series(heights([20, 20]), axes=tilted(30))
    masks = [np.zeros((SIZE, SIZE), np.uint8) for _ in range(3)]
    masks[0][30, 30] = masks[1][35, 30] = masks[2][40, 30] = 2
    assert [lesion.first for lesion in study_volumes(series, masks).lesions] == [0]
    straight = [np.roll(mask, -5 * place, axis=0) for place, mask in enumerate(masks)]
    assert len(study_volumes(series, straight).lesions) == 3


def test_pixels_need_not_be_square():
    series = make_series(heights([5]), spacing=(1.0, 3.0))
    masks = [np.zeros((SIZE, SIZE), np.uint8)] * 2
    masks[0] = masks[0].copy()
    masks[0][5, 5:9] = 1
    found = study_volumes(series, masks)
    assert found.ml["ischaemia"] == pytest.approx(4 * 1 * 3 * 5 / 1000)
    assert found.lesions[0].diameter_mm == pytest.approx(np.hypot(1, 12))


def test_no_lesion_and_no_answer_are_no_volume():
    series = make_series(heights([5, 5]))
    found = study_volumes(series, [np.zeros((SIZE, SIZE), np.uint8), None, None])
    assert found.ml == {"ischaemia": 0, "haemorrhage": 0}
    assert found.lesions == ()


def test_without_places_there_are_no_volumes():
    pictures = pictures_as_series("series-001", [InputSlice("1.png", Path("1.png"))])
    assert study_volumes(pictures, [np.zeros((4, 4), np.uint8)]) is None


def test_each_slice_must_have_its_mask():
    with pytest.raises(ValueError, match="`masks` must be one for each slice, 2. Received: 1"):
        study_volumes(make_series(heights([5])), [None])


@pytest.mark.parametrize(
    ("corners", "axes", "words"),
    [
        (heights([5]), tilted(18), "along the normal"),
        (heights([5, 9, 5]), UPRIGHT, "uneven"),
        (heights([]), UPRIGHT, "one slice alone"),
        ([()] * 3, UPRIGHT, "No header says positions"),
    ],
)
def test_the_rule_says_what_was_done(corners, axes, words):
    series = make_series(corners, axes=axes)
    rule = study_volumes(series, [None] * len(series.slices)).rule
    assert rule.startswith("Approximate.")
    assert words in rule
