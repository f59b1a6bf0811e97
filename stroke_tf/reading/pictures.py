"""Decodes pictures and encodes grey PNGs; refuses whatever is not a whole 8-bit picture.

Knows bytes and arrays only: neither files nor what a picture shows. The header is checked before a
pixel is decoded, so a small file cannot claim more memory than `MAX_PIXELS` need.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any, Literal

import cv2
import numpy as np
from isal import isal_zlib
from kornia_rs.io import decode_image_jpegturbo, decode_image_png_u8
from numpy.typing import NDArray
from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

MAX_PIXELS = 4096 * 4096
LOSSY_TOLERANCE = 8  # grey pictures saved as colour JPEG have slightly unequal channels

_PNG = b"\x89PNG\r\n\x1a\n"
# The plug-ins are called directly: Image.open has its own limit, and warns or raises above it.
_FORMATS: dict[bytes, type[ImageFile.ImageFile]] = {
    _PNG: PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"RIFF": WebPImageFile,
}
_LOSSY = (JpegImageFile, WebPImageFile)
_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}
_DEEP_MODES = {"I;16", "I;16B"}  # grey, 16 bits
# Modes that kornia_rs decodes, in a third of OpenCV's time: no palette, 16 bits or interlacing. It
# takes libjpeg's warnings for errors, where OpenCV and Pillow return what is left of a picture.
_CHANNELS = {"L": "mono", "RGB": "rgb", "RGBA": "rgba"}
_ISAL_LEVEL = 1
_ORIENTATION = 0x0112  # tag of TIFF and EXIF
_FILTER_UP = 2
_GREY, _RGB = 0, 2  # colour types of PNG


class ColouredPictureError(ValueError):
    """A picture that must be grey has colours."""


def decode_grey(data: bytes, *, name: str) -> NDArray[np.uint8]:
    """Returns a CT picture.

    Args:
        data: A PNG, JPEG, BMP, TIFF or WebP file: grey, palette or colour with equal channels,
            opaque, 8 bits or fewer per channel; 16 bits only where a grey picture of 8 bits is
            stored in them, as it is or stretched.
        name: Where the bytes come from, for the error messages.

    Returns:
        uint8, shape (H, W), 0 to 255.

    Raises:
        ValueError: If the bytes are not such a picture, are damaged or cut short, hold more than
            `MAX_PIXELS`, or are coloured (an overlay must never be an input picture).
    """
    pixels, lossy = _decode(data, name=name)
    if pixels.ndim == 2:
        return pixels
    channel = cv2.extractChannel(pixels, 0)
    back = cv2.COLOR_GRAY2RGB if pixels.shape[2] == 3 else cv2.COLOR_GRAY2RGBA
    if not cv2.norm(cv2.cvtColor(channel, back), pixels, cv2.NORM_INF):
        return np.asarray(channel, np.uint8)
    pixels = _opaque(pixels, name=name)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    again = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    tolerance = LOSSY_TOLERANCE if lossy else 0
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
        data: A file as for `decode_grey`, but of any colours.
        name: Where the bytes come from, for the error messages.

    Returns:
        uint8 RGB, shape (H, W, 3), 0 to 255.

    Raises:
        ValueError: As `decode_grey`, colours aside.
    """
    pixels, _ = _decode(data, name=name)
    if pixels.ndim == 3:
        return _opaque(pixels, name=name)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)


def decode_16_bits(data: bytes, *, name: str) -> NDArray[np.uint16] | None:
    """Returns the values of a grey picture of 16 bits, shape (H, W); None if it has fewer.

    Raises:
        ValueError: As `decode_grey`.
    """
    image = _open(data, name=name)
    return _pixels(data, image, name=name) if image.mode in _DEEP_MODES else None


def encode_png(array: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Returns a grey or RGB PNG; equal arrays give equal bytes.

    Every row is filtered by the row above and deflated with ISA-L: a fifth of the time of
    OpenCV's fastest setting, for files an eighth larger.

    Args:
        array: Grey: uint8 or uint16, shape (H, W); or RGB: uint8, shape (H, W, 3).

    Raises:
        ValueError: If the array is of another type or shape, or is empty.
    """
    is_grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    is_rgb = array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8
    if not (is_grey or is_rgb) or array.size == 0:
        raise ValueError(
            "`array` must be uint8 or uint16 of shape (H, W), or uint8 of shape (H, W, 3). "
            f"Received: {array.dtype} of shape {array.shape}"
        )
    height, width, depth = *array.shape[:2], 8 * array.itemsize
    rows = np.ascontiguousarray(array, array.dtype.newbyteorder(">")).view(np.uint8)
    rows = rows.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, depth, _RGB if is_rgb else _GREY, 0, 0, 0)
    pixels = isal_zlib.compress(filtered, _ISAL_LEVEL)
    return _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def is_picture_start(data: bytes) -> bool:
    """Returns whether a file begins as one of the pictures that are read."""
    return data.startswith(tuple(_FORMATS))


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _decode(data: bytes, *, name: str) -> tuple[NDArray[np.uint8], bool]:
    """Returns uint8 grey, (H, W), RGB or RGBA; and whether they were stored with loss."""
    image = _open(data, name=name)
    pixels = _pixels(data, image, name=name)
    if pixels.itemsize == 2:
        pixels = _eight_bits(pixels, name=name)
    return pixels, isinstance(image, _LOSSY)


def _pixels(data: bytes, image: ImageFile.ImageFile, *, name: str) -> NDArray[Any]:
    kind = type(image).format
    try:
        return _decode_whole(data, image)
    except Exception as error:  # the decoders raise nothing more exact, that of JPEGs says nothing
        what = "damaged image data" if kind == "JPEG" else error
        raise ValueError(f"{name}: a {kind} must be whole. Received: {what}") from error


def _decode_whole(data: bytes, image: ImageFile.ImageFile) -> NDArray[Any]:
    """Returns the pixels; raises something for a picture that is cut short or damaged.

    Turns no picture as its EXIF data says, for its mask would not turn with it.
    """
    width, height = image.size
    if isinstance(image, JpegImageFile):
        pixels = decode_image_jpegturbo(data, _CHANNELS[image.mode])
    elif isinstance(image, PngImageFile) and image.mode in _CHANNELS and _is_byte_wise(data):
        pixels = decode_image_png_u8(data, (height, width), _CHANNELS[image.mode])
    else:
        return _decode_other(data, image)
    return pixels[..., 0] if image.mode == "L" else pixels


def _decode_other(data: bytes, image: ImageFile.ImageFile) -> NDArray[Any]:
    if isinstance(image, PngImageFile):
        image.verify()  # checksums, which loading skips
        image = PngImageFile(io.BytesIO(data))
    if image.mode in ("1", "P", "LA"):
        has_alpha = image.mode == "LA" or "transparency" in image.info
        mode = "L" if image.mode == "1" else "RGBA" if has_alpha else "RGB"
        return np.asarray(image.convert(mode))
    return np.asarray(image)


def _eight_bits(pixels: NDArray[np.uint16], *, name: str) -> NDArray[np.uint8]:
    """Returns the 8-bit picture that is stored in 16 bits, as it is or stretched by 257."""
    if pixels.max() <= 255:
        return pixels.astype(np.uint8)
    if not (pixels % 257).any():
        return (pixels // 257).astype(np.uint8)
    raise ValueError(
        f"{name}: must have 8 bits per channel, or 16 that hold a picture of 8 (values to 255, or "
        f"multiples of 257). Received: 16 bits, values {pixels.min()} to {pixels.max()}, whose "
        "black and white nobody states. HU with an offset are taken by `convert --hu-offset`, and "
        "by everything as DICOM"
    )


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


def _open(data: bytes, *, name: str) -> ImageFile.ImageFile:
    """Returns the picture with its header read and checked, its pixels not decoded."""
    opener = next((cls for start, cls in _FORMATS.items() if data.startswith(start)), None)
    if opener is None:
        raise ValueError(
            f"{name}: must be a PNG, JPEG, BMP, TIFF or WebP file. Received: {_start(data)}"
        )
    # A damaged tag of a TIFF may be one that its pixels need.
    action: Literal["error", "ignore"] = "error" if opener is TiffImageFile else "ignore"
    try:
        with warnings.catch_warnings(action=action):
            image = opener(io.BytesIO(data))
    except Exception as error:  # the plug-ins raise nothing more exact
        raise ValueError(f"{name}: must have a sound header. Received: {error}") from error
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(
            f"{name}: must have 1 to {MAX_PIXELS} pixels. Received: {width}x{height} (WxH)"
        )
    if opener is PngImageFile and data[24] == 16 and image.mode not in _DEEP_MODES:
        raise ValueError(f"{name}: must have 8 bits per channel. Received: 16")  # mode hides it
    if image.mode not in _MODES | _DEEP_MODES:
        raise ValueError(f"{name}: must be grey, palette or RGB. Received: {image.mode}")
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise ValueError(f"{name}: must hold one picture. Received: {frames}")
    if opener is TiffImageFile and (turn := image.getexif().get(_ORIENTATION, 1)) != 1:
        raise ValueError(f"{name}: a TIFF must be stored upright. Received: orientation {turn}")
    return image


def _start(data: bytes) -> str:
    return f"a file that starts with {data[:8]!r}" if data else "an empty file"
