"""The system in the user's process: wires the actors together and speaks for the outside."""
