"""What the demo leaves to look around with: its configuration as a file, and commands to paste that need no endpoint."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import yaml

from presel.cli.facts import command
from presel.config import RefreshConfig
from presel.demo.setting import ENDPOINT, KEY
from presel.runs.run_record import RunRecord
from presel.tables import table_store
from presel.tables.schemas import rows_of

_ABOUT = f"""\
# The demo as it ran. Looking at it (status, explain, report, ledger, export) needs nothing else. To plan or run it again with
# another budget, say, let a stand-in answer what is not paid for yet:
#   presel demo endpoint --port 8765
#   export {ENDPOINT}=http://127.0.0.1:8765/v1 {KEY}=demo
"""


def leave_configuration(config: RefreshConfig, folder: Path) -> Path:
    """`presel.yaml` in the demo's folder, with the fields that differ from their defaults."""
    fields = config.model_dump(mode="json", exclude_defaults=True)
    fields["store"], fields["source"]["uri"] = (
        os.path.relpath(place, folder.absolute()) for place in (config.store, config.source.uri)
    )
    path = folder / "presel.yaml"
    path.write_text(_ABOUT + yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")
    return path


def commands(record: RunRecord, config: Path) -> list[str]:
    """What each shows, and the command."""
    shown = {
        f"explain {shlex.quote(image)}"
        if (image := _first_left_out(record))
        else "": "why was it left out, and what stands for it?",
        "status": "where does the dataset stand?",
        "report": "where is the page?",
        "ledger ls --long": "what was answered, for how much?",
        f"export --to {shlex.quote(str(config.parent / 'export'))}": "how do I train on it?",
    }
    lines = {command(words, config): about for words, about in shown.items() if words}
    return [piece for line, about in lines.items() for piece in (f"# {about}", line)]


def _first_left_out(record: RunRecord) -> str | None:
    """The image that the next seat of the heaviest task would have gone to."""
    plan = sorted(rows_of(table_store.read(record.plan)), key=lambda row: (-row["weight"], row["task"]))
    rankings = {ref.label: ref for ref in record.rankings}
    for task in plan:
        if task["task"] in rankings:
            rows = rows_of(table_store.read(rankings[task["task"]], ["key", "order"]))
            left = [row for row in rows if row["order"] >= task["quota"]]
            if left:
                return str(min(left, key=lambda row: row["order"])["key"])
    return None
