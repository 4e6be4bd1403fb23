"""Sharing rows out between training, validation and test; `data.split` is the door."""
