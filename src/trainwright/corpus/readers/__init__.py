"""Readers of documents, one file each; `reader.READERS` imports them at the first look-up."""
