"""With --deterministic a training is the same again, bit for bit, in another process."""

from dataclasses import replace

from stroke_tf.config import FitConfig
from stroke_tf.reproduce.own_process import in_own_process
from stroke_tf.reproduce.work import train_and_test
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun

FIT = FitConfig(epochs=2, deterministic=True)
RUN = ClassifierRun(
    backbone="cnn-type", head="usth-cnn", training="full", weights=None, image_size=32, fit=FIT
)


def test_two_processes_leave_bit_equal_histories(phantom_records, tmp_path):
    histories = []
    for name in ("one", "two"):
        run = replace(RUN, experiment="t", row="r", records=phantom_records[0], out=tmp_path / name)
        in_own_process(train_and_test, run, [])
        histories.append(folder_of(run).history.read_bytes())
    assert histories[0] == histories[1]
    assert len(histories[0].splitlines()) == 1 + FIT.epochs
