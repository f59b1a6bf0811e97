"""Hyper-parameter search by keras-tuner: what may change, trials, and what is found."""
