"""Lesions of other training slices, pasted into a slice: more lesions in more heads.

Copy-paste for masks (Ghiasi et al. 2021) with a margin around the lesion, as CarveMix has it (Zhang
et al. 2021). Knows nothing of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from stroke_tf.data.head_mask import BONE_GREY, HEAD_GREY

NOTHING = -1
"""Place of a donor that stands for none."""

_MARGIN = (0.01, 0.06)  # of the side: how far around a lesion the donor's tissue goes with it
_FITS = 0.8  # least share of a lesion that must fall on tissue

Draw = Callable[[np.random.Generator, int], np.ndarray]
"""(random, count) -> the places, int64, of that many donors; NOTHING for none."""


def donor_drawer(lesions: np.ndarray, share: float) -> Draw:
    """Returns a function that draws donors for a share of an epoch's slices.

    Args:
        lesions: int64, the places of the slices with a lesion.
        share: Share of the slices that get a donor, in [0, 1].

    Raises:
        ValueError: If the share is out of range, or there is no lesion to paste.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"`pasted_lesions` must be in [0, 1]. Received: {share}")
    if share and not len(lesions):
        raise ValueError("`pasted_lesions` needs a slice with a lesion. Received: none")

    def draw(random: np.random.Generator, count: int) -> np.ndarray:
        if not share:
            return np.full(count, NOTHING)
        chosen = random.choice(lesions, count)
        return np.where(random.random(count) < share, chosen, NOTHING)

    return draw


def paste_lesion(
    picture: np.ndarray,
    mask: np.ndarray,
    donor: np.ndarray,
    donor_mask: np.ndarray,
    seed: int | tuple[int, int],
    *,
    channel: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Pastes the lesion of one slice, with a margin of its tissue, into another at the same place.

    Outwards the donor fades. Neither its bone nor what falls on bone or air is pasted, and a lesion
    that would mostly do so is not pasted at all: both are returned as they are.

    Args:
        picture: uint8, shape (S, S) or (S, S, C).
        mask: Its class ids, uint8, shape (S, S, 1).
        donor: Another slice, as `picture`.
        donor_mask: Its class ids.
        seed: Of the margin's width.
        channel: The one that shows the slice itself in grey as in a brain window.

    Returns:
        Picture and mask, of the same shapes and dtypes.
    """
    lesion = (donor_mask[..., 0] > 0).astype(np.uint8)
    tissue = _is_tissue(picture, channel)
    if not lesion.any() or tissue[lesion > 0].mean() < _FITS:
        return picture, mask
    margin = np.random.default_rng(seed).uniform(*_MARGIN) * len(lesion)
    away = cv2.distanceTransform(1 - lesion, cv2.DIST_L2, 3)
    share = (1 - away / margin).clip(0, 1) * (tissue & _is_tissue(donor, channel))
    weight = share[..., None] if picture.ndim == 3 else share
    mixed = (picture + weight * (donor.astype(np.float32) - picture)).round().astype(np.uint8)
    drawn = ((share == 1) & (lesion > 0))[..., None]
    return mixed, np.where(drawn, donor_mask, mask)


def _is_tissue(picture: np.ndarray, channel: int) -> np.ndarray:
    """Returns where a picture shows neither air nor bone, bool, shape (S, S)."""
    grey = picture if picture.ndim == 2 else picture[..., channel]
    return (grey > HEAD_GREY) & (grey < BONE_GREY)
