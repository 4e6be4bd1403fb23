"""The loop and what it uses: optimisers, schedules, checkpoints, events."""
