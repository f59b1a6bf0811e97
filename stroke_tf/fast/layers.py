"""Layers that compute otherwise while a graph is traced, and are as they were after it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from stroke_tf.fast import is_on

Methods = dict[str, Callable[..., Any]]


@contextlib.contextmanager
def swapped_methods(
    model: keras.Model, methods_of: Callable[[keras.Layer], Methods]
) -> Iterator[None]:
    """Meanwhile, layers of a model have other methods, but on other backends than TensorFlow.

    Args:
        model: Any model.
        methods_of: Returns what takes the place of methods of a layer, by their names.
    """
    on = is_on() and keras.backend.backend() == "tensorflow"
    swaps = [(layer, methods_of(layer)) for layer in _layers(model)] if on else []
    for layer, methods in swaps:
        vars(layer).update(methods)
    try:
        yield
    finally:
        for layer, methods in swaps:
            for name in methods:
                vars(layer).pop(name, None)  # a layer that stands twice in the model has one


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer
