"""Audits of data and runs: leaks, shortcuts, wrong labels, and where a model fails."""
