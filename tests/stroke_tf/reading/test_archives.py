import zipfile

import pytest

from stroke_tf.reading.archives import archive_of, files_of, read_bytes


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "series.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/1", bytes(range(200)))
        file.writestr("2.dcm", b"two")
    return path


def pack(path, names, content=b"x", **how):
    with zipfile.ZipFile(path, "w", **how) as file:
        for name in names:
            file.writestr(name, content)
    return path


def test_a_file_in_a_zip_is_read_and_nothing_is_left_behind(archive, tmp_path):
    assert read_bytes(archive / "a" / "1") == bytes(range(200))
    assert read_bytes(archive / "a" / "1", 3) == bytes(range(3))
    assert read_bytes(archive / "2.dcm") == b"two"
    assert set(files_of(archive)) == {"a/1", "2.dcm"}
    assert [path.name for path in tmp_path.iterdir()] == ["series.zip"]


def test_a_plain_file_is_read_as_ever(tmp_path):
    (tmp_path / "1.dcm").write_bytes(b"one")
    assert read_bytes(tmp_path / "1.dcm") == b"one"
    assert archive_of(tmp_path / "1.dcm") is None
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "2.dcm")
    with pytest.raises(NotADirectoryError):
        read_bytes(tmp_path / "1.dcm" / "2")


def test_a_changed_zip_is_read_anew(archive):
    assert read_bytes(archive / "2.dcm") == b"two"
    pack(archive, ["2.dcm"], b"changed")
    assert read_bytes(archive / "2.dcm") == b"changed"


def test_a_name_that_is_not_in_the_zip_is_an_os_error(archive):
    with pytest.raises(FileNotFoundError):
        read_bytes(archive / "3.dcm")


@pytest.mark.parametrize(
    "name", ["../1.dcm", "a/../../1.dcm", "/etc/1.dcm", "C:/1.dcm", "a\\..\\1.dcm", "a//1.dcm"]
)
def test_a_name_that_leads_out_of_the_zip_is_refused(tmp_path, name):
    path = pack(tmp_path / "bad.zip", ["0.dcm", name])
    with pytest.raises(ValueError, match=r"bad.zip: must hold each file once, at a path inside"):
        files_of(path)
    with pytest.raises(ValueError, match=r"bad.zip: must hold"):
        read_bytes(path / "0.dcm")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_given_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="each file once"):
        files_of(pack(tmp_path / "bad.zip", ["0.dcm", "0.dcm"]))


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_grows_too_much_is_refused(tmp_path, how):
    path = pack(tmp_path / "bomb.zip", ["0.dcm"], bytes(4_000_000), compression=how)
    with pytest.raises(ValueError, match=r"bomb.zip: must not unpack to more than 100 times"):
        files_of(path)


def test_a_damaged_zip_is_refused(archive):
    data = archive.read_bytes()
    archive.write_bytes(data[:-30])
    with pytest.raises(ValueError, match=r"series.zip: must be a zip file. Received: BadZipFile"):
        files_of(archive)
    broken = bytearray(data)
    broken[40] ^= 255
    archive.write_bytes(bytes(broken))
    with pytest.raises(ValueError, match=r"1: must be whole in its zip"):
        read_bytes(archive / "a" / "1")


def test_an_encrypted_zip_is_refused(archive):
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"series.zip: must not be encrypted"):
        files_of(archive)
