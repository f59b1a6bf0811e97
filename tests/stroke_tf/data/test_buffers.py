import numpy as np
import tensorflow as tf

from stroke_tf.data.buffers import Buffers


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_an_array_that_nothing_refers_to_is_handed_out_again():
    buffers = Buffers((4, 3, 5))
    first = buffers.take(4)
    assert first.shape == (4, 3, 5) and first.dtype == np.uint8
    place = address(first)
    del first
    assert address(buffers.take(2)) == place


def test_an_array_in_use_is_not_even_through_a_view_of_it():
    buffers = Buffers((4, 3, 5))
    view = buffers.take(4)[1:, ::2].T
    view[...] = 1
    buffers.take(4)[...] = 2
    assert (view == 1).all()


def test_a_tensor_of_numpy_function_keeps_its_array():
    buffers = Buffers((4, 64, 64))

    def fill(value: np.ndarray) -> np.ndarray:
        array = buffers.take(4)
        array[...] = value
        return array

    tensors = [tf.numpy_function(fill, [tf.constant(number)], tf.uint8) for number in range(8)]
    assert [int(tensor[3, -1, -1]) for tensor in tensors] == list(range(8))
