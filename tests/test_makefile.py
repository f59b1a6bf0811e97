import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def make(*arguments):
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_help_lists_every_target():
    printed = make("help").stdout
    for target in ("demo", "setup", "tfrecords", "inspect", "train-classifier", "train-unet"):
        assert f"make {target}" in printed
    for target in ("tune-classifier", "tune-unet", "predict"):
        assert f"make {target}" in printed
    for target in ("report", "bench", "test", "test-all", "lint", "docs", "wheel", "clean"):
        assert f"make {target}" in printed


def test_a_missing_data_folder_is_one_line_that_says_what_to_pass():
    done = make("tfrecords")
    assert done.returncode != 0
    assert "make tfrecords DATA=path/to/slices" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_prediction_without_a_model_is_one_line_that_says_what_to_pass():
    done = make("predict", "INPUT=scans", "OUT=predicted")
    assert done.returncode == 2
    assert "make predict INPUT=scans MODEL=" in done.stdout
    assert "Traceback" not in done.stderr
