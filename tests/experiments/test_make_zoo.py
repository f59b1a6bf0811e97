from dataclasses import replace

import pytest

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from experiments import make_zoo
from experiments.make_zoo import RUN, MakeZoo, main
from stroke_tf.deploy.load import read_model
from stroke_tf.deploy.sources import read_source
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.zoo.shipped import DEFAULT, ZOO

SCORES = ("any_lesion_dice", "roc_auc")
"""Compared with what is shipped."""


@pytest.mark.slow
def test_one_command_makes_the_folder_of_the_model(phantom_records, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(make_zoo, "RUN", replace(make_zoo.RUN, encoder="mobilenetv3small"))
    config = MakeZoo(phantom_records[0], tmp_path / "zoo", tmp_path / "results", smoke=True)
    assert main(config) == 0
    assert f"{tmp_path / 'zoo'}: " in capsys.readouterr().out
    names = {path.name for path in config.out.iterdir()}
    assert names == {"network.keras", "model.json", "MODEL_CARD.md", "LICENSE", "SHA256SUMS"}
    described, (network,) = read_model(config.out)
    assert described.task == "segment"
    assert set(described.operating_points) == {"sensitive", "specific"}
    assert len(described.temperatures) == 1
    assert described.mask_rule is not None
    assert (described.limits, described.sources) == (ZOO[DEFAULT].limits, ZOO[DEFAULT].sources)
    assert "mobilenetv3small" in [layer.name for layer in network.layers]
    assert (config.out / "LICENSE").read_text() == ZOO[DEFAULT].licence.read_text()


def test_other_data_than_the_open_set_is_refused(phantom_records, tmp_path):
    with pytest.raises(ValueError, match="must hold CT-ICH, an open set. Received: layout"):
        main(MakeZoo(phantom_records[0], tmp_path / "zoo", tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_is_of_the_backbone_that_is_stated():
    assert RUN.encoder == ZOO[DEFAULT].backbone
    assert RUN.score == "mask"


@pytest.mark.slow
def test_what_is_shipped_comes_out_again(open_data, pretrained, tmp_path):
    (shipped,) = read_source(ZOO[DEFAULT].folder).description.trained_on
    records = tmp_path / "records"
    build_tfrecords(
        Conversion(data=open_data / "ct_ich", out=records, size=shipped.data["size"], jobs=2)
    )
    config = MakeZoo(
        records,
        tmp_path / "zoo",
        tmp_path / "results",
        weights="efficientnet_lite0_no_top.weights.h5",
        epochs=shipped.settings["fit"]["epochs"],
        seed=shipped.seed,
    )
    assert main(config) == 0
    (again,) = read_source(config.out).description.trained_on
    assert again.data_manifest_sha256 == shipped.data_manifest_sha256
    assert again.split == shipped.split
    for name in SCORES:
        stated = Metric(*shipped.scores[name])
        assert stated.low <= again.scores[name].value <= stated.high, name
