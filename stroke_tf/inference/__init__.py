"""From pictures of any size to masks. Needs TensorFlow."""

from stroke_tf.inference.predict import Predictor, predict_masks

__all__ = ["Predictor", "predict_masks"]
