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

DEFAULT_CONFIG = Path("presel.yaml")
