"""Request admission in virtual time: a server whose real capacity moves by script, and those who call it.

No clock, no thread and no sleep: hours of calls pass in seconds, and the same seed gives the same calls.
"""
