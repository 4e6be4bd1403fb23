"""Encoders, fusion and heads, and how a model is put together from them."""
