"""Rows, folds and seeds to a table, beside the numbers that the papers print."""
