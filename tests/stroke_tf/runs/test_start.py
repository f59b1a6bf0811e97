import subprocess
import sys

import pytest

from stroke_tf.models import CUSTOM_CNNS
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.runs.start import OWN_NETWORKS, check_start


def test_the_networks_of_our_own_are_all_named():
    assert set(OWN_NETWORKS) == CUSTOM_CNNS.keys()


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (
            UnetRun(encoder="efficientnetlite0"),
            "efficientnetlite0 needs `architecture` composed or joint. Received: unet",
        ),
        (
            UnetRun(encoder="vgg19", architecture="joint"),
            "vgg19 needs `architecture` unet, fpn, linknet or pspnet. Received: joint",
        ),
        (UnetRun(encoder="lenet"), "`encoder` must be one of .*'vgg19'.* Received: 'lenet'"),
        (ClassifierRun(backbone="lenet"), "`backbone` must be one of .* Received: 'lenet'"),
    ],
)
def test_a_network_that_there_is_not_is_refused(run, told):
    with pytest.raises(ValueError, match=told):
        check_start(run)


@pytest.mark.parametrize(
    "run",
    [
        UnetRun(encoder="lenet", architecture="improved"),
        UnetRun(encoder="efficientnetlite0", architecture="composed"),
        ClassifierRun(backbone="histogram"),
        ClassifierRun(backbone="cnn-type"),
    ],
)
def test_records_must_be_there(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="manifest.json must exist"):
        check_start(run)


@pytest.mark.parametrize(
    "work",
    [
        "from experiments.train_unet import main, UnetTraining as T; main(T())",
        "from experiments.train_classifier import main, ClassifierTraining as T; main(T())",
        "from stroke_tf.deploy.predict import main, Prediction as P; "
        "main(P(inputs=('here',), model=('none',)))",
    ],
)
def test_what_is_missing_is_said_before_tensorflow_is_loaded(work, tmp_path):
    start, _, call = work.rpartition("; ")
    code = "\n".join(
        [start, "import sys", "try:", f"    {call}", "except FileNotFoundError:"]
        + ["    print('tensorflow' in sys.modules)"]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
