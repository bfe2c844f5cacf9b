"""Schedules of tasks whose durations are known: what a policy makes of them, on virtual time."""
