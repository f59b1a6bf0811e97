"""The Python examples of the guides to models and DICOM run as they stand there."""

import shutil
import zipfile

import cv2
import numpy as np
from guide import run_example
from series_files import upright, write_series

from stroke_tf.reading.inputs import find_inputs


def test_models_are_asked_by_arrays_and_files(runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs.detect, "results/classifier/mobilenetv2-s0")
    shutil.copytree(runs.segment, "results/unet/mobilenetv2-s0")
    shutil.copytree(runs.segment_again, "results/unet/mobilenetv2-s1")
    grey = np.random.default_rng(0).integers(0, 255, (50, 40)).astype(np.uint8)
    for name in ("slice.png", "a.png", "b.jpg"):
        cv2.imwrite(name, grey)
    write_series(tmp_path, upright([0]))[0].rename("c.dcm")
    names = run_example(
        "arrays",
        "howto/use_a_model.md",
        hounsfield=np.zeros((50, 40), np.int16),
        slices_of_a_series=[grey] * 3,
    )
    assert names["mask"].shape == (50, 40)
    assert capsys.readouterr().out.count("stroke_calibrated") == 3


def test_inputs_are_found_and_their_lesions_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("scan.zip", "w") as archive:
        for path in write_series(tmp_path / "in", upright([0, 5])):
            archive.write(path, path.name)
    assert run_example("inputs", "howto/dicom.md")["pixels"].dtype == np.int16
    (series,) = find_inputs([tmp_path / "scan.zip"]).series
    masks = [np.eye(96, dtype=np.uint8)] * 2
    assert (
        run_example("volumes", "howto/dicom.md", series=series, masks=masks)["volumes"].ml[
            "ischaemia"
        ]
        > 0
    )
    assert "Approximate" in capsys.readouterr().out
