"""The command line: a thin top over the library and the flows."""

from presel.cli.app import main

__all__ = ["main"]
