"""One file a feature type: raw values to tensors and back."""
