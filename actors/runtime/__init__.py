"""The Pykka shell: mailboxes, routing, the base actor, and the system that wires actors together."""
