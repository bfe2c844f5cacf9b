"""Providers whose capacity moves: who finds it out how well, on virtual time."""
