"""A real browser for tests: headless Chromium, without a network, that keeps what pages complain of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_LOCAL = ("127.0.0.1", "localhost", "")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


class Visit:
    """A page, what its console said beyond information, and where it wanted to go outside this machine."""

    def __init__(self, page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.abroad: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.route("**/*", self._asked)

    def _said(self, message) -> None:
        if message.type in ("warning", "error"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, route) -> None:
        url = urlsplit(route.request.url)
        if url.scheme in ("file", "data", "blob") or (url.hostname or "") in _LOCAL:
            route.continue_()
        else:
            self.abroad.append(route.request.url)
            route.abort()


@contextmanager
def browsing() -> Iterator[Browser]:
    """Start a browser. While it runs, its thread can begin no event loop."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visiting(
    browser: Browser, *, width: int = 1280, height: int = 900, dark: bool = False
) -> Iterator[Visit]:
    """Open an empty page of this size, as a visitor of whom the browser knows nothing."""
    with browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    ) as context:
        context.set_default_timeout(45_000)
        yield Visit(context.new_page())
