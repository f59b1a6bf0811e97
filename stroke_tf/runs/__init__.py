"""One run from its settings to its metrics: the folder, training, test, cross-validation."""
