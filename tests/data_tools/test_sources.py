"""Tests of data_tools.sources: every layout, every fault, and the real data sets."""

import dataclasses
import os
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from data_tools.patients import read_groups
from data_tools.scan import SliceFiles
from data_tools.sources import LAYOUTS, Source, find_slices
from stroke_tf.labels import StrokeType

NONE, ISCHEMIA, HEMORRHAGE = StrokeType.NONE, StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE

TEKNOFEST = (
    "TRAINING/INMEYOK/PNG/1.png",
    "TRAINING/INMEYOK/DICOM/1.dcm",
    "TRAINING/ISKEMI/PNG/2.png",
    "TRAINING/ISKEMI/MASK/2.png",
    "TRAINING/ISKEMI/OVERLAY/2.png",
    "TRAINING/KANAMA/DICOM/3",
    "TRAINING/KANAMA/MASK/3.png",
)
ORVILE = (
    "İNME VERİSETİ/İnme Yok/PNG/1.png",
    "İNME VERİSETİ/İskemi/PNG/2.png",
    "İNME VERİSETİ/İskemi/OVERLAY/2.png",
    "İNME VERİSETİ/Kanama/PNG/3.png",
    "İNME VERİSETİ/Kanama/MASKS/3.png",
    "İNME VERİSETİ/YarısmaVeriSeti_1_Oturum/PNG/4.png",
    "İNME VERİSETİ/YarısmaVeriSeti_1_Oturum/PNG/5.png",
    "İNME VERİSETİ/YarısmaVeriSeti_2_Oturum/PNG/6.png",
    "İNME VERİSETİ/YarısmaVeriSeti_2_Oturum/MASKS/6.png",
)
OZGURASLANK = (
    "Brain_Stroke_CT_Dataset/Normal/PNG/1.png",
    "Brain_Stroke_CT_Dataset/Ischemia/PNG/2.png",
    "Brain_Stroke_CT_Dataset/Ischemia/OVERLAY/2.png",
    "Brain_Stroke_CT_Dataset/Bleeding/DICOM/3.dcm",
    "Brain_Stroke_CT_Dataset/Bleeding/OVERLAY/3.png",
    "Brain_Stroke_CT_Dataset/External_Test/PNG/4.png",
    "Brain_Stroke_CT_Dataset/External_Test/MASKS/4.png",
)
HF_MIRROR = ("Normal/1.png", "Normal/normal_dcm_1.png", "Bleeding/3.png", "Ischemia/x_dcm_2.png")
LABELS = "Image Id\tİnme Var mı?\r\n4\t1\r\n5\t0\r\n"
TABLE_HEADER = (
    "\ufeffPatientNumber,SliceNumber,Intraventricular,Intraparenchymal,Subarachnoid,Epidural,"
    "Subdural,No_Hemorrhage,Fracture_Yes_No\n"
)
CT_ICH = (
    "Patients_CT/049/brain/1.jpg",
    "Patients_CT/049/brain/12.jpg",
    "Patients_CT/049/brain/12_HGE_Seg.jpg",
    "Patients_CT/049/bone/1.jpg",
)
TABLE = TABLE_HEADER + "49,1,0,0,0,0,0,1,0\n49,12,0,0,1,0,0,0,0\n"


def _plant(root: Path, paths: tuple[str, ...], **texts: str) -> Path:
    """Makes empty files, and text files by name."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    for name, text in texts.items():
        (root / name.replace("__", "/")).write_bytes(text.encode())
    return root


def _ct_ich(root: Path, *extra: str, table: str = TABLE) -> Path:
    _plant(root, CT_ICH + extra)
    (root / "hemorrhage_diagnosis.csv").write_text(table, encoding="utf-8")
    return root


def _orvile(root: Path, *extra: str, labels: str = LABELS) -> Path:
    _plant(root, ORVILE + extra)
    (root / "İNME VERİSETİ/sonuc.txt").write_bytes(labels.encode())
    return root


def _types(source: Source) -> dict[str, StrokeType | None]:
    return {item.source_id: item.stroke_type for item in source.slices}


def _faults(source: Source) -> dict[str, str]:
    return {fault.file: fault.reason for fault in source.faults}


def test_teknofest_joins_the_files_of_a_slice(tmp_path: Path) -> None:
    source = find_slices(_plant(tmp_path, TEKNOFEST))
    assert (source.layout, source.faults) == ("teknofest", ())
    assert source.slices == (
        SliceFiles(
            source_id="1",
            stroke_type=NONE,
            picture="TRAINING/INMEYOK/PNG/1.png",
            dicom="TRAINING/INMEYOK/DICOM/1.dcm",
            mask=None,
            overlay=None,
            mask_kind="class-colours",
            patient=None,
            stage=None,
        ),
        SliceFiles(
            source_id="2",
            stroke_type=ISCHEMIA,
            picture="TRAINING/ISKEMI/PNG/2.png",
            dicom=None,
            mask="TRAINING/ISKEMI/MASK/2.png",
            overlay="TRAINING/ISKEMI/OVERLAY/2.png",
            mask_kind="class-colours",
            patient=None,
            stage=None,
        ),
        SliceFiles(
            source_id="3",
            stroke_type=HEMORRHAGE,
            picture=None,
            dicom="TRAINING/KANAMA/DICOM/3",
            mask="TRAINING/KANAMA/MASK/3.png",
            overlay=None,
            mask_kind="class-colours",
            patient=None,
            stage=None,
        ),
    )


@pytest.mark.parametrize(
    ("layout", "paths"),
    [
        ("teknofest", TEKNOFEST),
        ("orvile", ORVILE[:5]),
        ("ozguraslank", OZGURASLANK[:5]),
        ("hf-mirror", HF_MIRROR),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("case", [str, str.upper, str.lower])
def test_class_trees_are_recognised_in_any_spelling(
    tmp_path: Path, layout: str, paths: tuple[str, ...], form: str, case: type
) -> None:
    folders = [(Path(path).parent.as_posix(), Path(path).name) for path in paths]
    spelled = tuple(
        unicodedata.normalize(form, f"{case(folder)}/{name}") for folder, name in folders
    )
    source = find_slices(_plant(tmp_path, spelled))
    assert (source.layout, source.faults) == (layout, ())
    assert _types(source) == {"1": NONE, "2": ISCHEMIA, "3": HEMORRHAGE}
    assert all((tmp_path / (item.picture or item.dicom or "-")).is_file() for item in source.slices)


@pytest.mark.parametrize(
    ("layout", "paths", "below"),
    [
        ("teknofest", TEKNOFEST, "TRAINING"),
        ("orvile", ORVILE[:5], "İNME VERİSETİ"),
        ("ozguraslank", OZGURASLANK[:5], "Brain_Stroke_CT_Dataset"),
    ],
)
def test_class_trees_are_found_at_the_root_too(
    tmp_path: Path, layout: str, paths: tuple[str, ...], below: str
) -> None:
    source = find_slices(_plant(tmp_path, paths) / below)
    assert (source.layout, len(source.slices), source.faults) == (layout, 3, ())


def test_every_other_layout_is_found_one_folder_below(tmp_path: Path) -> None:
    _plant(tmp_path / "a" / "data", HF_MIRROR)
    _ct_ich(tmp_path / "b" / "data")
    assert find_slices(tmp_path / "a").layout == "hf-mirror"
    source = find_slices(tmp_path / "b")
    assert source.layout == "ct-ich"
    assert source.slices[0].picture == "data/Patients_CT/049/brain/1.jpg"


MINISTRY = (
    "Eğitim Veri Seti_İskemi/İskemi Veri Seti/PNG/2.png",
    "Eğitim Veri Seti_İskemi/İskemi Veri Seti/DICOM/2.dcm",
    "Eğitim Veri Seti_İskemi/İskemi Veri Seti/OVERLAY/2.png",
    "Eğitim Veri Seti_Kanama/Kanama Veri Seti/PNG/3.png",
    "Eğitim Veri Seti_Kanama/Kanama Veri Seti/OVERLAY/3.png",
    "Eğitim Veri Seti İnme Yok_PNG/İnme Yok_kronik süreç_diğer Veri Set_PNG/1.png",
    "YarısmaVeriSeti_1.Oturum/Test Veri Seti_1/PNG/4.png",
    "YarısmaVeriSeti_1.Oturum/Test Veri Seti_1/PNG/5.png",
)
MINISTRY_LABELS = "YarısmaVeriSeti_1.Oturum/Test Veri Seti_1/Cevaplar.txt"


@pytest.mark.parametrize("wrapping", ["", "a", "a/İNME VERİ SETİ"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_portal_of_the_ministry_is_recognised(tmp_path: Path, wrapping: str, form: str) -> None:
    paths = tuple(unicodedata.normalize(form, f"{wrapping}/{path}".strip("/")) for path in MINISTRY)
    labels = unicodedata.normalize(form, f"{wrapping}/{MINISTRY_LABELS}".strip("/"))
    source = find_slices(_plant(tmp_path, paths, **{labels: LABELS}))
    assert (source.layout, source.faults) == ("ministry", ())
    assert [(item.source_id, item.stage, item.stroke_type) for item in source.slices] == [
        ("1", None, NONE),
        ("2", None, ISCHEMIA),
        ("3", None, HEMORRHAGE),
        ("4", "stage1", StrokeType.UNSPECIFIED),
        ("5", "stage1", NONE),
    ]
    overlays = [item.overlay and item.overlay.split("/")[-2:] for item in source.slices]
    assert overlays == [None, ["OVERLAY", "2.png"], ["OVERLAY", "3.png"], None, None]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        *[(name, NONE) for name in ("İnme Yok", "inme_yok.PNG", "NORMAL", "No-Stroke", "0_normal")],
        *[(name, ISCHEMIA) for name in ("ISKEMI", "ıskemı", "Ischaemic Stroke", "İnme_İskemi")],
        *[(name, ISCHEMIA) for name in ("Veri Set İskemi", "infarct (2)", "Akut İskemik inme")],
        *[(name, HEMORRHAGE) for name in ("Kanama Veri Seti", "haemorrhage", "Hemorrhagic")],
    ],
)
@pytest.mark.parametrize("inner", ["", "PNG/"])
def test_a_class_folder_is_told_by_the_words_of_its_name(
    tmp_path: Path, name: str, label: StrokeType, inner: str
) -> None:
    source = find_slices(_plant(tmp_path, (f"a/b/c/{name}/{inner}1.png", "a/Bleed/2.png")))
    assert source.faults == ()
    assert _types(source) == {"1": label, "2": HEMORRHAGE}


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        *[(name, "must be part of the layout") for name in ("İnme", "stroke", "Kanama yok")],
        *[(name, "must be part of the layout") for name in ("abnormal", "diğer", "kronik süreç")],
        *[(name, "must be part of the layout") for name in ("Kronik İskemi", "a/b/c/d/Normal")],
        *[(name, "must have a name of one class") for name in ("iskemi_kanama", "Normal_Stroke")],
        *[(name, "must have a name of one class") for name in ("Kanama/İskemi", "Kanama_diğer")],
        *[(name, "must not be a test set's") for name in ("test/Normal", "Validation/a/Normal")],
    ],
)
def test_a_folder_of_no_clear_class_is_a_fault_and_no_guess(
    tmp_path: Path, name: str, rule: str
) -> None:
    source = find_slices(_plant(tmp_path, (*TEKNOFEST, f"{name}/9.png")))
    (fault,) = source.faults
    assert rule in fault.reason
    assert f"{name}/".startswith(f"{fault.file}/")
    assert set(_types(source)) == {"1", "2", "3"}


@pytest.mark.parametrize(
    "names", [("Normal", "Stroke"), ("İnme Yok", "İnme"), ("0_normal", "1_İnme Var")]
)
@pytest.mark.parametrize("inner", ["", "PNG/"])
def test_a_stroke_folder_beside_a_normal_one_is_of_strokes_of_no_type(
    tmp_path: Path, names: tuple[str, str], inner: str
) -> None:
    normal, stroke = names
    paths = (f"Stroke data/{normal}/{inner}1.png", f"Stroke data/{stroke}/{inner}2.png")
    source = find_slices(_plant(tmp_path, paths))
    assert source.faults == ()
    assert _types(source) == {"1": NONE, "2": StrokeType.UNSPECIFIED}


def test_flat_and_nested_classes_stand_together(tmp_path: Path) -> None:
    paths = ("İnme Yok/1.png", "İskemi/PNG/2.png", "İskemi/MASK/2.png", "Kanama_OVERLAY/3.png")
    source = find_slices(_plant(tmp_path, (*paths, "Kanama_PNG/3.png", "Kanama_DICOM/3")))
    assert (source.layout, source.faults) == ("class-folders", ())
    assert _types(source) == {"1": NONE, "2": ISCHEMIA, "3": HEMORRHAGE}
    bleeding = next(item for item in source.slices if item.source_id == "3")
    assert (bleeding.picture, bleeding.overlay) == (
        "Kanama_PNG/3.png",
        "Kanama_OVERLAY/3.png",
    )


def test_pictures_beside_the_class_and_session_folders_are_faults(tmp_path: Path) -> None:
    session = "YarısmaVeriSeti_2.Oturum/Test Veri Seti_2"
    good = (f"{session}/PNG/6.png", f"{session}/MASK/6.png")
    bad = ("TRAINING/9.png", f"{session.split('/')[0]}/9.png")
    extra = f"{session.split('/')[0]}/more"
    source = find_slices(_plant(tmp_path, (*TEKNOFEST, *good, *bad, f"{extra}/PNG/9.png")))
    assert set(_faults(source)) == {*bad, extra}
    assert set(_types(source)) == {"1", "2", "3", "6"}


@pytest.mark.parametrize("name", ["2_HGE_Seg", "2_PHE_Seg", "2_mask", "2-seg", "2_Segmentation"])
@pytest.mark.parametrize("folder", ["", "Kanama/", "Kanama/PNG/"])
def test_masks_beside_pictures_are_no_slices(tmp_path: Path, name: str, folder: str) -> None:
    source = find_slices(_plant(tmp_path, (f"{folder}2.png", f"{folder}{name}.png")))
    assert [item.picture for item in source.slices] == [f"{folder}2.png"]
    (fault,) = source.faults
    assert (fault.file, "a mask" in fault.reason) == (f"{folder}{name}.png", True)


def test_names_in_composed_and_decomposed_unicode_are_one_id(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "çarşı1") for form in ("NFC", "NFD")]
    paths = tuple(
        f"ISKEMI/{kind}/{name}.png" for kind, name in zip(("PNG", "MASK"), names, strict=True)
    )
    (item,) = find_slices(_plant(tmp_path, (*paths, "KANAMA/PNG/1.png"))).slices[1:]
    assert (item.source_id, item.picture, item.mask) == (names[0], *paths)


def test_two_files_that_differ_in_unicode_form_only_are_said_to(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "çarşı1") for form in ("NFC", "NFD")]
    source = find_slices(_plant(tmp_path, tuple(f"ISKEMI/PNG/{name}.png" for name in names)))
    assert len(source.faults) == 2
    assert all("differ in Unicode form or encoding only" in fault.reason for fault in source.faults)


def test_names_in_cp1254_are_read_as_turkish(tmp_path: Path) -> None:
    for name in (b"\xddnme Yok/hasta\xfd_1.png", b"Kanama/2.png", b"\xdeema/3.png"):
        path = tmp_path / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    source = find_slices(tmp_path)
    assert _types(source) == {"hastaı_1": NONE, "2": HEMORRHAGE}
    assert (tmp_path / (source.slices[1].picture or "")).is_file()
    assert source.faults[0].file == "Şema"
    assert source.faults[0].reason.endswith("Received: Şema/3.png")


def test_sessions_take_types_from_labels_or_leave_them_to_masks(tmp_path: Path) -> None:
    source = find_slices(_orvile(tmp_path))
    assert (source.layout, source.faults) == ("orvile", ())
    assert [(item.source_id, item.stage, item.stroke_type) for item in source.slices] == [
        ("1", None, NONE),
        ("2", None, ISCHEMIA),
        ("3", None, HEMORRHAGE),
        ("4", "stage1", StrokeType.UNSPECIFIED),
        ("5", "stage1", NONE),
        ("6", "stage2", None),
    ]


@pytest.mark.parametrize("where", ["", "YarısmaVeriSeti_1_Oturum/"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("start", "newline"), [("", "\n"), ("\ufeff", "\r\n")])
def test_label_files_are_found_beside_and_in_the_session(
    tmp_path: Path, where: str, form: str, start: str, newline: str
) -> None:
    session = "YarısmaVeriSeti_1_Oturum/PNG"
    _plant(tmp_path, (*TEKNOFEST, f"{session}/4.png", f"{session}/5.png"))
    text = start + unicodedata.normalize(form, LABELS).replace("\r\n", newline)
    (tmp_path / f"{where}labels.txt").write_bytes(text.encode())
    (tmp_path / f"{where}notes.txt").write_text("4\t0\n")
    source = find_slices(tmp_path)
    assert (source.layout, source.faults) == ("teknofest", ())
    assert _types(source)["4"] is StrokeType.UNSPECIFIED
    assert _types(source)["5"] is NONE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1254"])
@pytest.mark.parametrize("separator", ["\t", ";", ","])
def test_label_files_are_read_in_any_usual_encoding(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    _plant(tmp_path, ORVILE)
    text = LABELS.replace("\t", separator)
    (tmp_path / "İNME VERİSETİ/sonuc.txt").write_bytes(text.encode(encoding))
    source = find_slices(tmp_path)
    assert source.faults == ()
    assert (_types(source)["4"], _types(source)["5"]) == (StrokeType.UNSPECIFIED, NONE)


def test_a_label_file_that_is_no_text_is_a_fault_with_its_name(tmp_path: Path) -> None:
    _plant(tmp_path, ORVILE)
    (tmp_path / "İNME VERİSETİ/sonuc.txt").write_bytes(LABELS.encode("cp857"))
    fault = _faults(find_slices(tmp_path))["İNME VERİSETİ/sonuc.txt"]
    assert "a label file must be text in UTF-8" in fault
    assert "Received: byte 0x98 on line 1" in fault


def test_a_session_alone_is_a_data_set(tmp_path: Path) -> None:
    paths = ("YARISMAVERISETI_2_OTURUM/PNG/6.png", "YARISMAVERISETI_2_OTURUM/MASKS/6.png")
    (item,) = find_slices(_plant(tmp_path, paths)).slices
    assert (item.stage, item.mask) == ("stage2", "YARISMAVERISETI_2_OTURUM/MASKS/6.png")


def test_the_external_test_of_ozguraslank_is_stage_2(tmp_path: Path) -> None:
    source = find_slices(_plant(tmp_path, OZGURASLANK))
    assert [item.source_id for item in source.slices if item.stage == "stage2"] == ["4"]
    assert source.faults == ()


def test_twins_are_one_slice_and_the_plain_name_is_kept(tmp_path: Path) -> None:
    source = find_slices(_plant(tmp_path, (*HF_MIRROR, "Bleeding/a_dcm_3.png")))
    assert [item.picture for item in source.slices] == [
        "Normal/1.png",
        "Ischemia/x_dcm_2.png",
        "Bleeding/3.png",
    ]
    assert source.faults == ()


def test_ct_ich_takes_types_and_patients_from_table_and_folders(tmp_path: Path) -> None:
    source = find_slices(_ct_ich(tmp_path))
    assert (source.layout, source.faults) == ("ct-ich", ())
    first, second = source.slices
    assert (first.source_id, first.stroke_type, first.patient) == ("049-001", NONE, "049")
    assert (second.source_id, second.stroke_type) == ("049-012", HEMORRHAGE)
    assert (second.mask, second.mask_kind) == (CT_ICH[2], "binary")


def test_plain_finds_unlabelled_files_in_all_folders(tmp_path: Path) -> None:
    _plant(tmp_path, ("a/1.png", "a/1.dcm", "b/c/2.JPG", "b/notes", "b/table.csv", "DICOMDIR"))
    (tmp_path / "b/1.2.840.113").write_bytes(bytes(128) + b"DICM")
    source = find_slices(tmp_path)
    assert (source.layout, source.faults) == ("plain", ())
    files = [(item.source_id, item.picture, item.dicom) for item in source.slices]
    assert files == [
        ("a/1", "a/1.png", "a/1.dcm"),
        ("b/1.2.840.113", None, "b/1.2.840.113"),
        ("b/c/2", "b/c/2.JPG", None),
    ]
    assert set(_types(source).values()) == {None}


def test_plain_never_takes_an_overlay_or_a_mask_for_a_picture(tmp_path: Path) -> None:
    paths = ("PNG/1.png", "OVERLAY/1.png", "Masks/deep/1.png", "2_HGE_Seg.jpg")
    source = find_slices(_plant(tmp_path, paths))
    assert [item.picture for item in source.slices] == ["PNG/1.png"]
    assert sorted(_faults(source)) == ["2_HGE_Seg.jpg", "Masks/deep", "OVERLAY"]


def test_links_out_of_the_root_are_followed_and_loops_end(tmp_path: Path) -> None:
    outside = _plant(tmp_path / "outside", ("1.png",))
    root = _plant(tmp_path / "root", ("a/2.png",))
    (root / "out").symlink_to(outside)
    (root / "a" / "up").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    (root / "gone.png").symlink_to(root / "nowhere")
    source = find_slices(root)
    assert [item.picture for item in source.slices] == ["a/2.png", "gone.png", "out/1.png"]


def test_system_files_and_readmes_are_left_alone(tmp_path: Path) -> None:
    folder = "TRAINING/KANAMA/DICOM/"
    names = (".DS_Store", "Thumbs.db", "desktop.ini", "README.md", "LICENSE", "._3.dcm", ".x/1.png")
    names += (
        "ehthumbs.db",
        "3.png:Zone.Identifier",
        "@eaDir/3.png/SYNO_THUMB.png",
        "__MACOSX/1.png",
    )
    source = find_slices(_plant(tmp_path, TEKNOFEST + tuple(folder + name for name in names)))
    assert (len(source.slices), source.faults) == (3, ())


@pytest.mark.parametrize(
    ("extra", "faults", "left_out"),
    [
        (
            ("TRAINING/INMEYOK/PNG/2.png",),
            {"TRAINING/INMEYOK/PNG/2.png": "one class", "TRAINING/ISKEMI/PNG/2.png": "one class"},
            "2",
        ),
        (
            ("TRAINING/ISKEMI/PNG/2.jpg",),
            {
                "TRAINING/ISKEMI/PNG/2.jpg": "one file of",
                "TRAINING/ISKEMI/PNG/2.png": "one file of",
            },
            "2",
        ),
        (
            ("TRAINING/KANAMA/PNG/9.png",),
            {"TRAINING/KANAMA/PNG/9.png": "missing pair"},
            "9",
        ),
        (
            ("TRAINING/KANAMA/MASK/9.png", "TRAINING/KANAMA/OVERLAY/9.png"),
            {
                "TRAINING/KANAMA/MASK/9.png": "must have a picture",
                "TRAINING/KANAMA/OVERLAY/9.png": "must have a picture",
            },
            "9",
        ),
        (
            ("TRAINING/KANAMA/PNG/9.gif", "TRAINING/KANAMA/DICOM/9.png"),
            {
                "TRAINING/KANAMA/PNG/9.gif": "a picture must end in one of",
                "TRAINING/KANAMA/DICOM/9.png": "a dicom must end in one of",
            },
            "9",
        ),
        (("TRAINING/KANAMA/9.png",), {"TRAINING/KANAMA/9.png": "must be in a folder"}, "9"),
        (
            ("TRAINING/Tumor/PNG/9.png", "TRAINING/notes/9.txt"),
            {"TRAINING/Tumor": "must be part of the layout"},
            "9",
        ),
        (
            ("TRAINING/KANAMA/PNG/old/9.png", "TRAINING/KANAMA/BMP/9.png"),
            {
                "TRAINING/KANAMA/PNG/old": "must be part of the layout",
                "TRAINING/KANAMA/BMP": "must be part of the layout",
            },
            "9",
        ),
        (("elsewhere/9.png",), {"elsewhere": "must be part of the layout"}, "9"),
    ],
)
def test_faults_in_class_folders_are_named_and_only_their_slices_left_out(
    tmp_path: Path, extra: tuple[str, ...], faults: dict[str, str], left_out: str
) -> None:
    source = find_slices(_plant(tmp_path, TEKNOFEST + extra))
    assert _faults(source).keys() == faults.keys()
    assert all(part in _faults(source)[file] for file, part in faults.items())
    assert set(_types(source)) == {"1", "2", "3"} - {left_out}


def test_an_id_in_two_classes_names_both_files(tmp_path: Path) -> None:
    source = find_slices(_plant(tmp_path, (*TEKNOFEST, "TRAINING/INMEYOK/PNG/2.png")))
    both = "TRAINING/INMEYOK/PNG/2.png and TRAINING/ISKEMI/PNG/2.png"
    assert all(reason.endswith(both) for reason in _faults(source).values())


def test_a_class_without_mask_folders_needs_no_pairs(tmp_path: Path) -> None:
    source = find_slices(_plant(tmp_path, ("KANAMA/PNG/1.png", "ISKEMI/PNG/2.png")))
    assert (len(source.slices), source.faults) == (2, ())


def test_a_stage_2_slice_without_mask_is_a_missing_pair(tmp_path: Path) -> None:
    extra = "İNME VERİSETİ/YarısmaVeriSeti_2_Oturum/PNG/7.png"
    assert "missing pair" in _faults(find_slices(_orvile(tmp_path, extra)))[extra]


def test_a_stage_1_slice_without_label_is_a_fault(tmp_path: Path) -> None:
    extra = "İNME VERİSETİ/YarısmaVeriSeti_1_Oturum/PNG/7.png"
    source = find_slices(_orvile(tmp_path, extra))
    assert "must have a label" in _faults(source)[extra]
    assert "7" not in _types(source)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("99\t1", "must have a picture. Received: 99"),
        ("4 1", "line 4 must be an id, a tab and its only label"),
        ("4\t2", "line 4 must be"),
        ("\t1", "line 4 must be"),
        ("4\t0", "line 4 must be an id, a tab and its only label"),
    ],
)
def test_label_files_faults_name_file_and_line(tmp_path: Path, line: str, part: str) -> None:
    source = find_slices(_orvile(tmp_path, labels=f"{LABELS}{line}\r\n\r\n5\t0\r\n"))
    assert list(_faults(source)) == ["İNME VERİSETİ/sonuc.txt"]
    assert part in source.faults[0].reason
    assert len(source.slices) == 6


@pytest.mark.parametrize(
    ("row", "part"),
    [
        ("50,3,0,0,0,0,0,1,0", "must have a picture. Received: 050-003"),
        ("49,12,0,0,0,0,0,1,0", "line 4 must give a slice"),
        ("49,1,1,0,0,0,0,1,0", "line 4 must give a slice"),
        ("49,1,0,0,0,0,0,0,0", "line 4 must give a slice"),
        ("x,1,0,0,0,0,0,1,0", "line 4 must give a slice"),
        ("49,1", "line 4 must give a slice"),
    ],
)
def test_ct_ich_table_faults_name_table_and_line(tmp_path: Path, row: str, part: str) -> None:
    source = find_slices(_ct_ich(tmp_path, table=f"{TABLE}{row}\n"))
    assert list(_faults(source)) == ["hemorrhage_diagnosis.csv"]
    assert part in source.faults[0].reason
    assert len(source.slices) == 2


def test_ct_ich_files_outside_table_or_pattern_are_faults(tmp_path: Path) -> None:
    brain = "Patients_CT/049/brain/"
    extra = (brain + "13.jpg", brain + "14_HGE_Seg.jpg", brain + "a.jpg", "Extra/049/1.jpg")
    source = find_slices(_ct_ich(tmp_path, *extra, "Patients_CT/049/soft/1.jpg"))
    faults = _faults(source)
    assert sorted(faults) == sorted([*extra[:3], "Extra", "Patients_CT/049/soft"])
    assert "must have a label" in faults[brain + "13.jpg"]
    assert "must have a picture" in faults[brain + "14_HGE_Seg.jpg"]
    assert "must be named" in faults[brain + "a.jpg"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1254"])
@pytest.mark.parametrize("separator", [";", "\t"])
def test_ct_ich_takes_a_table_of_excel(tmp_path: Path, encoding: str, separator: str) -> None:
    _plant(tmp_path, CT_ICH)
    text = TABLE.removeprefix("\ufeff").replace(",", separator)
    (tmp_path / "hemorrhage_diagnosis.csv").write_bytes(text.encode(encoding))
    assert find_slices(tmp_path).faults == ()


def test_ct_ich_without_a_column_is_refused(tmp_path: Path) -> None:
    table = "PatientNumber,SliceNumber,No_Hemorrhage\n"
    with pytest.raises(ValueError, match=r"must have the columns .* Missing: \['Intraventricular'"):
        find_slices(_ct_ich(tmp_path, table=table))


def test_an_unreadable_folder_or_label_file_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    _orvile(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "must be readable" in _faults(find_slices(tmp_path))["İNME VERİSETİ/sonuc.txt"]
    monkeypatch.setattr("stroke_tf.reading.folders.os.scandir", _scandir_without("Kanama/PNG"))
    source = find_slices(tmp_path)
    assert "must be readable" in _faults(source)["İNME VERİSETİ/Kanama/PNG"]
    assert "3" not in _types(source)


def _scandir_without(end: str) -> object:
    from os import scandir

    def scan(folder: Path) -> object:
        if folder.as_posix().endswith(end):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    return scan


def test_an_unknown_folder_lists_the_layouts_and_what_was_seen(tmp_path: Path) -> None:
    _plant(tmp_path, ("photos/a.txt", "b.csv"))
    with pytest.raises(ValueError, match=r"folders \['photos'\], files \['b.csv'\]") as error:
        find_slices(tmp_path)
    assert all(f"\n  {name}: " in str(error.value) for name in LAYOUTS)
    assert str(error.value).endswith("\nany other set: --table, see docs/howto/your_data.md")


def test_a_forced_layout_must_fit(tmp_path: Path) -> None:
    _plant(tmp_path, TEKNOFEST)
    assert find_slices(tmp_path, layout="orvile").layout == "orvile"  # the same names but a space
    with pytest.raises(ValueError, match=r"must have this layout:\n  ct-ich: "):
        find_slices(tmp_path, layout="ct-ich")
    with pytest.raises(ValueError, match=r"`layout` must be auto or one of .*'nifti'"):
        find_slices(tmp_path, layout="nifti")
    with pytest.raises(ValueError, match="must be a folder. Received: no such file or folder"):
        find_slices(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="must be a folder. Received: a file"):
        find_slices(tmp_path / "file")


def test_slices_are_frozen() -> None:
    item = SliceFiles("1", NONE, "1.png", None, None, None, "binary", None, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        item.source_id = "2"  # type: ignore[misc]


def test_open_stroke_ct_is_found_whole(open_data: Path) -> None:
    source = find_slices(open_data / "open_stroke_ct")
    assert (source.layout, source.faults) == ("teknofest", ())
    assert Counter(_types(source).values()) == {NONE: 120, ISCHEMIA: 24, HEMORRHAGE: 48}
    assert all(bool(item.mask) == (item.stroke_type != NONE) for item in source.slices)
    assert all(bool(item.overlay) == (item.stroke_type != NONE) for item in source.slices)
    groups = read_groups(open_data / "open_stroke_ct" / "manifest.csv")
    assert groups.keys() == _types(source).keys()


def test_ct_ich_is_found_whole(open_data: Path) -> None:
    source = find_slices(open_data / "ct_ich")
    assert source.layout == "ct-ich"
    assert Counter(_types(source).values()) == {NONE: 2183, HEMORRHAGE: 318}
    assert len({item.patient for item in source.slices}) == 82
    assert sum(item.mask is not None for item in source.slices) == 318
    assert source.faults == ()


def test_dicom_ge_head_is_plain(open_data: Path) -> None:
    source = find_slices(open_data / "dicom_ge_head")
    assert (source.layout, len(source.slices), source.faults) == ("plain", 28, ())
