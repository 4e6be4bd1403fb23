"""The verbs that join the parts: train, predict, evaluate and the rest."""
