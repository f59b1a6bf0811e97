"""Inputs of `stroke-tf predict` that are wrong somehow, each beside a good one.

    python tests/bad_inputs.py

prints the outcome of each.
"""

import io
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from dicom_files import to_bytes
from PIL import Image
from scripted_model import ScriptedModel
from series_files import ct_image, enhanced, upright, write_series

from stroke_tf.deploy.predict import Prediction, predict_inputs

Outcome = Literal["fault", "left out", "note"]
"""A fault ends the run or, with --keep-going, its exit code is 1; the others end well."""


@dataclass(frozen=True)
class BadInput:
    """One kind of bad input.

    Attributes:
        make: Writes it into a folder; returns the name that a user must be told.
        outcome: The result for the input.
        told: Text that the message must hold.
        pixels: Kind of pixels that the model was trained on.
    """

    make: Callable[[Path], str]
    outcome: Outcome
    told: str
    pixels: str = "gray8"


def grey(seed: int = 0, shape: tuple[int, int] = (48, 40)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def encoded(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def file_of(name: str, data: Callable[[], bytes]) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(data())
        return name

    return make


def dicom_of(name: str, **values: object) -> Callable[[Path], str]:
    return file_of(name, lambda: to_bytes(ct_image(0, (-96.0, -96.0, 0.0), **values)))


def series_of(heights: list[float], **options: object) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        write_series(folder / "scan", upright(heights), **options)
        return ""

    return make


def bomb_png() -> bytes:
    """A small PNG whose header says 30,000 x 30,000 pixels; its rows go on for 300."""
    pixels = zlib.compress(bytes(300 * 30001))
    head = (30000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = ((b"IHDR", head), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in chunks
    )


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def encrypted_zip() -> bytes:
    """A zip whose entries say that they are encrypted."""
    data = bytearray(zipped({"a.png": encoded(grey())}))
    data[6] |= 1  # flags of the file, and of the directory at the end
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def damaged_png() -> bytes:
    data = bytearray(encoded(grey()))
    data[len(data) // 2] ^= 255
    return bytes(data)


def pages_tiff() -> bytes:
    buffer = io.BytesIO()
    first, second = (Image.fromarray(grey(seed)) for seed in (1, 2))
    first.save(buffer, "TIFF", save_all=True, append_images=[second])
    return buffer.getvalue()


def noise_dicom() -> bytes:
    """Values whose intercept nobody says, and that show no head."""
    image = ct_image(0, (-96.0, -96.0, 0.0), RescaleIntercept=None)
    image.PixelData = np.random.default_rng(0).integers(0, 900, (96, 96)).astype("<i2").tobytes()
    return to_bytes(image)


def no_pixels() -> bytes:
    image = ct_image(0, (-96.0, -96.0, 0.0))
    del image.PixelData
    return to_bytes(image)


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def photograph() -> bytes:
    y, x = np.mgrid[:48, :40].astype(np.uint8)
    return encoded(np.dstack([4 * x, 255 - 4 * y, 2 * y]), ".jpg")


def dangling(folder: Path) -> str:
    (folder / "link.png").symlink_to(folder / "nothing.png")
    return "link.png"


def empty_folder(folder: Path) -> str:
    (folder.parent / "nothing").mkdir()
    return "nothing"


def missing_path(folder: Path) -> str:
    return "nowhere"


def masks_folder(folder: Path) -> str:
    (folder / "MASK").mkdir()
    (folder / "MASK" / "1.png").write_bytes(encoded(grey()))
    return "MASK"


def same_image_twice(folder: Path) -> str:
    write_series(folder / "scan", upright([0, 5]))
    data = (folder / "scan" / "000.dcm").read_bytes()
    (folder / "scan" / "copy.dcm").write_bytes(data)
    return "scan/copy.dcm"


def two_series(folder: Path) -> str:
    write_series(folder / "scan", upright([0, 5]), series="a", names=["a0.dcm", "a1.dcm"])
    write_series(folder / "scan", upright([0, 5]), series="b", names=["b0.dcm", "b1.dcm"],
                 PixelSpacing=[1.0, 1.0], SeriesInstanceUID=None)  # fmt: skip
    return ""


def two_patients(folder: Path) -> str:
    for name in ("one", "two"):
        names = [f"{name}{place}.dcm" for place in range(2)]
        write_series(folder / "scan", upright([0, 5]), names=names, PatientID=name, series=name)
    return ""


def two_at_one_place(folder: Path) -> str:
    write_series(folder / "scan", upright([0, 5, 5, 10]))
    return ""


def headless_frames(folder: Path) -> str:
    (folder / "frames.dcm").write_bytes(half(to_bytes(enhanced(upright([0, 5])))))
    return "frames.dcm"


BAD_INPUTS = {
    "truncated PNG": BadInput(
        file_of("a.png", lambda: half(encoded(grey()))), "fault", "a PNG must be whole"
    ),
    "truncated JPG": BadInput(
        file_of("a.jpg", lambda: half(encoded(grey(), ".jpg"))), "fault", "a JPEG must be whole"
    ),
    "truncated DICOM": BadInput(
        file_of("a.dcm", lambda: half(to_bytes(ct_image(0, None)))), "fault", "whole"
    ),
    "truncated DICOM of several frames": BadInput(headless_frames, "fault", "whole"),
    "damaged PNG": BadInput(file_of("a.png", damaged_png), "fault", "a PNG must be whole"),
    "empty picture": BadInput(file_of("a.png", bytes), "fault", "an empty file"),
    "empty DICOM": BadInput(file_of("a.dcm", bytes), "fault", "an empty file"),
    "text named as a picture": BadInput(
        file_of("a.png", lambda: b"hello" * 50), "fault", "must be a picture or a DICOM file"
    ),
    "decompression bomb, PNG": BadInput(
        file_of("a.png", bomb_png), "fault", "Received: 30000x30000"
    ),
    "decompression bomb, zip": BadInput(
        file_of("a.zip", lambda: zipped({"a.png": bytes(30_000_000)})), "fault", "unpack to more"
    ),
    "corrupt zip": BadInput(
        file_of("a.zip", lambda: half(zipped({"a.png": encoded(grey())}))),
        "fault",
        "must be a zip file",
    ),
    "zip with a path out of it": BadInput(
        file_of("a.zip", lambda: zipped({"../a.png": encoded(grey())})), "fault", "a path inside it"
    ),
    "encrypted zip": BadInput(file_of("a.zip", encrypted_zip), "fault", "must not be encrypted"),
    "16-bit PNG": BadInput(
        file_of("a.png", lambda: encoded(grey().astype(np.uint16) * 200)), "fault", "16 bits"
    ),
    "colour photograph": BadInput(file_of("a.jpg", photograph), "fault", "coloured pixels"),
    "see-through PNG": BadInput(
        file_of("a.png", lambda: encoded(np.dstack([grey()] * 4))), "fault", "must be opaque"
    ),
    "TIFF of two pages": BadInput(file_of("a.tif", pages_tiff), "fault", "must hold one picture"),
    "DICOM without pixels": BadInput(file_of("a.dcm", no_pixels), "fault", "hold pixel data"),
    "DICOM that shows no head": BadInput(file_of("a.dcm", noise_dicom), "fault", "HU"),
    "link to nothing": BadInput(dangling, "fault", "must be readable"),
    "folder without pictures": BadInput(empty_folder, "fault", "must hold pictures"),
    "missing path": BadInput(missing_path, "fault", "must be readable"),
    "8-bit picture for a model of HU": BadInput(
        file_of("a.png", lambda: encoded(grey())), "fault", "must be in HU", pixels="hu16"
    ),
    "other modality": BadInput(dicom_of("a.dcm", Modality="MR"), "left out", "CT"),
    "localizer": BadInput(
        dicom_of("a.dcm", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "left out", "LOCALIZER"
    ),
    "text file": BadInput(
        file_of("a.txt", lambda: b"notes"), "left out", "neither a picture nor a DICOM file"
    ),
    "folder of masks": BadInput(masks_folder, "left out", "masks or overlays"),
    "zip in a zip": BadInput(
        file_of("a.zip", lambda: zipped({"b.zip": b"PK", "1.png": encoded(grey())})),
        "left out",
        "a zip in a zip",
    ),
    "one image twice": BadInput(same_image_twice, "left out", "the same image as"),
    "no spacing": BadInput(
        series_of([0, 5], PixelSpacing=None), "note", "no volumes: PixelSpacing"
    ),
    "spacing of NaN": BadInput(
        series_of([0, 5], PixelSpacing=["NaN", "NaN"]), "note", "no volumes: PixelSpacing"
    ),
    "no positions": BadInput(
        series_of([0, 5], ImagePositionPatient=None), "note", "no ImagePositionPatient"
    ),
    "missing slice": BadInput(series_of([0, 5, 15, 20]), "note", "1 slice is missing"),
    "uneven spacing": BadInput(series_of([0, 5, 12, 15]), "note", "spacing is uneven"),
    "two slices at one place": BadInput(two_at_one_place, "note", "lie at one position"),
    "two series in a folder": BadInput(two_series, "note", ""),
    "two patients in a folder": BadInput(two_patients, "note", "patient 2 of 2"),
    "HU for a model of 8-bit grey": BadInput(series_of([0, 5]), "note", "made 8-bit grey"),
}


def good_input(folder: Path, pixels: str) -> Path:
    """Makes a folder with one slice that can be read."""
    folder.mkdir()
    if pixels == "hu16":
        write_series(folder / "good", upright([0]))
    else:
        (folder / "good.png").write_bytes(encoded(grey()))
    return folder


def inputs_of(kind: str, base: Path) -> tuple[str, tuple[Path, ...]]:
    """Writes a kind; returns the name that a user must be told, and the paths to predict."""
    bad = BAD_INPUTS[kind]
    folder = good_input(base / "in", bad.pixels)
    name = bad.make(folder)
    return name, (folder, base / name) if name in ("nothing", "nowhere") else (folder,)


def print_table() -> None:
    """Prints the outcome of each kind as a table in Markdown."""
    print("| input | exit code | with --keep-going | what is said |\n|---|---|---|---|")
    for kind, bad in BAD_INPUTS.items():
        codes = []
        for keep_going in (False, True):
            with tempfile.TemporaryDirectory() as base:
                _, inputs = inputs_of(kind, Path(base))
                out, model = Path(base) / "out", ScriptedModel(pixels=bad.pixels)
                given = Prediction(inputs=inputs, model=(), out=out, keep_going=keep_going)
                try:
                    result = predict_inputs(given, model=model)
                except ValueError as error:
                    codes.append(1)
                    said = str(error).splitlines()[0]
                else:
                    codes.append(int(bool(result.faults)))
                    found = [*result.faults, *result.left_out]
                    notes = [note for study in result.studies for note in study.notes]
                    said = "; ".join([f"{name}: {reason}" for name, reason in found] or notes)
        print(f"| {kind} | {codes[0]} | {codes[1]} | {said} |")


if __name__ == "__main__":
    print_table()
