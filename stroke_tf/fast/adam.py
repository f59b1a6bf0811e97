"""Adam as one operation of TensorFlow for each weight; Keras composes it of about ten."""

from __future__ import annotations

import keras
import tensorflow as tf

from stroke_tf.fast import is_on


def adam() -> type[keras.optimizers.Adam]:
    """Returns the class of Adam to train with; on TensorFlow one operation updates a weight."""
    fused = keras.backend.backend() == "tensorflow" and is_on()
    return FusedAdam if fused else keras.optimizers.Adam


class FusedAdam(keras.optimizers.Adam):
    """Computes what Keras' Adam computes, but for rounding, with fewer passes over the weights."""

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Moves one weight, in place.

        Args:
            gradient: Of the loss by the weight.
            variable: The weight.
            learning_rate: Scalar.
        """
        index, dtype = self._get_variable_index(variable), variable.dtype
        beta_1, beta_2 = (tf.cast(beta, dtype) for beta in (self.beta_1, self.beta_2))
        steps = tf.cast(self.iterations + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**steps,
            beta2_power=beta_2**steps,
            lr=tf.cast(learning_rate, dtype),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )
