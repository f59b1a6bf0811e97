from dataclasses import replace

import pytest

from stroke_tf.auto.rules import (
    Facts,
    Memory,
    batch_for,
    epoch_seconds,
    epochs_for,
    fits,
    memory_of,
    rate_for,
    size_for_lesions,
    sizes_of,
    step_of,
)
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.runs.step import Step

GIB = 1 << 30
FACTS = Facts(
    side=512,
    training=1000,
    validation=100,
    tested=200,
    kept=1300,
    patients=50,
    bytes_per_px=2,
    lesion_px=(),
)


def step(batch, gib=1.0, *, size=256, seconds=1.0, **others):
    return Step(size, batch, round(gib * GIB), seconds, seconds / 4, **others)


@pytest.mark.parametrize(
    ("run", "sizes"),
    [
        (ClassifierRun(), [128, 160, 192, 224, 256]),
        (UnetRun(), [128, 160, 192, 224, 256]),
        (UnetRun(architecture="pspnet"), [192]),
        (UnetRun(architecture="improved", depth=6), [128, 192, 256]),
    ],
)
def test_sizes_are_those_that_the_network_can_have_up_to_the_stored_one(run, sizes):
    assert sizes_of(run, replace(FACTS, side=256)) == sizes


def test_of_smaller_slices_the_size_is_the_largest_that_the_network_can_have():
    assert sizes_of(UnetRun(), replace(FACTS, side=100)) == [96]
    assert sizes_of(ClassifierRun(), replace(FACTS, side=100)) == [100]


@pytest.mark.parametrize(
    ("smallest", "size"),
    # 16 pixels of 512 x 512 / side^2: at 128 a lesion needs 256 of them, at 256 64.
    [(256, 128), (255, 160), (64, 256), (63, 288), (16, 512), (3, 512)],
)
def test_the_size_leaves_nine_in_ten_lesions_16_pixels(smallest, size):
    lesions = (1, smallest, *[5000] * 8)  # the smallest tenth may be smaller
    sizes = sizes_of(UnetRun(), FACTS)
    found, why = size_for_lesions(sizes, replace(FACTS, lesion_px=lesions), default=256)
    assert found == size
    assert f"nine in ten of 10 lesions have {smallest} pixels or more at 512" in why


def test_without_masks_the_size_is_the_default_or_the_next_smaller():
    assert size_for_lesions([128, 224], FACTS, default=224)[0] == 224
    found, why = size_for_lesions([128, 224], FACTS, default=200)
    assert (found, "no masks" in why) == (128, True)


def test_memory_is_the_step_the_decoded_slices_and_those_of_the_test():
    found = memory_of(step(8, 1.5), FACTS, limit=8 * GIB)
    assert found == Memory(1.5 * GIB, 1300 * 256**2 * 2, 6 * 200 * 256**2, 8 * GIB)


def test_slices_that_lie_in_a_file_take_no_more_than_a_fifth_of_the_memory():
    found = memory_of(step(8, size=512), replace(FACTS, kept=10**6), limit=8 * GIB)
    assert found.slices == round(0.2 * 8 * GIB)


def test_three_quarters_of_the_memory_are_used():
    assert Memory(2, 0, 1, limit=4).fits
    assert not Memory(2, 1, 1, limit=5).fits


def test_a_step_must_fit_the_gpu_too():
    facts = replace(FACTS, kept=0, tested=0, validation=0)
    on_gpu = step(8, gpu_limit=4 * GIB, gpu_bytes=3 * GIB)
    assert fits(on_gpu, facts, limit=8 * GIB)
    assert not fits(replace(on_gpu, gpu_bytes=3 * GIB + 1), facts, limit=8 * GIB)


def test_steps_of_other_batches_lie_on_the_line_of_two():
    found = step_of(8, [step(1, 1.0, seconds=1), step(2, 1.25, seconds=1.5)])
    assert found == step(8, 2.75, seconds=4.5)


def test_more_slices_are_never_said_to_take_less():
    found = step_of(8, [step(1, 1.5, seconds=3), step(2, 1.25, seconds=2)])
    assert found == step(8, 1.25, seconds=2)


def measured(*, gib, seconds):
    """Two steps on a line: those of one slice, and what each further one adds."""
    return [step(batch, 1 + gib * batch, seconds=1 + seconds * batch) for batch in (1, 2)]


SMALL = replace(FACTS, kept=0, tested=0, validation=0)


def test_the_batch_is_the_default_where_nothing_is_gained_by_more():
    batch, why = batch_for(SMALL, measured(gib=0.1, seconds=5), default=8, limit=24 * GIB)
    assert (batch, why[:11]) == (8, "the default")


def test_the_batch_is_halved_until_a_step_fits():
    # 1 + 0.25 GiB a slice: 8 take 3, 4 take 2, and three quarters of 3 GiB are 2.25.
    batch, why = batch_for(SMALL, measured(gib=0.25, seconds=5), default=8, limit=3 * GIB)
    assert batch == 4
    assert why == (
        "8 would take 3.00 GiB (step 3.00, slices 0.00, test 0.00), 2.25 of 3.00 may be used"
    )


def test_the_batch_is_halved_until_an_epoch_has_20_steps():
    facts = replace(SMALL, training=100)
    batch, why = batch_for(facts, measured(gib=0.1, seconds=5), default=32, limit=24 * GIB)
    assert (batch, why) == (4, "8 would make 12 steps an epoch, 20 are wanted")


def test_the_batch_is_doubled_while_that_saves_a_tenth_of_the_time():
    # A second of each step is lost: a slice takes 0.225 s of 8, 0.1625 of 16, 0.13125 of 32.
    batch, why = batch_for(SMALL, measured(gib=0.01, seconds=0.1), default=8, limit=24 * GIB)
    assert (batch, why) == (32, "takes 42% less time for a slice than 8, the default")


def test_the_batch_is_not_doubled_past_the_memory():
    batch, _ = batch_for(SMALL, measured(gib=0.1, seconds=0.1), default=8, limit=4 * GIB)
    assert batch == 16  # 2.6 of 3 GiB; 32 would take 4.2


def test_a_batch_of_one_is_the_last_to_be_tried():
    batch, _ = batch_for(SMALL, measured(gib=9, seconds=1), default=8, limit=4 * GIB)
    assert batch == 1


def test_an_epoch_takes_its_steps_and_those_of_validation():
    assert epoch_seconds(FACTS, step(16, seconds=2)) == 63 * 2 + 7 * 0.5


@pytest.mark.parametrize(
    ("training", "epochs"),
    [(1000, 20), (160, 50), (320, 25)],  # 125, 20 and 40 steps of 8 slices
)
def test_epochs_make_1000_steps_but_at_most_five_times_the_default(training, epochs):
    facts = replace(FACTS, training=training)
    assert epochs_for(facts, step(8), default=20, minutes=None)[0] == epochs
    assert epochs_for(replace(FACTS, training=80), step(8), default=2, minutes=None)[0] == 10


def test_epochs_end_with_the_minutes():
    # 125 steps of a second and 13 of a quarter: 128.25 s.
    epochs, why = epochs_for(FACTS, step(8), default=20, minutes=30)
    assert (epochs, why.endswith("14 x 128 s fit into 30 minutes")) == (14, True)
    assert epochs_for(FACTS, step(8), default=20, minutes=0.1)[0] == 1
    assert epochs_for(FACTS, step(8), default=20, minutes=60)[0] == 20


def test_the_learning_rate_goes_with_the_root_of_the_batch():
    assert rate_for(8, default_batch=8, default=3e-4)[0] == 3e-4
    assert rate_for(2, default_batch=8, default=3e-4)[0] == 1.5e-4
    assert rate_for(32, default_batch=8, default=3e-4)[0] == 6e-4
