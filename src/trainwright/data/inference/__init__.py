"""Telling from its values what a column is; `data.infer` is the door."""
