"""Lesion masks from overlays and binary masks.

Works on decoded arrays. It must not know of files, folders or layouts.
"""

from __future__ import annotations

from typing import NamedTuple, get_args

import cv2
import numpy as np
from PIL import Image

from data_tools.options import MaskMethod
from data_tools.paint import PAINT_MIN, bounding_box, channels, check_filled, find_paint
from stroke_tf.labels import LESION_CLASSES, StrokeType
from stroke_tf.reading.mask_pictures import check_rgb

BINARY_MIN = 128  # grey of a binary mask from which a pixel is lesion
APART_MAX = 0.05  # share of its pixels in which an overlay may differ from its mask
MISFIT_MAX = 0.03  # pixels that differ when the mask is painted again, by painted ones

# USTH II-B gives hue 0-10 and 160-255 "along with saturation, and value thresholds", not the
# thresholds. 100 and 100 are ours, the usual company of these hues. Half-transparent red on any
# grey passes (saturation and value >= 127); skin-coloured or grey text does not.
HSV_HUE_LOW = 10
HSV_HUE_HIGH = 160
HSV_SATURATION_MIN = 100
HSV_VALUE_MIN = 100


def mask_from_binary(
    grey: np.ndarray, stroke_type: StrokeType, *, name: str = "mask"
) -> np.ndarray:
    """Returns the class ids of a mask that shows lesion of one known class as white.

    Args:
        grey: uint8, shape (H, W); 128 and above is lesion (lossy masks have soft edges).
        stroke_type: Class of the lesion, ISCHEMIA or HEMORRHAGE.
        name: File name or id for the error messages.

    Returns:
        uint8, shape (H, W): 0 or `stroke_type`.

    Raises:
        ValueError: If the array is not of that shape and type, or the class is not a lesion's.
    """
    _check_grey(grey, name=name)
    _check_lesion_class(stroke_type, name=name)
    return np.where(grey >= BINARY_MIN, np.uint8(stroke_type), np.uint8(0))


def mask_from_overlay(
    overlay: np.ndarray,
    picture: np.ndarray | None,
    *,
    method: MaskMethod = "difference",
    stroke_type: StrokeType | None = None,
    name: str = "overlay",
) -> np.ndarray:
    """Returns the lesion mask painted on an overlay.

    `difference` takes everything that OVERLAY minus PNG shows in colour, border and fill. Which
    part of the border lies outside the lesion is found by trial: of several border styles (1, 2
    or 3 pixels, square or round corners) it keeps the one that, drawn again around its own mask,
    comes nearest to the overlay. `usth-hsv` is the rule of the USTH report, which keeps red hues
    and so loses a green border and keeps the outside of a blue one.

    Args:
        overlay: uint8 RGB, shape (H, W, 3): the slice with its lesions in half-transparent red
            and a border in the class's mask colour; stored without loss.
        picture: uint8 grey or int16 HU, shape (H, W): the slice without them, or None. Its window
            may be another than the overlay's.
        method: One of `MaskMethod`.
        stroke_type: The lesions' class. `usth-hsv` needs it; `difference` uses it only for
            fills without a border.
        name: File name or id for the error messages.

    Returns:
        uint8, shape (H, W): 0 background, 1 ischaemia, 2 haemorrhage; all zero where nothing is
        painted.

    Raises:
        ValueError: If an array is not of that shape and type, the sizes differ, the method is
            unknown, a lesion's class cannot be told, the overlay cannot be trusted (`find_paint`),
            or no border style draws it again.
    """
    _check_arrays(overlay, picture, name=name)
    painted = find_paint(overlay, picture, name=name)
    if method == "difference":
        return _mask_by_difference(overlay, painted, stroke_type, name=name)
    if method == "usth-hsv":
        return mask_from_binary(_usth_red(overlay), _required(stroke_type, name), name=name)
    raise ValueError(f"{name}: method must be one of {get_args(MaskMethod)}. Received: {method!r}")


def check_overlay(
    overlay: np.ndarray, picture: np.ndarray | None, mask: np.ndarray, *, name: str = "overlay"
) -> None:
    """Checks that an overlay shows its picture and the lesions of its mask.

    Args:
        overlay: As for `mask_from_overlay`.
        picture: As for `mask_from_overlay`.
        mask: uint8 class ids, shape (H, W), of the mask file.
        name: File name or id of the overlay for the error messages.

    Raises:
        ValueError: As `find_paint`; or if more than `APART_MAX` of the paint, of the mask or of the
            border of a class is more than a pixel away from the other.
    """
    _check_arrays(overlay, picture, name=name)
    if mask.shape != overlay.shape[:2]:
        raise ValueError(
            f"{name}: must have the size of its mask, {mask.shape}. Received: {overlay.shape[:2]}"
        )
    painted = find_paint(overlay, picture, name=name)
    box = bounding_box(painted | (mask > 0), margin=1)
    if box is None:
        return
    painted, mask, lesion = painted[box], mask[box], mask[box] > 0
    _, green, blue = channels(overlay[box])
    borders = {
        StrokeType.ISCHEMIA: painted & (cv2.subtract(blue, green) >= PAINT_MIN),
        StrokeType.HEMORRHAGE: painted & (cv2.subtract(green, blue) >= PAINT_MIN),
    }
    pairs = {"paint": (painted, lesion), "mask": (lesion, painted)}
    pairs |= {f"{kind.name} border": (drawn, mask == kind) for kind, drawn in borders.items()}
    for what, (one, other) in pairs.items():
        apart, area = np.count_nonzero(one & ~_dilate(other, _TOUCH)), np.count_nonzero(one)
        if apart > APART_MAX * area:
            raise ValueError(
                f"{name}: an overlay must show the lesions of its mask. "
                f"Received: {apart} of {area} pixels of {what} apart from it"
            )


class _Style(NamedTuple):
    """How a border was drawn, as neighbourhoods of ones.

    Paint is where the lesion has a pixel within `outer`; red fill where it has all of `inner`;
    border is the paint that is not fill.
    """

    outer: np.ndarray
    inner: np.ndarray


class _Layer(NamedTuple):
    """The paint of one class, border and fill, and the fill alone: bool, shape (H, W)."""

    stroke_type: StrokeType
    paint: np.ndarray
    fill: np.ndarray


def _neighbourhood(shape: int, *, radius: int) -> np.ndarray:
    spot = np.pad(np.ones((1, 1), np.uint8), radius)
    return cv2.dilate(spot, cv2.getStructuringElement(shape, (3, 3)), iterations=radius)


_BORDERS = ((width, shape) for width in (1, 2, 3) for shape in (cv2.MORPH_RECT, cv2.MORPH_CROSS))
# Thin borders first: the first of equally good styles is taken. The odd pixel lies inside. The
# last style is fill alone.
_STYLES = tuple(
    _Style(
        outer=_neighbourhood(shape, radius=width // 2),
        inner=_neighbourhood(shape, radius=width - width // 2),
    )
    for width, shape in (*_BORDERS, (0, cv2.MORPH_RECT))
)
_TOUCH = _neighbourhood(cv2.MORPH_RECT, radius=1)
_MARGIN = 3  # of the box around the paint: the widest border


def _mask_by_difference(
    overlay: np.ndarray, painted: np.ndarray, stroke_type: StrokeType | None, *, name: str
) -> np.ndarray:
    check_filled(painted, name=name)
    mask = np.zeros(painted.shape, np.uint8)
    box = bounding_box(painted, margin=_MARGIN)
    if box is None:
        return mask
    painted = painted[box]
    red, green, blue = channels(overlay[box])
    # Red over grey leaves green and blue equal. A border does not, even under transparent red.
    fill = painted & (red > green) & (cv2.absdiff(green, blue) < PAINT_MIN)
    ischemia, hemorrhage = (np.uint8(one) for one in LESION_CLASSES)
    classes = np.where(blue >= green, ischemia, hemorrhage)
    classes[fill | ~painted] = StrokeType.NONE
    classes[fill] = _fill_classes(fill, classes, stroke_type, name=name)[fill]
    layers = [
        _Layer(one, paint, paint & fill)
        for one in LESION_CLASSES
        if (paint := classes == one).any()
    ]
    style = _best_style(layers, painted)
    lesions = _lesions(layers, painted, style, deduce=True)
    wrong, paint = _redrawn_error(lesions, layers, painted, style), np.count_nonzero(painted)
    if wrong > MISFIT_MAX * paint:
        raise ValueError(
            f"{name}: a lesion must be red fill in a border of at most 3 pixels, and never be "
            f"resized. Received: {wrong} of {paint} painted pixels that no such border gives"
        )
    mask[box] = lesions
    return mask


def _fill_classes(
    fill: np.ndarray, border: np.ndarray, stroke_type: StrokeType | None, *, name: str
) -> np.ndarray:
    """Returns the class of each fill pixel: that of most of the border its region touches.

    Not simply of the nearest border: a bleed inside an infarct has its border in the infarct's
    fill.
    """
    count, regions = cv2.connectedComponents(fill.astype(np.uint8), connectivity=4)
    touching = np.stack(
        [
            np.bincount(regions[_dilate(border == c, _TOUCH)], minlength=count)
            for c in LESION_CLASSES
        ]
    )
    class_of = np.array(LESION_CLASSES, np.uint8)[touching.argmax(axis=0)]
    unbordered = touching.sum(axis=0) == 0
    unbordered[0] = False
    if unbordered.any():
        class_of[unbordered] = _required(stroke_type, name)
    return class_of[regions]


def _lesions(
    layers: list[_Layer], painted: np.ndarray, style: _Style, *, deduce: bool
) -> np.ndarray:
    """Returns the mask under the paint, if its borders were drawn in this style.

    Around a fill everything within `inner` is lesion, even where another class's border was
    painted over it; next to bare picture nothing within `outer` is. What lies between, in thin
    parts and around narrow holes, counts as lesion unless `deduce` shows otherwise.
    """
    lesions = np.zeros(painted.shape, np.uint8)
    for layer in layers:
        sure = _dilate(layer.fill, style.inner) & painted
        possible = _erode(layer.paint, style.outer) | sure
        if deduce:
            possible = _deduced(layer, sure, possible, style)
        here = possible & ((lesions == 0) | layer.paint)
        np.copyto(lesions, np.uint8(layer.stroke_type), where=here)
    return lesions


def _deduced(layer: _Layer, sure: np.ndarray, possible: np.ndarray, style: _Style) -> np.ndarray:
    """Returns `possible` without the pixels that cannot be lesion.

    A border pixel is not fill, so at least one pixel within `inner` of it is not lesion. If a
    single open pixel is left there, it is that one. In the same way, a painted pixel has lesion
    within `outer`. Each answer may decide further pixels.
    """
    while True:
        open_ = possible & ~sure
        hemmed = layer.paint & ~layer.fill & _erode(possible, style.inner)
        out = open_ & _dilate(hemmed & (_count(open_, style.inner) == 1), style.inner)
        bare = layer.paint & ~_dilate(sure, style.outer)
        in_ = open_ & ~out & _dilate(bare & (_count(open_, style.outer) == 1), style.outer)
        if not (out.any() or in_.any()):
            return possible
        possible, sure = possible & ~out, sure | in_


def _best_style(layers: list[_Layer], painted: np.ndarray) -> _Style:
    """Returns the first style that draws the paint again, or else the one that comes nearest."""
    best, least = _STYLES[0], painted.size
    for style in _STYLES:
        lesions = _lesions(layers, painted, style, deduce=False)
        wrong = _redrawn_error(lesions, layers, painted, style)
        if wrong < least:
            best, least = style, wrong
        if not wrong:
            break
    return best


def _redrawn_error(
    lesions: np.ndarray, layers: list[_Layer], painted: np.ndarray, style: _Style
) -> int:
    """Returns how many pixels of paint and of fill differ when a mask is painted again."""
    wrong = np.count_nonzero(_dilate(lesions > 0, style.outer) != painted)
    for layer in layers:
        fill = _erode(lesions == layer.stroke_type, style.inner)
        wrong += np.count_nonzero(fill != layer.fill)
    return int(wrong)


def _erode(region: np.ndarray, neighbourhood: np.ndarray) -> np.ndarray:
    # cv2 counts what lies beyond the picture as lesion, so nothing is lost along its edges.
    return cv2.erode(region.view(np.uint8), neighbourhood).view(bool)


def _dilate(region: np.ndarray, neighbourhood: np.ndarray) -> np.ndarray:
    return cv2.dilate(region.view(np.uint8), neighbourhood).view(bool)


def _count(region: np.ndarray, neighbourhood: np.ndarray) -> np.ndarray:
    return cv2.filter2D(region.view(np.uint8), -1, neighbourhood, borderType=cv2.BORDER_CONSTANT)


def _usth_red(overlay: np.ndarray) -> np.ndarray:
    hue, saturation, value = np.moveaxis(np.asarray(Image.fromarray(overlay).convert("HSV")), 2, 0)
    red = (hue <= HSV_HUE_LOW) | (hue >= HSV_HUE_HIGH)
    red &= (saturation >= HSV_SATURATION_MIN) & (value >= HSV_VALUE_MIN)
    return np.where(red, np.uint8(255), np.uint8(0))


def _required(stroke_type: StrokeType | None, name: str) -> StrokeType:
    if stroke_type is None:
        raise ValueError(
            f"{name}: `stroke_type` must be given where no border tells the class. Received: None"
        )
    _check_lesion_class(stroke_type, name=name)
    return stroke_type


def _check_lesion_class(stroke_type: StrokeType, *, name: str) -> None:
    if stroke_type not in LESION_CLASSES:
        raise ValueError(
            f"{name}: `stroke_type` must be one of {[c.name for c in LESION_CLASSES]}. "
            f"Received: {stroke_type!r}"
        )


def _check_arrays(overlay: np.ndarray, picture: np.ndarray | None, *, name: str) -> None:
    check_rgb(overlay, name=name)
    if picture is not None:
        if picture.dtype != np.int16:
            _check_grey(picture, name=name)
        if picture.shape != overlay.shape[:2]:
            raise ValueError(
                f"{name}: must have the size of its picture, {picture.shape}. "
                f"Received: {overlay.shape[:2]}"
            )


def _check_grey(array: np.ndarray, *, name: str) -> None:
    if array.dtype != np.uint8 or array.ndim != 2:
        raise ValueError(
            f"{name}: must be uint8 grey of shape (H, W). Received: {array.dtype} {array.shape}"
        )
