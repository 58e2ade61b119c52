"""The command line: a thin top over the library and the flows."""

from __future__ import annotations

import sys
import time

BEGAN = time.time()
"""When the command began, in seconds since 1970: before anything heavy is imported."""
_SLOW = frozenset({"run", "plan", "demo", "finetune"})
"""Commands that import for a second or more before they can say anything."""


def main() -> None:
    """Entry point of the `presel` command. The private Prefect server's process imports this package, and none of the rest."""
    from presel.errors import MissingExtra, require

    try:
        require("cli", "the command line")
    except MissingExtra as error:
        sys.exit(f"presel: {error}")
    if sys.argv[1:2] and sys.argv[1] in _SLOW and sys.stderr.isatty():
        sys.stderr.write("presel is loading\r")  # what comes first then stands in its place
        sys.stderr.flush()
    from presel.cli.app import main

    main()
