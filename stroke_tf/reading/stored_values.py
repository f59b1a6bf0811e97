"""The stored values of a DICOM picture: its words decoded, and the bits of them that count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.pixels.utils import get_j2k_parameters

from stroke_tf.reading.dicom_header import OVERLAY_BIT_POSITIONS, Tags

_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
# The decoder of each compressed syntax is fixed, so a file reads alike wherever it is read. Not
# pylibjpeg for RLE: it panics on damaged data, which no `except Exception` holds. No JPEG-LS: the
# one decoder at hand ends the process when the stream is smaller than the header says.
_DECODERS: dict[str, str] = {
    uid.RLELossless: "pydicom",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
}
_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000)


@dataclass(frozen=True)
class Bits:
    """Which bits of a word hold its value: `count` of them from bit `low` on, with sign or not."""

    count: int
    low: int
    signed: bool

    def values(self, words: np.ndarray) -> np.ndarray:
        """Returns the values, (u)int8 or (u)int16, of words of that size."""
        width = words.itemsize * 8
        view = words.view(f"{'i' if self.signed else 'u'}{words.itemsize}")
        if self.count == width:
            return view
        return (view << (width - self.count - self.low)) >> (width - self.count)

    def lowest(self) -> int:
        """Returns the least value that they can hold."""
        return -(1 << (self.count - 1)) if self.signed else 0


def check_present(tags: Tags) -> None:
    """Raises a ValueError where there are no pixels."""
    # If a file is cut within compressed pixels, the parser returns no pixels at all.
    if not tags.value("PixelData"):
        raise tags.fault("must hold pixel data, whole. Received: none (absent or cut short)")


def check_whole(tags: Tags) -> None:
    """Raises a ValueError where there are no pixels or, if not compressed, too few."""
    check_present(tags)
    rows, columns, frames = (
        tags.integer(key, default)
        for key, default in (("Rows", 0), ("Columns", 0), ("NumberOfFrames", 1))
    )
    expected = rows * columns * frames * tags.integer("BitsAllocated", 16) // 8
    received = len(tags.dataset.PixelData)
    if _transfer_syntax(tags) in _NATIVE and received < expected:
        raise tags.fault(f"pixel data must be whole, {expected} bytes. Received: {received} bytes")


def declared_bits(tags: Tags) -> Bits:
    """Returns the bits that the header declares; of impossible ones, all from bit 0 on."""
    allocated = tags.integer("BitsAllocated", 16)
    count = tags.integer("BitsStored", allocated)
    count = count if 0 < count <= allocated else allocated
    low = tags.integer("HighBit", count - 1) + 1 - count
    return Bits(
        count=count,
        low=low if 0 <= low <= allocated - count else 0,
        signed=tags.integer("PixelRepresentation", 0) == 1,
    )


def doubts_of_bits(tags: Tags, words: np.ndarray, bits: Bits, frame: int) -> list[str]:
    """Returns what makes the declared bits doubtful."""
    doubts = []
    if bits.low:
        doubts.append(f"HighBit {bits.low + bits.count - 1} with BitsStored {bits.count}")
    if _uses_other_bits(tags, words, bits):
        doubts.append(f"bits in use beyond BitsStored {bits.count}")
    signed = _jpeg_2000_sign(tags, frame)
    if signed is not None and signed != bits.signed:
        doubts.append("PixelRepresentation against the sign in the JPEG 2000 stream")
    return doubts


def _uses_other_bits(tags: Tags, words: np.ndarray, bits: Bits) -> bool:
    width = words.itemsize * 8
    used = int(np.bitwise_or.reduce(words, axis=None)) & ~(((1 << bits.count) - 1) << bits.low)
    if used:
        for position in OVERLAY_BIT_POSITIONS:
            used &= ~(1 << int(tags.integer(position, 0)) & ~1)  # 0 stands for none
    if not used:
        return False
    # A sign repeated in the upper bits adds no information.
    whole = Bits(width, 0, signed=True)
    extended = bits.signed and not bits.low
    return not (extended and np.array_equal(whole.values(words), bits.values(words)))


def _jpeg_2000_sign(tags: Tags, frame: int) -> bool | None:
    if _transfer_syntax(tags) not in _JPEG_2000:
        return None
    stream = tags.guarded(
        lambda: get_frame(
            tags.dataset.PixelData, frame, number_of_frames=tags.integer("NumberOfFrames", 1)
        ),
        "pixel data must be whole",
    )
    return get_j2k_parameters(stream).get("is_signed")


def decode_words(tags: Tags, frame: int) -> np.ndarray:
    """Returns the words of a frame, all bits kept: uint8 or uint16 of shape (H, W).

    Raises:
        ValueError: If the pixels are damaged or in a transfer syntax that is not read.
    """
    syntax, allocated = _transfer_syntax(tags), tags.integer("BitsAllocated", 16)
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.Rows, header.Columns = tags.integer("Rows", 0), tags.integer("Columns", 0)
    header.SamplesPerPixel, header.NumberOfFrames = 1, tags.integer("NumberOfFrames", 1)
    header.BitsAllocated, header.BitsStored, header.HighBit = allocated, allocated, allocated - 1
    header.PixelRepresentation = tags.integer("PixelRepresentation", 0)
    header.PhotometricInterpretation = "MONOCHROME2"
    header["PixelData"] = tags.dataset["PixelData"]
    words = tags.guarded(
        lambda: get_decoder(syntax).as_array(
            header, index=frame, raw=True, decoding_plugin=_DECODERS.get(syntax, "")
        )[0],
        "pixel data must be whole and decode to Rows x Columns",
    )
    return words.astype(words.dtype.newbyteorder("="), copy=False).view(f"u{words.itemsize}")


def _transfer_syntax(tags: Tags) -> uid.UID:
    dataset = tags.dataset
    syntax = tags.guarded(
        lambda: getattr(dataset, "file_meta", {}).get("TransferSyntaxUID"),
        "TransferSyntaxUID must be readable",
    )
    if syntax is None:  # no file meta: the parser had to find out
        implicit, little = dataset.original_encoding
        if not little:
            return uid.ExplicitVRBigEndian
        return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    allowed = (*_NATIVE, *_DECODERS)
    if syntax not in allowed:
        received = uid.UID_dictionary[syntax][0] if syntax in uid.UID_dictionary else "unknown"
        raise tags.fault(
            f"transfer syntax must be one of {[uid.UID(one).name for one in allowed]}. "
            f"Received: {received}"
        )
    return uid.UID(syntax)
