"""Tests of one's own set by a table: what rows mean, and what is refused."""

import cv2
import numpy as np
import pytest
from trees import head, read_slice, write_png

from data_tools.conversion import BadInputError, build_tfrecords
from data_tools.inspection import inspect_folder, write_page
from data_tools.intake import take_in
from data_tools.options import Conversion, Input, Inspection
from data_tools.sources import read_table_source
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import read_folds

NONE, ISCHEMIA, HEMORRHAGE = StrokeType.NONE, StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for name in "abc":
        write_png(tmp_path / f"pictures/{name}.png", head(random))
    return tmp_path


def table(folder, *rows, heading="image,label", name="slices.csv"):
    (folder / name).write_text("\n".join((heading, *rows)), encoding="utf-8")
    return folder / name


def square(value=255, *, depth=3):
    mask = np.zeros((80, 80, depth), np.uint8)
    mask[30:40, 30:40] = value
    return mask


def faults_of(path, **settings):
    return [(fault.file, fault.reason) for fault in take_in(Input(table=path, **settings)).faults]


def read(path, **settings):
    from data_tools.intake import reading_of

    config = Input(table=path, **settings)
    source = take_in(config)
    assert not source.faults
    return [read_slice(source.root, slice_, reading_of(config, b"key")) for slice_ in source.slices]


def test_a_row_is_a_slice(folder):
    rows = (
        "pictures/a.png,one,P1,normal",
        "pictures/b.png,two,P1,İskemi",
        "pictures/c.png,,P2,kanama",
    )
    source = take_in(Input(table=table(folder, *rows, heading="image,id,patient,label")))
    said = [
        (slice_.source_id, slice_.picture, slice_.patient, slice_.stroke_type)
        for slice_ in source.slices
    ]
    assert said == [
        ("one", "pictures/a.png", "p1", NONE),
        ("pictures/c", "pictures/c.png", "p2", HEMORRHAGE),
        ("two", "pictures/b.png", "p1", ISCHEMIA),
    ]
    assert (source.layout, source.faults) == ("table", ())


@pytest.mark.parametrize("label", ["2", "2.0", "hemorrhage", "Hemorrhagic stroke", "Kanama"])
def test_labels_are_words_or_stated_numbers(folder, label):
    path = table(folder, f"pictures/a.png,{label}")
    stated = ("0=normal", "1=ischemia", "2=hemorrhage")
    assert take_in(Input(table=path, labels=stated)).slices[0].stroke_type == HEMORRHAGE


def test_a_label_stated_as_stroke_has_no_type(folder):
    path = table(folder, "pictures/a.png,1", "pictures/b.png,0")
    source = take_in(Input(table=path, labels=("0=no stroke", "1=stroke")))
    assert [slice_.stroke_type for slice_ in source.slices] == [StrokeType.UNSPECIFIED, NONE]


def test_columns_of_other_names_are_mapped_and_filled_in(folder):
    path = table(folder, "a,P1/7,normal,x", heading="file,id,finding,more")
    columns = ("image=pictures/{file}.png", "patient={id.parent}", "label=finding")
    (files,) = take_in(Input(table=path, columns=columns)).slices
    assert (files.picture, files.source_id, files.patient) == ("pictures/a.png", "P1/7", "p1")


def test_paths_start_from_data_where_it_is_given(folder, tmp_path):
    path = table(tmp_path, "a.png,normal", name="elsewhere.csv")
    source = take_in(Input(table=path, data=folder / "pictures"))
    assert [slice_.picture for slice_ in source.slices] == ["a.png"]


def test_a_tsv_with_windows_paths_is_read(folder):
    path = table(folder, "pictures\\a.png\tnormal", heading="image\tlabel", name="slices.tsv")
    assert take_in(Input(table=path)).slices[0].picture == "pictures/a.png"


def test_a_series_stands_for_its_patient(folder):
    rows = "pictures/a.png,0,s1,", "pictures/b.png,0,s1,P1", "pictures/c.png,0,s2,"
    path = table(folder, *rows, heading="image,label,series,patient")
    source = take_in(Input(table=path, labels=("0=normal",)))
    assert [slice_.patient for slice_ in source.slices] == ["p1", "p1", "series s2"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("pictures/z.png,normal,", "`image` must be a file below"),
        (",normal,", "`image` must be given. Received: an empty cell"),
        ("notes.txt,normal,", "`image` must end in one of"),
        ("pictures/a.png,1,", "be stated by --labels, such as 0=normal 1=ischemia. Received: '1'"),
        ("pictures/b.png,normal,", "`image` must stand once. Received: pictures/b.png, as in sl"),
        (
            "pictures/a.png,normal,first",
            "`id` must stand once. Received: first, as in slices.csv:2",
        ),
    ],
)
def test_a_fault_names_the_row_the_rule_and_the_value(folder, row, reason):
    path = table(folder, "pictures/b.png,normal,first", row, heading="image,label,id")
    ((where, said),) = faults_of(path)
    assert where == "slices.csv:3"
    assert reason in said


def test_a_slice_without_a_patient_is_a_fault_where_others_have_one(folder):
    path = table(folder, "pictures/a.png,0,P1", "pictures/b.png,0,", heading="image,label,patient")
    rule = "must have a patient in slices.csv, as other slices have. Received: none for id "
    assert faults_of(path, labels=("0=normal",)) == [("pictures/b.png", f"{rule}pictures/b")]


@pytest.mark.parametrize(
    ("heading", "columns", "message"),
    [
        ("image,labell", (), r"columns must be of \['image', .*Received: \['labell'\]"),
        ("file,label", (), r"must have the column 'image' .*Received: \['file', 'label'\]"),
        ("image,label", ("picture=image",), r"--columns must name some of .*\['picture'\]"),
        ("image,label", ("image=file",), "must have the column 'file'"),
        ("image,label", ("image",), "must be name=value"),
    ],
)
def test_unknown_columns_are_refused(folder, heading, columns, message):
    path = table(folder, "pictures/a.png,normal", heading=heading)
    with pytest.raises(ValueError, match=message):
        take_in(Input(table=path, columns=columns))


@pytest.mark.parametrize("flag", ["labels", "mask_values"])
def test_classes_must_be_known(folder, flag):
    path = table(folder, "pictures/a.png,normal")
    with pytest.raises(ValueError, match=r"must name classes: .*Received: \['tumour'\]"):
        take_in(Input(table=path, **{flag: ("1=tumour",)}))


@pytest.mark.parametrize(
    ("mask", "label", "values", "expected"),
    [
        (square(), "hemorrhage", (), 2),
        (square(), "ischemia", (), 1),
        (square((255, 0, 0)), "", (), 1),  # blue, as cv2 writes it
        (square(7, depth=1), "", ("5=ischemia", "7=hemorrhage"), 2),
        (square(0), "normal", (), 0),
    ],
)
def test_a_mask_is_white_colours_or_stated_values(folder, mask, label, values, expected):
    write_png(folder / "mask.png", mask)
    path = table(folder, f"pictures/a.png,{label},mask.png", heading="image,label,mask")
    (found,) = read(path, mask_values=values)
    assert (found.mask[35, 35], found.stroke_type) == (expected, expected)
    assert (found.mask > 0).sum() == (100 if expected else 0)


@pytest.mark.parametrize(
    ("mask", "label", "values", "reason"),
    [
        (square(), "normal", (), "white in a mask must be of the slice's label.*Received: NONE"),
        (square(), "", (), "--mask-values must say what it is. Received: no label"),
        (square((255, 0, 0)), "normal", (), "label NONE, 100 lesion pixels"),
        (square(3), "", ("1=ischemia",), r"must be 0 or of {1: 'ISCHEMIA'}. Received: \[3\]"),
        (square()[:40], "ischemia", (), "must have the size of its picture"),
    ],
)
def test_a_mask_that_contradicts_is_a_fault_with_its_row(folder, mask, label, values, reason):
    write_png(folder / "mask.png", mask)
    path = table(folder, f"pictures/a.png,{label},mask.png", heading="image,label,mask")
    (faults,) = read(path, mask_values=values)
    assert [fault.file for fault in faults] == ["mask.png"]
    with pytest.raises(ValueError, match=reason):
        raise ValueError(faults[0].reason)
    assert faults[0].reason.endswith("(slices.csv:2)")


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp", ".jpg", ".png"])
def test_pictures_of_every_kind_are_read(folder, suffix):
    picture = head(np.random.default_rng(3))
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    cv2.imwrite(str(folder / f"x{suffix}"), picture, lossless)
    (found,) = read(table(folder, f"x{suffix},normal"))
    assert np.abs(found.image.astype(int) - picture).max() <= (60 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".webp"])
def test_a_picture_that_is_cut_short_is_a_fault(folder, suffix):
    path = folder / f"x{suffix}"
    cv2.imwrite(str(path), head(np.random.default_rng(3)))
    path.write_bytes(path.read_bytes()[:500])
    (faults,) = read(table(folder, f"{path.name},normal"))
    assert faults[0].file == path.name


def test_a_tiff_of_other_numbers_is_refused(folder):
    cv2.imwrite(str(folder / "x.tif"), np.ones((20, 20), np.float32))
    (faults,) = read(table(folder, "x.tif,normal"))
    assert "must be grey, palette or RGB. Received: F" in faults[0].reason


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_hu_by_their_stated_offset(folder, suffix):
    values = np.full((20, 20), 24, np.uint16)
    values[5:15, 5:15] = 1064
    cv2.imwrite(str(folder / f"x{suffix}"), values)
    path = table(folder, f"x{suffix},normal")
    (found,) = read(path, hu_offset=1024)
    assert (found.image.dtype, found.image[0, 0], found.image[9, 9]) == (np.int16, -1000, 40)
    reason = read(path)[0][0].reason
    assert "values 24 to 1064" in reason and "`convert --hu-offset`" in reason
    assert (
        "air near -1000 outside and tissue inside. Received: HU 24 to 1064"
        in read(path, hu_offset=0)[0][0].reason
    )


def test_coloured_pictures_are_read_as_grey_when_told_so(folder, caplog):
    picture = cv2.cvtColor(cv2.imread(str(folder / "pictures/a.png"), 0), cv2.COLOR_GRAY2BGR)
    picture[:8, :30] = (0, 255, 255)  # a caption
    write_png(folder / "pictures/a.png", picture)
    path = table(folder, "pictures/a.png,normal")
    assert "is read as grey with --colour grey" in read(path)[0][0].reason
    (found,) = read(path, colour="grey")
    assert found.coloured
    assert found.image[4, 4] == 226  # 0.587 * 255 + 0.299 * 255
    config = Inspection(table=path, colour="grey", out=folder / "page.html", jobs=1)
    found = inspect_folder(config)
    assert (found.faults, len(found.warnings)) == ((), 2)  # of colours, and of patients
    write_page(found, config.out, title="a table")
    assert "1 coloured pictures are read as grey, such as pictures/a" in config.out.read_text()


def test_a_table_converts_and_warns_of_colours(tmp_path, caplog):
    random = np.random.default_rng(1)
    for number in range(30):
        picture = cv2.cvtColor(head(random), cv2.COLOR_GRAY2BGR)
        if number == 3:
            picture[0, 0] = (9, 99, 9)
        write_png(tmp_path / f"{number}.png", picture)
    rows = [f"{number}.png,{number % 3},P{number}" for number in range(30)]
    config = Conversion(
        table=table(tmp_path, *rows, heading="image,label,patient"),
        labels=("0=normal", "1=ischemia", "2=hemorrhage"),
        out=tmp_path / "out",
        size=64,
        jobs=1,
    )
    with pytest.raises(BadInputError, match="Received: 1"):
        build_tfrecords(config)
    told = Conversion(**{**vars(config), "colour": "grey", "out": tmp_path / "told"})
    manifest = build_tfrecords(told)
    assert manifest.classes == {"NONE": 10, "ISCHEMIA": 10, "HEMORRHAGE": 10}
    assert (manifest.layout, manifest.grouping) == ("table", "patient")
    assert "1 coloured pictures were read as grey, such as 3.png" in caplog.text
    assert build_tfrecords(told) == manifest  # kept
    assert len(read_folds(tmp_path / "told")) == 30


def test_the_labels_of_another_projects_manifest_are_read(open_data):
    source, _ = read_table_source(
        open_data / "phe_sich/manifest.csv",
        columns={"image": "Patients_CT/{id.parent}/brain/{id.name}.png", "label": "label_derived"},
    )
    assert source.faults == ()
    labels = [slice_.stroke_type for slice_ in source.slices]
    assert [labels.count(kind) for kind in (NONE, HEMORRHAGE, None)] == [1411, 407, 292]
    assert len({slice_.patient for slice_ in source.slices}) == 72


def test_a_setting_of_tables_is_refused_without_one(folder):
    with pytest.raises(ValueError, match="--mask-values must come with --table"):
        take_in(Input(data=folder, mask_values=("1=ischemia",)))
    with pytest.raises(ValueError, match="Received: neither"):
        take_in(Input())
