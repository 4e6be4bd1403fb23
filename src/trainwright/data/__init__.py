"""Rows from anywhere, what their columns are, how they are split, cached and put into batches."""
