import keras
import pytest

from stroke_tf.models.backbones import build_backbone
from stroke_tf.models.weights import resolve_weights, weight_errors


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of weight files, and an empty current folder beside it."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("STROKE_TF_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.mark.parametrize("weights", [None, "imagenet"])
def test_names_that_are_no_files_pass_through(weights):
    assert resolve_weights(weights) == weights


def test_a_bare_name_is_found_in_the_folder_of_the_environment(folder):
    (folder / "a.h5").touch()
    assert resolve_weights("a.h5") == folder / "a.h5"


def test_the_current_folder_comes_first(folder, tmp_path):
    (folder / "a.h5").touch()
    (tmp_path / "here" / "a.h5").touch()
    assert resolve_weights("a.h5").resolve() == tmp_path / "here" / "a.h5"


def test_a_path_with_a_folder_is_taken_as_it_is(folder):
    (folder / "a.h5").touch()
    assert resolve_weights(folder / "a.h5") == folder / "a.h5"
    with pytest.raises(FileNotFoundError):
        resolve_weights("sub/a.h5")


def test_a_missing_file_names_the_places_and_the_variable(folder):
    with pytest.raises(FileNotFoundError) as error:
        resolve_weights("a.h5")
    assert "STROKE_TF_WEIGHTS" in str(error.value)
    assert str(folder / "a.h5") in str(error.value)


def test_a_missing_file_says_that_the_variable_is_unset(folder, monkeypatch):
    monkeypatch.delenv("STROKE_TF_WEIGHTS")
    with pytest.raises(FileNotFoundError, match="STROKE_TF_WEIGHTS, now unset"):
        resolve_weights("a.h5")


def test_an_error_that_is_not_about_weights_stays_as_it_is():
    with pytest.raises(KeyError, match="other"), weight_errors(None, network="vgg16"):
        raise KeyError("other")


def test_a_failed_download_says_what_works_without_it_on_the_command_line():
    with pytest.raises(OSError, match="vgg16 must be downloaded") as error:
        with weight_errors("imagenet", network="vgg16"):
            raise Exception("no route")
    places = [
        str(error.value).find(way)
        for way in (
            "--backbone efficientnetlite0 --weights ct-ich-haemorrhage",
            "`stroke-tf weights get efficientnetlite0`",
            "--weights FILE",
            "--weights None",
            "Received: no route",
        )
    ]
    assert -1 not in places
    assert places == sorted(places)


def test_weights_of_another_network_are_told_in_one_sentence(tmp_path, recwarn):
    file = tmp_path / "narrow.weights.h5"
    keras.applications.MobileNet(
        alpha=0.25, input_shape=(32, 32, 3), include_top=False, weights=None
    ).save_weights(file)
    with pytest.raises(ValueError, match="must hold weights of mobilenetv2") as error:
        build_backbone("mobilenetv2", image_size=32, weights=file)
    assert len(str(error.value).removeprefix(str(file))) < 300
    assert "\n" not in str(error.value)
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]
