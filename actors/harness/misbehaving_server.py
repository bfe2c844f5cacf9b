"""A real HTTP server on loopback that speaks the OpenAI API, and misbehaves as a rule says.

    with MisbehavingServer(in_order(Answer(429, retry_after=1.5), Hang())) as server:
        client = make_client(server.base_url)
        ...
        server.wait_until(lambda seen: seen.requests == 2)

It counts requests and connections, and notices a client that goes away before it has been answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from actors.harness import openai_api
from actors.harness.behaviours import GOOD, Answer, Arrival, Behaviour, Break, Drip, Hang, Rule, always

_PREFIX = "/v1"
_STARTED_WITHIN_SECONDS = 10.0


@dataclass
class Request:
    """One request as the server saw it.

    `connection` counts from 1. `sent` is how many bytes of the answer's body have left. `end`: None while it
    is being served; `gone` where the client went away before it had been answered; `broken` where the server
    ended the connection.
    """

    number: int
    connection: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    sent: int = 0
    end: Literal["answered", "gone", "broken"] | None = None


class MisbehavingServer:
    """The server, on a thread of its own while the `with` block runs.

    `rule` decides what each request gets; default, good answers. `models` are those that it knows. With an
    `api_key` it refuses every request that does not carry it, before the rule is asked. Any thread may
    read its counts.
    """

    def __init__(
        self, rule: Rule | None = None, *, models: Sequence[str] = ("small",), api_key: str | None = None
    ) -> None:
        self._rule = always(GOOD) if rule is None else rule
        self._models = tuple(models)
        self._api_key = api_key
        self._changed = threading.Condition()
        self._seen: list[Request] = []
        self._connections = 0
        self._open = 0
        self._most_in_flight = 0
        self._port = 0
        self._began = 0.0
        self._stop: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="misbehaving-server", daemon=True)

    def __enter__(self) -> Self:
        """Start, and return when connections are taken."""
        self._thread.start()
        self.wait_until(lambda server: server._port > 0, _STARTED_WITHIN_SECONDS)  # noqa: SLF001 - its own
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Break every connection and end."""
        self._stop()
        self._thread.join()

    # -- what it saw -----------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Where it is: what a client takes as its base URL."""
        return f"http://127.0.0.1:{self._port}{_PREFIX}"

    @property
    def seen(self) -> tuple[Request, ...]:
        """Every request so far, in the order of arrival, as it stands now."""
        with self._changed:
            return tuple(dataclasses.replace(request) for request in self._seen)

    @property
    def requests(self) -> int:
        """How many requests have arrived."""
        with self._changed:
            return len(self._seen)

    @property
    def in_flight(self) -> int:
        """How many requests are being served."""
        with self._changed:
            return sum(request.end is None for request in self._seen)

    @property
    def most_in_flight(self) -> int:
        """How many requests were being served at once, at most."""
        with self._changed:
            return self._most_in_flight

    @property
    def gone(self) -> int:
        """How many requests lost their client before they were answered."""
        with self._changed:
            return sum(request.end == "gone" for request in self._seen)

    @property
    def connections(self) -> int:
        """How many connections have been made."""
        with self._changed:
            return self._connections

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        with self._changed:
            return self._open

    def wait_until(self, test: Callable[[MisbehavingServer], bool], timeout: float = 10.0) -> None:
        """Return as soon as `test(server)` holds. Asked again whenever something has changed.

        Raises:
            TimeoutError: it does not hold within `timeout` seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: test(self), timeout):
                counts = f"{len(self._seen)} requests, {self._open} of {self._connections} connections open"
                raise TimeoutError(f"it did not come to that within {timeout:g} s; seen: {counts}")

    # -- its thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024)
        self._stop = lambda: loop.call_soon_threadsafe(over.set)
        self._began = time.monotonic()
        with self._changed:
            self._port = server.sockets[0].getsockname()[1]
            self._changed.notify_all()
        await over.wait()
        server.close()  # what is being served is cancelled as the loop ends

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._changed:
            self._connections += 1
            self._open += 1
            number = self._connections
            self._changed.notify_all()
        try:
            await _Connection(self, number, reader, writer).run()
        except asyncio.CancelledError:
            _break(writer)  # the server ends
        finally:
            writer.close()
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    # -- for its connections ---------------------------------------------------------------------------

    def arrived(
        self, connection: int, method: str, path: str, headers: Mapping[str, str], content: bytes
    ) -> tuple[Request, Behaviour]:
        """Note a request; return it and what it gets."""
        body = _decoded(content)
        route = path.partition("?")[0].removeprefix(_PREFIX)
        with self._changed:
            request = Request(len(self._seen) + 1, connection, method, route, headers, body)
            self._seen.append(request)
            self._most_in_flight = max(self._most_in_flight, self.in_flight)
            self._changed.notify_all()
        if self._api_key is not None and headers.get("authorization") != f"Bearer {self._api_key}":
            return request, Answer(401)
        seconds = time.monotonic() - self._began
        return request, self._rule(Arrival(request.number, seconds, method, route, body))

    def note(
        self, request: Request, *, sent: int = 0, end: Literal["answered", "gone", "broken"] | None
    ) -> None:
        """Note how far the answer to a request is."""
        with self._changed:
            request.sent += sent
            request.end = end
            self._changed.notify_all()

    def response(self, request: Request, how: Answer) -> tuple[bytes, bytes]:
        """Return the head and the body of an answer."""
        if how.status == HTTPStatus.OK:
            said = openai_api.answer(request.path, request.body, self._models)
        else:
            said = _complaint(request, how.status)
        body = msgspec.json.encode(said.body) if how.body is None else how.body
        now = time.time()
        lines = {
            "Date": formatdate(now, usegmt=True),
            "Content-Type": how.content_type,
            "Content-Length": str(len(body)),
            **how.headers,
        }
        if how.retry_after is not None:
            date = formatdate(int(now) + how.retry_after, usegmt=True)
            lines["Retry-After"] = date if how.as_date else f"{how.retry_after:g}"
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {said.status} {_phrase(said.status)}\r\n{head}\r\n".encode(), body


class _Connection:
    """One connection: a request at a time."""

    def __init__(
        self,
        server: MisbehavingServer,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._server = server
        self._number = number
        self._reader = reader
        self._writer = writer
        self._ahead = b""

    async def run(self) -> None:
        """Serve requests until one side ends the connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._serve_one():
                pass

    async def _serve_one(self) -> bool:
        """Serve the next request; return whether there may be another."""
        line = (self._ahead + await self._reader.readline()).decode("latin-1").split()
        self._ahead = b""
        if len(line) != 3:
            return False
        headers: dict[str, str] = {}
        while header := (await self._reader.readline()).decode("latin-1").strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        content = await self._reader.readexactly(int(headers.get("content-length", "0")))
        request, behaviour = self._server.arrived(self._number, line[0], line[1], headers, content)
        return await self._unless_gone(request, behaviour)

    async def _unless_gone(self, request: Request, behaviour: Behaviour) -> bool:
        """Behave, but only as long as the client is there to see it."""
        behaving = asyncio.create_task(self._behave(request, behaviour))
        leaving = asyncio.create_task(self._reader.read(1))
        try:
            await asyncio.wait((behaving, leaving), return_when=asyncio.FIRST_COMPLETED)
            if leaving.done() and not leaving.cancelled():
                self._ahead = b"" if leaving.exception() is not None else leaving.result()
            if behaving.done():
                return behaving.result()
            if self._ahead:  # it does not wait for one answer before it asks for the next
                return await behaving
            self._server.note(request, end="gone")
            return False
        finally:
            behaving.cancel()
            leaving.cancel()
            await asyncio.gather(behaving, leaving, return_exceptions=True)

    async def _behave(self, request: Request, behaviour: Behaviour) -> bool:
        """Do what is to be done with a request; return whether the connection goes on."""
        match behaviour:
            case Hang():
                await asyncio.Event().wait()
                return False
            case Break():
                await self._break_off(request, behaviour)
                return False
            case Drip(seconds):
                head, body = self._server.response(request, GOOD)
                await self._write(request, head, b"")
                for byte in body:
                    await asyncio.sleep(seconds)
                    await self._write(request, b"", bytes((byte,)))
            case Answer():
                await asyncio.sleep(behaviour.delay)
                await self._write(request, *self._server.response(request, behaviour))
        self._server.note(request, end="answered")
        return True

    async def _break_off(self, request: Request, how: Break) -> None:
        head, body = self._server.response(request, GOOD)
        if how.when == "headers":
            await self._write(request, head, b"")
        elif how.when == "body":
            await self._write(request, head, body[: len(body) // 2])
        if how.reset:
            _break(self._writer)
        self._server.note(request, end="broken")

    async def _write(self, request: Request, head: bytes, body: bytes) -> None:
        self._writer.write(head + body)
        await self._writer.drain()
        if body:
            self._server.note(request, sent=len(body), end=None)


@contextlib.contextmanager
def full_listener() -> Iterator[str]:
    """Give the base URL of a host that takes no connection: one waits there, and every other one for it."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{_PREFIX}"


def nobody_there() -> str:
    """Return a base URL at which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}{_PREFIX}"


def _complaint(request: Request, status: int) -> openai_api.Said:
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    return openai_api.error(status, f"{_phrase(status)}: {key} asked {request.body}", _phrase(status), key)


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Overloaded"


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content) if content else None
    except msgspec.DecodeError:
        return None


def _break(writer: asyncio.StreamWriter) -> None:
    """Reset a connection: what has not arrived is lost."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
