import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from stroke_tf.config import AugmentStrength
from stroke_tf.evaluation.calibration import reliability
from stroke_tf.evaluation.metrics import Counts
from stroke_tf.reporting import figures
from stroke_tf.reporting.figures import (
    draw_augmentations,
    figure_augmentations,
    figure_confusion,
    figure_gallery,
    figure_history,
    figure_predictions,
    figure_reliability,
    figure_roc,
    figure_segmentation,
)
from stroke_tf.run_folder import save_figure

RNG = np.random.default_rng(0)
TRUTH, SCORES = np.array([1, 1, 0, 0, 1]), np.array([0.9, 0.2, 0.7, 0.1, 0.6])
HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "accuracy": [0.5, 0.6, 0.7],
        "learning_rate": [1e-3, 1e-3, 3e-4],
        "loss": [0.7, 0.6, 0.5],
        "val_accuracy": [0.5, 0.55, 0.6],
        "val_loss": [0.8, 0.7, 0.75],
    }
)


def _slices(n=5, shape=(40, 32)):
    return RNG.normal(90, 20, (n, *shape)).clip(0, 255).astype(np.float32)


def _mask(**boxes):
    mask = np.zeros((40, 32), np.uint8)
    for name, box in boxes.items():
        mask[box] = {"ischemia": 1, "hemorrhage": 2}[name]
    return mask


def _shown(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def _titles(figure):
    return [axes.get_title() for axes in _shown(figure) if axes.get_title()]


def _texts(axes):
    return [text.get_text() for text in axes.texts]


def test_history_has_a_panel_for_the_loss_and_each_score():
    figure = figure_history(HISTORY)
    assert _titles(figure) == ["loss", "accuracy"]
    training, validation = figure.axes[0].lines
    assert training.get_ydata().tolist() == [0.7, 0.6, 0.5]
    assert validation.get_ydata().tolist() == [0.8, 0.7, 0.75]
    assert validation.get_xdata().tolist() == [1, 2, 3]
    labels = [text.get_text() for text in figure.axes[0].get_legend().texts]
    assert labels == ["training", "validation"]


def test_history_without_validation_draws_training_alone():
    figure = figure_history(HISTORY[["epoch", "loss"]])
    assert [len(axes.lines) for axes in _shown(figure)] == [1]


def test_history_of_many_scores_takes_several_rows():
    scores = {f"score_{i}": [0.1, 0.2, 0.3] for i in range(4)}
    figure = figure_history(HISTORY.assign(**scores))
    assert len(_shown(figure)) == 6
    assert "score 0" in _titles(figure)


def test_history_without_a_score_is_empty():
    assert _shown(figure_history(HISTORY[["epoch"]])) == []


def test_confusion_shows_counts_and_shares_of_the_true_class():
    (axes,) = figure_confusion(Counts(tp=3, fp=1, fn=1, tn=4), ("normal", "stroke")).axes
    assert _texts(axes) == ["4", "80.0%", "1", "20.0%", "1", "25.0%", "3", "75.0%"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["normal", "stroke"]


def test_confusion_of_an_absent_class_shows_zero():
    (axes,) = figure_confusion(Counts(tp=0, fp=0, fn=0, tn=4), ("normal", "stroke")).axes
    assert _texts(axes)[4:] == ["0", "0.0%", "0", "0.0%"]


def test_roc_marks_the_operating_point():
    (axes,) = figure_roc(TRUTH, SCORES, 0.5).axes  # TP 2, FN 1, FP 1, TN 1
    marker = axes.lines[-1]
    assert (*marker.get_xdata(), *marker.get_ydata()) == pytest.approx((1 / 2, 2 / 3))
    assert marker.get_label() == "threshold 0.500"


def test_roc_legend_names_the_area():
    (axes,) = figure_roc(TRUTH, SCORES, 0.5).axes
    # pairs won: 0.9 two, 0.6 one, 0.2 one: 4 of 6
    assert axes.lines[1].get_label() == "AUC 0.667"


@pytest.mark.parametrize("truth", [[0, 0], [1, 1], []])
def test_roc_of_one_class_says_so(truth):
    (axes,) = figure_roc(truth, [0.2, 0.6][: len(truth)], 0.5).axes
    assert _texts(axes) == ["undefined: one class only"]


def test_reliability_draws_shares_over_mean_scores_and_how_many_slices_have_them():
    # Ten bins: 0.12 and 0.18 (one of two positive), 0.91, 0.93 and 0.95 (two of three).
    table = reliability([0, 1, 1, 0, 1], [0.12, 0.18, 0.91, 0.93, 0.95], bins=10)
    above, below = figure_reliability(table).axes
    diagonal, curve = above.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    drawn = curve.get_xydata()
    np.testing.assert_allclose(drawn[~np.isnan(drawn).any(axis=1)], [[0.15, 0.5], [0.93, 2 / 3]])
    heights = {round(bar.get_center()[0], 2): bar.get_height() for bar in below.patches}
    assert {middle: height for middle, height in heights.items() if height} == {0.15: 2, 0.95: 3}
    assert (above.get_ylabel(), below.get_ylabel()) == ("share of class 1", "slices")


def test_predictions_are_sorted_into_the_four_outcomes():
    images = _slices()
    figure = figure_predictions(
        images, TRUTH, SCORES, threshold=0.5, labels=("normal", "stroke"), columns=3
    )
    assert _titles(figure) == [
        "stroke / 0.20",
        "normal / 0.70",
        "stroke / 0.90",
        "stroke / 0.60",
        "normal / 0.10",
    ]
    np.testing.assert_array_equal(_shown(figure)[0].images[0].get_array(), images[1])


def test_predictions_name_an_outcome_that_did_not_happen():
    figure = figure_predictions(
        _slices(1), [1], [0.9], threshold=0.5, labels=("normal", "stroke"), columns=2
    )
    assert [axes.get_ylabel() for axes in _shown(figure)] == [
        "missed:\nnone",
        "false alarm:\nnone",
        "stroke,\nfound",
        "normal,\npassed:\nnone",
    ]


def test_predictions_show_the_surest_errors_when_there_are_too_many():
    scores = np.array([0.4, 0.1, 0.3])
    figure = figure_predictions(
        _slices(3), [1, 1, 1], scores, threshold=0.5, labels=("normal", "stroke"), columns=2
    )
    assert _titles(figure) == ["stroke / 0.10", "stroke / 0.30"]


def test_predictions_need_an_image_for_each_score():
    with pytest.raises(ValueError, match="`images` must hold 5 slices. Received: 4"):
        figure_predictions(_slices(4), TRUTH, SCORES, threshold=0.5, labels=("a", "b"))


def test_segmentation_outlines_each_class_in_its_own_colour_and_line_style():
    left, right = np.s_[5:15, 3:12], np.s_[20:30, 15:25]
    true = [_mask(ischemia=left, hemorrhage=right), _mask(), _mask(ischemia=left)]
    predicted = [_mask(ischemia=left), _mask(hemorrhage=right), _mask()]
    images = _slices(3, (40, 32, 3))
    figure = figure_segmentation(images, np.array(true)[..., None], predicted, ["a", "b", "c"])
    shown = _shown(figure)
    assert _titles(figure) == [x for t in "abc" for x in (t, "truth", "prediction")]
    assert [len(axes.collections) for axes in shown] == [0, 2, 1, 0, 0, 1, 0, 1, 0]
    np.testing.assert_array_equal(shown[0].images[0].get_array(), images[0, ..., 0])
    ischemia, hemorrhage = shown[1].collections
    assert ischemia.get_edgecolor()[0, 2] == 1  # blue
    assert hemorrhage.get_edgecolor()[0, :3].argmax() == 1  # green
    assert ischemia.get_linestyle() != hemorrhage.get_linestyle()


def test_operations_that_are_switched_off_have_no_row():
    images = tf.random.stateless_uniform((2, 16, 16, 3), (0, 1), maxval=255)
    strength = AugmentStrength(contrast=0, noise=0.1)
    figure = draw_augmentations(
        tf.data.Dataset.from_tensors((images, [0, 1])), strength=strength, seed=0
    )
    shown = {text.get_text() for axes in figure.axes for text in axes.texts}
    shown |= {axes.get_ylabel() for axes in figure.axes}
    assert {"as it is", "rotate", "mirror", "roi", "brightness", "noise"} <= shown
    assert not shown & {"contrast", "gamma", "elastic"}


def test_augmentations_have_one_row_for_each_operation():
    rows = {"original": _slices(1), "rotation": _slices(3, (40, 32, 1))}
    figure = figure_augmentations(rows)
    assert len(_shown(figure)) == 4
    assert [axes.get_ylabel() for axes in _shown(figure)] == ["original", "rotation", "", ""]


def test_a_gallery_names_each_slice_and_outlines_the_masks_it_has():
    masks = np.zeros((5, 40, 32), np.uint8)
    masks[2, 5:12, 5:12] = 1
    figure = figure_gallery(_slices(5, (40, 32)), list("abcde"), masks=masks)
    assert [axes.get_title() for axes in _shown(figure)] == list("abcde")
    assert [len(axes.collections) for axes in _shown(figure)] == [0, 0, 1, 0, 0]


def _all_figures():
    images = RNG.normal(90, 12, (24, 224, 224)).clip(0, 255)
    truth = RNG.integers(0, 2, 24)
    scores = RNG.random(24)
    masks = np.zeros((6, 224, 224), np.uint8)
    masks[:, 50:90, 60:100], masks[:, 120:150, 60:100] = 1, 2
    return {
        "history": lambda: figure_history(HISTORY),
        "confusion": lambda: figure_confusion(Counts(1, 2, 3, 4), ("no stroke", "stroke")),
        "roc": lambda: figure_roc(truth, scores, 0.5),
        "reliability": lambda: figure_reliability(reliability(truth, scores)),
        "predictions": lambda: figure_predictions(
            images, truth, scores, threshold=0.5, labels=("no stroke", "stroke")
        ),
        "segmentation": lambda: figure_segmentation(images[:6], masks, masks, list("abcdef")),
        "gallery": lambda: figure_gallery(images[:12], [""] * 12, masks=np.tile(masks, (2, 1, 1))),
        "augmentations": lambda: figure_augmentations(
            {name: images[:4] for name in ("original", "rotation", "contrast", "mirror", "roi")}
        ),
    }


@pytest.mark.parametrize("name", _all_figures())
def test_a_saved_figure_is_a_png_small_enough_to_embed_even_of_noisy_slices(
    tmp_path, name, monkeypatch, coarse_figures
):
    monkeypatch.setattr("stroke_tf.run_folder.DPI", coarse_figures)
    path = tmp_path / "figures" / f"{name}.png"
    save_figure(_all_figures()[name](), path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert 300 < picture.width <= 1300
    assert path.stat().st_size < 300_000
    assert list(path.parent.iterdir()) == [path]


def test_saving_clears_the_figure(tmp_path):
    figure = figure_history(HISTORY)
    save_figure(figure, tmp_path / "x.png")
    assert figure.axes == []


def test_figures_leave_the_style_of_other_figures_alone():
    before = figures.mpl.rcParams.copy()
    figure_history(HISTORY)
    assert figures.mpl.rcParams == before
