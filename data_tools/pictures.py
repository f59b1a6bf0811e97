"""Decodes and encodes PNG and JPEG pictures; refuses whatever is not a whole 8-bit picture.

Knows bytes and arrays only: neither files nor what a picture shows. The header is checked before a
pixel is decoded, so a small file cannot claim more memory than `MAX_PIXELS` need.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

MAX_PIXELS = 4096 * 4096
JPEG_TOLERANCE = 8  # grey pictures saved as colour JPEG have slightly unequal channels

_PNG = b"\x89PNG\r\n\x1a\n"
# The plug-ins, for Image.open warns or raises on large headers by a limit of its own.
_FORMATS: dict[bytes, type[ImageFile.ImageFile]] = {
    _PNG: PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
}
_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}
# On real slices smaller than at level 6 with any other strategy, in a third of its time.
_ENCODING = (
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_PAETH,
)


def decode_grey(data: bytes, *, name: str) -> NDArray[np.uint8]:
    """Returns a CT picture.

    Args:
        data: A PNG or JPEG file: grey, palette or colour with equal channels, 8 bits or fewer per
            channel, opaque.
        name: Where the bytes come from, for the error messages.

    Returns:
        uint8, shape (H, W), 0 to 255.

    Raises:
        ValueError: If the bytes are not such a picture, are damaged or cut short, hold more than
            `MAX_PIXELS`, or are coloured (an overlay must never be an input picture).
    """
    pixels = _decode(data, name=name)
    if pixels.ndim == 2:
        return pixels
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    again = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
    tolerance = 0 if data.startswith(_PNG) else JPEG_TOLERANCE
    if cv2.norm(again, pixels, cv2.NORM_INF) > tolerance:
        coloured = int((cv2.absdiff(again, pixels) > tolerance).any(axis=2).sum())
        raise ValueError(
            f"{name}: a picture must be grey; an overlay is not an input. "
            f"Received: {coloured} coloured pixels"
        )
    return np.asarray(grey, np.uint8)


def decode_colours(data: bytes, *, name: str) -> NDArray[np.uint8]:
    """Returns an overlay or a mask.

    Args:
        data: A PNG or JPEG file as for `decode_grey`, but of any colours.
        name: Where the bytes come from, for the error messages.

    Returns:
        uint8 RGB, shape (H, W, 3), 0 to 255.

    Raises:
        ValueError: As `decode_grey`, colours aside.
    """
    pixels = _decode(data, name=name)
    code = cv2.COLOR_GRAY2RGB if pixels.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def picture_size(data: bytes, *, name: str) -> tuple[int, int]:
    """Returns (height, width) in pixels from the header alone; the pixels may still be damaged.

    Raises:
        ValueError: If the header is not one that `decode_colours` accepts.
    """
    width, height = _open(data, name=name).size
    return height, width


def is_plain_grey_png(data: bytes) -> bool:
    """Returns whether the header is that of an 8-bit grey PNG without alpha or interlacing."""
    ihdr = data[8:29]  # length, "IHDR", width, height, then depth, colour, 0, 0, interlacing
    return data.startswith(_PNG) and ihdr[4:8] == b"IHDR" and ihdr[16:] == b"\x08\0\0\0\0"


def encode_png(array: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Returns a grey PNG; equal arrays give equal bytes.

    Args:
        array: uint8 or uint16, shape (H, W).

    Raises:
        ValueError: If the array is of another type or shape, or is empty.
    """
    if array.ndim != 2 or array.dtype not in (np.uint8, np.uint16) or array.size == 0:
        raise ValueError(
            "`array` must be uint8 or uint16 of shape (H, W). "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    return cv2.imencode(".png", array, _ENCODING)[1].tobytes()


def _decode(data: bytes, *, name: str) -> NDArray[np.uint8]:
    """Returns uint8 pixels, (H, W) or BGR (H, W, 3)."""
    _check_whole(_open(data, name=name), data, name=name)
    # Unchanged: any other flag would turn the picture as its EXIF data says, but not its mask.
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(f"{name}: pixels must be decodable. Received: damaged image data")
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    if (lowest := int(cv2.extractChannel(pixels, 3).min())) < 255:
        raise ValueError(f"{name}: a picture must be opaque. Received: alpha down to {lowest}")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR), np.uint8)


def _open(data: bytes, *, name: str) -> ImageFile.ImageFile:
    """Returns the picture with its header read and checked, its pixels not decoded."""
    opener = next((cls for start, cls in _FORMATS.items() if data.startswith(start)), None)
    if opener is None:
        raise ValueError(f"{name}: must be a PNG or JPEG file. Received: {_start(data)}")
    try:
        image = opener(io.BytesIO(data))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{name}: must have a sound header. Received: {error}") from error
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(
            f"{name}: must have 1 to {MAX_PIXELS} pixels. Received: {width}x{height} (WxH)"
        )
    bits = data[24] if opener is PngImageFile else 8  # Pillow's mode hides 16-bit colour
    if bits > 8:
        raise ValueError(f"{name}: must have 8 bits per channel. Received: {bits}")
    if image.mode not in _MODES:
        raise ValueError(f"{name}: must be grey, palette or RGB. Received: {image.mode}")
    return image


def _check_whole(image: ImageFile.ImageFile, data: bytes, *, name: str) -> None:
    """Raises ValueError for a file that is cut short, or a PNG whose checksums are wrong."""
    if isinstance(image, JpegImageFile):
        if not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise ValueError(
                f"{name}: a JPEG must end with its end-of-image marker. Received: {len(data)} bytes"
            )
        return
    try:
        image.verify()
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{name}: a PNG must be whole. Received: {error}") from error


def _start(data: bytes) -> str:
    return f"a file that starts with {data[:8]!r}" if data else "an empty file"
