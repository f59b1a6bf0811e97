import pytest
from trees import write_tree

from experiments import demo
from experiments.demo import Demo


@pytest.mark.parametrize("smoke", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_demo_ends_with_a_report_of_both_models(smoke, tmp_path, capsys):
    out = tmp_path / "results"
    config = Demo(out=out, classifier_epochs=1, unet_epochs=1, weights=None, jobs=1, smoke=smoke)
    assert demo.main(config) == 0
    folder = (out / "demo-smoke" if smoke else out) / "demo"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"Report: {folder / 'report.html'} and {folder / 'REPORT.md'}"
    text = (folder / "REPORT.md").read_text()
    assert "no medical result" in text
    assert ("classifier-cnn-detect" if smoke else "classifier-mobilenetv2") in text
    assert ("unet-improved" if smoke else "unet-mobilenetv2") in text
    unet = next((out / "demo-smoke" if smoke else out).glob("demo/unet-*"))
    assert (unet / "figures" / "roc.png").is_file()
    (heading,) = (line for line in text.splitlines() if "lesion dice" in line)
    assert "| sensitivity | specificity |" in heading and "| roc auc |" in heading
    assert "data:image/png" in (folder / "report.html").read_text()


def test_data_without_masks_trains_no_unet(tmp_path, monkeypatch):
    tree = write_tree(tmp_path / "tree")
    for kind in ("MASK", "OVERLAY"):
        for path in tree.glob(f"TRAINING/*/{kind}"):
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
    trained = []
    monkeypatch.setattr("stroke_tf.runs.classifier.run_classifier", trained.append)
    config = Demo(data=tree, out=tmp_path / "out", size=64, weights=None, jobs=1)
    demo.train(config, demo.convert(config))
    assert len(trained) == 1


@pytest.mark.parametrize("weights", [None, "imagenet", "mine.weights.h5"])
def test_named_weights_are_taken_as_they_are(tmp_path, weights):
    assert demo.classifier_run(Demo(weights=weights), tmp_path).weights == weights


def test_weights_at_hand_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("STROKE_TF_WEIGHTS", str(tmp_path))
    (tmp_path / "mobilenet_v2_1.0_224_no_top.weights.h5").write_bytes(b"")
    run = demo.classifier_run(Demo(), tmp_path)
    assert run.weights == "mobilenet_v2_1.0_224_no_top.weights.h5"


def test_without_network_the_classifier_starts_at_random_and_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("STROKE_TF_WEIGHTS", raising=False)

    def no_network(*arguments, **settings):
        raise OSError("weights could not be downloaded")

    monkeypatch.setattr("stroke_tf.models.build_backbone", no_network)
    run = demo.classifier_run(Demo(), tmp_path)
    assert run.weights is None
    assert "starts from random weights" in caplog.text
