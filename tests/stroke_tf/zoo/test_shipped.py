import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stroke_tf.zoo.shipped import DEFAULT, ZOO, listed, located, network_file, notice, or_shipped


def test_a_name_stands_for_its_folder_and_a_path_for_itself(shipped, tmp_path):
    assert located(DEFAULT) == located(Path(DEFAULT)) == shipped.folder
    assert located(tmp_path) == tmp_path
    with pytest.raises(FileNotFoundError, match="nothing-here must be .*nothing of that name"):
        located("nothing-here")


def test_an_installation_without_the_model_says_how_to_make_it(not_shipped):
    with pytest.raises(FileNotFoundError) as caught:
        located(DEFAULT)
    assert f"python -m experiments.make_zoo --out {not_shipped.folder}" in str(caught.value)


def test_no_model_answers_where_none_is_installed(not_shipped, caplog):
    caplog.set_level("INFO")
    with pytest.raises(FileNotFoundError, match="this installation of the package is without it"):
        or_shipped(())
    assert caplog.text == ""


def test_the_network_is_given_once_its_checksum_is_right(shipped, monkeypatch, tmp_path):
    assert network_file(DEFAULT) == shipped.folder / "network.keras"
    copy = shutil.copytree(shipped.folder, tmp_path / "copy")
    (copy / "network.keras").write_bytes(b"another")
    monkeypatch.setitem(ZOO, DEFAULT, replace(shipped, folder=copy))
    with pytest.raises(ValueError, match="network.keras must have the SHA-256"):
        network_file(DEFAULT)


def test_a_folder_of_no_network_is_refused(shipped, monkeypatch, tmp_path):
    (tmp_path / "SHA256SUMS").write_text("ab  model.json\n")
    monkeypatch.setitem(ZOO, DEFAULT, replace(shipped, folder=tmp_path))
    with pytest.raises(ValueError, match=r"must hold one network. Received: \[\]"):
        network_file(DEFAULT)


def test_the_shipped_model_answers_where_none_is_named_and_says_so(shipped, caplog):
    caplog.set_level("INFO")
    assert or_shipped([Path("run")]) == (Path("run"),)
    assert caplog.text == ""
    assert or_shipped(()) == (DEFAULT,)
    assert notice(DEFAULT) in caplog.text
    assert "\n" not in notice(DEFAULT)


@pytest.mark.parametrize("name", ZOO)
def test_what_a_model_is_not_for_and_what_it_was_made_of_are_stated(name):
    entry, terms = ZOO[name], ZOO[name].licence.read_text()
    for limit in ("ischaemia", "old blood", "children", "surgery", "medical"):
        assert limit in " ".join(entry.limits)
        assert limit in notice(name)
    for source in ("CC BY 4.0", "Apache-2.0", "Hssayeni", "PhysioNet", "EfficientNet-Lite0"):
        assert source in " ".join(entry.sources)
    for term in ("CC BY 4.0", "TERMS AND CONDITIONS FOR USE", "ML\n   Illustrated"):
        assert term in terms


@pytest.mark.parametrize("name", ZOO)
def test_what_is_shipped_is_small_and_as_stated(name):
    from stroke_tf.deploy.load import read_model
    from stroke_tf.deploy.sources import read_source

    if not ZOO[name].folder.is_dir():
        pytest.skip(f"{name} is not there: experiments.make_zoo makes it")
    described = read_source(ZOO[name].folder).description
    assert sum(file.stat().st_size for file in ZOO[name].folder.iterdir()) < 12e6
    assert described.limits == ZOO[name].limits
    assert described.sources == ZOO[name].sources
    assert set(described.operating_points) == {"sensitive", "specific"}
    assert len(described.temperatures) == 1
    _, (network,) = read_model(name)
    assert ZOO[name].backbone in [layer.name for layer in network.layers]


@pytest.mark.parametrize(
    ("limits", "words"), [((), ""), (("a",), "a"), (("a", "b"), "a or b"), ((*"abc",), "a, b or c")]
)
def test_limits_are_listed_in_words(limits, words):
    assert listed(limits) == words
