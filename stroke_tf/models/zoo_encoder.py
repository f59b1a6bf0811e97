"""The encoder of a shipped model, as weights for another network to start from."""

from __future__ import annotations

import keras

from stroke_tf.zoo.shipped import ZOO, network_file


def give_encoder(network: keras.Model, name: str) -> None:
    """Gives a backbone the weights that the encoder of a shipped model has, in place.

    Args:
        network: The backbone as its constructor made it, of any image size.
        name: A key of ZOO, whose backbone it is.

    Raises:
        FileNotFoundError: If the model was not installed with the package.
        ValueError: If its folder is not whole, or its network has no such encoder.
    """
    backbone, file = ZOO[name].backbone, network_file(name)
    whole = keras.models.load_model(file, compile=False, safe_mode=True)
    networks = {layer.name: layer for layer in whole.layers if isinstance(layer, keras.Model)}
    if backbone not in networks:
        raise ValueError(f"{file} must hold an encoder {backbone}. Received: {sorted(networks)}")
    values = {layer.name: layer.get_weights() for layer in networks[backbone].layers}
    for layer in network.layers:
        if layer.weights:
            layer.set_weights(values[layer.name])
