import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from stroke_tf.labels import Task
from stroke_tf.models.backbones import BACKBONES, unfreeze, with_earlier_maps
from stroke_tf.models.classifier import build_classifier
from stroke_tf.models.custom_cnn import CUSTOM_CNNS
from stroke_tf.models.heads import split_head

SIZE = 32
V2_FILE = "mobilenet_v2_1.0_224_no_top.weights.h5"


def backbone_of(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def batch_norms(model):
    layers = model.layers
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


@pytest.fixture(scope="module")
def pixels():
    shape = (4, SIZE, SIZE, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(scope="module")
def scratch():
    return build_classifier("mobilenet025", image_size=SIZE)


@pytest.fixture(scope="module")
def source():
    """A network whose weights and moving statistics differ from fresh ones."""
    keras.utils.set_random_seed(7)
    network = keras.applications.MobileNet(
        alpha=0.25, include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
    )
    random = np.random.default_rng(0)
    network.set_weights([w * random.uniform(0.8, 1.2, w.shape) for w in network.get_weights()])
    return network


@pytest.fixture(scope="module")
def weight_file(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "source.weights.h5"
    source.save_weights(path)
    return path


@pytest.fixture(scope="module")
def loaded(weight_file):
    return build_classifier("mobilenet025", image_size=SIZE, weights=weight_file)


@pytest.mark.parametrize("task", [Task.DETECT, Task.TYPE])
def test_raw_pixels_give_one_float32_probability_each(task, pixels):
    model = build_classifier("mobilenet025", task=task, image_size=SIZE)
    probs = model(pixels).numpy()
    assert probs.shape == (4, 1) and probs.dtype == np.float32
    assert ((probs > 0) & (probs < 1)).all()


def test_the_head_is_that_of_the_usth_report(scratch):
    pool, dropout, dense, probs = scratch.layers[-4:]
    assert isinstance(pool, keras.layers.GlobalAveragePooling2D)
    assert dropout.rate == 0.3
    assert (dense.units, dense.activation) == (128, keras.activations.relu)
    assert (probs.units, probs.activation) == (1, keras.activations.sigmoid)


def test_features_are_those_of_keras_applications_with_the_file(source, loaded, pixels):
    features = keras.Model(loaded.inputs[0], loaded.get_layer("pool").input)(pixels)
    prepared = keras.applications.mobilenet.preprocess_input(pixels.copy())
    np.testing.assert_allclose(features, source(prepared), rtol=1e-5, atol=1e-6)


def test_loaded_batch_norms_use_their_statistics_while_training(loaded, pixels):
    network = backbone_of(loaded)
    assert len(batch_norms(network)) == 27
    assert not any(layer.trainable for layer in batch_norms(network))
    assert network.get_layer("conv1").trainable
    while_training = network(pixels / 127.5 - 1, training=True)
    np.testing.assert_array_equal(while_training, network(pixels / 127.5 - 1, training=False))


def test_fresh_batch_norms_follow_a_tenth_of_each_batch(pixels):
    model = build_classifier("mobilenet025", image_size=SIZE)
    network = backbone_of(model)
    model(pixels, training=True)
    before = keras.Model(network.inputs[0], network.get_layer("conv1_bn").input)(pixels / 127.5 - 1)
    expected = 0.1 * before.numpy().mean(axis=(0, 1, 2))
    np.testing.assert_allclose(network.get_layer("conv1_bn").moving_mean, expected, atol=1e-5)


def test_a_frozen_backbone_leaves_the_head_to_train():
    model = build_classifier("mobilenet025", image_size=SIZE, trainable=False)
    names = [variable.path.split("/")[-2] for variable in model.trainable_variables]
    assert names == ["dense", "dense", "probs", "probs"]


@pytest.mark.parametrize("kind", ["scratch", "loaded"])
def test_a_saved_model_loads_as_it_was(kind, pixels, tmp_path, request):
    model = request.getfixturevalue(kind)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(pixels), model(pixels))
    now, then = batch_norms(backbone_of(again)), batch_norms(backbone_of(model))
    assert [(n.trainable, n.momentum) for n in now] == [(t.trainable, t.momentum) for t in then]
    assert not again.compiled


def test_equal_seeds_give_equal_weights(scratch):
    keras.layers.Dense(3).build((2, 2))  # layers made in between change nothing
    same = build_classifier("mobilenet025", image_size=SIZE, seed=0).get_weights()
    other = build_classifier("mobilenet025", image_size=SIZE, seed=1).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(scratch.get_weights(), same, strict=True))
    assert not np.array_equal(scratch.get_weights()[0], other[0])


def test_the_output_stays_float32_in_mixed_precision(pixels):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build_classifier("mobilenet025", image_size=SIZE)
    finally:
        keras.config.set_dtype_policy("float32")
    assert backbone_of(model).get_layer("conv1").compute_dtype == "float16"
    assert model(pixels).dtype == "float32"


def test_a_segmentation_task_is_refused():
    with pytest.raises(ValueError, match="detect or type. Received: segment"):
        build_classifier("mobilenet025", task=Task.SEGMENT)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_a_file_of_another_network_is_refused_by_name(tmp_path):
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match="other.weights.h5: must hold weights of mobilenet025"):
        build_classifier("mobilenet025", image_size=SIZE, weights=tmp_path / "other.weights.h5")


def test_a_file_that_holds_no_weights_is_refused_by_name(tmp_path):
    path = tmp_path / "text.weights.h5"
    path.write_text("not weights")
    with pytest.raises(ValueError, match="text.weights.h5: must hold weights of mobilenet025"):
        build_classifier("mobilenet025", image_size=SIZE, weights=path)


def test_a_failed_download_names_the_choices(monkeypatch):
    def fail(*args, **kwargs):
        raise Exception("URL fetch failure")  # what Keras raises

    monkeypatch.setattr(file_utils, "get_file", fail)
    with pytest.raises(OSError) as error:
        build_classifier("mobilenet025", image_size=128, weights="imagenet")
    for part in (
        "mobilenet025",
        "--weights None",
        "ct-ich-haemorrhage",
        "weights get",
        "FILE",
        "URL",
    ):
        assert part in str(error.value)


def test_the_pretrained_mobilenetv2_gives_its_features(pretrained, monkeypatch):
    monkeypatch.setenv("STROKE_TF_WEIGHTS", str(pretrained))
    model = build_classifier("mobilenetv2", image_size=64, weights=V2_FILE)
    network = keras.applications.MobileNetV2(
        include_top=False, input_shape=(64, 64, 3), weights=str(pretrained / V2_FILE)
    )
    pixels = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    expected = network(keras.applications.mobilenet_v2.preprocess_input(pixels.copy())).numpy()
    features = keras.Model(model.inputs[0], model.get_layer("pool").input)(pixels, training=True)
    np.testing.assert_allclose(features, expected, atol=1e-4)
    assert (expected > 0).mean() > 0.05  # alive, also in training mode


def test_the_pretrained_mobilenet025_loads(pretrained, monkeypatch):
    monkeypatch.setenv("STROKE_TF_WEIGHTS", str(pretrained))
    name = "mobilenet_1_0_25_224_no_top.weights.h5"
    model = build_classifier("mobilenet025", image_size=SIZE, weights=name)
    statistics = backbone_of(model).get_layer("conv1_bn").moving_variance.numpy()
    assert not np.allclose(statistics, 1)


QUICK = ("mobilenet025", "resnet18", "cnn-type")


@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in (*BACKBONES, *CUSTOM_CNNS)
    ],
)
def test_every_classifier_learns_and_loads_again(backbone, tmp_path):
    size = BACKBONES[backbone].min_size if backbone in BACKBONES else SIZE
    model = build_classifier(backbone, image_size=size, dense_units=4)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    before = model.trainable_variables[0].numpy()
    loss = keras.losses.SparseCategoricalCrossentropy()
    if model.output_shape[-1] == 1:
        loss = keras.losses.BinaryCrossentropy()
    model.compile(optimizer=keras.optimizers.SGD(1e-3), loss=loss, run_eagerly=True)
    assert np.isfinite(model.train_on_batch(pixels, np.array([[0.0], [1.0]])))
    assert not np.array_equal(model.trainable_variables[0].numpy(), before)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(again(pixels), model(pixels), rtol=1e-5)


@pytest.mark.parametrize("head", ["usth-type", "usth-cnn", "saucis"])
def test_softmax_heads_give_two_probabilities_that_sum_to_one(head, pixels):
    model = build_classifier("mobilenet025", image_size=SIZE, head=head)
    probs = model(pixels).numpy()
    assert probs.shape == (4, 2) and probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-6)


def test_mean_and_maximum_make_one_vector(pixels, loaded, weight_file):
    model = build_classifier(
        "mobilenet025", image_size=SIZE, weights=weight_file, pooling="avg+max"
    )
    feature_map = keras.Model(loaded.inputs[0], loaded.get_layer("pool").input)(pixels).numpy()
    expected = np.hstack([feature_map.mean(axis=(1, 2)), feature_map.max(axis=(1, 2))])
    pooled = keras.Model(model.inputs[0], model.get_layer("pool").output)(pixels)
    np.testing.assert_allclose(pooled, expected, rtol=1e-5)


@pytest.fixture(scope="module")
def layered(weight_file):
    return build_classifier(
        "mobilenet025",
        image_size=SIZE,
        weights=weight_file,
        pooling="layers",
        head="linear",
        trainable=False,
    )


def test_mean_and_maximum_of_each_size_make_one_vector(layered, source, pixels):
    expected = []
    for each in with_earlier_maps(source)(pixels / 127.5 - 1):
        expected += [each.numpy().mean(axis=(1, 2)), each.numpy().max(axis=(1, 2))]
    channels = [output.shape[-1] for output in backbone_of(layered).outputs]
    features, _ = split_head(layered)
    assert features.output_shape == (None, 2 * sum(channels))
    assert len(channels) >= 4 and channels[0] == 256
    np.testing.assert_allclose(features(pixels), np.hstack(expected), rtol=1e-4, atol=1e-5)


def test_a_classifier_on_several_maps_is_one_backbone_that_loads_and_unfreezes(
    layered, pixels, tmp_path
):
    dense = layered.get_layer("probs")
    dense.set_weights([np.full(dense.kernel.shape, 0.01), np.zeros(1)])
    layered.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(model(pixels), layered(pixels), rtol=1e-5)
    assert len(split_head(model)[0].outputs) == 1
    assert [layer.name for layer in model.layers if isinstance(layer, keras.Model)] == [
        "mobilenet025"
    ]
    assert [weight.path for weight in model.trainable_weights] == ["probs/kernel", "probs/bias"]
    unfreeze(model, "conv_dw_13")
    paths = [weight.path for weight in model.trainable_weights]
    assert paths == ["conv_dw_13/kernel", "conv_pw_13/kernel", "probs/kernel", "probs/bias"]


@pytest.mark.parametrize(
    "backbone",
    [
        pytest.param(name, marks=() if name == "mobilenet025" else pytest.mark.slow)
        for name in BACKBONES
    ],
)
def test_every_backbone_learns_under_several_maps_and_loads_again(backbone, tmp_path):
    size = max(64, BACKBONES[backbone].min_size)
    model = build_classifier(backbone, image_size=size, pooling="layers", head="linear")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(pixels), [[0.5], [0.5]])
    before = model.get_layer("probs").kernel.numpy()
    loss = keras.losses.BinaryCrossentropy()
    model.compile(optimizer=keras.optimizers.SGD(1e-3), loss=loss, run_eagerly=True)
    assert np.isfinite(model.train_on_batch(pixels, np.array([[0.0], [1.0]])))
    assert not np.array_equal(model.get_layer("probs").kernel.numpy(), before)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(again(pixels), model(pixels), rtol=1e-5)


def test_a_block_name_unfreezes_from_there_but_for_pretrained_batch_norms(weight_file):
    model = build_classifier(
        "mobilenet025", image_size=SIZE, weights=weight_file, trainable="conv_dw_13"
    )
    paths = [variable.path for variable in model.trainable_variables]
    assert paths == [
        "conv_dw_13/kernel",
        "conv_pw_13/kernel",
        "dense/kernel",
        "dense/bias",
        "probs/kernel",
        "probs/bias",
    ]


def test_a_frozen_classifier_loaded_from_disk_can_be_unfrozen(weight_file, pixels, tmp_path):
    frozen = build_classifier("mobilenet025", image_size=SIZE, weights=weight_file, trainable=False)
    frozen.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    unfreeze(model, "all")
    network = backbone_of(model)
    assert network.get_layer("conv1").trainable
    assert not any(layer.trainable for layer in batch_norms(network))
    prepared = pixels / 127.5 - 1
    np.testing.assert_array_equal(network(prepared, training=True), network(prepared))


@pytest.mark.slow
def test_a_backbone_with_layers_inside_layers_can_be_unfrozen_from_disk(tmp_path):
    frozen = build_classifier("convnexttiny", image_size=SIZE, trainable=False)
    frozen.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    unfreeze(model, "all")
    assert len(model.trainable_weights) == len(model.weights)


def test_a_frozen_scratch_backbone_gets_its_batch_norms_back():
    model = build_classifier("mobilenet025", image_size=SIZE, trainable=False)
    unfreeze(model, "all")
    assert all(layer.trainable for layer in batch_norms(backbone_of(model)))


def test_a_partly_frozen_classifier_loads_partly_frozen(tmp_path):
    model = build_classifier("mobilenet025", image_size=SIZE, trainable="conv_dw_12")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    expected = [variable.path for variable in model.trainable_variables]
    assert [variable.path for variable in again.trainable_variables] == expected
    assert expected[0] == "conv_dw_12/kernel"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "alexnet"}, "cnn-detect.*mobilenetv2.*Received: 'alexnet'"),
        ({"head": "big"}, "`head` must be None or one of .*saucis.*Received: 'big'"),
        ({"trainable": "block5"}, "one of .*conv_dw_13.*Received: 'block5'"),
        ({"backbone": "cnn-type", "pooling": "layers"}, "`pooling` must be 'avg' for cnn-type"),
        ({"pooling": "max"}, "one of .'avg', 'avg.max', 'layers'.. Received: 'max'"),
    ],
)
def test_unknown_names_list_the_known_ones(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_classifier(**{"backbone": "mobilenet025", "image_size": SIZE, **arguments})
