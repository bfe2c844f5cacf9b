"""A provider client whose calls a test ends one by one, from its own thread."""

from __future__ import annotations

import asyncio
import queue
import threading

from actors.worker.providers.base import ChatReply, Usage, request_sent


class HeldClient:
    """Hands every call out by `next`. One that is `stubborn` swallows every cancel."""

    reports_sending = False

    def __init__(self, *, reports_sending=False, stubborn=False):
        self.reports_sending = reports_sending
        self.stubborn = stubborn
        self._calls = queue.SimpleQueue()

    def next(self):
        """Return the next call that comes in; fail if none does."""
        return self._calls.get(timeout=5.0)

    @property
    def untouched(self):
        return self._calls.empty()

    async def _made(self, request):
        call = HeldCall(request)
        self._calls.put(call)
        if self.reports_sending:
            await call.until(call.connected, self.stubborn)
            request_sent()
            call.was_sent.set()
        return await call.until(call.ended, self.stubborn)

    async def chat(self, request):
        return await self._made(request)

    async def embed(self, request):
        return await self._made(request)

    async def image(self, request):
        return await self._made(request)

    async def close(self):
        pass


class HeldCall:
    """One call under way. `was_cancelled` is set once a cancel has arrived at it."""

    def __init__(self, request):
        self.request = request
        self.was_cancelled = threading.Event()
        self.was_sent = threading.Event()
        self._loop = asyncio.get_running_loop()
        self.connected = self._loop.create_future()
        self.ended = self._loop.create_future()

    async def until(self, future, stubborn):
        while True:
            try:
                return await asyncio.shield(future)
            except asyncio.CancelledError:
                self.was_cancelled.set()
                if not stubborn:
                    raise

    def connect(self, after=0.0):
        """Let the request be sent, after some seconds of the loop's; return when it is."""
        self._loop.call_soon_threadsafe(self._loop.call_later, after, self.connected.set_result, None)
        assert self.was_sent.wait(timeout=5.0)

    def answer(self, reply=None):
        reply = ChatReply("the reply", Usage(11, 7)) if reply is None else reply
        self._loop.call_soon_threadsafe(self.ended.set_result, reply)

    def fail(self, error):
        self._loop.call_soon_threadsafe(self.ended.set_exception, error)
