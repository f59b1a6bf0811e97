"""Speed and memory against the plain way of doing the same, side by side in one run."""
