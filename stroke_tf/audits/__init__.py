"""What cheats, in data or in a run: leaks, shortcuts, wrong labels, and where a model fails."""
