"""Where the head is in a slice: its largest bright region, without headrest and writing."""

from __future__ import annotations

import cv2
import numpy as np

HEAD_GREY = 40  # skin in a brain window; air and foam are below
BONE_GREY = 235


def head_mask(image: np.ndarray) -> np.ndarray:
    """Returns uint8 1 in the largest bright region and its holes: the head without the headrest.

    All 0 where nothing is bright.

    Args:
        image: uint8 grey as in a brain window, shape (S, S).
    """
    opened = cv2.morphologyEx(_bright(image), cv2.MORPH_OPEN, disc(image, 0.038))
    count, labels, found, _ = cv2.connectedComponentsWithStats(opened)
    if count < 2:
        return np.zeros_like(image)
    largest = 1 + int(found[1:, cv2.CC_STAT_AREA].argmax())
    return filled((labels == largest).astype(np.uint8))


def whole_head(image: np.ndarray) -> np.ndarray:
    """Returns uint8 1 in the head, what hangs on it, such as nose and ears, and a rim around it.

    It takes in too much rather than too little; all 1 where no head is found.

    Args:
        image: uint8 grey as in a brain window, shape (S, S).
    """
    head = head_mask(image)
    if not head.any():
        return np.ones_like(image)
    hull = np.zeros_like(image)
    cv2.fillConvexPoly(hull, cv2.convexHull(cv2.findNonZero(head)), 1)
    near = _bright(image) & cv2.dilate(hull, disc(image, 0.2)) * np.uint8(255)
    _, labels = cv2.connectedComponents(near)
    hanging = np.isin(labels, np.setdiff1d(labels[head > 0], [0])).astype(np.uint8)
    return cv2.dilate(hull | hanging, disc(image, 0.1))  # skin lies off the skull, beyond fat


def _bright(image: np.ndarray) -> np.ndarray:
    smooth = cv2.GaussianBlur(image, (0, 0), max(0.5, 0.003 * len(image)))
    return cv2.compare(smooth, float(HEAD_GREY), cv2.CMP_GT)  # type: ignore[call-overload]


def filled(region: np.ndarray) -> np.ndarray:
    """Returns uint8 1 in a region and its holes."""
    padded = np.pad(region, 1)
    cv2.floodFill(padded, None, (0, 0), 2)
    return (padded[1:-1, 1:-1] != 2).astype(np.uint8)


def disc(image: np.ndarray, share: float) -> np.ndarray:
    """Returns a disc whose diameter is a share of the picture's side, at least one pixel."""
    diameter = max(1, round(share * len(image))) | 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
