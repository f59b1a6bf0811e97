import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from stroke_tf.auto import steps
from stroke_tf.auto.steps import apart, measure, measure_here
from stroke_tf.runs import measure as here
from stroke_tf.runs.settings import ClassifierRun

SMALL = ClassifierRun(backbone="cnn-detect", image_size=64, batch_size=2, weights=None)


@pytest.mark.slow
def test_steps_are_measured_in_a_process_of_their_own():
    found = measure(SMALL)
    assert (found.size, found.batch) == (64, 2)
    assert 100 << 20 < found.bytes < 4 << 30
    assert 0 < found.train_seconds < 10
    assert 0 < found.val_seconds < 10
    assert apart(os.getpid) != os.getpid()


def test_a_process_that_is_killed_says_that_memory_did_not_suffice(monkeypatch):
    with pytest.raises(BrokenProcessPool):
        apart(os._exit, 9)
    monkeypatch.setattr(steps, "measure_here", _exit)
    assert measure(SMALL) is None


def test_memory_that_the_network_is_refused_does_not_suffice(monkeypatch):
    def refuse(run):
        raise MemoryError

    monkeypatch.setattr(here, "measure", refuse)
    assert measure_here(SMALL) is None


def _exit(run):
    os._exit(9)
