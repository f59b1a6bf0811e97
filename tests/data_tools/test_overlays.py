"""Tests of `data_tools.overlays`."""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from data_tools.overlays import mask_from_binary, mask_from_overlay
from stroke_tf.labels import StrokeType
from stroke_tf.reading.mask_pictures import MASK_COLOURS, mask_from_colours

ISCHEMIA, HEMORRHAGE = StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE
SQUARE, CROSS = np.ones((3, 3), bool), ndimage.generate_binary_structure(2, 1)


def picture_like(mask: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Grey of all values from 0 to 255, where paint must show on black and on white alike."""
    return np.random.default_rng(seed).integers(0, 256, mask.shape).astype(np.uint8)


def paint(
    mask: np.ndarray,
    *,
    width: int,
    shape: np.ndarray = SQUARE,
    opacity: float = 0.5,
    order: tuple[StrokeType, ...] = (ISCHEMIA, HEMORRHAGE),
) -> np.ndarray:
    """Draws an overlay as TEKNOFEST describes it, `width // 2` of the border outside the lesion."""
    overlay = np.repeat(picture_like(mask)[..., None], 3, axis=2).astype(float)
    overlay[mask > 0] = (1 - opacity) * overlay[mask > 0] + opacity * np.array([255, 0, 0])
    for stroke_type in order:
        lesion = mask == stroke_type
        inner = ndimage.binary_erosion(lesion, shape, width - width // 2, border_value=1)
        outer = lesion
        if width > 1:
            outer = ndimage.binary_dilation(lesion, shape, width // 2)
        overlay[outer & ~inner] = MASK_COLOURS[stroke_type]
    return overlay.astype(np.uint8)


def ellipse(centre: tuple[int, int], radii: tuple[int, int], *, size: int = 96) -> np.ndarray:
    y, x = np.ogrid[:size, :size]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1


def masks() -> dict[str, np.ndarray]:
    """Masks whose overlay leaves no doubt about any pixel."""
    blank = np.zeros((96, 96), np.uint8)
    result = {name: blank.copy() for name in ("round", "both", "edge", "hole", "far hole", "small")}
    result["round"][ellipse((40, 50), (20, 13))] = ISCHEMIA
    result["both"][ellipse((25, 25), (15, 12))] = ISCHEMIA
    result["both"][ellipse((65, 60), (12, 20))] = HEMORRHAGE
    result["edge"][:20, 30:60] = HEMORRHAGE
    result["edge"][60:, 80:] = ISCHEMIA
    result["hole"][20:60, 20:60] = ISCHEMIA
    result["hole"][40, 40] = 0
    result["far hole"][20:60, 20:60] = HEMORRHAGE
    result["far hole"][ellipse((39, 39), (6, 7))] = 0
    result["small"][10:17, 10:17] = ISCHEMIA
    result["small"][50:56, 60:67] = HEMORRHAGE
    return result


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("shape", [SQUARE, CROSS], ids=["square", "cross"])
@pytest.mark.parametrize("name", masks())
def test_difference_gives_back_the_painted_mask(name: str, width: int, shape: np.ndarray) -> None:
    mask = masks()[name]
    found = mask_from_overlay(paint(mask, width=width, shape=shape), picture_like(mask))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (2, 7), (3, 3)])
def test_difference_gives_back_lesions_thinner_than_their_border(
    width: int, size: tuple[int, int]
) -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[10 : 10 + size[0], 12 : 12 + size[1]] = HEMORRHAGE
    overlay = paint(mask, width=width)
    np.testing.assert_array_equal(mask_from_overlay(overlay, picture_like(mask)), mask)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("order", [(ISCHEMIA, HEMORRHAGE), (HEMORRHAGE, ISCHEMIA)])
def test_difference_tells_a_lesion_inside_another_apart(
    width: int, order: tuple[StrokeType, ...]
) -> None:
    mask = np.zeros((96, 96), np.uint8)
    mask[15:80, 15:80] = order[0]
    mask[40:60, 40:55] = order[1]
    mask[70, 70] = order[1]
    found = mask_from_overlay(paint(mask, width=width, order=order), None)
    np.testing.assert_array_equal(found, mask)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("order", [(ISCHEMIA, HEMORRHAGE), (HEMORRHAGE, ISCHEMIA)])
def test_difference_tells_lesions_side_by_side_apart(
    width: int, order: tuple[StrokeType, ...]
) -> None:
    mask = np.zeros((96, 96), np.uint8)
    mask[20:60, 20:45] = ISCHEMIA
    mask[20:60, 45:70] = HEMORRHAGE
    found = mask_from_overlay(paint(mask, width=width, order=order), None)
    # Only at the two ends of the common line is a pixel painted over beyond recall.
    assert np.count_nonzero(found != mask) <= 2


@pytest.mark.parametrize("seed", range(4))
def test_difference_comes_close_on_ragged_lesions(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(128, 128))
    mask = (ndimage.gaussian_filter(noise, 4) > 0.06).astype(np.uint8) * HEMORRHAGE
    found = mask_from_overlay(paint(mask, width=2), picture_like(mask))
    assert (
        2
        * np.sum(found & mask == HEMORRHAGE)
        / (np.sum(found == HEMORRHAGE) + np.sum(mask == HEMORRHAGE))
        > 0.99
    )


@pytest.mark.parametrize("opacity", [0.25, 0.75])
def test_difference_does_not_depend_on_the_opacity_of_the_fill(opacity: float) -> None:
    mask = masks()["both"]
    found = mask_from_overlay(paint(mask, width=2, opacity=opacity), None)
    np.testing.assert_array_equal(found, mask)


def test_difference_does_not_depend_on_the_window_of_the_picture() -> None:
    mask = masks()["both"]
    overlay, picture = paint(mask, width=2), picture_like(mask)
    for other in (picture, picture // 3, np.zeros_like(picture), None):
        np.testing.assert_array_equal(mask_from_overlay(overlay, other), mask)


def test_overlay_without_paint_gives_an_empty_mask() -> None:
    grey = picture_like(np.zeros((20, 30)))
    overlay = np.repeat(grey[..., None], 3, axis=2)
    for method in ("difference", "usth-hsv"):
        mask = mask_from_overlay(overlay, grey, method=method, stroke_type=HEMORRHAGE)
        assert mask.shape == (20, 30)
        assert not mask.any()


def test_fill_without_border_needs_its_class_given() -> None:
    overlay = np.full((20, 20, 3), 60, np.uint8)
    overlay[5:12, 6:15] = (157, 30, 30)
    expected = np.zeros((20, 20), np.uint8)
    expected[5:12, 6:15] = ISCHEMIA
    np.testing.assert_array_equal(mask_from_overlay(overlay, None, stroke_type=ISCHEMIA), expected)
    with pytest.raises(ValueError, match="7.png: `stroke_type` must be given"):
        mask_from_overlay(overlay, None, name="7.png")


def test_border_outranks_the_given_class() -> None:
    mask = masks()["round"]
    found = mask_from_overlay(paint(mask, width=2), None, stroke_type=HEMORRHAGE)
    np.testing.assert_array_equal(found, mask)


def test_usth_hsv_keeps_red_and_blue_hues_of_enough_saturation_and_value() -> None:
    overlay = np.array(
        [
            [(142, 14, 14), (255, 127, 127), (0, 0, 255), (0, 255, 0)],  # fills and borders
            [
                (90, 0, 0),
                (200, 150, 150),
                (128, 128, 128),
                (255, 255, 0),
            ],  # dark, pale, grey, yellow
        ],
        np.uint8,
    )
    mask = mask_from_overlay(overlay, None, method="usth-hsv", stroke_type=HEMORRHAGE)
    np.testing.assert_array_equal(mask, [[2, 2, 2, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("stroke_type", [None, StrokeType.NONE, StrokeType.UNSPECIFIED])
def test_usth_hsv_needs_the_class_of_the_folder(stroke_type: StrokeType | None) -> None:
    overlay = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match="7.png: `stroke_type` must be"):
        mask_from_overlay(overlay, None, method="usth-hsv", stroke_type=stroke_type, name="7.png")


@pytest.mark.parametrize(
    ("overlay", "picture", "rule"),
    [
        (np.zeros((4, 4, 4), np.uint8), None, "must be uint8 RGB"),
        (np.zeros((4, 4, 3), float), None, "must be uint8 RGB"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), "must be uint8 grey"),
        (
            np.zeros((4, 4, 3), np.uint8),
            np.zeros((4, 5), np.uint8),
            r"the same size. Received: \(4, 4\) and \(4, 5\)",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    overlay: np.ndarray, picture: np.ndarray | None, rule: str
) -> None:
    with pytest.raises(ValueError, match=f"7.png: .*{rule}"):
        mask_from_overlay(overlay, picture, name="7.png")


def test_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'difference', 'usth-hsv'.*Received: 'red'"):
        mask_from_overlay(np.zeros((4, 4, 3), np.uint8), None, method="red")  # type: ignore[arg-type]


def test_mask_colours_become_class_ids() -> None:
    rgb = np.array([[(0, 0, 0), (0, 0, 255)], [(0, 255, 0), (0, 0, 0)]], np.uint8)
    mask = mask_from_colours(rgb, name="7.png")
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, [[0, 1], [2, 0]])


def test_unknown_mask_colours_are_named_and_counted() -> None:
    rgb = np.zeros((3, 3, 3), np.uint8)
    rgb[0], rgb[1, 0], rgb[2, 2] = (0, 0, 254), (255, 1, 2), (0, 255, 0)
    rule = r"7.png: .*2 other colours on 4 pixels, first \[\(0, 0, 254\), \(255, 1, 2\)\]"
    with pytest.raises(ValueError, match=rule):
        mask_from_colours(rgb, name="7.png")


def test_binary_mask_is_cut_at_half_of_white() -> None:
    grey = np.array([[0, 127], [128, 255]], np.uint8)
    np.testing.assert_array_equal(
        mask_from_binary(grey, HEMORRHAGE, name="7.png"), [[0, 0], [2, 2]]
    )
    with pytest.raises(ValueError, match="`stroke_type` must be one of"):
        mask_from_binary(grey, StrokeType.NONE, name="7.png")


def test_a_large_slice_takes_less_than_15_ms() -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[ellipse((250, 250), (60, 90), size=512)] = ISCHEMIA
    overlay = paint(mask, width=2)

    def milliseconds() -> float:
        start = time.process_time()
        mask_from_overlay(overlay, None)
        return 1e3 * (time.process_time() - start)

    assert min(milliseconds() for _ in range(10)) < 15


def test_real_overlays_give_their_masks(open_data: Path) -> None:
    dice = []
    for file in sorted((open_data / "open_stroke_ct" / "TRAINING").glob("*/OVERLAY/*.png")):
        overlay, rgb = (
            cv2.cvtColor(cv2.imread(str(file.parents[1] / kind / file.name)), cv2.COLOR_BGR2RGB)
            for kind in ("OVERLAY", "MASK")
        )
        mask, truth = mask_from_overlay(overlay, None), mask_from_colours(rgb, name=file.name)
        both = np.count_nonzero((mask == truth) & (truth > 0))
        dice.append(2 * both / (np.count_nonzero(mask) + np.count_nonzero(truth)))
    assert len(dice) == 72
    assert np.mean(dice) >= 0.9995
    assert min(dice) > 0.99


def write_teknofest(folder: Path) -> None:
    for name, stroke_type in (("ISKEMI", ISCHEMIA), ("KANAMA", HEMORRHAGE)):
        mask = ellipse((40, 50), (20, 13)).astype(np.uint8) * np.uint8(stroke_type)
        colours = np.array(
            [MASK_COLOURS[one] for one in (StrokeType.NONE, ISCHEMIA, HEMORRHAGE)], np.uint8
        )
        grey = np.repeat(picture_like(mask)[..., None], 3, axis=2)
        for kind, rgb in (
            ("OVERLAY", paint(mask, width=2)),
            ("MASK", colours[mask]),
            ("PNG", grey),
        ):
            file = folder / "TRAINING" / name / kind / "10001.png"
            file.parent.mkdir(parents=True)
            assert cv2.imwrite(str(file), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def test_comparison_ends_with_one_line_of_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = pytest.importorskip("benchmarks.overlays")
    write_teknofest(tmp_path)
    benchmark.main(benchmark.Config(data=tmp_path))
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["name"] == "overlays"
    assert (result["ours"], result["unit"], result["n"]) == (1.0, "Dice", 2)
    assert 0 < result["other"] < 1
    assert result["ratio"] == pytest.approx(1 / result["other"], abs=1e-3)
    with pytest.raises(FileNotFoundError, match="`data` must hold"):
        benchmark.compare(benchmark.Config(data=tmp_path / "none"))
