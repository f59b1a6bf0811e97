"""Pictures that are no PNG or JPEG of 8 bits: BMP, TIFF and WebP become PNG, 16 bits become HU.

Knows bytes and arrays only.
"""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from PIL import ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from stroke_tf.reading.pictures import MAX_PIXELS

_FORMATS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"BM": BmpImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"RIFF": WebPImageFile,
}
_AIR_BELOW, _METAL = -500, 32767  # HU


def as_png(data: bytes, *, name: str) -> bytes:
    """Returns a BMP, TIFF or WebP picture as a PNG of its pixels alone; others as they are.

    Raises:
        ValueError: If it is damaged, too large, or holds several pictures.
    """
    opener = next((cls for start, cls in _FORMATS.items() if data.startswith(start)), None)
    if opener is None:
        return data
    try:
        with warnings.catch_warnings(action="ignore"):  # of Pillow: faults raise
            return _png_of(opener(io.BytesIO(data)), name=name)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{name}: a picture must be whole. Received: {error}") from error


def _png_of(image: ImageFile.ImageFile, *, name: str) -> bytes:
    count = getattr(image, "n_frames", 1)
    if image.width * image.height > MAX_PIXELS or count > 1:
        raise ValueError(
            f"{name}: must be one picture of at most {MAX_PIXELS} pixels. "
            f"Received: {count} of {image.width}x{image.height} (WxH)"
        )
    if image.mode in ("F", "I"):
        raise ValueError(f"{name}: must have 8 or 16 bits, unsigned. Received: mode {image.mode}")
    kept = image.mode in ("L", "RGB", "RGBA") or image.mode.startswith("I;16")
    pixels = np.asarray(image if kept else image.convert("RGBA" if "A" in image.mode else "RGB"))
    if pixels.ndim == 3:
        order = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        pixels = cv2.cvtColor(pixels, order)
    native = pixels.astype(pixels.dtype.newbyteorder("="))
    return cv2.imencode(".png", native, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def is_16_bit_png(data: bytes) -> bool:
    """Returns whether the header is that of a grey PNG of 16 bits."""
    return (
        data.startswith(b"\x89PNG\r\n\x1a\n")
        and data[12:16] == b"IHDR"
        and data[24:26] == b"\x10\0"
    )


def hu_of_16_bits(data: bytes, *, offset: int | None, name: str) -> np.ndarray:
    """Returns the HU of a grey PNG of 16 bits: int16, shape (H, W).

    Args:
        data: The file.
        offset: What its values are more than HU.
        name: Where the bytes come from, for the error messages.

    Raises:
        ValueError: If it is damaged, no offset is stated, or the values are no HU with air.
    """
    try:
        image = PngImageFile(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{name}: must have at most {MAX_PIXELS} pixels")
        image.verify()
    except (OSError, SyntaxError) as error:
        raise ValueError(f"{name}: a PNG must be whole. Received: {error}") from error
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError(f"{name}: pixels must be decodable. Received: damaged image data")
    if offset is None:
        raise ValueError(
            f"{name}: a 16-bit picture must hold HU and a number that --hu-offset states, such as "
            f"32768 or 1024. Received: values {values.min()} to {values.max()}"
        )
    return check_hu(values.astype(np.int32) - offset, name=name)


def check_hu(values: np.ndarray, *, name: str) -> np.ndarray:
    """Returns values as int16 HU.

    Raises:
        ValueError: If they cannot be HU of a slice with air around it.
    """
    low, high = values.min(), values.max()
    if not (-32768 <= low < _AIR_BELOW and high <= _METAL):
        raise ValueError(f"{name}: must hold HU, air near -1000. Received: {low:g} to {high:g}")
    return np.rint(values).astype(np.int16)
