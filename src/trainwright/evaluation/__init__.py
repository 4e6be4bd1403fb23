"""How good a model is: metrics with intervals, baselines beside it, curves, slices and a verdict."""
