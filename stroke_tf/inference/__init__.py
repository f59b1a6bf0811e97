"""Networks and arrays in, answers out. Needs TensorFlow."""

from stroke_tf.inference.predict import Predictor

__all__ = ["Predictor"]
