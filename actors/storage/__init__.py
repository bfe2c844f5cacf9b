"""Storage: the rows of a source file in, durable row groups out (R10, R13)."""
