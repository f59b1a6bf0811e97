"""No byte that a prediction leaves or prints names a patient, but those of SEG, SR and captures."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scripted_model import ScriptedModel
from series_files import MADE_UP, ct_image, of_made_up_person, upright

from stroke_tf.command import reported
from stroke_tf.deploy import load
from stroke_tf.deploy.predict import Prediction, main
from stroke_tf.files import read_json


@pytest.fixture
def scans(tmp_path):
    """Slices that name `MADE_UP` wherever their formats can, some of them damaged."""
    folder = tmp_path / "scans"
    (folder / "series").mkdir(parents=True)
    for place, corner in enumerate(upright([0, 5, 10])):
        image = of_made_up_person(ct_image(place, corner))
        image.preamble = " ".join(MADE_UP).encode().ljust(128)[:128]
        image.save_as(folder / "series" / f"{place}.dcm")
    for name, changed in (("other", {"Modality": "MR"}), ("headless", {"RescaleIntercept": None})):
        image = of_made_up_person(ct_image(7, (0.0, 0.0, 40.0), series=name, **changed))
        image.PixelData = np.full((96, 96), 300, "<i2").tobytes()
        image.save_as(folder / f"{name}.dcm")
    whole = (folder / "series" / "0.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    text = " ".join(MADE_UP)
    info = PngInfo()
    info.add_text("PatientName", text)
    info.add_itxt("Title", text)
    grey = np.full((40, 40), 90, np.uint8)
    Image.fromarray(grey).save(folder / "picture.png", pnginfo=info)
    data = (folder / "picture.png").read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) * 3 // 4] + text.encode())
    (folder / "picture.png").write_bytes(data + text.encode())
    Image.fromarray(grey).save(folder / "picture.jpg", comment=text.encode())
    return folder


def names_in(data):
    low = data.lower()
    codings = ("ascii", "utf-16-le", "utf-16-be")
    return [name for name in MADE_UP for code in codings if name.lower().encode(code) in low]


def inflated(data):
    """The chunks of a PNG, deflated texts inflated; other files as they are."""
    if not data.startswith(b"\x89PNG"):
        return data
    found, at = b"", 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, chunk = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert kind in (b"IHDR", b"IDAT", b"IEND")
        found += zlib.decompress(chunk) if kind == b"IDAT" else chunk
        at += 12 + length
    return data + found


def test_the_sources_do_hold_the_names(scans):
    named = [path.name for path in scans.rglob("*.*") if names_in(path.read_bytes())]
    assert len(named) == len([*scans.rglob("*.*")]) == 9


def test_no_output_names_a_patient(scans, tmp_path, monkeypatch, capfd, caplog):
    pytest.importorskip("highdicom")
    caplog.set_level("DEBUG")
    monkeypatch.setattr(load, "load_model", lambda *_, **__: ScriptedModel())
    settings = {"inputs": (scans,), "model": (tmp_path,), "out": tmp_path / "out", "json": True}
    assert reported(lambda: main(Prediction(**settings))) == 1  # damaged files
    dicom = ("seg", "sr", "captures")
    again = Prediction(**settings, keep_going=True, dicom=dicom)
    assert reported(lambda: main(again)) == 1
    printed = "".join(capfd.readouterr()) + caplog.text
    assert "cut.dcm" in printed
    assert names_in(printed.encode()) == []
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 20
    own = [path for path in files if path.suffix == ".dcm"]
    assert len(own) == 5
    assert all(names_in(path.read_bytes()) for path in own)
    assert [
        path.name for path in files if path not in own and names_in(inflated(path.read_bytes()))
    ] == []
    assert [path for path in files if names_in(str(path.relative_to(tmp_path)).encode())] == []
    told = read_json(tmp_path / "out" / "studies.json")
    assert len(told["series"]) == 3
    shown = cv2.imread(str(tmp_path / "out" / "series-001" / "pictures" / "0001.jpg"))
    assert shown is None or shown.size
