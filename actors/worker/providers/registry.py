"""From a provider's configuration to its client."""

from __future__ import annotations

from actors.worker.providers.base import ProviderClient
from actors.worker.providers.simulated import SimulatedClient
from messages.job import ProviderConfig, SimulatedProvider


def make_client(config: ProviderConfig) -> ProviderClient:
    """Return a new client for a provider of a job."""
    assert isinstance(config, SimulatedProvider)
    return SimulatedClient(config)
