"""No output of a conversion or an inspection holds a name that a source file hides."""

import io
import struct
import zlib
from pathlib import Path

import pydicom
import pytest
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from data_tools.conversion import build_tfrecords
from data_tools.inspection import inspect_folder, print_tables, write_page
from data_tools.options import Conversion, Inspection, PhantomConfig
from data_tools.phantom.data_set import make_phantom
from stroke_tf.records import decode_record

SECRETS = ("MUSTERMANN", "Erika", "PAT-4711", "19770707", "Klinik Hinterwald")
TEXT = " ".join(SECRETS)
SIZE = 64


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A phantom set whose every file names a patient wherever its format can hold a name."""
    root = tmp_path_factory.mktemp("privacy") / "set"
    make_phantom(PhantomConfig(out=root, patients=3, size=SIZE, jobs=1))
    plain = iter(("BMP", "TIFF", "WEBP", "JPEG", "L"))
    for path in sorted(root.rglob("*.png")):
        kind = next(plain, None) if path.parts[-3:-1] == ("INMEYOK", "PNG") else None
        _rewrite(path, kind)
    for path in sorted(root.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientID = "MUSTERMANN^Erika", "PAT-4711"
        dataset.StudyDate = dataset.PatientBirthDate = "19770707"
        dataset.InstitutionName = dataset.ImageComments = TEXT
        dataset.private_block(0x0009, "SITE", create=True).add_new(0x01, "LO", TEXT[:60])
        dataset.preamble = TEXT.encode().ljust(128)[:128]
        dataset.save_as(path)
    damaged = root / "TRAINING/INMEYOK/PNG/77777.jpg"
    data = _saved(Image.new("L", (SIZE, SIZE), 50), "JPEG", comment=TEXT)
    damaged.write_bytes(data[: len(data) * 9 // 10] + b"\xff\xd9" + TEXT.encode())
    return root


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = exif[0x9286] = TEXT  # description, artist, comment
    buffer = io.BytesIO()
    image.save(buffer, kind, **({} if kind == "BMP" else {"exif": exif}), **options)
    return buffer.getvalue()


def _rewrite(path: Path, kind: str | None) -> None:
    """Writes a picture anew with names in it: as a PNG of its mode, grey, or another format."""
    image = Image.open(path)
    image.load()
    if kind in (None, "L"):
        info = PngInfo()
        info.add_text("PatientName", TEXT)
        info.add_text("Comment", TEXT, zip=True)
        info.add_itxt("Title", TEXT)
        image = image.convert("L") if kind else image
        data = _saved(image, "PNG", pnginfo=info)
        data = data[:33] + _chunk(b"prVt", TEXT.encode()) + data[33:]
    else:
        path.unlink()
        path = path.with_suffix(f".{kind.lower()}")
        options = {"comment": TEXT} if kind == "JPEG" else {}
        data = _saved(image.convert("L"), kind, **options)
    path.write_bytes(data + TEXT.encode())


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _names_in(data: bytes) -> list[str]:
    codings = ("ascii", "utf-16-le", "utf-16-be")
    low = data.lower()
    return [name for name in SECRETS for code in codings if name.lower().encode(code) in low]


def _inflated(path: Path) -> bytes:
    data = path.read_bytes()
    return zlib.decompress(data) if path.suffix == ".tfrecord" else data


def _chunks_of(png: bytes) -> tuple[list[bytes], int]:
    """Returns the kinds of a PNG's chunks, and how many bytes stand behind the last one."""
    kinds, at = [], 8
    while not kinds or kinds[-1] != b"IEND":
        (length,) = struct.unpack_from(">I", png, at)
        kinds.append(png[at + 4 : at + 8])
        at += 12 + length
    return kinds, len(png) - at


def test_the_sources_do_hold_the_names(tree):
    for path in sorted(tree.rglob("*.*")):
        if path.suffix not in (".txt", ".csv", ".json"):
            assert set(_names_in(path.read_bytes())) == set(SECRETS), path.name


@pytest.mark.parametrize("prefer", ["png", "dicom"])
def test_no_byte_of_a_conversion_names_a_patient(tree, tmp_path, capfd, prefer):
    out = tmp_path / "out"
    settings = {"size": SIZE, "jobs": 1, "protocol": "as-published", "max_bad": 9}
    manifest = build_tfrecords(Conversion(data=tree, out=out, prefer=prefer, **settings))
    assert [fault.file for fault in manifest.rejected] == ["TRAINING/INMEYOK/PNG/77777.jpg"]
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"manifest.json", "folds.csv", "conversion.json"}
    assert [path.name for path in files if _names_in(_inflated(path))] == []
    assert _names_in("".join(capfd.readouterr()).encode()) == []
    shards = [str(path) for path in files if path.suffix == ".tfrecord"]
    for data in tf.data.TFRecordDataset(shards, compression_type="ZLIB").as_numpy_iterator():
        record = decode_record(data)
        for png in filter(None, (record.image, record.mask)):
            assert _chunks_of(png) == ([b"IHDR", b"IDAT", b"IEND"], 0)


def test_no_byte_of_an_inspection_names_a_patient(tree, tmp_path, capfd):
    findings = inspect_folder(Inspection(data=tree, jobs=1))
    print_tables(findings)
    write_page(findings, tmp_path / "page.html", title="Set")
    page = (tmp_path / "page.html").read_bytes()
    assert b"77777.jpg" in page
    assert _names_in(page) == []
    assert _names_in("".join(capfd.readouterr()).encode()) == []
