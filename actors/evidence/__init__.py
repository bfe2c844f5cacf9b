"""What a log proves, and how a person reads one."""
