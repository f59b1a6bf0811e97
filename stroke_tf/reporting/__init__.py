"""Figures, reports and tracking of runs, from the files they leave. Knows nothing of models."""
