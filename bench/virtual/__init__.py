"""Virtual time: a server whose capacity moves by script and those who call it, and the whole actor system.

No clock, no thread and no sleep: hours of calls pass in seconds, and the same seed gives the same calls.
"""
