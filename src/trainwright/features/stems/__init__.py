"""Modules that turn batch tensors into what encoders take; apart, because they import torch."""
