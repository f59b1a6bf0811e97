"""Tests of stroke_tf.reading.pictures: what is decoded, what is refused and what is written."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stroke_tf.reading.pictures import (
    MAX_PIXELS,
    decode_colours,
    decode_grey,
    encode_png,
)

GREY = np.array([[0, 20, 40, 60], [80, 100, 120, 140], [160, 180, 200, 255]], np.uint8)


def _saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _grey_png(mode: str = "L") -> bytes:
    return _saved(Image.fromarray(GREY).convert(mode))


def _png(header: bytes, data: bytes = b"") -> bytes:
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _damaged_jpegs() -> dict[str, bytes]:
    """JPEGs that end with their marker, as the decoder's warnings alone tell."""
    middle = len(JPEG) // 2
    return {
        "cut": JPEG[: len(JPEG) * 6 // 10] + b"\xff\xd9",
        "overwritten": JPEG[:middle] + bytes(range(100, 160)) + JPEG[middle + 60 :],
        "hole": JPEG[:middle] + JPEG[middle + 700 :],
    }


NOISE = np.random.default_rng(0).integers(0, 256, (64, 48), dtype=np.uint8)
LONG_PNG = _saved(Image.fromarray(NOISE))
JPEG = _saved(Image.fromarray(NOISE), "JPEG", quality=95)
BOMB = _png(struct.pack(">IIBBBBB", 30000, 30000, 1, 0, 0, 0, 0))
SHORT_ROWS = _png(struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0), b"\0abcd" * 2)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_decode_grey_gives_the_same_pixels_for_every_way_to_store_grey(mode: str) -> None:
    pixels = decode_grey(_grey_png(mode), name="a.png")
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, GREY)


def test_decode_grey_expands_one_bit_pictures_to_black_and_white() -> None:
    image = Image.fromarray(np.array([[0, 255, 0]], np.uint8)).convert("1")
    np.testing.assert_array_equal(decode_grey(_saved(image), name="a.png"), [[0, 255, 0]])


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (513, 3)])
def test_decode_grey_keeps_odd_sizes(shape: tuple[int, int]) -> None:
    array = np.full(shape, 9, np.uint8)
    assert decode_grey(_saved(Image.fromarray(array)), name="a.png").shape == shape


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_decode_grey_reads_other_formats_without_loss(kind: str, mode: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = _saved(Image.fromarray(NOISE).convert(mode), kind, **options)
    np.testing.assert_array_equal(decode_grey(data, name="a"), NOISE)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("step", [1, 257])
def test_sixteen_bits_that_hold_eight_are_read(kind: str, step: int) -> None:
    data = _saved(Image.fromarray(GREY.astype(np.uint16) * step), kind)
    np.testing.assert_array_equal(decode_grey(data, name="a"), GREY)


def test_a_picture_of_several_is_refused() -> None:
    pages = Image.fromarray(NOISE)
    for kind, options in (("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = _saved(
            pages, kind, save_all=True, append_images=[Image.fromarray(~NOISE)], **options
        )
        with pytest.raises(ValueError, match="^a: must hold one picture. Received: 2"):
            decode_grey(data, name="a")


def test_a_tiff_that_is_turned_is_refused() -> None:
    data = _saved(Image.fromarray(NOISE), "TIFF", tiffinfo={0x0112: 6})
    with pytest.raises(ValueError, match="^a: a TIFF must be stored upright. Received: .* 6"):
        decode_grey(data, name="a")


@pytest.mark.parametrize("kind", ["cut", "overwritten", "hole"])
def test_a_damaged_jpeg_is_refused_even_if_it_ends_well(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for decode in (decode_grey, decode_colours):
        with pytest.raises(ValueError, match=r"^a\.jpg: a JPEG must be whole\. Received: damaged"):
            decode(_damaged_jpegs()[kind], name="a.jpg")
    assert capfd.readouterr().err == ""


def test_bytes_behind_a_sound_picture_do_no_harm() -> None:
    for data in (JPEG, LONG_PNG):
        np.testing.assert_array_equal(
            decode_grey(data + b"seventeen bytes..", name="a"), decode_grey(data, name="a")
        )


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_decode_grey_reads_jpegs_within_their_loss(mode: str) -> None:
    ramp = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    data = _saved(Image.fromarray(ramp).convert(mode), "JPEG", quality=95)
    np.testing.assert_allclose(decode_grey(data, name="a.jpg"), ramp, atol=4)


def test_decode_grey_forgives_a_small_tint_in_a_jpeg_but_not_in_a_png() -> None:
    tinted = Image.fromarray(np.full((16, 16, 3), (100, 102, 104), np.uint8))
    np.testing.assert_allclose(decode_grey(_saved(tinted, "JPEG"), name="a.jpg"), 102, atol=3)
    with pytest.raises(ValueError, match="must be grey"):
        decode_grey(_saved(tinted), name="a.png")


@pytest.mark.parametrize(("kind", "coloured"), [("PNG", 64), ("JPEG", 64)])
def test_decode_grey_refuses_an_overlay_and_counts_its_coloured_pixels(
    kind: str, coloured: int
) -> None:
    array = np.full((32, 32, 3), 90, np.uint8)
    array[8:16, 8:16] = (255, 0, 0)
    with pytest.raises(ValueError, match=rf"^o\.x: .*an overlay is not an input.*: {coloured} "):
        decode_grey(_saved(Image.fromarray(array), kind, subsampling=0, quality=100), name="o.x")


def test_decode_colours_gives_rgb() -> None:
    array = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (1, 2, 3)]], np.uint8)
    for mode in ("RGB", "RGBA"):
        data = _saved(Image.fromarray(array).convert(mode))
        np.testing.assert_array_equal(decode_colours(data, name="m.png"), array)


def test_decode_colours_makes_three_channels_of_grey() -> None:
    pixels = decode_colours(_grey_png(), name="m.png")
    np.testing.assert_array_equal(pixels, np.repeat(GREY[..., None], 3, axis=2))


def test_transparent_pictures_are_refused() -> None:
    image = Image.fromarray(GREY).convert("RGBA")
    image.putpixel((1, 1), (100, 100, 100, 7))
    with pytest.raises(ValueError, match=r"a\.png: a picture must be opaque.*down to 7"):
        decode_grey(_saved(image), name="a.png")


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "must be a PNG, JPEG, BMP, TIFF or WebP file. Received: an empty file"),
        (
            b"patient,label\n1,0\n",
            "must be a PNG, JPEG, BMP, TIFF or WebP file. Received: a file that starts",
        ),
        (LONG_PNG[:8], "must have a sound header"),
        (LONG_PNG[:20], "must have a sound header"),
        (LONG_PNG[: len(LONG_PNG) // 2], "a PNG must be whole"),
        (LONG_PNG[:-12], "a PNG must be whole"),
        (LONG_PNG[:90] + b"\0\0\0\0" + LONG_PNG[94:], "a PNG must be whole"),
        (SHORT_ROWS, "a PNG must be whole"),
        (_png(struct.pack(">IIBBBBB", 2**20 + 1, 1, 8, 0, 0, 0, 0)), "a PNG must be whole"),
        (_png(struct.pack(">IIBBBBB", 2**20 + 1, 1, 1, 0, 0, 0, 0)), "a PNG must be whole"),
        (JPEG[:20], "must have a sound header"),
        (JPEG[: len(JPEG) // 2], "a JPEG must be whole"),
        (BOMB, f"must have 1 to {MAX_PIXELS} pixels. Received: 30000x30000"),
        (
            _saved(Image.fromarray(np.full((4, 4), 1000, np.uint16))),
            "must have 8 bits per channel, or 16 that hold a picture of 8 (values to 255, or "
            "multiples of 257). Received: 16 bits, values 1000 to 1000",
        ),
        (
            _png(struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0), b"\0" * 7),
            "must have 8 bits per channel. Received: 16",
        ),
        (
            _saved(Image.new("CMYK", (4, 4)), "JPEG"),
            "must be grey, palette or RGB. Received: CMYK",
        ),
    ],
)
def test_bad_pictures_are_refused_with_their_name_and_the_rule(data: bytes, rule: str) -> None:
    for decode in (decode_grey, decode_colours):
        with pytest.raises(ValueError, match="Received") as error:
            decode(data, name="bad.png")
        assert str(error.value).startswith(f"bad.png: {rule}")


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    assert len(BOMB) < 100
    with pytest.raises(ValueError, match="30000x30000"):
        decode_grey(BOMB, name="bomb.png")


def test_damaged_bytes_raise_value_error_alone_and_leave_the_terminal_empty(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    rng = np.random.default_rng(1)
    others = [_saved(Image.fromarray(NOISE), kind) for kind in ("BMP", "TIFF", "WEBP")]
    others.append(_saved(Image.fromarray(NOISE), "TIFF", compression="tiff_lzw"))
    for data in (LONG_PNG, JPEG, _grey_png("P"), _grey_png("LA"), *others):
        for _ in range(200):
            broken = bytearray(data)
            broken[rng.integers(len(broken))] ^= int(rng.integers(1, 256))
            try:
                decode_colours(bytes(broken[: rng.integers(1, len(broken) + 1)]), name="x")
            except ValueError as error:
                assert str(error).startswith("x: ")
    assert capfd.readouterr().err == ""
    assert not recwarn.list


def test_the_orientation_tag_does_not_turn_a_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    data = _saved(Image.fromarray(NOISE), "JPEG", exif=exif)
    assert decode_grey(data, name="a.jpg").shape == NOISE.shape


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_encode_png_is_lossless_and_repeatable(dtype: type) -> None:
    top = np.iinfo(dtype).max
    array = np.random.default_rng(2).integers(0, top, (33, 65), dtype=dtype, endpoint=True)
    data = encode_png(array)
    assert data == encode_png(array.copy())
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), array)


def test_encode_png_keeps_colours_also_of_a_part_of_an_array() -> None:
    array = np.random.default_rng(3).integers(0, 255, (33, 65, 4), np.uint8)[..., :3]
    shown = Image.open(io.BytesIO(encode_png(array)))
    assert shown.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(shown), array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros((2, 2, 3), np.uint16),
        np.zeros((0, 2), np.uint8),
        np.zeros((2, 0, 3), np.uint8),
    ],
)
def test_encode_png_refuses_other_arrays(array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be uint8 or uint16"):
        encode_png(array)


def test_real_slices_come_through_unchanged(open_data: Path) -> None:
    for path in sorted((open_data / "open_stroke_ct/TRAINING/KANAMA/PNG").iterdir())[:3]:
        expected = np.asarray(Image.open(path))
        pixels = decode_grey(path.read_bytes(), name=path.name)
        np.testing.assert_array_equal(pixels, expected[..., 0])
        np.testing.assert_array_equal(decode_grey(encode_png(pixels), name="again"), pixels)
        with pytest.raises(ValueError, match="coloured pixels"):
            overlay = path.parents[1] / "OVERLAY" / path.name
            decode_grey(overlay.read_bytes(), name=overlay.name)
