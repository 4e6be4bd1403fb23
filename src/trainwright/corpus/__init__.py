"""Corpora for language models: texts from many files, cleaned, without doubles, in shards."""
