"""Memory for batches that is used again: fresh pages cost more than the work done on them."""

from __future__ import annotations

import mmap
import weakref

import numpy as np


class Buffers:
    """Arrays of one shape. An array that nothing refers to any more is handed out again.

    An array begins at a page of memory, so that TensorFlow makes a tensor of it without a copy. It
    is free once the tensor, its NumPy views and the array itself are gone.

    Args:
        shape: Shape of the largest array, the batch first.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._free: list[mmap.mmap] = []

    def take(self, count: int) -> np.ndarray:
        """Returns a uint8 array of any content for a batch of `count` slices."""
        try:
            memory = self._free.pop()  # several threads take: asking first would be a race
        except IndexError:
            memory = mmap.mmap(-1, int(np.prod(self._shape)))
        array = np.frombuffer(memory, np.uint8)
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array.reshape(self._shape)[:count]
