import keras
import numpy as np
import pytest

from stroke_tf.models.classifier import build_classifier
from stroke_tf.models.heads import HEADS, pool, split_head

SIZE = 32


@pytest.fixture(scope="module")
def pixels():
    shape = (4, SIZE, SIZE, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def built(head, **options):
    options = {"dropout": 0.25, "dense_units": 8, **options}
    features = keras.Input((6,))
    return keras.Model(features, HEADS[head](features, **options))


@pytest.mark.parametrize(
    ("head", "layers", "outputs"),
    [
        ("usth-detect", ["dropout", "dense", "probs"], 1),
        ("usth-type", ["batch_norm", "dropout", "probs"], 2),
        ("usth-cnn", ["dense", "dropout", "probs"], 2),
        ("saucis", ["probs"], 2),
        ("linear", ["batch_norm", "dropout", "probs"], 1),
    ],
)
def test_each_head_is_the_layers_its_paper_names(head, layers, outputs):
    model = built(head)
    assert [layer.name for layer in model.layers[1:]] == layers
    activations = {1: keras.activations.sigmoid, 2: keras.activations.softmax}
    assert model.get_layer("probs").activation is activations[outputs]
    assert model.output_shape == (None, outputs)
    if "dropout" in layers:
        assert model.get_layer("dropout").rate == 0.25
    if "dense" in layers:
        assert model.get_layer("dense").units == 8


def test_the_batch_norm_of_a_head_forgets_its_beginning_fast():
    layer = built("usth-type").get_layer("batch_norm")
    assert (layer.trainable, layer.momentum) == (True, 0.9)


def test_a_small_lesion_shows_in_the_maximum():
    feature_map = np.zeros((1, 10, 10, 2), np.float32)
    feature_map[0, 3, 4] = (5, 7)
    images = keras.Input((10, 10, 2))
    mean = keras.Model(images, pool([images], "avg"))
    both = keras.Model(images, pool([images], "avg+max"))
    np.testing.assert_allclose(mean(feature_map), [[0.05, 0.07]], rtol=1e-6)
    np.testing.assert_allclose(both(feature_map), [[0.05, 0.07, 5, 7]], rtol=1e-6)


def test_several_maps_are_pooled_one_after_the_other_and_others_left_alone():
    random = np.random.default_rng(0)
    maps = [random.normal(size=(2, *shape)).astype(np.float32) for shape in ((2, 3, 5), (4, 6, 2))]
    inputs = [keras.Input(each.shape[1:]) for each in maps]
    expected = [reduce(each, axis=(1, 2)) for each in maps for reduce in (np.mean, np.max)]
    pooled = keras.Model(inputs, pool(inputs, "layers"))(maps)
    np.testing.assert_allclose(pooled, np.hstack(expected), rtol=1e-5, atol=1e-6)
    first = keras.Model(inputs, pool(inputs, "avg"))(maps)
    np.testing.assert_allclose(first, expected[0], rtol=1e-5, atol=1e-6)


def test_the_linear_head_starts_undecided_and_standardises_features():
    model = built("linear")
    features = np.random.default_rng(0).normal(40, 9, (50, 6)).astype(np.float32)
    np.testing.assert_array_equal(model(features), np.full((50, 1), 0.5))
    norm = model.get_layer("batch_norm")
    assert (norm.center, norm.scale, norm.momentum) == (False, False, 0.9)
    seen = keras.Model(model.inputs[0], norm.output)(features, training=True).numpy()
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std(axis=0), 1, atol=1e-3)


@pytest.mark.parametrize("pooling", ["avg", "avg+max"])
@pytest.mark.parametrize("head", ["usth-detect", "usth-type"])
def test_the_parts_of_a_model_give_what_the_model_gives(head, pooling, pixels):
    model = build_classifier("mobilenet025", image_size=SIZE, head=head, pooling=pooling)
    extractor, part = split_head(model)
    features = extractor(pixels)
    assert features.shape == (4, 256 * (1 + (pooling == "avg+max")))
    np.testing.assert_array_equal(part(features), model(pixels))


def test_training_the_head_trains_the_model(pixels, tmp_path):
    model = build_classifier("mobilenet025", image_size=SIZE, head="usth-type", trainable=False)
    extractor, head = split_head(model)
    features, before = extractor(pixels).numpy(), model(pixels).numpy()
    names = ["gamma", "beta", "kernel", "bias"]
    assert [variable.name for variable in head.trainable_variables] == names
    loss = keras.losses.SparseCategoricalCrossentropy()
    head.compile(optimizer=keras.optimizers.Adam(0.1), loss=loss, run_eagerly=True)
    head.fit(x=features, y=np.array([0, 1, 0, 1]), epochs=3, verbose=0)
    after = model(pixels).numpy()
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(after, head(features), rtol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(pixels), after, rtol=1e-6)
    np.testing.assert_allclose(split_head(again)[1](features), after, rtol=1e-6)
