"""Counts, the ratios made from them and their intervals. Only `grad_cam` knows TensorFlow."""
