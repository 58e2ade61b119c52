"""Names from a pool in a terminal: they are whatever somebody called a file."""

from __future__ import annotations

import pytest

from presel.cli.console import table, visible

NAMES = ["[bold]x[/bold]", "[/]", "[red]", "a\nb", "\x1b[2Jgone", "\u202egpj.exe", "🌄", "<b>", "{{7*7}}", "x" * 300]


def test_a_table_shows_every_name_on_one_line_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    table([{"task": name, "images": 1} for name in NAMES], {"task": "task", "images": "images"}, total=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(NAMES) + 2
    for name, line in zip(NAMES, lines[1:-1], strict=True):
        assert line.startswith(visible(name))
        assert line.split()[-1] == "1"


def test_a_control_character_never_reaches_the_terminal() -> None:
    assert visible("\x1b[2J\r\n\u202e") == "\\x1b[2J\\r\\n\\u202e"
    assert visible("é e\u0301 海 🌄 [x]") == "é e\u0301 海 🌄 [x]"
