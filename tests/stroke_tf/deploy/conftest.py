"""Finished runs of tiny networks, made once for all tests of what a user does with a model."""

from types import SimpleNamespace

import pytest
from finished_runs import SIZE, tiny_network, write_run

POINT = {"threshold": 0.5, "temperature": 2.0, "thresholds": {"fixed": 0.5}}
TOP = {"rule": "top", "coefficients": [], "intercept": 0.0}
SERIES = {"rule": "regression", "coefficients": [0.1, 0, 0, 1, 0, 0, 0.2, 0.3, 0], "intercept": -1}


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> SimpleNamespace:
    """Folders of finished runs, as `write_run` makes them.

    `detect`, `detect_again` (another seed) and `type` classify, `segment`, `segment_again` and
    `joint` draw masks; all learned from 8-bit grey. `detect_hu` (scores smoothed) and `segment_hu`
    learned from HU, `neighbours` and `upright` from grey, seen that way. The masks of `top`,
    `top_again`, `top_joint` (a joint network) and `regression` (of a series) detect.
    """
    from stroke_tf.config import FitConfig
    from stroke_tf.runs.settings import ClassifierRun, UnetRun

    out = tmp_path_factory.mktemp("runs")

    def classifier(row, *, seed=0, pixels="gray8", **options):
        config = ClassifierRun(
            out=out, row=row, image_size=SIZE, fit=FitConfig(seed=seed), **options
        )
        network = tiny_network("score", seed=seed)
        files = {"operating_point.json": POINT}
        return write_run(config, network, pixels=pixels, threshold=0.5, files=files)

    def unet(row, *, seed=0, pixels="gray8", rule=None, answers="mask", score=None, **options):
        config = UnetRun(out=out, row=row, image_size=SIZE, fit=FitConfig(seed=seed), **options)
        files, threshold = {"mask_rule.json": rule} if rule else {}, None
        if score:
            files, threshold = {"mask_score.json": score, "operating_point.json": POINT}, 0.4
        network = tiny_network(answers, seed=seed)
        return write_run(config, network, pixels=pixels, threshold=threshold, files=files)

    return SimpleNamespace(
        detect=classifier("detect"),
        detect_again=classifier("detect", seed=1),
        type=classifier("type", task="type"),
        detect_hu=classifier("detect-hu", pixels="hu16", smooth_slices=1.0),
        neighbours=classifier("neighbours", view="neighbours"),
        upright=classifier("upright", view="upright"),
        segment=unet("segment", rule={"threshold": 0.4, "min_area_px": 4}),
        segment_again=unet("segment", seed=1, rule={"threshold": 0.6, "min_area_px": 8}),
        segment_hu=unet("segment-hu", pixels="hu16", mirror_test=True),
        joint=unet("joint", answers="both", architecture="joint"),
        top=unet("top", score=TOP),
        top_again=unet("top", score=TOP, seed=1),
        top_joint=unet("top-joint", score=TOP, answers="both", architecture="joint"),
        regression=unet("regression", score=SERIES),
    )
