"""Tests of `stroke_tf.reading.dicom`."""

import io
import logging
import traceback
import warnings
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from dicom_files import head, head_with_metal, make_header, to_bytes
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames

from stroke_tf.reading.dicom import HuSlice, read_dicom, read_header

KEY = b"a secret"
SECRET = "Müstermann^Erika"


def read(stored: np.ndarray, **values: object) -> HuSlice:
    return read_dicom(to_bytes(make_header(stored, **values)), name="a.dcm", key=KEY)


def test_hu_are_slope_times_stored_plus_intercept() -> None:
    hu = read(np.array([[0, 1000], [1024, 3000]], np.uint16), RescaleIntercept=-1024).hu
    assert hu.dtype == np.int16
    np.testing.assert_array_equal(hu, [[-1024, -24], [0, 1976]])
    hu = read(np.array([[-10, 3]], np.int16), RescaleSlope="0.5", RescaleIntercept="2.5").hu
    np.testing.assert_array_equal(hu, [[-2, 4]])


@pytest.mark.parametrize("padding", [-1025, -1500, -2000, -32768])
def test_values_below_air_become_air_declared_or_not(padding: int) -> None:
    stored = np.array([[padding, 40], [-1024, padding]], np.int16)
    for values in ({}, {"PixelPaddingValue": padding}):
        np.testing.assert_array_equal(read(stored, **values).hu, [[-1000, 40], [-1024, -1000]])


def test_declared_padding_of_a_tissue_value_is_air_at_the_edge_only() -> None:
    stored = np.full((7, 7), 35, np.int16)
    stored[0, :5] = stored[:3, 0] = 0  # a corner outside the field of view
    stored[4, 4] = 0  # fluid
    hu = read(stored, PixelPaddingValue=0).hu
    expected = stored.copy()
    expected[0, :5] = expected[:3, 0] = -1000
    np.testing.assert_array_equal(hu, expected)
    np.testing.assert_array_equal(read(stored).hu, stored)


def test_padding_range_covers_all_values_between_its_ends() -> None:
    stored = np.array([[5, 7, 9, 40], [40, 40, 40, 40]], np.int16)
    for ends in ((5, 8), (8, 5)):
        hu = read(stored, PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1]).hu
        np.testing.assert_array_equal(hu, [[-1000, -1000, 9, 40], [40] * 4])


def test_padding_written_with_the_wrong_sign_is_recognised() -> None:
    header = make_header(np.array([[-900, 40]], np.int16))
    header.add_new("PixelPaddingValue", "US", 65536 - 900)
    hu = read_dicom(to_bytes(header), name="a.dcm", key=KEY).hu
    np.testing.assert_array_equal(hu, [[-1000, 40]])


def test_monochrome1_leaves_rescaled_values_alone() -> None:
    stored = np.array([[-1000, 40]], np.int16)
    np.testing.assert_array_equal(read(stored, PhotometricInterpretation="MONOCHROME1").hu, stored)


def test_every_window_is_given() -> None:
    slice_ = read(head(), WindowCenter=[40, 600], WindowWidth=[80, 2800])
    assert slice_.windows == ((40.0, 80.0), (600.0, 2800.0))
    assert read(head(), WindowCenter="35", WindowWidth="100").windows == ((35.0, 100.0),)
    assert read(head()).windows == ()


@pytest.mark.parametrize(
    ("values", "spacing"),
    [
        ({"SpacingBetweenSlices": -5, "SliceThickness": 1.25}, (0.4, 0.5, 5)),
        ({"SliceThickness": 1.25}, (0.4, 0.5, 1.25)),
        ({"SliceThickness": ""}, ()),
        ({"PixelSpacing": None, "SliceThickness": 1.25}, ()),
        ({"PixelSpacing": [0, 0], "SliceThickness": 1.25}, ()),
    ],
)
def test_spacing_is_that_of_rows_columns_and_slices(values, spacing) -> None:
    found = read((head() + 1024).astype(np.uint16), **{"PixelSpacing": [0.4, 0.5]} | values)
    assert found.spacing_mm == pytest.approx(spacing)


def test_windows_without_a_meaning_are_left_out() -> None:
    assert read(head(), WindowCenter=[40, 50], WindowWidth=[0, 80]).windows == ((50.0, 80.0),)
    header = make_header(head(), WindowWidth=80)
    header.add_new("WindowCenter", "LO", "soft")
    assert read_dicom(to_bytes(header), name="a.dcm", key=KEY).windows == ()


def test_patient_is_a_keyed_hash_of_the_stripped_id() -> None:
    # printf P-17 | openssl dgst -sha256 -hmac "a secret"
    assert read(head(), PatientID=" P-17 ").patient == "8b30d6bd62207e52"
    data = to_bytes(make_header(head()))
    assert read_dicom(data, name="a.dcm", key=b"other").patient != "8b30d6bd62207e52"
    assert read(head(), PatientID="P-18").patient != "8b30d6bd62207e52"


def test_patient_alone_is_that_of_the_slice() -> None:
    data = to_bytes(make_header(head()))
    assert read_header(data, name="a.dcm", key=KEY).patient == "8b30d6bd62207e52"
    with pytest.raises(ValueError, match="`key` must not be empty"):
        read_header(data, name="a.dcm", key=b"")
    with pytest.raises(ValueError, match="a.dcm: must be a DICOM file"):
        read_header(b"", name="a.dcm", key=KEY)


def test_a_header_is_taken_of_a_whole_file_only() -> None:
    data = to_bytes(make_header(head()))
    with pytest.raises(ValueError, match=r"a.dcm: .*whole.* Received: "):
        read_header(data[: len(data) // 2], name="a.dcm", key=KEY)
    header = make_header(head())
    del header.PixelData
    with pytest.raises(ValueError, match=r"must hold pixel data, whole. Received: none"):
        read_header(to_bytes(header), name="a.dcm", key=KEY)


@pytest.mark.parametrize(
    "identity", [None, "", "  ", "ANON", "Removed", "anonymous ", "[REDACTED]", "000000", "XXX"]
)
def test_missing_or_shared_patient_id_is_no_patient(identity: str | None) -> None:
    assert read(head(), PatientID=identity).patient is None


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
    ],
)
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_uncompressed_syntaxes_are_read(syntax: uid.UID, dtype: type) -> None:
    stored = head(dtype)
    header = make_header(stored)
    header.file_meta.TransferSyntaxUID = syntax
    if syntax == uid.ExplicitVRBigEndian:
        header.PixelData = stored.byteswap().tobytes()
    hu = read_dicom(to_bytes(header), name="a.dcm", key=KEY).hu
    np.testing.assert_array_equal(hu, head())


def compressed(stored: np.ndarray, syntax: uid.UID, folder: Path, **values: object) -> bytes:
    header = make_header(stored, **values)
    if syntax not in (uid.JPEGLossless, uid.JPEGLosslessSV1):
        header.compress(syntax, encoding_plugin="pylibjpeg")
        return to_bytes(header)
    source, target = folder / "plain.dcm", folder / "jpeg.dcm"
    source.write_bytes(to_bytes(header))
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    reader.SetFileName(str(source))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target.read_bytes()


COMPRESSED = (uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLossless, uid.JPEGLosslessSV1)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda one: one.keyword)
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
@pytest.mark.parametrize("bits", [12, 16])
def test_compressed_syntaxes_give_the_uncompressed_pixels(
    syntax: uid.UID, dtype: type, bits: int, tmp_path: Path
) -> None:
    stored = head(dtype)
    data = compressed(stored, syntax, tmp_path, BitsStored=bits, HighBit=bits - 1)
    assert pydicom.dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_dicom(data, name="a.dcm", key=KEY).hu, head())


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda one: one.keyword)
def test_wrong_bits_stored_is_repaired_in_compressed_files(syntax: uid.UID, tmp_path: Path) -> None:
    stored = head_with_metal()
    header = pydicom.dcmread(io.BytesIO(compressed(stored, syntax, tmp_path)))
    header.BitsStored, header.HighBit = 12, 11
    hu = read_dicom(to_bytes(header), name="a.dcm", key=KEY).hu
    np.testing.assert_array_equal(hu, stored)


@pytest.mark.parametrize("syntax", COMPRESSED, ids=lambda one: one.keyword)
def test_damaged_compressed_pixels_are_refused(
    syntax: uid.UID, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = compressed(head(), syntax, tmp_path)
    header = pydicom.dcmread(io.BytesIO(data))
    frame = next(generate_frames(header.PixelData, number_of_frames=1))
    header.PixelData = encapsulate([frame[: len(frame) // 4 * 2]])
    with pytest.raises(ValueError, match="a.dcm: pixel data must be whole and decode"):
        read_dicom(to_bytes(header), name="a.dcm", key=KEY)
    with pytest.raises(ValueError, match="a.dcm: must hold pixel data, whole"):
        read_dicom(data[:-40], name="a.dcm", key=KEY)
    assert caplog.text == ""


@pytest.mark.parametrize("implicit", [True, False])
def test_file_without_preamble_is_read_if_it_is_a_ct_image(implicit: bool) -> None:
    header = make_header(head())
    del header.file_meta
    how = {"implicit_vr": implicit, "little_endian": True, "enforce_file_format": False}
    data = to_bytes(header, **how)
    assert data[128:132] != b"DICM"
    np.testing.assert_array_equal(read_dicom(data, name="a.dcm", key=KEY).hu, head())
    del header.Modality, header.SOPClassUID
    with pytest.raises(ValueError, match="a.dcm: must be a DICOM file"):
        read_dicom(to_bytes(header, **how), name="a.dcm", key=KEY)


def test_big_endian_without_file_meta_is_read() -> None:
    header = make_header(head().byteswap())
    del header.file_meta
    data = to_bytes(header, implicit_vr=False, little_endian=False, enforce_file_format=False)
    np.testing.assert_array_equal(read_dicom(data, name="a.dcm", key=KEY).hu, head())


def test_missing_modality_is_taken_from_the_sop_class() -> None:
    np.testing.assert_array_equal(read(head(), Modality=None).hu, head())


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "must be a DICOM file. Received: 0 bytes"),
        (b"hello world, this is text " * 40, "must be a"),
        (b"\x89PNG\r\n\x1a\n" + bytes(400), "must be a"),
        (bytes(128) + b"DICM", "must hold pixel data"),
        (bytes(128) + b"DICM" + b"\xff" * 300, "must hold pixel data"),
    ],
)
def test_what_is_not_dicom_is_refused(data: bytes, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^a.dcm: {rule}"):
        read_dicom(data, name="a.dcm", key=KEY)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"Modality": "MR"}, "Modality must be CT. Received: another"),
        ({"NumberOfFrames": 3}, r"NumberOfFrames must be one of \(1,\). Received: 3"),
        ({"SamplesPerPixel": 3}, r"SamplesPerPixel must be one of \(1,\). Received: 3"),
        ({"BitsAllocated": 32}, "BitsAllocated must be one of"),
        ({"Rows": 0}, "Rows x Columns must be 1 to 16777216. Received: 0 x 96"),
        ({"Rows": 60000, "Columns": 60000}, "Rows x Columns .* Received: 60000 x 60000"),
        ({"Rows": 97}, "pixel data must be whole, 18624 bytes. Received: 18432"),
        ({"RescaleSlope": 0}, "RescaleSlope must not be 0"),
    ],
)
def test_what_is_no_single_grey_ct_image_is_refused(values: dict[str, object], rule: str) -> None:
    with pytest.raises(ValueError, match=f"a.dcm: {rule}"):
        read(head(), **values)


@pytest.mark.parametrize("text", ["nan", "inf", "1,5"])
def test_intercept_that_is_no_number_is_refused(text: str) -> None:
    header = make_header(head(), RescaleIntercept=None)
    header.add_new("RescaleIntercept", "LO", text)
    with pytest.raises(ValueError, match="a.dcm: RescaleIntercept must be numbers"):
        read_dicom(to_bytes(header), name="a.dcm", key=KEY)


def test_missing_pixel_data_is_refused() -> None:
    header = make_header(head())
    del header.PixelData
    with pytest.raises(ValueError, match="a.dcm: must hold pixel data, whole. Received: none"):
        read_dicom(to_bytes(header), name="a.dcm", key=KEY)


def test_file_cut_anywhere_is_refused() -> None:
    data = to_bytes(make_header(head()))
    for length in [*range(0, len(data), 61), len(data) - 2]:
        with pytest.raises(ValueError, match=r"^a\.dcm: "):
            read_dicom(data[:length], name="a.dcm", key=KEY)


def test_cut_deflated_file_is_refused() -> None:
    header = make_header(head())
    header.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    with pytest.raises(ValueError, match="a.dcm: must be a whole DICOM file"):
        read_dicom(to_bytes(header)[:-40], name="a.dcm", key=KEY)


@pytest.mark.parametrize(
    ("syntax", "received"), [(uid.JPEGBaseline8Bit, "JPEG Baseline"), ("1.2.3.4", "unknown")]
)
def test_unsupported_transfer_syntax_is_refused(syntax: str, received: str) -> None:
    header = make_header(head())
    header.file_meta.TransferSyntaxUID = uid.UID(syntax)
    header.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    header["PixelData"].is_undefined_length = True
    data = to_bytes(header, implicit_vr=False, little_endian=True)
    with pytest.raises(ValueError, match=f"transfer syntax must be .*Received: {received}"):
        read_dicom(data, name="a.dcm", key=KEY)


def test_empty_key_is_refused() -> None:
    with pytest.raises(ValueError, match="`key` must not be empty"):
        read_dicom(to_bytes(make_header(head())), name="a.dcm", key=b"")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"RescaleSlope": SECRET},
        {"WindowCenter": SECRET},
        {"Modality": SECRET},
        {"PhotometricInterpretation": SECRET},
        {"SOPClassUID": SECRET, "Modality": ""},
        {"RescaleType": SECRET},
        {"ImageType": SECRET},
        {"ImageOrientationPatient": SECRET},
        {"NumberOfFrames": SECRET},
        {"ModalityLUTSequence": SECRET},
        {"SharedFunctionalGroupsSequence": SECRET},
        {"Rows": None},
    ],
    ids=lambda broken: next(iter(broken), "none"),
)
def test_no_header_text_comes_out(
    broken: dict[str, str | None],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    header = make_header(head(), PatientID=f" {SECRET}\\2\x07 ")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header.add_new("PatientName", "DA", SECRET)  # a name where a date should be
        header.add_new("StudyDate", "PN", "not a date of " + SECRET)
        header.add_new("SpecificCharacterSet", "LO", SECRET)
        for keyword, value in broken.items():
            if value is None:
                del header[keyword]
            else:
                header.add_new(keyword, "LO", value)
        data = to_bytes(header)
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    out = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            slice_ = read_dicom(data, name="a.dcm", key=KEY)
            out += f"{slice_.patient} {slice_.windows}"
        except ValueError as error:
            assert error.__context__ is None
            out += "".join(traceback.format_exception(error))
    text = out + caplog.text + str([str(one.message) for one in caught]) + str(capfd.readouterr())
    assert "stermann" not in text
    assert "Erika" not in text


def test_real_series_is_read_to_hu(open_data: Path) -> None:
    files = sorted((open_data / "dicom_ge_head").glob("*.dcm"))
    slices = [read_dicom(file.read_bytes(), name=file.name, key=KEY) for file in files]
    assert len(slices) == 28
    for slice_ in slices:
        assert slice_.hu.shape == (512, 512)
        assert slice_.hu.min() >= -1024
        assert {int(slice_.hu[r, c]) for r in (0, -1) for c in (0, -1)} == {-1000}
        assert slice_.windows in (((35.0, 100.0),), ((35.0, 85.0),))
    assert len({slice_.patient for slice_ in slices}) == 1
    assert slices[0].patient is not None
    brain = slices[22].hu[206:306, 206:306]
    assert 20 < brain[(brain > 0) & (brain < 80)].mean() < 45
