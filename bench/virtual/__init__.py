"""The one virtual time of the project: a clock, an event loop that lives by it, and a stage for the actors.

No thread and no sleep: hours pass in seconds, and the same seed gives the same course to the microsecond.
The simulator's worlds (`tests/simulation`) and the benchmarks about policy are played on it.
"""
