import hashlib

import pytest

from stroke_tf.deploy import weights
from stroke_tf.deploy.weights import (
    BACKBONE_FILES,
    ENCODER_FILES,
    ImagenetFile,
    WeightFiles,
    main,
    places,
)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Empty weight folders, the user's and Keras', and a made-up file that vgg19 needs."""
    own, keras_home = tmp_path / "own", tmp_path / "keras"
    own.mkdir()
    (keras_home / "models").mkdir(parents=True)
    monkeypatch.setenv("STROKE_TF_WEIGHTS", str(own))
    monkeypatch.setenv("KERAS_HOME", str(keras_home))
    file = ImagenetFile("vgg19.h5", hashlib.md5(b"weights").hexdigest())
    monkeypatch.setitem(ENCODER_FILES, "vgg19", file)
    return own, keras_home / "models"


@pytest.fixture
def asked(monkeypatch):
    """Name and checksum of the file that a library asks Keras for; nothing is downloaded."""
    found = {}

    class AskedError(Exception):
        pass

    def ask(fname, origin, *_, file_hash=None, md5_hash=None, **options):
        found.update(name=fname, checksum=file_hash or md5_hash or "")
        raise AskedError

    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils, "get_file", ask)
    monkeypatch.setattr("keras.utils.get_file", ask)
    return found


def check_asked(kind, name, asked):
    wanted = (BACKBONE_FILES if kind == "backbone" else ENCODER_FILES)[name]
    with pytest.raises(OSError, match="must be downloaded, which failed"):
        weights.download(kind, name)
    assert asked == {"name": wanted.name, "checksum": wanted.checksum}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("backbone", "mobilenet025"), ("backbone", "resnet18"), ("encoder", "resnet18")],
)
def test_files_are_those_that_the_libraries_ask_for(kind, name, asked):
    check_asked(kind, name, asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("backbone", name) for name in BACKBONE_FILES),
        *(("encoder", name) for name in ENCODER_FILES),
    ],
)
def test_all_files_are_those_that_the_libraries_ask_for(kind, name, asked):
    check_asked(kind, name, asked)


def test_every_network_has_its_file():
    from stroke_tf.models import BACKBONES
    from stroke_tf.models.unet import ENCODERS

    assert BACKBONE_FILES.keys() == BACKBONES.keys()
    assert ENCODER_FILES.keys() == ENCODERS.keys()


def test_files_are_listed_with_where_they_are(folders, capsys):
    own, of_keras = folders
    (own / "vgg19.h5").write_bytes(b"weights")
    assert places() == [own, of_keras]
    assert main(WeightFiles("list", ("vgg19", "vgg16"))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert str(own) in lines[0]
    assert lines[2].startswith("backbone  vgg16")
    assert lines[2].endswith("notop.h5: not there")
    assert lines[4] == f"encoder   vgg19              vgg19.h5: {own}"


def test_the_list_says_what_comes_from_the_package_index(folders, capsys):
    main(WeightFiles("list", ("efficientnetlite1", "resnet50")))
    lines = [line for line in capsys.readouterr().out.splitlines() if "package index" in line]
    assert [line.split()[1] for line in lines] == ["efficientnetlite1"]


@pytest.mark.parametrize(
    ("data", "code", "told"), [(b"weights", 0, "right: "), (b"half", 1, "WRONG: ")]
)
def test_checksums_are_compared(folders, capsys, data, code, told):
    (folders[0] / "vgg19.h5").write_bytes(data)
    assert main(WeightFiles("check")) == code
    assert capsys.readouterr().out.startswith(f"{told}{folders[0]}")


def test_a_file_of_a_copied_folder_is_brought_where_keras_looks(folders, capsys):
    own, of_keras = folders
    (own / "vgg19.h5").write_bytes(b"weights")
    assert main(WeightFiles("get", ("vgg19",))) == 0
    assert (of_keras / "vgg19.h5").read_bytes() == b"weights"
    assert f"is copied from {own}" in capsys.readouterr().out
    assert main(WeightFiles("get", ("vgg19",))) == 0
    assert "is there already" in capsys.readouterr().out


def test_a_damaged_copy_is_not_brought(folders, monkeypatch, capsys):
    own, of_keras = folders
    (own / "vgg19.h5").write_bytes(b"half")
    monkeypatch.setattr(weights, "download", lambda kind, network: None)
    main(WeightFiles("get", ("vgg19",)))
    assert not (of_keras / "vgg19.h5").exists()
    assert "is downloaded" in capsys.readouterr().out


def test_without_a_network_the_error_says_what_to_do(folders, asked):
    with pytest.raises(OSError, match="ImageNet weights of mobilenet025 must be downloaded"):
        main(WeightFiles("get", ("mobilenet025",)))


@pytest.mark.parametrize(
    ("networks", "told"), [((), "must be told which"), (("lenet",), "Received: lenet")]
)
def test_wrong_names_are_refused(networks, told):
    with pytest.raises(ValueError, match=told):
        main(WeightFiles("get", networks))
