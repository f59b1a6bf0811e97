"""The phantom set: a genuine TEKNOFEST folder whose classes no trivial cue tells apart."""

import csv
import dataclasses
import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_tools.options import PhantomConfig
from data_tools.overlays import mask_from_overlay
from data_tools.phantom.__main__ import main
from data_tools.phantom.anatomy import draw_anatomy, draw_head
from data_tools.phantom.data_set import make_phantom
from data_tools.phantom.lesions import _KINDS, add_lesion, draw_lesion
from data_tools.phantom.patient_files import SLICES, Patient, PatientTask, write_patient
from stroke_tf.labels import LESION_CLASSES, StrokeType
from stroke_tf.reading.hu_values import grey_view
from stroke_tf.reading.mask_pictures import MASK_COLOURS, mask_from_colours, paint_overlay

PATIENTS = 20
CLASSES = {"INMEYOK": 0, "ISKEMI": 1, "KANAMA": 2}
COLOURS = {"ISKEMI": (0, 0, 255), "KANAMA": (0, 255, 0)}
SESSION_1, SESSION_2 = "YarismaVeriSeti_1_Oturum", "YarismaVeriSeti_2_Oturum"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "set"
    assert make_phantom(PhantomConfig(out, patients=PATIENTS, size=96, jobs=1))
    return out


@pytest.fixture(scope="module")
def patient_of(phantom: Path) -> dict[str, str]:
    with (phantom / "patients.csv").open(newline="") as file:
        return {row["id"]: row["patient"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def training(phantom: Path, patient_of) -> dict[str, np.ndarray]:
    """Pictures, classes, patients, heights and file sizes of the training slices."""
    columns = defaultdict(list)
    for name, class_id in CLASSES.items():
        for path in sorted((phantom / "TRAINING" / name / "PNG").iterdir()):
            columns["id"].append(int(path.stem))
            columns["class"].append(class_id)
            columns["patient"].append(patient_of[path.stem])
            columns["picture"].append(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
            columns["bytes"].append(path.stat().st_size)
            dataset = pydicom.dcmread(_dicom_of(path))
            columns["height"].append(float(dataset.ImagePositionPatient[2]))
            columns["head"].append((_hu(dataset) > -500).mean())
    return {name: np.array(values) for name, values in columns.items()}


def _dicom_of(png: Path) -> Path:
    return png.parent.parent / "DICOM" / f"{png.stem}.dcm"


def _hu(dataset: pydicom.Dataset) -> np.ndarray:
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def _rgb(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., :3], cv2.COLOR_BGR2RGB)


def _stems(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def _digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_training_folders_hold_the_same_ids_in_each_kind_of_file(phantom):
    kinds = {"INMEYOK": {"DICOM", "PNG"}} | dict.fromkeys(
        COLOURS, {"DICOM", "PNG", "MASK", "OVERLAY"}
    )
    for name in CLASSES:
        folder = phantom / "TRAINING" / name
        assert {path.name for path in folder.iterdir()} == kinds[name]
        assert len({frozenset(_stems(kind)) for kind in folder.iterdir()}) == 1


def test_ids_are_unique_start_at_10000_and_carry_no_class(training, patient_of):
    assert sorted(training["id"]) == list(range(10000, 10000 + PATIENTS * SLICES))
    assert len(patient_of) > PATIENTS * SLICES
    assert 0.35 < roc_auc_score(training["class"] > 0, training["id"]) < 0.65


def test_class_balance_and_contiguous_lesions(training):
    counts = Counter(training["class"].tolist())
    total = PATIENTS * SLICES
    assert counts[0] / total == pytest.approx(0.45, abs=0.06)
    assert counts[1] / total == pytest.approx(counts[2] / total, abs=0.08)
    for patient in set(training["patient"]):
        own = training["patient"] == patient
        classes = training["class"][own][np.argsort(training["height"][own])]
        assert len(classes) == SLICES
        lesion = np.flatnonzero(classes)
        assert len(lesion) == 0 or (len(lesion) >= 2 and np.ptp(lesion) == len(lesion) - 1)
        assert len(set(classes[lesion])) <= 1


def test_masks_have_exact_colours_and_lesions_of_a_learnable_size(phantom):
    shares = []
    for name, colour in COLOURS.items():
        for path in sorted((phantom / "TRAINING" / name / "MASK").iterdir()):
            raw = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert raw.shape == (96, 96, 3)
            lesion = (_rgb(path) == colour).all(axis=2)
            assert ((_rgb(path) == 0).all(axis=2) | lesion).all()
            hu = _hu(pydicom.dcmread(_dicom_of(path)))
            shares.append(lesion.sum() / ((hu > -10) & (hu < 100)).sum())
    assert min(shares) > 0
    assert max(shares) < 0.2
    assert np.mean(np.array(shares) > 0.015) > 0.7


def test_png_is_opaque_grey_and_the_dicom_through_its_own_window(phantom):
    for path in sorted(phantom.rglob("PNG/*.png"))[::7]:
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert pixels.shape == (96, 96, 4)
        assert (pixels[..., :3] == pixels[..., :1]).all()
        assert (pixels[..., 3] == 255).all()
        dataset = pydicom.dcmread(_dicom_of(path))
        low = dataset.WindowCenter - dataset.WindowWidth / 2
        expected = np.clip((_hu(dataset) - low) / dataset.WindowWidth, 0, 1) * 255
        np.testing.assert_allclose(pixels[..., 0], expected, atol=0.51)


def test_windows_differ_between_slices(phantom):
    datasets = [pydicom.dcmread(path) for path in sorted(phantom.rglob("*.dcm"))[::5]]
    assert len({(d.WindowCenter, d.WindowWidth) for d in datasets}) > len(datasets) / 2


@pytest.mark.parametrize(
    ("stroke_type", "fill", "mixed"),
    [
        (StrokeType.ISCHEMIA, [177, 50, 50, 255], [128, 0, 127, 255]),
        (StrokeType.HEMORRHAGE, [216, 25, 25, 255], [128, 127, 0, 255]),
    ],
)
def test_overlay_is_red_over_the_picture_with_a_border_of_two_colours(stroke_type, fill, mixed):
    picture = np.full((7, 7, 4), (100, 100, 100, 255), np.uint8)
    lesion = np.zeros((7, 7), bool)
    lesion[1:6, 1:6] = True
    overlay = paint_overlay(picture, lesion, stroke_type)
    assert (overlay[~lesion] == picture[~lesion]).all()
    assert (overlay[2:5, 2:5] == fill).all()
    border = lesion.copy()
    border[2:5, 2:5] = False
    colours = overlay[border].tolist()
    assert colours.count([*MASK_COLOURS[stroke_type], 255]) == 8
    assert colours.count(mixed) == 8


def test_overlays_give_back_their_masks(phantom):
    paths = sorted(phantom.rglob("OVERLAY/*.png"))
    assert len(paths) > 50
    for path in paths:
        pair = path.parent.parent
        picture = cv2.imread(str(pair / "PNG" / path.name), cv2.IMREAD_UNCHANGED)[..., 0].copy()
        mask = mask_from_colours(_rgb(pair / "MASK" / path.name))
        np.testing.assert_array_equal(mask_from_overlay(_rgb(path), picture), mask)


def test_dicom_is_a_valid_ct_slice_that_names_nobody(phantom, patient_of):
    by_patient = defaultdict(list)
    for path in sorted(phantom.rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID
        assert dataset.SOPClassUID.name == "CT Image Storage"
        assert dataset.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
        assert dataset.PatientID == patient_of[path.stem]
        named = [e.tag for e in dataset if e.VR in ("PN", "DA", "TM", "DT") and e.value]
        assert named == []
        hu = _hu(dataset)
        assert hu[:4].mean() == pytest.approx(-1000, abs=15)
        assert hu.max() > 900
        by_patient[dataset.PatientID].append(dataset)
    for datasets in by_patient.values():
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            assert len({getattr(dataset, keyword) for dataset in datasets}) == 1
        assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(datasets)
        datasets.sort(key=lambda dataset: dataset.InstanceNumber)
        heights = [float(dataset.ImagePositionPatient[2]) for dataset in datasets]
        assert heights == sorted(set(heights))


def test_first_session_has_labels_and_no_masks(phantom, patient_of, training):
    folder = phantom / SESSION_1
    assert {path.name for path in folder.iterdir()} == {"DICOM", "PNG", "labels_stage1.txt"}
    lines = (folder / "labels_stage1.txt").read_bytes().decode("utf-8").split("\r\n")
    assert lines[0] == "Image Id\tİnme Var mı?"
    assert lines[-1] == ""
    labels = dict(line.split("\t") for line in lines[1:-1])
    assert labels.keys() == _stems(folder / "PNG") == _stems(folder / "DICOM")
    assert set(labels.values()) == {"0", "1"}
    assert not {patient_of[i] for i in labels} & set(training["patient"])


def test_second_session_has_lesion_slices_of_both_types_with_masks(phantom, patient_of, training):
    folder = phantom / SESSION_2
    ids = _stems(folder / "PNG")
    assert all(_stems(folder / kind) == ids for kind in ("DICOM", "MASK", "OVERLAY"))
    colours = {tuple(_rgb(path).max(axis=(0, 1))) for path in (folder / "MASK").iterdir()}
    assert colours == set(COLOURS.values())
    assert not {patient_of[i] for i in ids} & set(training["patient"])


@pytest.mark.parametrize("cue", ["brightness", "bytes", "height", "head"])
def test_no_single_number_tells_stroke_from_none(training, cue):
    cues = training | {"brightness": training["picture"].mean(axis=(1, 2))}
    assert 0.35 < roc_auc_score(training["class"] > 0, cues[cue]) < 0.65


def test_grey_histogram_is_far_from_telling_stroke_from_none(training):
    histograms = [np.histogram(p, 32, (0, 256))[0] / p.size for p in training["picture"]]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    stroke = training["class"] > 0
    scores = cross_val_predict(
        model,
        np.array(histograms),
        stroke,
        groups=training["patient"],
        cv=GroupKFold(5),
        method="predict_proba",
    )
    assert roc_auc_score(stroke, scores[:, 1]) < 0.8


@pytest.mark.parametrize(
    ("stroke_type", "kind"),
    [(stroke_type, kind) for stroke_type, kinds in _KINDS.items() for kind in kinds],
)
def test_lesion_changes_density_inside_its_outline_and_nothing_far_outside(stroke_type, kind):
    rng = np.random.default_rng(5)
    head = draw_head(rng)
    anatomy = draw_anatomy(head, 58.0, size=256)
    lesion = dataclasses.replace(draw_lesion(rng, stroke_type), kind=kind, share=0.04)
    if kind in ("mca", "aca", "pca"):
        lesion = dataclasses.replace(lesion, angle={"mca": 1.4, "aca": 0.3, "pca": 2.7}[kind])
    hu, inside = add_lesion(anatomy, head, lesion, scale=1.0)
    core = inside > 2
    assert core.any()
    if stroke_type == StrokeType.HEMORRHAGE:
        assert 50 <= np.percentile(hu[core], 5) < np.percentile(hu[core], 95) <= 80
    else:
        tissue = core & (anatomy.hu > 25)
        assert 5 <= (anatomy.hu - hu)[tissue].mean() <= 10
    np.testing.assert_array_equal(hu[inside < -12], anatomy.hu[inside < -12])
    bone = cv2.resize(anatomy.fields["depth"], hu.shape) < -2
    np.testing.assert_array_equal(hu[bone], anatomy.hu[bone])


def test_ventricles_keep_their_density_in_an_infarct():
    head = draw_head(np.random.default_rng(2))
    anatomy = draw_anatomy(head, 62.0, size=128)
    lesion = draw_lesion(np.random.default_rng(3), StrokeType.ISCHEMIA)
    lesion = dataclasses.replace(lesion, share=0.5, inner_limit=0.0)
    hu, _ = add_lesion(anatomy, head, lesion, scale=1.0)
    ventricle = cv2.resize(anatomy.fields["ventricle"], (128, 128)) < -1
    assert ventricle.any()
    np.testing.assert_array_equal(hu[ventricle], anatomy.hu[ventricle])


def test_head_has_the_tissues_of_a_head_ct():
    head = draw_head(np.random.default_rng(0))
    hu = draw_anatomy(head, 55.0, size=256).hu
    assert hu[0, 0] == -1000
    for low, high, least in ((-110, -80, 0.005), (4, 9, 0.003), (27, 31, 0.05), (500, 2000, 0.04)):
        assert ((hu > low) & (hu < high)).mean() > least, (low, high)


def test_window_maps_its_ends_to_black_and_white():
    hu = np.array([[-1000, 0, 40, 80, 1000]], np.int16)
    assert grey_view(hu, window=(40, 80)).tolist() == [[0, 0, 128, 255, 255]]


def test_same_seed_gives_same_bytes_whatever_the_jobs(tmp_path):
    config = PhantomConfig(tmp_path / "one", patients=3, size=64, jobs=1)
    calls = []
    make_phantom(config, progress=lambda done, total: calls.append((done, total)))
    make_phantom(dataclasses.replace(config, out=tmp_path / "two", jobs=2))
    assert _digests(tmp_path / "one") == _digests(tmp_path / "two")
    assert calls == [(done, 8) for done in range(1, 9)]


def test_another_seed_gives_another_patient(tmp_path):
    for seed in (0, 1):
        patient = Patient(seed, 1, StrokeType.NONE, 0, tuple(range(SLICES)))
        folders = {StrokeType.NONE: tmp_path / str(seed)}
        write_patient(PatientTask(patient, folders, with_masks=False, size=64))
    zero, one = (_digests(tmp_path / name) for name in ("0", "1"))
    assert zero.keys() == one.keys()
    assert not set(zero.values()) & set(one.values())


def test_an_existing_set_is_kept_and_anything_else_refused(tmp_path, phantom, capsys):
    config = PhantomConfig(phantom, patients=PATIENTS, size=96)
    before = _digests(phantom)
    assert main(config) == 0
    assert "already there" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match=str(phantom)):
        main(dataclasses.replace(config, seed=7))
    assert _digests(phantom) == before
    (tmp_path / "notes.txt").touch()
    with pytest.raises(FileExistsError, match="Received"):
        make_phantom(PhantomConfig(tmp_path))


def test_a_failure_leaves_nothing_behind(tmp_path):
    def fail(done: int, total: int) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        make_phantom(PhantomConfig(tmp_path / "set", patients=3, size=64, jobs=1), progress=fail)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [{"patients": 2}, {"seed": -1}, {"size": 63}, {"jobs": 0}])
def test_values_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be >= .* Received: "):
        make_phantom(PhantomConfig(tmp_path / "set", **wrong))


def test_every_lesion_class_has_kinds():
    assert tuple(_KINDS) == LESION_CLASSES


def test_help_answers_without_tensorflow():
    code = (
        "import sys; sys.argv = ['phantom', '--help']\n"
        "import runpy\n"
        "try: runpy.run_module('data_tools.phantom', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--patients" in done.stdout
