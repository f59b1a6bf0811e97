"""Tests of `data_tools.overlays`."""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage

from data_tools.overlays import check_overlay, mask_from_binary, mask_from_overlay
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
    for other in (picture, picture // 3, picture.astype(np.int16) * 3 - 900, None):
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
            r"the size of its picture, \(4, 5\). Received: \(4, 4\)",
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


@pytest.mark.parametrize(
    ("other", "fits"),
    [
        (np.s_[20:40, 20:40], True),
        (np.s_[19:41, 19:41], True),  # a pixel all around
        (np.s_[22:40, 20:40], True),  # 20 of 400 pixels apart
        (np.s_[23:40, 20:40], False),
        (np.s_[20:40, 22:42], False),
        (np.s_[50:70, 20:40], False),
        (np.s_[:0], False),
    ],
)
def test_a_mask_and_an_overlay_must_show_the_same_lesions(other: tuple, fits: bool) -> None:
    mask, drawn = np.zeros((2, 80, 80), np.uint8)
    mask[20:40, 20:40] = drawn[other] = HEMORRHAGE
    overlay, picture = paint(drawn, width=1), picture_like(drawn)
    if fits:
        check_overlay(overlay, picture, mask, name="7.png")
        return
    with pytest.raises(ValueError, match=r"^7\.png: an overlay must show the lesions of its mask"):
        check_overlay(overlay, picture, mask, name="7.png")


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("name", masks())
def test_an_overlay_fits_its_own_mask_and_none_of_another_class(name: str, width: int) -> None:
    mask = masks()[name]
    overlay = paint(mask, width=width)
    check_overlay(overlay, picture_like(mask), mask)
    with pytest.raises(ValueError, match="pixels of (ISCHEMIA|HEMORRHAGE) border apart"):
        check_overlay(overlay, None, np.array([0, 2, 1], np.uint8)[mask])
    with pytest.raises(ValueError, match="another picture"):
        check_overlay(overlay, picture_like(mask, seed=1), mask)
    with pytest.raises(ValueError, match=r"the size of its mask, \(9, 9\)"):
        check_overlay(overlay, None, np.zeros((9, 9), np.uint8))


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


def smooth_picture(*, seed: int, size: int = 96) -> np.ndarray:
    """A grey picture as neighbouring pixels of a CT slice make it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12)).astype(np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def painted(mask: np.ndarray, picture: np.ndarray, *, width: int = 2) -> np.ndarray:
    """Returns an overlay of a picture, with the paint of `paint`."""
    drawn = paint(mask, width=width, opacity=1.0)
    coloured = (drawn.max(axis=2) - drawn.min(axis=2) > 0)[..., None]
    half_red = np.where(drawn == (255, 0, 0), picture[..., None] // 2 + drawn // 2, drawn)
    red = (drawn == (255, 0, 0)).all(axis=2)[..., None]
    return np.where(coloured, np.where(red, half_red, drawn), picture[..., None]).astype(np.uint8)


def as_jpeg(overlay: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", overlay[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def resized(overlay: np.ndarray, interpolation: int) -> np.ndarray:
    return cv2.resize(overlay, (75, 75), interpolation=interpolation)


@pytest.mark.parametrize("quality", [100, 95, 90, 75, 50])
@pytest.mark.parametrize("name", ["round", "both", "far hole"])
def test_an_overlay_that_was_a_jpeg_is_refused(name: str, quality: int) -> None:
    overlay = as_jpeg(painted(masks()[name], smooth_picture(seed=1)), quality)
    with pytest.raises(ValueError, match=r"^7\.png: an overlay must be stored without loss"):
        mask_from_overlay(overlay, None, name="7.png")


@pytest.mark.parametrize("interpolation", [cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_LANCZOS4])
def test_an_overlay_that_was_resized_softly_is_refused(interpolation: int) -> None:
    overlay = resized(painted(masks()["both"], smooth_picture(seed=1)), interpolation)
    with pytest.raises(ValueError, match="must be stored without loss"):
        mask_from_overlay(overlay, None)


def test_an_overlay_that_was_resized_by_whole_pixels_is_refused() -> None:
    overlay = resized(painted(masks()["both"], smooth_picture(seed=1)), cv2.INTER_NEAREST)
    with pytest.raises(ValueError, match=r"must be red fill in a border.*never be resized"):
        mask_from_overlay(overlay, None)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_contour_around_bare_picture_is_refused(width: int, colour: tuple[int, int, int]) -> None:
    overlay = np.repeat(smooth_picture(seed=1)[..., None], 3, axis=2).copy()
    lesion = masks()["round"] > 0
    line = lesion & ~ndimage.binary_erosion(lesion, SQUARE, width)
    overlay[line] = colour
    with pytest.raises(ValueError, match=r"a lesion of an overlay must be filled.*around \d+ bare"):
        mask_from_overlay(overlay, None, stroke_type=HEMORRHAGE)


def test_an_overlay_of_another_slice_is_refused() -> None:
    mask = masks()["round"]
    overlay = painted(mask, smooth_picture(seed=1))
    np.testing.assert_array_equal(mask_from_overlay(overlay, smooth_picture(seed=1)), mask)
    for other in (smooth_picture(seed=2), np.fliplr(smooth_picture(seed=1)), np.zeros_like(mask)):
        for picture in (other, other.astype(np.int16) - 1000):
            for method in ("difference", "usth-hsv"):
                with pytest.raises(ValueError, match=r"^7: an overlay must show its picture"):
                    mask_from_overlay(
                        overlay, picture, method=method, stroke_type=ISCHEMIA, name="7"
                    )


def test_any_window_of_the_picture_is_known_again() -> None:
    picture = smooth_picture(seed=1)
    overlay = painted(masks()["both"], picture)
    for slope, least in ((0.3, 0), (2.5, 60), (5, 100), (-1, 255)):
        window = np.clip((picture - float(least)) * slope, 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(mask_from_overlay(overlay, window), masks()["both"])


@pytest.mark.parametrize("name", masks())
@pytest.mark.parametrize("where", ["checks", "runs", "rows"])
def test_the_organisers_border_of_two_colours_gives_back_the_mask(name: str, where: str) -> None:
    mask, picture = masks()[name], smooth_picture(seed=3)
    overlay = np.repeat(picture[..., None], 3, axis=2).copy()
    y, x = np.indices(mask.shape)
    second = {"checks": (x + y) % 2, "runs": (x // 5) % 2, "rows": y % 2}[where] == 1
    for stroke_type, quarters in ((ISCHEMIA, 2), (HEMORRHAGE, 3)):
        lesion = mask == stroke_type
        red = np.array([255, 0, 0])
        fill = ((4 - quarters) * overlay[lesion].astype(int) + quarters * red) // 4
        overlay[lesion] = fill
        border = lesion & ~ndimage.binary_erosion(lesion, SQUARE, border_value=1)
        overlay[border] = MASK_COLOURS[stroke_type]
        mixed = {ISCHEMIA: (128, 0, 127), HEMORRHAGE: (128, 127, 0)}[stroke_type]
        overlay[border & second] = mixed
    np.testing.assert_array_equal(mask_from_overlay(overlay, picture, name="7"), mask)


def test_a_large_slice_takes_less_than_15_ms() -> None:
    mask = np.zeros((512, 512), np.uint8)
    mask[ellipse((250, 250), (60, 90), size=512)] = ISCHEMIA
    overlay = paint(mask, width=2)

    def milliseconds() -> float:
        start = time.process_time()
        mask_from_overlay(overlay, None)
        return 1e3 * (time.process_time() - start)

    assert min(milliseconds() for _ in range(10)) < 15


def real_overlays(open_data: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns OVERLAY (RGB), PNG (grey) and MASK (RGB) of every lesion slice."""
    files = sorted((open_data / "open_stroke_ct" / "TRAINING").glob("*/OVERLAY/*.png"))
    assert len(files) == 72
    pictures = (
        [
            cv2.cvtColor(cv2.imread(str(file.parents[1] / kind / file.name)), cv2.COLOR_BGR2RGB)
            for kind in ("OVERLAY", "PNG", "MASK")
        ]
        for file in files
    )
    return [(overlay, grey[..., 0].copy(), mask) for overlay, grey, mask in pictures]


def test_real_overlays_give_their_masks(open_data: Path) -> None:
    dice = []
    for overlay, grey, rgb in real_overlays(open_data):
        mask, truth = mask_from_overlay(overlay, grey), mask_from_colours(rgb)
        both = np.count_nonzero((mask == truth) & (truth > 0))
        dice.append(2 * both / (np.count_nonzero(mask) + np.count_nonzero(truth)))
    assert np.mean(dice) >= 0.9995
    assert min(dice) > 0.99


def test_real_overlays_are_refused_as_jpegs_and_beside_other_slices(open_data: Path) -> None:
    slices = real_overlays(open_data)[::4]
    for (overlay, grey, rgb), (_, other, _) in zip(slices, slices[1:], strict=False):
        check_overlay(overlay, grey, mask_from_colours(rgb))
        for quality in (90, 75, 50):
            with pytest.raises(ValueError, match="stored without loss"):
                mask_from_overlay(as_jpeg(overlay, quality), grey)
        with pytest.raises(ValueError, match="must show its picture"):
            mask_from_overlay(overlay, other)


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
