import os
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from stroke_tf.models import unet as unet_module
from stroke_tf.models.backbones import preprocess
from stroke_tf.models.unet import ENCODERS, build_unet
from stroke_tf.training.losses import LOSSES

SIZE = 64
FILTERS = (8, 8, 4, 4, 4)
WIDTHS = {"unet": FILTERS, "fpn": (8,), "linknet": (4,), "pspnet": (8,)}
V2_FILE = "mobilenet_v2_1.0_224_no_top.weights.h5"


def build(encoder="mobilenetv2", architecture="unet", **options):
    size = {"inceptionv3": 96}.get(encoder, SIZE) if architecture != "pspnet" else 96
    return build_unet(
        encoder,
        architecture=architecture,
        image_size=size,
        decoder_filters=WIDTHS[architecture],
        **options,
    )


def network_of(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def random_pixels(model):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def loaded_elsewhere(model, pixels, folder):
    """The probabilities of the saved model in a process that knows Keras only."""
    model.save(folder / "model.keras")
    np.save(folder / "pixels.npy", pixels)
    code = (
        "import sys, keras, numpy as np; model = keras.models.load_model('model.keras'); "
        "np.save('probs.npy', model(np.load('pixels.npy'))); "
        "sys.exit('segmentation_models' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=900)
    return np.load(folder / "probs.npy")


def batch_norms(model):
    """Those of the encoder and of the decoder, which has two for each of five blocks."""
    layers = network_of(model).layers
    norms = [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]
    return norms[:-10], norms[-10:]


@pytest.fixture(scope="module")
def pixels():
    shape = (2, SIZE, SIZE, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(scope="module")
def scratch():
    return build()


@pytest.fixture(scope="module")
def source():
    """A network whose weights and moving statistics differ from fresh ones."""
    keras.utils.set_random_seed(7)
    network = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
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
    return build(weights=weight_file)


@pytest.fixture(scope="module")
def frozen():
    return build(freeze_encoder=True)


def feature_map(model, layer, pixels):
    network = network_of(model)
    return keras.Model(network.inputs[0], network.get_layer(layer).output)(pixels / 127.5 - 1)


@pytest.mark.parametrize("encoder", ["mobilenetv2", "efficientnetb3", "seresnet18"])
def test_all_layers_are_those_of_keras(encoder, request):
    quick = request.getfixturevalue("scratch") if encoder == "mobilenetv2" else build(encoder)
    layers = network_of(quick).layers
    functions = [getattr(layer, "activation", None) for layer in layers]
    modules = {function.__module__ for function in functions if function}
    modules |= {type(layer).__module__ for layer in layers}
    assert all(module.startswith("keras.") for module in modules)
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in layers)


def test_lambda_layers_give_way_to_what_they_compute(pixels, monkeypatch):
    seen = []
    replace = unet_module._of_builtin_layers
    monkeypatch.setattr(
        unet_module, "_of_builtin_layers", lambda network: replace(seen.append(network) or network)
    )
    network = network_of(build("seresnet18"))
    (before,) = seen
    assert sum(isinstance(layer, keras.layers.Lambda) for layer in before.layers) == 8
    np.testing.assert_array_equal(network(pixels), before(pixels))
    assert {id(weight) for weight in network.weights} == {id(weight) for weight in before.weights}


def test_raw_pixels_give_float32_probabilities_that_sum_to_one(scratch, pixels):
    probs = scratch(pixels).numpy()
    assert probs.shape == (2, SIZE, SIZE, 3) and probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "classes"), [("unet", 1), ("fpn", 3), ("linknet", 1), ("pspnet", 3)]
)
def test_every_architecture_gives_the_probabilities_of_each_pixel(architecture, classes):
    model = build(architecture=architecture, classes=classes)
    pixels = random_pixels(model)
    probs = model(pixels).numpy()
    assert probs.shape == (*pixels.shape[:3], classes) and probs.dtype == np.float32
    assert ((probs > 0) & (probs < 1)).all()
    if classes > 1:
        np.testing.assert_allclose(probs.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", WIDTHS)
def test_every_architecture_takes_the_weights_and_trains_its_decoder_only(
    architecture, weight_file, source
):
    model = build(architecture=architecture, weights=weight_file, freeze_encoder=True)
    network, encoder = network_of(model), {layer.name for layer in source.layers}
    for name in ("Conv1", "block_3_expand", "block_5_project_BN"):
        expected = source.get_layer(name).get_weights()
        equal = zip(network.get_layer(name).get_weights(), expected, strict=True)
        assert all(np.array_equal(a, b) for a, b in equal)
    weighted = [layer for layer in network.layers if layer.weights]
    assert all(layer.trainable == (layer.name not in encoder) for layer in weighted)
    norms = (keras.layers.BatchNormalization,)
    decoder = [layer for layer in weighted if layer.trainable]
    assert all(layer.momentum == 0.9 for layer in decoder if isinstance(layer, norms))
    # The head trains: it is what gives the classes.
    assert any(layer.output.shape[-1] == 3 for layer in decoder)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["fpn", "linknet", "pspnet"])
def test_the_other_architectures_load_without_their_library(architecture, tmp_path):
    model = build(architecture=architecture)
    pixels = random_pixels(model)
    probs = loaded_elsewhere(model, pixels, tmp_path)
    np.testing.assert_allclose(probs, model(pixels), atol=1e-6)


def test_the_encoders_are_those_of_the_library_that_keras_3_can_build():
    others = set(unet_module.sm.get_available_backbone_names()) - set(ENCODERS)
    assert others == {"densenet121", "densenet169", "densenet201"}
    for encoder in others:
        with pytest.raises(ValueError, match="cannot contain character"):
            unet_module.sm.Unet(encoder, encoder_weights=None, input_shape=(64, 64, 3))


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_trains_and_loads_without_its_library(encoder, tmp_path):
    model = build(encoder)
    pixels = random_pixels(model)
    ids = np.zeros((*pixels.shape[:3], 1), np.uint8)
    trainee = keras.Model(model.inputs, model.outputs)
    trainee.compile(
        optimizer=keras.optimizers.SGD(1e-4), loss=LOSSES["dice+ce"](), run_eagerly=True
    )
    before = model.get_weights()[0]
    assert np.isfinite(trainee.train_on_batch(pixels, ids))
    assert not np.array_equal(before, model.get_weights()[0])
    probs = loaded_elsewhere(model, pixels, tmp_path)
    np.testing.assert_allclose(probs, model(pixels), atol=1e-5)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_preprocessing_is_that_of_segmentation_models(encoder):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)
    images = keras.Input((4, 5, 3))
    first_layers = keras.Model(images, preprocess(images, ENCODERS[encoder].preprocessing))
    expected = unet_module.sm.get_preprocessing(encoder)(pixels.copy())
    np.testing.assert_allclose(first_layers(pixels), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("layer", ["block_1_expand_relu", "block_13_expand_relu", "out_relu"])
def test_the_encoder_is_keras_applications_with_the_file(layer, source, loaded, pixels):
    expected = keras.Model(source.inputs[0], source.get_layer(layer).output)(pixels / 127.5 - 1)
    np.testing.assert_allclose(feature_map(loaded, layer, pixels), expected, atol=1e-4)


def test_loaded_batch_norms_are_frozen_but_nothing_else(loaded):
    encoder, decoder = batch_norms(loaded)
    assert not any(layer.trainable for layer in encoder) and len(encoder) == 52
    assert all(layer.trainable and layer.momentum == 0.9 for layer in decoder)
    assert network_of(loaded).get_layer("Conv1").trainable


def test_fresh_batch_norms_follow_quickly(scratch):
    encoder, decoder = batch_norms(scratch)
    assert all(layer.trainable and layer.momentum == 0.9 for layer in encoder + decoder)


def test_a_frozen_encoder_leaves_the_decoder_to_train(frozen):
    layers = {variable.path.split("/")[-2] for variable in frozen.trainable_variables}
    blocks = {f"decoder_stage{i}{part}" for i in range(5) for part in "ab"}
    expected = {f"{block}_{kind}" for block in blocks for kind in ("conv", "bn")}
    assert layers == expected | {"final_conv"}


def test_a_saved_model_keeps_what_is_frozen(loaded, pixels, tmp_path):
    loaded.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(pixels), loaded(pixels))
    encoder, decoder = batch_norms(again)
    assert not any(layer.trainable for layer in encoder)
    assert all(layer.trainable and layer.momentum == 0.9 for layer in decoder)


def test_equal_seeds_give_equal_weights(scratch, frozen):
    equal = zip(scratch.get_weights(), frozen.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in equal)
    other = build(seed=1)
    assert not np.array_equal(scratch.get_weights()[0], other.get_weights()[0])


def test_the_output_stays_float32_in_mixed_precision(pixels):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build("resnet18")
    finally:
        keras.config.set_dtype_policy("float32")
    assert network_of(model).get_layer("conv0").compute_dtype == "float16"
    assert model(pixels).dtype == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "densenet121"}, "densenet121 needs .architecture. composed or joint"),
        ({"architecture": "unet++"}, r"one of \['fpn', .*'unet'\]. Received: 'unet\+\+'"),
        ({"image_size": 100}, "multiple of 32 for unet .* Received: 100"),
        ({"image_size": 0}, "multiple of 32 for unet .* Received: 0"),
        (
            {"architecture": "pspnet", "image_size": 256},
            "multiple of 48 for pspnet .* Received: 256",
        ),
        ({"encoder": "inceptionv3", "image_size": 64}, ">= 75 for inceptionv3. Received: 64"),
        ({"classes": 0}, "`classes` must be >= 1. Received: 0"),
        (
            {"decoder_filters": (8, 8)},
            r"Unet must be like \(256, 128, 64, 32, 16\). Received: \(8, 8\)",
        ),
        (
            {"architecture": "fpn", "decoder_filters": (8, 8)},
            r"FPN must be like \(256,\). Received: \(8, 8\)",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build_unet(**options)


def test_a_failed_download_names_the_choices(monkeypatch):
    def fail(*args, **kwargs):
        raise Exception("URL fetch failure")  # what Keras raises

    monkeypatch.setattr(unet_module.sm._KERAS_UTILS, "get_file", fail)
    with pytest.raises(OSError) as error:
        build("resnet18", weights="imagenet")
    for part in ("resnet18", "--weights None", "ct-ich-haemorrhage", "weights get", "FILE", "URL"):
        assert part in str(error.value)


@pytest.mark.slow
def test_a_fresh_process_imports_it_whatever_the_framework_variable_says():
    code = (
        "import os, stroke_tf.models.unet as unet; "
        "print(os.environ['SM_FRAMEWORK'], unet.sm.framework())"
    )
    root = str(Path(unet_module.__file__).parents[2])
    environment = os.environ | {"SM_FRAMEWORK": "keras", "PYTHONPATH": root}
    printed = subprocess.check_output(
        [sys.executable, "-c", code], env=environment, text=True, timeout=300
    )
    assert printed == "keras tf.keras\n"


@pytest.mark.parametrize("value", ["keras", "", None])
def test_the_import_leaves_the_framework_variable_as_it_was(value, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("segmentation_models")]:
        monkeypatch.delitem(sys.modules, name)
    if value is None:
        monkeypatch.delenv("SM_FRAMEWORK", raising=False)
    else:
        monkeypatch.setenv("SM_FRAMEWORK", value)
    assert unet_module._import_segmentation_models().framework() == "tf.keras"
    assert os.environ.get("SM_FRAMEWORK") == value
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_the_pretrained_encoder_gives_its_features(pretrained, pixels, monkeypatch):
    monkeypatch.setenv("STROKE_TF_WEIGHTS", str(pretrained))
    network = keras.applications.MobileNetV2(
        include_top=False, input_shape=(SIZE, SIZE, 3), weights=str(pretrained / V2_FILE)
    )
    expected = keras.Model(network.inputs[0], network.get_layer("block_13_expand_relu").output)
    features = feature_map(build(weights=V2_FILE), "block_13_expand_relu", pixels)
    np.testing.assert_allclose(features, expected(pixels / 127.5 - 1), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", WIDTHS)
def test_every_architecture_takes_the_pretrained_encoder(architecture, pretrained):
    with h5py.File(pretrained / V2_FILE) as file:
        expected = file["layers/conv2d/vars/0"][()]
    model = build(architecture=architecture, weights=pretrained / V2_FILE)
    np.testing.assert_array_equal(network_of(model).get_layer("Conv1").kernel, expected)
