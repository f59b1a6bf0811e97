"""From pictures of any size to masks. Needs TensorFlow."""

from stroke_tf.inference.predict import predict_masks, predict_probs

__all__ = ["predict_masks", "predict_probs"]
