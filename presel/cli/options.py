"""Options that several commands share, with their help, once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
Overrides = Annotated[
    list[str], typer.Option("--set", help="Override one field, e.g. --set budget.share=0.1. May be repeated.")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, for scripts.")]
Rebase = Annotated[
    int | None,
    typer.Option(
        min=0, help="Build on this version in place of the newest: what later ones added is let go. 0: on none."
    ),
]
AcceptShrink = Annotated[
    bool, typer.Option("--accept-shrink", help="The pool has lost more than source.may_shrink, and that is meant.")
]

DEFAULT_CONFIG = Path("presel.yaml")
