"""The one place that changes how a library computes; README.md says what, why and how much."""
