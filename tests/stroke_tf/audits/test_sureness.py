import numpy as np
import pandas as pd
from scipy.special import expit, logit

from stroke_tf.audits.sureness import sureness

SLICES = 400
DRAWN = {"seed": 0, "resamples": 20}


def frame(temperature):
    """Returns slices of 40 patients whose scores are too sure by a temperature."""
    rng = np.random.default_rng(0)
    probs = rng.uniform(0.02, 0.98, SLICES)
    values = {"truth": rng.random(SLICES) < probs, "score": expit(temperature * logit(probs))}
    return pd.DataFrame({**values, "group": np.arange(SLICES) // 10, "part": 0})


def test_scores_too_sure_are_mended_by_what_the_other_half_says():
    found = sureness(frame(temperature=4), **DRAWN)
    before, after = (metric.value for metric in found.table["ece"])
    assert after < before / 2
    assert found.table["brier"][1].value < found.table["brier"][0].value
    assert found.finding.level == "fine"
    assert list(found.figures) == ["reliability", "reliability-after-the-temperature"]


def test_the_temperature_of_the_run_is_used_where_there_is_one():
    scored = frame(temperature=1)
    found = sureness(scored.assign(calibrated=0.5), **DRAWN)
    assert "slices of no test" in found.table["scores"][1]
    assert found.table["brier"][1].value == 0.25


def test_slices_of_which_a_half_lacks_a_class_are_not_calibrated():
    scored = frame(temperature=1)
    alone = scored.assign(truth=scored["truth"] & (scored["group"] % 2 == 0))
    found = sureness(alone, **DRAWN)
    assert len(found.table) == len(found.figures) == 1


def test_scores_far_from_probabilities_are_a_warning():
    scored = frame(temperature=1)
    assert sureness(scored.assign(score=0.99, calibrated=0.99), **DRAWN).finding.level == "warning"


def test_scores_whose_interval_reaches_below_the_limit_are_a_note():
    # Half of the slices are positive: 0.35 is off by 0.15, but of ten patients by 0 to 0.3.
    groups = np.arange(100) // 10
    scored = pd.DataFrame({"truth": groups % 2 == 0, "score": 0.35, "group": groups, "part": 0})
    found = sureness(scored.assign(calibrated=scored["score"]), **DRAWN)
    error = found.table["ece"].iloc[-1]
    assert error.low < 0.1 < error.value
    assert found.finding.level == "note"
