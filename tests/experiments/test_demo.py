import pytest
from trees import write_tree

from experiments import demo
from experiments.demo import Demo

WEIGHTS = "mobilenet_v2_1.0_224_no_top.weights.h5"


def test_the_demo_ends_with_a_report_of_network_and_baseline(tmp_path, capsys):
    assert demo.main(Demo(out=tmp_path, jobs=1, smoke=True)) == 0
    folder = tmp_path / "demo-smoke" / "demo"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"Report: {folder / 'report.html'} and {folder / 'REPORT.md'}"
    text = (folder / "REPORT.md").read_text()
    assert "no medical result" in text
    assert "demo / histogram" in text and "demo / unet" in text
    assert (folder / "unet-s0" / "figures" / "roc.png").is_file()
    (heading,) = (line for line in text.splitlines() if "lesion dice" in line)
    assert "| sensitivity | specificity |" in heading and "| roc auc |" in heading
    assert "data:image/png" in (folder / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_demo_learns(seed, tmp_path):
    config = Demo(out=tmp_path, seed=seed)
    baseline, network = demo.train(config, demo.convert(config))
    assert network.metrics["roc_auc"].value >= max(0.9, baseline.metrics["roc_auc"].value)
    assert network.metrics["lesion_dice"].value >= 0.7


@pytest.fixture(scope="module")
def without_masks(tmp_path_factory):
    """Settings of the demo on slices without masks, and their records."""
    folder = tmp_path_factory.mktemp("demo")
    tree = write_tree(folder / "tree")
    for kind in ("MASK", "OVERLAY"):
        for path in tree.glob(f"TRAINING/*/{kind}"):
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
    config = Demo(data=tree, out=folder / "out", size=64, jobs=1)
    return config, demo.convert(config)


def test_slices_without_masks_are_learned_by_a_probe(without_masks, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setenv("STROKE_TF_WEIGHTS", str(tmp_path))
    monkeypatch.setattr("stroke_tf.runs.classifier.run_classifier", trained.append)
    (tmp_path / WEIGHTS).write_bytes(b"")
    assert len(demo.train(*without_masks)) == 2
    assert [(run.training, run.weights) for run in trained] == [("probe", WEIGHTS)]


def test_without_masks_and_weights_the_histogram_is_alone_and_told(
    without_masks, monkeypatch, caplog
):
    monkeypatch.delenv("STROKE_TF_WEIGHTS", raising=False)

    def no_network(*arguments, **settings):
        raise OSError("weights could not be downloaded")

    monkeypatch.setattr("stroke_tf.models.build_backbone", no_network)
    (baseline,) = demo.train(*without_masks)
    assert baseline.row == "histogram"
    assert "there is the histogram alone" in caplog.text
