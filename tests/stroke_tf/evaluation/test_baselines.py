import numpy as np
import pytest

from stroke_tf.evaluation.baselines import fit_histogram_baseline, histogram_features


def _slices(n):
    """Slices of which every other one holds a bright blob, anywhere."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (n, 12, 13), dtype=np.uint8)
    for image in images[1::2]:
        row, column = rng.integers(0, 9, 2)
        image[row : row + 3, column : column + 3] = 230
    return images, np.arange(n) % 2


def test_histogram_by_hand():
    image = np.array([[0, 7, 8, 255]], np.uint8)  # bins of 8 grey levels
    features = histogram_features(np.stack([image, np.full_like(image, 128)]))
    expected = np.zeros((2, 32))
    expected[0, [0, 1, 31]] = 2 / 4, 1 / 4, 1 / 4
    expected[1, 16] = 1
    assert features.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("images", "received"),
    [
        (np.zeros((2, 4, 4)), "float64 of shape \\(2, 4, 4\\)"),
        (np.zeros((4, 4), np.uint8), "uint8 of shape \\(4, 4\\)"),
        (np.zeros((0, 4, 4), np.uint8), "uint8 of shape \\(0, 4, 4\\)"),
    ],
)
def test_histogram_rejects(images, received):
    with pytest.raises(ValueError, match=f"must be uint8 of shape .* Received: {received}"):
        histogram_features(images)


def test_baseline_finds_a_bright_lesion_in_new_slices():
    images, truth = _slices(60)
    features = histogram_features(images)
    scores = fit_histogram_baseline(features[:40], truth[:40]).predict_proba(features[40:])
    assert scores.shape == (20, 2)
    assert ((scores[:, 1] > 0.5) == truth[40:]).all()


def test_baseline_does_not_see_where_pixels_are():
    images, _ = _slices(20)
    moved = images.reshape(20, -1)[:, ::-1].reshape(20, 13, 12)
    assert histogram_features(moved).tolist() == histogram_features(images).tolist()


def test_baseline_weighs_classes_equally():
    features = np.zeros((20, 32))  # nothing to learn: 2 strokes among 20 slices
    scores = fit_histogram_baseline(features, [1] * 2 + [0] * 18).predict_proba(features)
    assert scores[:, 1] == pytest.approx(0.5, abs=1e-4)
