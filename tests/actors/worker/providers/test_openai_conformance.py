"""The client for endpoints that speak the OpenAI API keeps to what every client must."""

from __future__ import annotations

from actors.harness.conformance import ProviderConformance
from actors.worker.providers.openai_client import OpenAIClient
from messages.job import OpenAIProvider


class TestOpenAIClient(ProviderConformance):
    def make_client(self, base_url):
        return OpenAIClient(
            OpenAIProvider(base_url=base_url), api_key=self.api_key, connections=self.parallel
        )
