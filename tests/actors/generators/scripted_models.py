"""`ModelCalls` that keeps what it is asked and answers as a test says."""

from __future__ import annotations

import asyncio
from typing import NamedTuple


class Asked(NamedTuple):
    """One chat call."""

    model: str
    messages: tuple
    seed: int
    output_schema: dict | None
    parameters: dict

    @property
    def prompt(self):
        return self.messages[-1][1]


class ScriptedModels:
    """Gives `replies` in their order, and then tells what was asked. It blocks threads as a worker does."""

    def __init__(self, *replies):
        self.asked = []
        self._replies = list(replies)

    async def chat(self, *, model, messages, seed, output_schema=None, parameters=None):
        self.asked.append(Asked(model, tuple(messages), seed, output_schema, parameters or {}))
        await asyncio.sleep(0)
        if not self._replies:
            return f"{model}|{self.asked[-1].prompt}|{seed}"
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def embed(self, *, model, input, seed, parameters=None):  # noqa: A002 - the protocol's name
        self.asked.append(Asked(model, (("user", input),), seed, None, parameters or {}))
        return [len(model), len(input), seed]

    async def image(self, *, model, prompt, seed, parameters=None):
        self.asked.append(Asked(model, (("user", prompt),), seed, None, parameters or {}))
        return f"picture of {prompt}"

    def wait_for(self, call):
        return asyncio.run(call)
