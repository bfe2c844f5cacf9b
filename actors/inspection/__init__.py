"""What a run's events say about the run: where its time went, what limited it, and what to change."""
