import dataclasses
import json
import logging
from dataclasses import replace

import pytest

from stroke_tf.auto import choose as chooser
from stroke_tf.auto.choose import CHOICES, choose, set_by_user, settled
from stroke_tf.auto.rules import Facts
from stroke_tf.config import FitConfig
from stroke_tf.runs.settings import ClassifierRun, ClassifierTraining, UnetRun, UnetTraining
from stroke_tf.runs.step import Step

GIB = 1 << 30
# Nine in ten lesions have 51 pixels of 512 x 512: 16 at 288.
FACTS = Facts(512, 1000, 100, 0, 0, 50, 2, (51,) * 10)
RUN = UnetRun(batch_size=8, fit=FitConfig(epochs=20, learning_rate=3e-4))


@pytest.fixture(autouse=True)
def facts(monkeypatch):
    """Facts by hand, without a process of their own."""
    known = [FACTS]
    monkeypatch.setattr(chooser, "apart", lambda work, run: known[0])
    return known


class Measure:
    """Steps that take memory and time by the pixel; notes what it is asked."""

    def __init__(self, *, gib=0.2, seconds=0.5, killed=lambda run: False):
        self.asked = []
        self._gib, self._seconds, self._killed = gib, seconds, killed

    def __call__(self, run):
        self.asked.append((run.image_size, run.batch_size))
        return None if self._killed(run) else self._step(run.image_size, run.batch_size)

    def _step(self, size, batch):
        share = batch * (size / 256) ** 2
        seconds = share * self._seconds
        return Step(size, batch, round((1 + self._gib * share) * GIB), seconds, seconds / 4)


def values(run):
    return run.image_size, run.batch_size, run.fit.epochs, run.fit.learning_rate


def test_with_memory_and_time_the_lesions_say_the_size_and_the_rest_is_the_default():
    measure = Measure()
    run, reasons = choose(RUN, memory=24 * GIB, measure=measure)
    assert values(run) == (288, 8, 20, 3e-4)
    assert [reason.name for reason in reasons] == list(CHOICES)
    assert measure.asked == [(288, 1), (288, 2), (288, 8)]


def test_less_memory_takes_a_smaller_batch_and_so_a_smaller_rate():
    # 8 take 1 + 0.253 x 8 = 3.02 GiB, 4 take 2.01; 2.25 may be used.
    run, reasons = choose(RUN, memory=3 * GIB, measure=Measure())
    assert values(run) == (288, 4, 20, 2.1e-4)
    assert "8 would take 3.07 GiB (step 3.02, slices 0.00, test 0.05), 2.25 of 3.00 may" in str(
        reasons[1]
    )
    assert "measured: 2.06 GiB (step 2.01" in str(reasons[1])


def test_a_size_whose_first_steps_are_killed_gives_way_to_the_next():
    measure = Measure(killed=lambda run: run.image_size > 224)
    run, reasons = choose(RUN, memory=24 * GIB, measure=measure)
    assert run.image_size == 224
    assert "a step of 256 does not fit the memory" in str(reasons[0])


def test_a_batch_that_takes_more_than_the_line_said_is_halved_when_it_is_measured():
    measure = Measure(killed=lambda run: run.batch_size > 2)
    run, reasons = choose(RUN, memory=24 * GIB, measure=measure)
    assert run.batch_size == 2
    assert "4 did not fit when measured" in str(reasons[1])


def test_where_not_one_slice_fits_it_is_said():
    with pytest.raises(ValueError, match="memory must hold a training step of one slice .* 128"):
        choose(RUN, memory=1 * GIB, measure=Measure())


def test_few_minutes_take_a_smaller_size_and_then_fewer_epochs():
    # At 128 a step of 8 takes a second: 125 + 13/4 s an epoch, 8 epochs 17 minutes.
    measure = Measure()
    run, reasons = choose(RUN, memory=24 * GIB, minutes=20, measure=measure)
    assert values(run)[:3] == (128, 8, 9)
    assert "8 epochs at 160 would take 27 minutes" in str(reasons[0])
    run, _ = choose(RUN, memory=24 * GIB, minutes=5, measure=measure)
    assert values(run)[:3] == (128, 8, 2)


def test_few_minutes_are_measured_at_the_smallest_size_first_and_at_no_hopeless_one(caplog):
    measure = Measure()
    with caplog.at_level(logging.INFO):
        _, reasons = choose(RUN, memory=24 * GIB, minutes=5, measure=measure)
    assert {size for size, _ in measure.asked} == {128}
    assert "8 epochs at 160 would take 17 minutes or more" in str(reasons[0])
    said = [line for line in caplog.messages if line.startswith("Timing")]
    assert said == ["Timing a few steps at 128 px, of batches 1 and 2, then of the one that fits …"]
    choose(RUN, memory=24 * GIB, minutes=20, measure=measure)
    assert 224 not in {size for size, _ in measure.asked}


def test_where_not_one_epoch_fits_the_minutes_it_is_said_with_what_to_give():
    # At 128 an epoch takes 128.25 s, at 256 four times as long.
    with pytest.raises(
        ValueError, match="an epoch, which takes 2.1 minutes at 128 px, batch 8. "
    ) as error:
        choose(RUN, memory=24 * GIB, minutes=1, measure=Measure())
    assert str(error.value).endswith(
        "Give --minutes 3 (for 8 epochs 18), or a smaller network. Received: 1"
    )
    sized = replace(RUN, image_size=256)
    own = {"set_by_user": ["image_size"], "measure": Measure()}
    with pytest.raises(ValueError, match=r"Give --minutes 12 \(.*, or --image-size 96. Rec"):
        choose(sized, memory=24 * GIB, minutes=2, **own)
    with pytest.raises(ValueError, match="in each of 5 trainings, .* --minutes 60 .*Received: 10"):
        choose(sized, memory=24 * GIB, minutes=2, trainings=5, **own)


def test_the_epochs_that_the_user_sets_must_fit_the_minutes():
    # At 288 a step of 8 takes 5 s: 125 + 13/4 s of them are 11 minutes an epoch.
    one = replace(RUN, fit=replace(RUN.fit, epochs=1))
    run, _ = choose(one, memory=24 * GIB, minutes=12, set_by_user=["epochs"], measure=Measure())
    assert values(run)[:3] == (288, 8, 1)


@pytest.mark.parametrize("name", CHOICES)
def test_what_the_user_sets_stays(name):
    given = {"image_size": 320, "batch_size": 2, "epochs": 3, "learning_rate": 1e-5}
    fit = {key: given[key] for key in ("epochs", "learning_rate") if key == name}
    own = {key: given[key] for key in ("image_size", "batch_size") if key == name}
    base = replace(RUN, **own, fit=replace(RUN.fit, **fit))
    run, reasons = choose(base, memory=24 * GIB, set_by_user=[name], measure=Measure())
    index = CHOICES.index(name)
    assert values(run)[index] == given[name]
    assert "kept, as it was set" in str(reasons[index])
    others = [reason.name for reason in reasons if "kept, as it was set" in reason.why]
    assert others == [name]


def test_the_rate_goes_with_a_batch_that_the_user_sets():
    run, _ = choose(
        replace(RUN, batch_size=2), memory=24 * GIB, set_by_user=["batch_size"], measure=Measure()
    )
    assert run.fit.learning_rate == 1.5e-4


def test_of_a_frozen_backbone_the_size_alone_is_chosen():
    base = ClassifierRun(training="probe")
    measure = Measure()
    run, reasons = choose(base, memory=24 * GIB, measure=measure)
    assert run == replace(base, image_size=288)
    assert (len(reasons), measure.asked) == (1, [])


def test_flags_and_files_set_what_is_not_chosen(tmp_path):
    assert set_by_user(UnetTraining, ["--auto", "--out", "here"]) == set()
    flags = ["--image-size=256", "--fit.epochs", "20"]  # the default, but set
    assert set_by_user(UnetTraining, flags) == {"image_size", "epochs"}
    file = tmp_path / "best.json"
    file.write_text(json.dumps({"batch_size": 4, "fit": {"learning_rate": 0.001}}))
    found = set_by_user(ClassifierTraining, ["--config", str(file)])
    assert found == {"batch_size", "learning_rate"}


@pytest.fixture
def first(tmp_path, monkeypatch):
    """A run whose settings were chosen, and the file that they are kept in."""
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "manifest.json").write_text("{}")
    measure = Measure()
    monkeypatch.setattr(chooser, "choose", lambda *args, **kw: choose(*args, measure=measure, **kw))
    monkeypatch.setattr(chooser, "available_memory", lambda: 3 * GIB)
    monkeypatch.setattr(chooser, "memory_limit", lambda: 3 * GIB)  # whatever this process holds
    run = replace(RUN, records=tmp_path / "records", out=tmp_path / "out")
    chosen = settled(run, minutes=None, set_by_user=[])
    return run, chosen, tmp_path / "out" / "unet" / "auto-mobilenetv2.json", measure


def test_settings_are_chosen_once_and_kept_with_their_reasons(first, caplog):
    run, chosen, path, measure = first
    assert chosen == replace(run, image_size=288, batch_size=4, fit=chosen.fit)
    kept = json.loads(path.read_text())
    assert [reason["value"] for reason in kept["reasons"]] == list(values(chosen))
    measure.asked.clear()
    with caplog.at_level(logging.INFO):
        again = settled(run, minutes=None, set_by_user=[])
    assert (again, measure.asked) == (chosen, [])
    assert "image_size 288: nine in ten of 10 lesions" in caplog.text


def test_another_seed_has_the_same_settings(first):
    run, chosen, _, _ = first
    other = replace(run, fit=replace(run.fit, seed=5))
    again = settled(other, minutes=None, set_by_user=[])
    assert again == replace(chosen, fit=dataclasses.replace(chosen.fit, seed=5))


def test_trainings_share_the_minutes_and_a_further_seed_keeps_what_was_chosen(
    first, monkeypatch, tmp_path
):
    run, _, measure, _ = first
    run, shares = replace(run, row="timed"), []

    def choose(run, *, minutes, **_):
        shares.append(minutes)
        return run, []

    monkeypatch.setattr(chooser, "choose", choose)
    for trainings in (5, 10):
        settled(run, minutes=60, set_by_user=[], trainings=trainings)
    assert shares == [12]


def test_for_other_settings_they_are_not_taken(first):
    run, _, path, _ = first
    with pytest.raises(ValueError, match=f"{path.name}: .*chosen once.*minutes"):
        settled(run, minutes=3, set_by_user=[])
    (run.records / "manifest.json").write_text("{ }")
    with pytest.raises(ValueError, match="records_sha256"):
        settled(run, minutes=None, set_by_user=[])
