"""What a person reads at the end: report, model card, manifest."""
