"""A provider client as a user would write one: nothing but the standard library, a connection per call."""

from __future__ import annotations

import asyncio
import contextlib
import json
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from actors import (
    ChatReply,
    EmbeddingReply,
    ImageReply,
    ProviderError,
    Usage,
    request_sent,
)


class PlainClient:
    """Speaks as much of the OpenAI API as it needs."""

    reports_sending = True

    def __init__(self, base_url, key="none"):
        self._place = urlsplit(base_url)
        self._key = key

    async def chat(self, request):
        turns = [{"role": turn.role, "content": turn.content} for turn in request.messages]
        found = await self._ask(
            "POST", "/chat/completions", {"model": request.model, "messages": turns, "seed": request.seed}
        )
        with self._readable():
            return ChatReply(found["choices"][0]["message"]["content"], self._usage(found))

    async def embed(self, request):
        found = await self._ask("POST", "/embeddings", {"model": request.model, "input": request.text})
        with self._readable():
            return EmbeddingReply(found["data"][0]["embedding"], self._usage(found))

    async def image(self, request):
        body = {"model": request.model, "prompt": request.prompt}
        found = await self._ask("POST", "/images/generations", body)
        with self._readable():
            return ImageReply(base64=found["data"][0]["b64_json"])

    async def healthcheck(self, model):
        found = await self._ask("GET", "/models")
        with self._readable():
            if model not in [each["id"] for each in found["data"]]:
                raise ProviderError(f"there is no model {model!r}", status=404)

    async def close(self):
        pass

    async def _ask(self, method, path, body=None):
        try:
            reader, writer = await asyncio.open_connection(self._place.hostname, self._place.port)
        except OSError:
            failure = ProviderError("nobody is there", sent=False)
        else:
            return await self._over(reader, writer, method, path, body)
        raise failure

    async def _over(self, reader, writer, method, path, body):
        content = b"" if body is None else json.dumps(body).encode()
        head = [
            f"{method} {self._place.path}{path} HTTP/1.1",
            f"Host: {self._place.netloc}",
            f"Authorization: Bearer {self._key}",
            f"Content-Length: {len(content)}",
            "Connection: close",
        ]
        try:
            request_sent()
            writer.write("\r\n".join([*head, "", ""]).encode() + content)
            await writer.drain()
            status = int((await reader.readline()).split()[1])
            headers = {}
            while line := (await reader.readline()).decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            text = await reader.readexactly(int(headers["content-length"]))
        except (OSError, EOFError, LookupError, ValueError):
            failure = ProviderError("the connection broke")
        else:
            if status == 200:
                with self._readable():
                    return json.loads(text)
            failure = ProviderError(
                f"answered {status}", status=status, retry_after_seconds=self._asked_for(headers)
            )
        finally:
            writer.transport.abort()
        raise failure

    @contextlib.contextmanager
    def _readable(self):
        try:
            yield
        except (LookupError, TypeError, ValueError):
            failure = ProviderError("the answer makes no sense")
        else:
            return
        raise failure

    def _usage(self, found):
        return Usage(found["usage"]["prompt_tokens"], found["usage"].get("completion_tokens"))

    def _asked_for(self, headers):
        said = headers.get("retry-after", "")
        with contextlib.suppress(ValueError):
            return max(0.0, float(said))
        try:
            until, now = parsedate_to_datetime(said), parsedate_to_datetime(headers["date"])
        except (LookupError, TypeError, ValueError):
            return None
        return max(0.0, (until - now).total_seconds())
