"""The command line: a thin top over the library and the flows."""

from __future__ import annotations

import sys
import time

BEGAN = time.time()
"""When the command began, in seconds since 1970: before anything heavy is imported."""


def main() -> None:
    """Entry point of the `presel` command. The private Prefect server's process imports this package, and none of the rest."""
    from presel.errors import MissingExtra, require

    try:
        require("cli", "the command line")
    except MissingExtra as error:
        sys.exit(f"presel: {error}")
    from presel.cli.app import main

    main()
