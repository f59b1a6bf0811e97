"""Every table of both papers by one command: planned, estimated, run row by row, written down."""
