"""Decodes and encodes PNG and JPEG pictures; refuses whatever is not a whole 8-bit picture.

Knows bytes and arrays only: neither files nor what a picture shows. The header is checked before a
pixel is decoded, so a small file cannot claim more memory than `MAX_PIXELS` need.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from isal import isal_zlib
from kornia_rs.io import decode_image_png_u8
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
# Decoded by kornia_rs in a third of OpenCV's time; it takes no palette, 16 bits or interlacing.
_CHANNELS = {"L": "mono", "RGB": "rgb", "RGBA": "rgba"}
_ISAL_LEVEL = 1
_FILTER_UP = 2


class ColouredPictureError(ValueError):
    """A picture that must be grey has colours."""


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
    channel = cv2.extractChannel(pixels, 0)
    back = cv2.COLOR_GRAY2RGB if pixels.shape[2] == 3 else cv2.COLOR_GRAY2RGBA
    if not cv2.norm(cv2.cvtColor(channel, back), pixels, cv2.NORM_INF):
        return np.asarray(channel, np.uint8)
    pixels = _opaque(pixels, name=name)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    again = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    tolerance = 0 if data.startswith(_PNG) else JPEG_TOLERANCE
    if cv2.norm(again, pixels, cv2.NORM_INF) > tolerance:
        coloured = int((cv2.absdiff(again, pixels) > tolerance).any(axis=2).sum())
        raise ColouredPictureError(
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
    if pixels.ndim == 3:
        return _opaque(pixels, name=name)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)


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

    Every row is filtered by the row above and deflated with ISA-L: a fifth of the time of
    OpenCV's fastest setting, for files an eighth larger.

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
    (height, width), depth = array.shape, 8 * array.itemsize
    rows = np.ascontiguousarray(array, array.dtype.newbyteorder(">")).view(np.uint8)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    pixels = isal_zlib.compress(filtered, _ISAL_LEVEL)
    return _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _decode(data: bytes, *, name: str) -> NDArray[np.uint8]:
    """Returns uint8 grey, (H, W), RGB or RGBA."""
    image = _open(data, name=name)
    if isinstance(image, PngImageFile) and image.mode in _CHANNELS and _is_byte_wise(data):
        return _decode_png(data, image, name=name)
    _check_whole(image, data, name=name)
    return _decode_other(data, name=name)


def _opaque(pixels: NDArray[np.uint8], *, name: str) -> NDArray[np.uint8]:
    """Returns RGB of RGB or opaque RGBA."""
    if pixels.shape[2] == 3:
        return pixels
    if (lowest := int(cv2.extractChannel(pixels, 3).min())) < 255:
        raise ValueError(f"{name}: a picture must be opaque. Received: alpha down to {lowest}")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB), np.uint8)


def _is_byte_wise(data: bytes) -> bool:
    """Returns whether a PNG has 8 bits per channel and is not interlaced."""
    return data[24] == 8 and data[28] == 0


def _decode_png(data: bytes, image: PngImageFile, *, name: str) -> NDArray[np.uint8]:
    """Returns uint8 grey, (H, W), RGB or RGBA; checksums and the file's end are checked too."""
    width, height = image.size
    try:
        pixels = decode_image_png_u8(data, (height, width), _CHANNELS[image.mode])
    except Exception as error:  # it raises nothing more exact
        raise ValueError(f"{name}: a PNG must be whole. Received: {error}") from error
    return pixels[..., 0] if image.mode == "L" else pixels


def _decode_other(data: bytes, *, name: str) -> NDArray[np.uint8]:
    """Returns uint8 grey, (H, W), RGB or RGBA."""
    # Unchanged: any other flag would turn the picture as its EXIF data says, but not its mask.
    pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(f"{name}: pixels must be decodable. Received: damaged image data")
    if pixels.ndim == 2:
        return pixels
    code = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)


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
