import numpy as np
import pytest

from stroke_tf.evaluation.series import beside_in_series, smooth_along, smooth_series


def test_a_score_spreads_to_its_neighbours_as_the_gaussian_does():
    weights = np.exp(-0.5 * np.arange(-4, 5) ** 2)
    weights /= weights.sum()  # sigma 1, cut off at 4
    smoothed = smooth_series([0, 0, 0, 0, 1, 0, 0, 0, 0], ["p"] * 9, ids="123456789", sigma=1)
    assert smoothed == pytest.approx(weights)


def test_slices_follow_each_other_by_number_and_come_back_in_their_places():
    ids = ["s-10", "s-8", "s-11", "s-9"]
    smoothed = smooth_series([1.0, 0.0, 1.0, 0.0], ["p"] * 4, ids=ids, sigma=0.5)
    in_order = smooth_series([0.0, 0.0, 1.0, 1.0], ["p"] * 4, ids="abcd", sigma=0.5)
    assert smoothed[[1, 3, 0, 2]].tolist() == in_order.tolist()
    assert (np.diff(in_order) > 0).all()


def test_patients_do_not_mix():
    groups = ["p", "q"] * 3
    ids = [f"{i:03}" for i in range(6)]
    assert smooth_series([0, 1] * 3, groups, ids=ids, sigma=2).tolist() == [0, 1] * 3


def test_the_ends_of_a_series_repeat():
    # weights of sigma 0.5 out to 2; beyond the first slice stands the first again
    weights = np.exp(-2.0 * np.arange(-2, 3) ** 2)
    weights /= weights.sum()
    smoothed = smooth_series([1, 0, 0, 0], ["p"] * 4, ids="abcd", sigma=0.5)
    assert smoothed[0] == pytest.approx(weights[:3].sum())


def test_sigma_0_leaves_scores_as_they_are():
    scores = np.array([0.2, 0.9, 0.1], np.float32)
    smoothed = smooth_series(scores, ["p"] * 3, ids="cab", sigma=0)
    assert smoothed.tolist() == scores.tolist()
    assert smoothed is not scores


@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.1, 3.0])
def test_scores_of_1_do_not_exceed_it(sigma):
    assert (
        smooth_series([1.0] * 30, ["p"] * 30, ids=[str(i) for i in range(30)], sigma=sigma).max()
        == 1
    )


def test_no_slices_stay_none():
    assert smooth_series([], [], ids=[], sigma=1).shape == (0,)


@pytest.mark.parametrize(
    ("scores", "groups", "sigma", "message"),
    [
        ([0.1, 0.2], ["p", "p"], -1, "`sigma` must be >= 0 and finite. Received: -1"),
        ([0.1, 0.2], ["p", "p"], float("nan"), "`sigma` must be .* Received: nan"),
        ([0.1, 0.2], ["p"], 1, "`groups` must have shape \\(2,\\). Received: \\(1,\\)"),
        ([0.1], ["p", "p"], 1, "`scores` must have shape \\(2,\\). Received: \\(1,\\)"),
    ],
)
def test_smooth_series_rejects(scores, groups, sigma, message):
    with pytest.raises(ValueError, match=message):
        smooth_series(scores, groups, ids=["a", "b"], sigma=sigma)


def test_slices_beside_each_other_are_those_of_a_patient_in_order():
    ids = ["s-10", "t-1", "s-9", "s-11", "t-2"]
    beside = beside_in_series(["p", "q", "p", "p", "q"], ids=ids)
    assert beside.tolist() == [[2, 0, 3], [1, 1, 4], [2, 2, 0], [0, 3, 3], [1, 4, 4]]
    assert beside_in_series([], ids=[]).shape == (0, 3)
    with pytest.raises(ValueError, match="`groups` must have shape"):
        beside_in_series(["p"], ids=ids)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("count", [1, 3, 30])
def test_maps_are_smoothed_along_a_series_as_scores_are(sigma, count):
    maps = np.random.default_rng(0).random((count, 2, 3)).astype(np.float32)
    smoothed = np.stack(list(smooth_along(iter(maps), sigma=sigma)))
    assert smoothed.dtype == np.float32
    for place in np.ndindex(2, 3):
        scores = maps[(slice(None), *place)]
        expected = smooth_series(
            scores, ["p"] * count, ids=[f"{n}" for n in range(count)], sigma=sigma
        )
        assert smoothed[(slice(None), *place)] == pytest.approx(expected, abs=1e-6)


def test_a_series_is_read_only_as_far_as_it_reaches_into_a_slice():
    read = []

    def maps():
        for number in range(100):
            read.append(number)
            yield np.full((2, 2), number / 100)

    first = next(smooth_along(maps(), sigma=1.0))
    assert read == list(range(5))  # itself and four after it
    assert first.shape == (2, 2)


def test_a_series_without_slices_gives_none_and_a_width_of_0_is_refused():
    assert list(smooth_along([], sigma=1.0)) == []
    with pytest.raises(ValueError, match="`sigma` must be > 0 and finite. Received: 0"):
        next(smooth_along([np.zeros(1)], sigma=0))
