"""Request admission: when one concrete model call may leave the process."""
