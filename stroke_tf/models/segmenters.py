"""Every network that gives a class to each pixel, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import keras

from stroke_tf.config import LibraryArchitecture
from stroke_tf.models.composed import build_composed
from stroke_tf.models.improved_unet import build_improved_unet
from stroke_tf.models.unet import build_unet

SEGMENTERS: dict[str, Callable[..., keras.Model]] = {
    **{name: partial(build_unet, architecture=name) for name in get_args(LibraryArchitecture)},
    "composed": build_composed,
    "joint": partial(build_composed, slice_head=True),
    "improved": build_improved_unet,
}
"""The builder of each network; those on an encoder take its name, weights and decoder widths."""
