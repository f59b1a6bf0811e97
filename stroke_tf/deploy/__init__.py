"""Use of a trained model: scores, masks, volumes and files out of slices."""
