"""What a run leaves on disk, its figures and the report made of them. Knows nothing of models."""
