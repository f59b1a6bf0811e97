"""Counts, the ratios made from them and their intervals. Knows nothing of TensorFlow."""
