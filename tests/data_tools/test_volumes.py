"""Tests of NIfTI volumes in a table, and of the layout of nnU-Net."""

import json

import nibabel
import numpy as np
import pytest
from trees import head, read_slice, write_png

from data_tools.conversion import build_tfrecords
from data_tools.intake import reading_of, take_in
from data_tools.options import Conversion, Input
from data_tools.slices import Slice
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import read_folds

NONE, ISCHEMIA, HEMORRHAGE = StrokeType.NONE, StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE


def write_case(folder, case, *, images="", masks="masks/", channel="", classes=(0, 1, 2), seed=0):
    """Writes a volume of three slices and its mask, whose slices show the classes."""
    random = np.random.default_rng(seed)
    heads = [head(random, 32).astype(np.int16) for _ in classes]
    slices = [np.where(grey, grey // 4, -1000) for grey in heads]
    mask = np.zeros((32, 32, 3), np.uint8)
    for plane, value in enumerate(classes):
        mask[10:14, 20:26, plane] = value
    for path, values in (
        (f"{images}{case}{channel}.nii.gz", np.stack(slices, -1)),
        (f"{masks}{case}.nii.gz", mask),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values, np.diag([0.5, 0.4, 5, 1])), folder / path)


def write_table(folder, *rows, heading="image,mask,label"):
    (folder / "slices.csv").write_text("\n".join([heading, *rows]))
    return folder / "slices.csv"


def read(**settings):
    config = Input(**settings)
    source = take_in(config)
    assert not source.faults
    found = [
        read_slice(source.root, slice_, reading_of(config, b"key")) for slice_ in source.slices
    ]
    assert all(isinstance(slice_, Slice) for slice_ in found), found
    return source, found


def test_a_volume_is_its_slices_with_hu_spacing_and_mask(tmp_path):
    write_case(tmp_path, "a")
    table = write_table(tmp_path, "a.nii.gz,masks/a.nii.gz,")
    source, found = read(table=table, mask_values=("1=ischemia", "2=hemorrhage"))
    assert [slice_.source_id for slice_ in source.slices] == ["a-000", "a-001", "a-002"]
    assert {slice_.patient for slice_ in source.slices} == {"volume a"}
    assert [slice_.stroke_type for slice_ in found] == [NONE, ISCHEMIA, HEMORRHAGE]
    assert {slice_.pixels for slice_ in found} == {"hu16"}
    assert found[0].spacing_mm == pytest.approx((0.4, 0.5, 5))
    rows, columns = np.nonzero(found[2].mask)
    # x is 10 to 13, y 20 to 25; DICOM counts both from the other end
    assert {*columns} == {*range(31 - 13, 31 - 9)}
    assert {*rows} == {*range(31 - 25, 31 - 19)}


def test_a_mask_of_ones_takes_the_class_of_its_volume(tmp_path):
    write_case(tmp_path, "a", classes=(0, 1, 0))
    _, found = read(table=write_table(tmp_path, "a.nii.gz,masks/a.nii.gz,hemorrhage"))
    assert [slice_.stroke_type for slice_ in found] == [NONE, HEMORRHAGE, NONE]


def test_a_normal_volume_needs_no_mask_and_a_stroke_does(tmp_path):
    write_case(tmp_path, "a")
    _, found = read(table=write_table(tmp_path, "a.nii.gz,,normal"))
    assert [slice_.stroke_type for slice_ in found] == [NONE] * 3
    source = take_in(Input(table=write_table(tmp_path, "a.nii.gz,,ischemia")))
    assert source.slices == ()
    assert "a stroke's volume must have a mask" in source.faults[0].reason


def test_unknown_values_of_a_mask_are_a_fault(tmp_path):
    write_case(tmp_path, "a")
    table = write_table(tmp_path, "a.nii.gz,masks/a.nii.gz,")
    config = Input(table=table, mask_values=("1=ischemia",))
    source = take_in(config)
    (fault,) = read_slice(source.root, source.slices[2], reading_of(config, b"key"))
    assert fault.reason == (
        "mask values must be 0 or of {1: 'ISCHEMIA'}. Received: [2] (slices.csv:2)"
    )


@pytest.fixture(params=["names", "numbers"])
def nnunet(request, tmp_path):
    """A data set of nnU-Net: ten volumes, labels as its second or its first version has them."""
    for number in range(10):
        write_case(
            tmp_path / "set",
            f"ct{number}",
            images="imagesTr/",
            masks="labelsTr/",
            channel="_0000",
            seed=number,
        )
    labels = {"background": 0, "Hemorrhage": 2, "ischemic stroke": 1}
    if request.param == "numbers":
        labels = {str(value): name for name, value in labels.items()}
    (tmp_path / "set/dataset.json").write_text(json.dumps({"labels": labels}))
    return tmp_path / "set"


def test_a_set_of_nnu_net_converts_with_labels_by_name_and_its_splits(nnunet, tmp_path):
    splits = [{"train": [], "val": [f"ct{2 * part}", f"ct{2 * part + 1}"]} for part in range(5)]
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    config = Conversion(
        data=nnunet, out=tmp_path / "out", size=32, jobs=1, folds=tmp_path / "splits_final.json"
    )
    manifest = build_tfrecords(config)
    assert (manifest.layout, manifest.pixels, manifest.grouping) == ("nnunet", "hu16", "patient")
    assert manifest.classes == {"NONE": 10, "ISCHEMIA": 10, "HEMORRHAGE": 10}
    assert [fold.records for fold in manifest.folds] == [6] * 5 + [0] * 5
    row = next(
        fold_row for fold_row in read_folds(tmp_path / "out") if fold_row.source_id == "ct3-002"
    )
    assert (row.spacing_mm, row.fold, row.stroke_type) == ("0.4x0.5x5", "1", "HEMORRHAGE")


def test_a_set_of_nnu_net_with_pictures_converts(tmp_path):
    mask = np.zeros((80, 80), np.uint8)
    mask[:5] = 1
    for number in range(2):
        picture = head(np.random.default_rng(number))
        write_png(tmp_path / f"imagesTr/s{number}_0000.png", picture)
        write_png(tmp_path / f"labelsTr/s{number}.png", mask * number)
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "ICH": 1}}')
    with pytest.raises(ValueError, match="stated by --labels, such as ICH=hemorrhage. Received"):
        take_in(Input(data=tmp_path))
    source, found = read(data=tmp_path, labels=("ICH=hemorrhage",))
    assert [slice_.source_id for slice_ in source.slices] == ["s0", "s1"]
    assert [slice_.stroke_type for slice_ in found] == [NONE, HEMORRHAGE]


def test_faults_of_a_set_of_nnu_net_are_named(nnunet):
    (nnunet / "imagesTr/ct0_0000.nii.gz").rename(nnunet / "imagesTr/ct0_0001.nii.gz")
    (nnunet / "labelsTr/ct1.nii.gz").unlink()
    (nnunet / "imagesTr/ct2_0000.nii.gz").write_bytes(b"no volume")
    (nnunet / "imagesTs").mkdir()
    found = {fault.file: fault.reason for fault in take_in(Input(data=nnunet)).faults}
    assert found.keys() == {
        "imagesTr/ct0_0001.nii.gz",
        "imagesTr/ct1_0000.nii.gz",
        "imagesTr/ct2_0000.nii.gz",
        "imagesTs",
        "labelsTr/ct0.nii.gz",
    }
    assert "other channels are not read" in found["imagesTr/ct0_0001.nii.gz"]
