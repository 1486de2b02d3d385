"""The command line: one file per verb. Knows terminals and argv, and no algorithm."""

from slatewise.cli.main import main

__all__ = ["main"]
