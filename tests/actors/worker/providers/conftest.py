"""Clients speak plain HTTP with this machine: they need not read who vouches for the world's servers."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def no_authorities(tmp_path_factory):
    return tmp_path_factory.mktemp("authorities")


@pytest.fixture(autouse=True)
def reads_no_authorities(no_authorities, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(no_authorities))
