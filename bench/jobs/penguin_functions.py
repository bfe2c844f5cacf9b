"""The user's own functions of `penguins.toml`."""

from __future__ import annotations


def shout(story: str) -> str:
    """Return the story as somebody hard of hearing would like it."""
    return story.upper()
