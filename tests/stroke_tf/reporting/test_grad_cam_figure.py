import numpy as np
import pytest
from PIL import Image

from stroke_tf.reporting.grad_cam_figure import figure_grad_cam
from stroke_tf.run_folder import save_figure

RNG = np.random.default_rng(0)


def _slices(n, shape=(40, 32)):
    return RNG.normal(90, 20, (n, *shape)).clip(0, 255).astype(np.float32)


def _heatmap(peak=1.0):
    y, x = np.mgrid[:40, :32]
    return (peak * np.exp(-((x - 10) ** 2 + (y - 20) ** 2) / 50)).astype(np.float32)


def _panels(figure):
    return [axes for axes in figure.axes if axes.images]


def test_each_slice_is_shown_plain_and_under_its_heat():
    images, heatmaps = _slices(4, (40, 32, 3)), [_heatmap()] * 4
    figure = figure_grad_cam(images, heatmaps, list("abcd"))
    panels = _panels(figure)
    assert [len(axes.images) for axes in panels] == [1, 2] * 4
    assert [axes.get_title(loc="left") for axes in panels[::2]] == list("abcd")
    for index, overlaid in enumerate(panels[1::2]):
        picture, heat = overlaid.images
        np.testing.assert_array_equal(picture.get_array(), images[index, ..., 0])
        np.testing.assert_allclose(heat.get_alpha(), 0.5 * heatmaps[index])


def test_the_heat_is_outlined_at_half_and_at_four_fifths():
    (_, overlaid) = _panels(figure_grad_cam(_slices(1), [_heatmap()], ["a"]))
    assert [lines.levels.tolist() for lines in overlaid.collections] == [[0.5], [0.8]]


def test_a_heatmap_without_heat_has_no_outline():
    (_, overlaid) = _panels(figure_grad_cam(_slices(1), [_heatmap(0.0)], ["a"]))
    assert len(overlaid.collections) == 0


@pytest.mark.parametrize(("heatmaps", "titles"), [(1, 2), (2, 1)])
def test_slices_heatmaps_and_titles_must_be_as_many(heatmaps, titles):
    with pytest.raises(ValueError, match="must be as many. Received: "):
        figure_grad_cam(_slices(2), [_heatmap()] * heatmaps, ["a"] * titles)


def test_a_saved_figure_is_small_enough_to_embed(tmp_path):
    path = tmp_path / "grad_cam.png"
    heatmaps = np.kron([_heatmap()] * 6, np.ones((1, 5, 5)))
    save_figure(figure_grad_cam(_slices(6, (200, 160)), heatmaps, list("abcdef")), path)
    with Image.open(path) as picture:
        assert 300 < picture.width <= 1300
    assert path.stat().st_size < 300_000
