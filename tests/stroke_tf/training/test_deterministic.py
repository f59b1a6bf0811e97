"""Equal trainings in two processes, bit by bit. Run as a script it is one of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stroke_tf.config import FitConfig
from stroke_tf.runs.settings import UnetRun

ROOT = Path(__file__).parents[3]


def train(records, out):
    from stroke_tf.runs.unet import run_unet

    run_unet(
        UnetRun(
            records=records, out=out, architecture="improved", weights=None, filters=2, depth=2,
            image_size=32, batch_size=8, loss="dice+ce",
            fit=FitConfig(epochs=3, deterministic=True),
        )
    )  # fmt: skip


@pytest.mark.slow
def test_equal_trainings_give_equal_histories_bit_by_bit(phantom_records, tmp_path):
    command = [sys.executable, __file__, phantom_records[0]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen([*command, tmp_path / name], env=environment) for name in ("one", "two")
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    first, second = (
        (tmp_path / name / "unet" / "improved-s0" / "history.csv").read_bytes()
        for name in ("one", "two")
    )
    assert first == second
    assert len(first.splitlines()) == 4


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]))
