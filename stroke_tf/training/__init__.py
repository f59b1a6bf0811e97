"""Losses and the one training loop for classifiers and U-Nets."""

from stroke_tf.training.fit import fit, strategy, training_scope
from stroke_tf.training.losses import LOSSES, make_loss
from stroke_tf.training.scores import pixel_scores

__all__ = ["LOSSES", "fit", "make_loss", "pixel_scores", "strategy", "training_scope"]
