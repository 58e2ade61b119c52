"""What the documentation says must be so: commands, fields and files exist; every exit code and setting is documented."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = {
    "init", "doctor", "plan", "run", "status", "explain", "report", "export", "finetune", "demo", "ledger", "gc",
    "verify", "cancel", "examples", "handoff", "handin",
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page):
    shown = set(re.findall(r"\bpresel ([a-z]+)\b", "\n".join(re.findall(r"`([^`\n]+)`", page.read_text()))))
    assert shown <= COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    named = re.findall(r"`((?:presel|flows|tasks|docs|tests|benchmarks|deployments)/[\w/.-]+)`", page.read_text())
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_anchor_is_a_heading_of_its_page(page):
    links = re.findall(r"\]\((?!https?://)([^)#\s]*)#([^)\s]+)\)", page.read_text())
    missing = [(name, anchor) for name, anchor in links if anchor not in anchors(page.parent / name if name else page)]
    assert not missing


def test_the_table_of_rooms_lists_every_room():
    listed = set(re.findall(r"`presel/([\w.]+)/?`", (ROOT / "docs/architecture.md").read_text()))
    rooms = {
        entry.name for entry in (ROOT / "presel").iterdir() if entry.suffix == ".py" or (entry / "__init__.py").exists()
    }
    assert rooms - {"__init__.py"} <= listed


def test_the_readme_names_every_extra():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [extra for extra in declared if extra not in {"dev"} and extra not in (ROOT / "README.md").read_text()] == []


def test_every_exit_code_is_documented():
    from presel import errors

    codes = {
        value.exit_code for value in vars(errors).values() if isinstance(value, type) and hasattr(value, "exit_code")
    }
    documented = {
        int(code) for code in re.findall(r"^\| (\d+) \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    }
    assert codes <= documented


def test_no_page_and_no_source_names_a_registry_or_a_machine():
    forbidden = re.compile("|".join(["py" + r"pi\.org", "python" + r"hosted\.", "deb" + r"\.debian\.", r"/ro" + "ot/"]))
    files = [f for folder in ("presel", "flows", "tasks", "docs", "tests") for f in (ROOT / folder).rglob("*.*")]
    texts = [f for f in files if f.suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".html"}]
    assert len(texts) > 50
    assert not [
        str(f) for f in [*texts, ROOT / "constraints.txt", ROOT / "README.md"] if forbidden.search(f.read_text())
    ]
