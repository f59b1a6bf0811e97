import keras
import numpy as np
import pytest
from finished_runs import tiny_network

from stroke_tf.deploy.load import load_network
from stroke_tf.deploy.network_file import save_network
from stroke_tf.models.composed import build_composed


@pytest.fixture(scope="module")
def network():
    """A joint network whose batch norms have moved."""
    network = build_composed("mobilenet025", image_size=32, decoder_filters=(8, 4), slice_head=True)
    random = np.random.default_rng(0)
    for layer in network.get_layer("mobilenet025").layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            width = layer.gamma.shape
            layer.moving_mean.assign(random.normal(0, 0.3, width))
            layer.moving_variance.assign(random.uniform(0.05, 2, width))
    return network


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    save_network(network, folder / "whole.keras")
    save_network(network, folder / "half.keras", half=True)
    return folder


def test_half_weights_answer_within_a_hundredth_of_whole_ones(network, files):
    images = np.random.default_rng(1).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    whole, half = (load_network(files / f"{name}.keras")(images) for name in ("whole", "half"))
    for name in ("mask", "slice"):
        assert 0 < np.abs(half[name] - whole[name]).max() < 1e-2


def test_half_weights_are_float32_again_and_each_near_its_own(network, files):
    half = load_network(files / "half.keras")
    assert {str(weight.dtype) for weight in half.weights} == {"float32"}
    for ours, theirs in zip(half.weights, network.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1 / 2000, atol=1e-7)


def test_a_half_file_is_half_as_large_and_the_same_each_time(network, files, tmp_path):
    half = files / "half.keras"
    assert half.stat().st_size < 0.6 * (files / "whole.keras").stat().st_size
    save_network(load_network(half), tmp_path / "again.keras", half=True)
    sizes = [path.stat().st_size for path in (half, tmp_path / "again.keras")]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)


def test_weights_beyond_float16_are_refused_by_name(tmp_path):
    network = tiny_network("score")
    kernel = network.layers[-1].kernel
    kernel.assign(np.full(kernel.shape, 1e5))
    with pytest.raises(ValueError, match="must be below 65504 for float16. Received: 100000.0 in"):
        save_network(network, tmp_path / "large.keras", half=True)
