import gzip

import nibabel
import numpy as np
import pytest

from stroke_tf.reading.nifti import check_same_place, count_planes, read_plane, read_volume


def write_volume(path, values, affine=None):
    """Writes values of (x, y, z), by default with x to the right, y to the front, z upwards."""
    affine = np.diag([0.5, 0.4, 5, 1]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


def head(*, front_left=200):
    """HU of (x, y, z) = (6, 4, 3): air, and in the middle slice two voxels in the front."""
    values = np.full((6, 4, 3), -1000, np.int16)
    values[0, 3, 1] = front_left  # x = 0: the patient's left
    values[5, 3, 1] = 50
    values[2, 1, 2] = 7
    return values


def test_a_slice_is_turned_as_dicom_shows_it(tmp_path):
    path = write_volume(tmp_path / "a.nii.gz", head())
    assert count_planes(path, name="a") == 3
    plane = read_plane(path, 1, name="a")
    assert (plane.dtype, plane.shape) == (np.int16, (4, 6))
    assert (plane[0, 5], plane[0, 0]) == (200, 50)  # left on the right, front on top
    assert read_volume(path, name="a").spacing_mm == pytest.approx((0.4, 0.5, 5))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (-1, 1, -1)])
def test_the_order_and_directions_of_axes_do_not_matter(tmp_path, order, signs):
    image = nibabel.Nifti1Image(head(), np.diag([0.5, 0.4, 5, 1]))
    turns = np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)])
    nibabel.save(image.as_reoriented(turns), tmp_path / "turned.nii")
    plain = write_volume(tmp_path / "plain.nii", head())
    assert count_planes(tmp_path / "turned.nii", name="t") == 3
    for plane in range(3):
        turned = read_plane(tmp_path / "turned.nii", plane, name="t")
        assert turned.tolist() == read_plane(plain, plane, name="p").tolist()


def test_values_with_fractions_are_rounded_to_hu(tmp_path):
    path = write_volume(tmp_path / "a.nii", head().astype(np.float32) + 0.2)
    assert read_plane(path, 1, name="a")[0, 5] == 200


def test_grey_values_of_8_bits_stay_grey(tmp_path):
    path = write_volume(tmp_path / "a.nii", (head() > 0).astype(np.float32) * 255)
    plane = read_plane(path, 1, name="a")
    assert (plane.dtype, plane.max()) == (np.uint8, 255)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (head() + 1024, "c: must show a head in HU.*Received: HU 24 to 1224"),
        (head()[..., 0], r"c: a volume must have three axes. Received: shape \(6, 4\)"),
        (np.stack([head()] * 2, -1), r"three axes. Received: shape \(6, 4, 3, 2\)"),
    ],
)
def test_what_is_no_volume_of_hu_is_refused(tmp_path, values, message):
    path = write_volume(tmp_path / "c.nii", values.astype(np.int16))
    with pytest.raises(ValueError, match=message):
        read_plane(path, 0, name="c")


def test_damaged_files_are_refused(tmp_path):
    path = write_volume(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(32, 32, 32)))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="a: a volume must be whole"):
        read_volume(path, name="a")
    path.write_bytes(gzip.compress(b"no volume"))
    with pytest.raises(ValueError, match="a: must be a NIfTI volume"):
        count_planes(path, name="a")


def test_a_mask_must_lie_where_its_volume_does(tmp_path):
    image = read_volume(write_volume(tmp_path / "a.nii", head()), name="a")
    check_same_place(image, image, name="m")
    moved = np.diag([0.5, 0.4, 5.0, 1])
    moved[0, 3] = 20
    other = read_volume(write_volume(tmp_path / "b.nii", head(), moved), name="b")
    with pytest.raises(ValueError, match="m: must have the shape and place.*, elsewhere"):
        check_same_place(other, image, name="m")
    small = read_volume(write_volume(tmp_path / "s.nii", head()[:, :, :2]), name="s")
    with pytest.raises(ValueError, match=r"\(3, 4, 6\). Received: \(2, 4, 6\)"):
        check_same_place(small, image, name="m")
