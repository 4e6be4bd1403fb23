"""One file a task: its loss, its predictions and which metrics judge it."""
