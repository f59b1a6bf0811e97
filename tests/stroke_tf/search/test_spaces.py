import pytest

from stroke_tf.search.spaces import ClassifierSpace, Range, UnetSpace, rounded


def test_a_grid_of_a_range_is_even_on_its_scale():
    assert Range(0.0, 1.0, points=3).grid() == (0.0, 0.5, 1.0)
    assert Range(1e-5, 1e-1, log=True, points=3).grid() == (1e-5, 1e-3, 1e-1)
    assert Range(2.0, 2.0, points=5).grid() == (2.0,)
    assert Range(2.0, 3.0, points=1).grid() == (2.0,)


@pytest.mark.parametrize(
    "bounds", [(2, 1, False, 3), (0, 1, True, 3), (-1, 1, True, 3), (1, 2, False, 0)]
)
def test_a_range_out_of_order_is_refused(bounds):
    low, high, log, points = bounds
    with pytest.raises(ValueError, match="a range must have low <= high"):
        Range(low, high, log=log, points=points)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 0.0), (0.123456, 0.1235), (123456.0, 123500.0), (1.23456e-7, 1.235e-7), (-0.5, -0.5)],
)
def test_numbers_keep_four_digits(value, expected):
    assert rounded(value) == pytest.approx(expected, rel=1e-12)


def test_a_classifier_is_searched_in_what_its_training_uses():
    space = ClassifierSpace(dense_units=())
    assert set(space.of("probe", copies=0)) == {"inverse_penalty"}
    assert set(space.of("frozen", copies=0)) == {"learning_rate", "batch_size", "dropout"}
    assert set(space.of("frozen", copies=2)) - set(space.of("frozen", copies=0)) == {"augmentation"}
    assert {"unfrozen", "augmentation"} <= set(space.of("full", copies=0))
    assert "backbone" in ClassifierSpace(backbone=("a", "b")).of("full", copies=0)


def test_a_unet_is_searched_in_what_its_network_has():
    improved, on_encoder = UnetSpace().of("improved"), UnetSpace(encoder=("a",)).of("unet")
    assert {"depth", "attention", "spatial_dropout"} <= set(improved)
    assert {"encoder", "filters", "loss"} <= set(on_encoder)
    assert "attention" not in on_encoder
    assert "filters" not in UnetSpace().of("fpn")
