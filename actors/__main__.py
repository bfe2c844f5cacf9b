"""`python -m actors` is the command `leasehold`."""

from actors.cli import main

main()
