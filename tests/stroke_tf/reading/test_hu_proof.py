"""Every way in which stored values are known to be meant otherwise, built from a phantom."""

import numpy as np
import pytest
from dicom_files import head, head_with_metal, item, make_header, phantom_hu, to_bytes
from pydicom import Dataset, uid

from stroke_tf.reading.axial_ct import NotAxialCtError, OtherViewError
from stroke_tf.reading.dicom import open_dicom, read_dicom
from stroke_tf.reading.hu_proof import judge

HU = phantom_hu()
STORED = head(np.uint16)


def hu_of(header: Dataset) -> np.ndarray:
    return read_dicom(to_bytes(header), name="a.dcm", key=b"key").hu


def fault_of(header: Dataset) -> str:
    with pytest.raises(ValueError, match=r"^a\.dcm: ") as caught:
        hu_of(header)
    return str(caught.value)


def without(*keywords: str, stored: np.ndarray = STORED, **values: object) -> Dataset:
    return make_header(stored, **dict.fromkeys(keywords), **values)


RESCALE = ("RescaleSlope", "RescaleIntercept")


def transformation(intercept: int, slope: float = 1, unit: str = "HU") -> Dataset:
    line = item(RescaleIntercept=intercept, RescaleSlope=slope, RescaleType=unit)
    return item(PixelValueTransformationSequence=[line])


def enhanced(stored: np.ndarray = STORED, **values: object) -> Dataset:
    header = without(*RESCALE, stored=stored, **values)
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = uid.EnhancedCTImageStorage
    return header


def lookup_table(values: np.ndarray, *, first: int = 0, unit: str = "HU") -> Dataset:
    table = item(LUTDescriptor=[len(values), first, 16], ModalityLUTType=unit)
    table.add_new("LUTData", "OW", values.astype("<i2").tobytes())
    return table


@pytest.mark.parametrize(
    "place", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]
)
def test_rescale_in_a_functional_group_is_read(place: str) -> None:
    header = enhanced(**{place: [transformation(-1024)]})
    np.testing.assert_array_equal(hu_of(header), HU)


def test_rescale_of_the_frame_goes_before_that_of_all_frames() -> None:
    header = enhanced(
        SharedFunctionalGroupsSequence=[transformation(0)],
        PerFrameFunctionalGroupsSequence=[transformation(-1024)],
    )
    np.testing.assert_array_equal(hu_of(header), HU)


def test_modality_lut_is_read() -> None:
    table = lookup_table(np.arange(-1024, 3072))
    np.testing.assert_array_equal(hu_of(without(*RESCALE, ModalityLUTSequence=[table])), HU)
    shifted = lookup_table(np.arange(-524, 3072), first=500)  # below its first entry: that entry
    expected = np.maximum(HU, -524)
    header = without(*RESCALE, ModalityLUTSequence=[shifted])
    np.testing.assert_array_equal(hu_of(header), expected)


def test_modality_lut_beside_an_intercept_or_cut_short_is_refused() -> None:
    table = lookup_table(np.arange(-1024, 3072))
    assert "Received: both" in fault_of(make_header(STORED, ModalityLUTSequence=[table]))
    table.LUTDescriptor = [4000, 0, 16]
    assert "LUTData must" in fault_of(without(*RESCALE, ModalityLUTSequence=[table]))


def test_missing_intercept_is_never_guessed() -> None:
    assert "no RescaleIntercept" in fault_of(without("RescaleIntercept"))
    assert "no RescaleIntercept" in fault_of(without(*RESCALE))
    signed = head().astype(np.uint16)  # would be HU if the sign were guessed
    assert "no RescaleIntercept" in fault_of(without(*RESCALE, stored=signed))


def test_values_that_are_hu_need_no_intercept() -> None:
    np.testing.assert_array_equal(hu_of(without(*RESCALE, stored=head())), HU)


@pytest.mark.parametrize("padding", [None, -2000])
def test_rescale_type_us_is_taken_where_the_picture_proves_hu(padding: int | None) -> None:
    np.testing.assert_array_equal(hu_of(make_header(STORED, RescaleType="US")), HU)
    assert "RescaleType US" in fault_of(make_header(STORED[40:56, 40:56], RescaleType="US"))


@pytest.mark.parametrize(("unit", "shown"), [("OD", "OD"), ("Erika", "another")])
def test_rescale_type_of_another_unit_is_refused(unit: str, shown: str) -> None:
    fault = fault_of(make_header(STORED, RescaleType=unit))
    assert fault.endswith(f"RescaleType must be HU. Received: {shown}")


def test_values_in_the_upper_bits_are_read() -> None:
    upper = (STORED << 4).astype(np.uint16)
    np.testing.assert_array_equal(hu_of(make_header(upper, BitsStored=12, HighBit=15)), HU)
    np.testing.assert_array_equal(hu_of(make_header(upper, BitsStored=12, HighBit=11)), HU)


def test_high_bit_that_is_wrong_is_told_by_the_picture() -> None:
    np.testing.assert_array_equal(hu_of(make_header(STORED, BitsStored=12, HighBit=15)), HU)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_bits_stored_that_is_wrong_is_told_by_the_picture(dtype: type) -> None:
    hu = head_with_metal()
    stored = (hu if dtype is np.int16 else hu + 1024).astype(dtype)
    np.testing.assert_array_equal(hu_of(make_header(stored, BitsStored=12, HighBit=11)), hu)


@pytest.mark.parametrize("group", range(0x6000, 0x6020, 2))
def test_overlay_in_the_pixels_is_masked_out(group: int) -> None:
    stored = STORED.copy()
    stored[40:44, 40:44] |= 1 << 15
    header = make_header(stored, BitsStored=12, HighBit=11)
    header.add_new((group, 0x0102), "US", 15)
    np.testing.assert_array_equal(hu_of(header), HU)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("bit", [12, 15])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_marks_in_unused_bits_are_masked_out(bits: int, bit: int, dtype: type) -> None:
    stored = head(dtype) & 0xFFF if dtype is np.int16 else STORED.copy()
    stored = stored.astype(np.uint16)
    stored[40:44, 40:44] |= 1 << bit
    if bits == 16 and (dtype is np.int16 or bit == 12):
        return  # nothing tells them from values
    header = make_header(stored.view(dtype), BitsStored=bits, HighBit=bits - 1)
    np.testing.assert_array_equal(hu_of(header), HU)


def test_right_bits_stored_is_kept() -> None:
    stored = (head() & 0xFFF).astype(np.int16)  # sign in bit 11, not extended
    np.testing.assert_array_equal(hu_of(make_header(stored, BitsStored=12, HighBit=11)), HU)


def test_signed_values_declared_unsigned_are_read() -> None:
    header = make_header(head().view(np.uint16), RescaleIntercept=0)
    np.testing.assert_array_equal(hu_of(header), HU)


def test_unsigned_values_declared_signed_are_read() -> None:
    # Dense bone, 2048 and more of 12 bits, would come out below air.
    header = make_header(STORED.view(np.int16), BitsStored=12, HighBit=11, RescaleIntercept=-1024)
    assert STORED.max() > 2048
    np.testing.assert_array_equal(hu_of(header), HU)


def test_hu_modulo_4096_are_read() -> None:
    stored = (HU.astype(np.int32) % 4096).astype(np.uint16)
    header = make_header(stored, BitsStored=12, HighBit=11, RescaleIntercept=0)
    np.testing.assert_array_equal(hu_of(header), HU)
    dense = np.where(HU > 1000, HU + 1500, HU)  # beyond 11 bits: a mere sign would not do
    stored = (dense.astype(np.int32) % 4096).astype(np.uint16)
    header = make_header(stored, BitsStored=12, HighBit=11, RescaleIntercept=0)
    np.testing.assert_array_equal(hu_of(header), dense)


@pytest.mark.parametrize("intercept", [-1024, -1000])
def test_values_rescaled_twice_are_read(intercept: int) -> None:
    np.testing.assert_array_equal(hu_of(make_header(head(), RescaleIntercept=intercept)), HU)
    clipped = np.maximum(head(), -1000)  # air of one value, as some scanners cut it
    np.testing.assert_array_equal(hu_of(make_header(clipped, RescaleIntercept=-1024)), clipped)


@pytest.mark.parametrize("padding", [63536, 4095, 3072, 1024])
def test_one_valued_rim_is_padding(padding: int) -> None:
    y, x = np.mgrid[-48:48, -48:48]
    rim = x**2 + y**2 > 47**2
    stored = np.where(rim, np.uint16(padding), STORED)
    np.testing.assert_array_equal(hu_of(make_header(stored)), np.where(rim, -1000, HU))


def test_wrong_intercept_is_refused() -> None:
    fault = fault_of(make_header(STORED.view(np.int16), RescaleIntercept=0))
    assert "at the edge near 24" in fault
    assert "head in HU" in fault_of(make_header(STORED, RescaleIntercept=0))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_brain_without_air_is_taken_at_its_headers_word(dtype: type) -> None:
    crop = head(dtype)[36:60, 36:60]
    np.testing.assert_array_equal(hu_of(make_header(crop)), HU[36:60, 36:60])
    padded = np.pad(crop, 6, constant_values=0 if dtype is np.uint16 else -2000)
    expected = np.pad(HU[36:60, 36:60], 6, constant_values=-1024 if dtype is np.uint16 else -1000)
    np.testing.assert_array_equal(hu_of(make_header(padded)), expected)


@pytest.mark.parametrize("padding", [-1500, -2000, -2024, -2048, -3024])
@pytest.mark.parametrize("intercept", [0, -1024])
def test_air_without_a_head_is_taken_at_its_headers_word(padding: int, intercept: int) -> None:
    y, x = np.mgrid[-48:48, -48:48]
    air = np.tile(HU[:8, :8], (12, 12))
    assert air.max() < -900
    air[88:90, 20:70] = 150  # the head rest
    rim = x**2 + y**2 > 44**2
    stored = np.where(rim, padding, air) - intercept
    header = make_header(stored.astype(np.int16), RescaleIntercept=intercept)
    np.testing.assert_array_equal(hu_of(header), np.where(rim, -1000, air))


def test_holes_near_metal_are_taken_at_the_headers_word() -> None:
    y, x = np.mgrid[-48:48, -48:48]
    stored = (HU - np.rint(1800 * np.exp(-(x**2 + y**2) / 50))).astype(np.int16)
    expected = np.where(stored < -1024, -1000, stored)
    np.testing.assert_array_equal(hu_of(make_header(stored)), expected)


def test_brain_without_air_is_refused_where_the_header_leaves_a_doubt() -> None:
    crop = head()[36:60, 36:60]
    assert "no RescaleIntercept" in fault_of(without("RescaleIntercept", stored=crop))
    unsigned = np.maximum(crop, 0).astype(np.uint16)
    assert "cannot reach air" in fault_of(make_header(unsigned, RescaleIntercept=0))


@pytest.mark.parametrize("z_mm", [18, 30, 60, 90, 110])
@pytest.mark.parametrize("seed", range(4))
def test_every_slice_of_a_head_proves_itself(z_mm: float, seed: int) -> None:
    hu = phantom_hu(128, seed=seed, z_mm=z_mm).astype(np.int32)
    assert judge(hu) == "proved"
    assert judge(hu + 1024) == judge(hu - 1024) == "wrong"
    assert judge(-hu) != "proved"


@pytest.mark.parametrize(
    ("sop_class", "shown"),
    [
        (uid.SecondaryCaptureImageStorage, "Secondary Capture Image Storage"),
        (uid.MRImageStorage, "MR Image Storage"),
        ("1.2.3.4", "another"),
    ],
)
def test_another_sop_class_is_left_out(sop_class: str, shown: str) -> None:
    with pytest.raises(NotAxialCtError, match=f"SOP class .* Received: {shown}"):
        hu_of(make_header(STORED, SOPClassUID=sop_class))


@pytest.mark.parametrize("photometric", ["PALETTE COLOR", "RGB"])
def test_colour_is_left_out(photometric: str) -> None:
    with pytest.raises(NotAxialCtError, match=f"Received: {photometric}"):
        hu_of(make_header(STORED, PhotometricInterpretation=photometric))


def test_localizer_is_left_out_and_a_secondary_axial_slice_is_not() -> None:
    with pytest.raises(OtherViewError, match="LOCALIZER"):
        hu_of(make_header(STORED, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    header = make_header(STORED, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    np.testing.assert_array_equal(hu_of(header), HU)


@pytest.mark.parametrize(
    ("axes", "shown"),
    [
        ([1, 0, 0, 0, 0, -1], "coronal"),
        ([0, 1, 0, 0, 0, -1], "sagittal"),
        ([1, 0, 0, 0, 0.64, -0.77], "coronal"),
    ],
)
def test_another_plane_is_left_out(axes: list[float], shown: str) -> None:
    with pytest.raises(OtherViewError, match=f"a {shown} one"):
        hu_of(make_header(STORED, ImageOrientationPatient=axes))
    plane = item(PlaneOrientationSequence=[item(ImageOrientationPatient=axes)])
    with pytest.raises(OtherViewError, match=f"a {shown} one"):
        hu_of(enhanced(SharedFunctionalGroupsSequence=[plane]))


def test_a_tilted_gantry_is_axial() -> None:
    header = make_header(STORED, ImageOrientationPatient=[1, 0, 0, 0, 0.87, -0.5])
    np.testing.assert_array_equal(hu_of(header), HU)


@pytest.mark.parametrize("syntax", [None, uid.JPEG2000Lossless, uid.RLELossless])
def test_frames_are_slices(syntax: uid.UID | None) -> None:
    stored = np.stack([STORED, STORED[:, ::-1], STORED + 512])
    window = item(FrameVOILUTSequence=[item(WindowCenter=40, WindowWidth=80)])
    header = enhanced(
        stored,
        SharedFunctionalGroupsSequence=[window],
        PerFrameFunctionalGroupsSequence=[
            transformation(intercept) for intercept in (-1024, -1024, -1536)
        ],
    )
    if syntax:
        header.compress(syntax, encoding_plugin="pylibjpeg")
    file = open_dicom(to_bytes(header), name="a.dcm", key=b"key")
    assert file.frames == 3
    slices = [file.read(frame) for frame in range(3)]
    assert {slice_.windows for slice_ in slices} == {((40.0, 80.0),)}
    for found, expected in zip(slices, (HU, HU[:, ::-1], HU), strict=True):
        np.testing.assert_array_equal(found.hu, expected)
    with pytest.raises(ValueError, match="NumberOfFrames must be 1"):
        hu_of(header)


@pytest.mark.parametrize("declared", [0, 1])
def test_sign_of_a_jpeg_2000_stream_is_heard(declared: int) -> None:
    header = make_header(head(), BitsStored=12, HighBit=11)
    header.compress(uid.JPEG2000Lossless, encoding_plugin="pylibjpeg")
    header.PixelRepresentation = declared
    np.testing.assert_array_equal(hu_of(header), HU)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (make_header(STORED), ""),
        (make_header((STORED << 4).astype(np.uint16), BitsStored=12, HighBit=15), ""),
        (make_header(head().view(np.uint16), RescaleIntercept=0), "16 signed bits from bit 0 on"),
        (make_header(head(), RescaleIntercept=-1024), "HU already before the rescale"),
    ],
)
def test_a_repair_is_told(header: Dataset, told: str) -> None:
    assert read_dicom(to_bytes(header), name="a.dcm", key=b"key").repair == told


def test_padding_blurred_by_compression_is_padding() -> None:
    y, x = np.mgrid[-48:48, -48:48]
    rim = x**2 + y**2 > 44**2
    noise = np.random.default_rng(0).normal(0, 150, HU.shape)
    stored = np.where(rim, -2000 + noise, HU + 1024).astype(np.int16)
    header = make_header(stored, BitsStored=14, HighBit=13, RescaleIntercept=-1024)
    slice_ = read_dicom(to_bytes(header), name="a.dcm", key=b"key")
    np.testing.assert_array_equal(slice_.hu, np.where(rim, -1000, HU))
    assert slice_.repair == ""
