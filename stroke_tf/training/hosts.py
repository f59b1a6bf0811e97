"""One training by several processes, such as one on each host: Keras on JAX.

Every process makes the same batches, and every device computes its share of each; so a training
over several hosts is the training of one, up to rounding, also where a batch does not divide by the
number of devices. Knows nothing of who starts the processes.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class _SharedBatches(keras.distribution.DataParallel):
    """Whole batches in, of which each device computes its share.

    Keras' own DataParallel makes all batches in every process too, and then throws the others'
    shares away. It cannot take a batch that does not divide by the number of devices.
    """

    def __init__(self) -> None:
        super().__init__(auto_shard_dataset=False)

    def get_data_layout(self, data_shape: tuple[int, ...]) -> keras.distribution.TensorLayout:
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    def get_tensor_layout(self, path: str) -> keras.distribution.TensorLayout:
        return keras.distribution.TensorLayout([self.batch_dim_name], self.device_mesh)


def join_hosts() -> None:
    """Makes this process one of those that train together; waits for the others.

    To be called before any model is built, with Keras on JAX and its three variables set:
    KERAS_DISTRIBUTION_JOB_ADDRESSES (HOST:PORT of process 0), KERAS_DISTRIBUTION_NUM_PROCESSES and
    KERAS_DISTRIBUTION_PROCESS_ID (from 0). Models built from now on are shared.

    Raises:
        RuntimeError: If Keras runs on another backend, or not all processes come within minutes.
    """
    if keras.backend.backend() != "jax":
        raise RuntimeError(
            "several hosts need KERAS_BACKEND=jax. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
        )
    tf.config.set_visible_devices([], "GPU")  # TensorFlow makes batches only, GPUs are for JAX
    keras.distribution.initialize()
    keras.distribution.set_distribution(_SharedBatches())


def is_leader() -> bool:
    """Returns whether this process keeps its files: process 0, or the only one."""
    if not _has_joined():
        return True
    import jax

    return jax.process_index() == 0


def meet_hosts(known: Any) -> None:
    """Waits until all processes are here and checks that they know the same; alone it does nothing.

    Args:
        known: What must be equal in all of them, of values JSON can hold.

    Raises:
        ValueError: If another process knows something else.
    """
    if not _has_joined():
        return
    from jax.experimental import multihost_utils

    text = json.dumps(known, sort_keys=True)
    checksum = np.uint32(zlib.crc32(text.encode()))
    if np.any(multihost_utils.process_allgather(checksum) != checksum):
        raise ValueError(
            "all hosts must have the same records, settings and folder of results. "
            f"Received here, and something else on another host: {text}"
        )


def _has_joined() -> bool:
    return isinstance(keras.distribution.distribution(), _SharedBatches)
