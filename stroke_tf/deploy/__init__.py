"""What a user does with a trained model: scores, masks, volumes and files out of slices."""
