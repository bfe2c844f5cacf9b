"""Provider clients, one per module: how a model call is made. No retries of their own (A1)."""
