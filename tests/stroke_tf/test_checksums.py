import hashlib

import pytest

from stroke_tf.checksums import check_file, read_sums, sha256_of, write_sums


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b.txt").write_bytes(b"two")
    (tmp_path / "a name.txt").write_bytes(b"one")
    write_sums(tmp_path)
    return tmp_path


def test_sums_are_written_as_sha256sum_has_them_and_read_again(folder):
    expected = {
        name: hashlib.sha256(data).hexdigest()
        for name, data in {"a name.txt": b"one", "b.txt": b"two"}.items()
    }
    lines = [f"{sha256}  {name}\n" for name, sha256 in expected.items()]
    assert (folder / "SHA256SUMS").read_text() == "".join(lines)
    assert read_sums(folder) == expected
    assert sha256_of(folder / "b.txt") == expected["b.txt"]


def test_a_folder_without_sums_is_refused(tmp_path):
    with pytest.raises(ValueError, match="SHA256SUMS must exist"):
        read_sums(tmp_path)


@pytest.mark.parametrize(
    ("sha256", "told"), [("ab", "the SHA-256 ab: it"), ("", "SHA-256 that SHA256SUMS states: it")]
)
def test_a_file_of_another_checksum_is_refused_by_name(folder, sha256, told):
    check_file(folder / "b.txt", sha256_of(folder / "b.txt"))
    with pytest.raises(ValueError, match=f"b.txt must have {told}|{told}"):
        check_file(folder / "b.txt", sha256)


def test_a_missing_file_is_refused_by_name(folder):
    with pytest.raises(ValueError, match="c.txt must exist"):
        check_file(folder / "c.txt", "ab")
