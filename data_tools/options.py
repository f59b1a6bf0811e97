"""The choices that settings offer. Imports nothing, so that `--help` answers at once."""

from typing import Literal

Compression = Literal["zlib", "none"]
"""Compression of the TFRecord files."""

CopiesFor = Literal["none", "detect", "segment"]
"""What copies augmented before folding are for."""

Prefer = Literal["png", "dicom"]
"""Which file gives the pixels where a slice has both."""

MaskMethod = Literal["difference", "usth-hsv"]
"""How a mask is taken from an overlay."""
