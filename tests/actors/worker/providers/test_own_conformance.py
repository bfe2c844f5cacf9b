"""A user's own client, made as a job makes it, keeps to what every client must."""

from __future__ import annotations

from actors.harness.conformance import ProviderConformance
from actors.worker.providers.registry import make_client
from messages.job import PythonProvider
from tests.actors.worker.providers.plain_client import PlainClient


class TestPlainClient(ProviderConformance):
    def make_client(self, base_url):
        options = {"base_url": base_url, "key": self.api_key}
        return make_client(PythonProvider(client=PlainClient, options=options), connections=self.parallel)
