"""Packages at top level that are not presel's own are named in words before anything imports them."""

from __future__ import annotations

import base64
import hashlib
import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest

from presel.config import installed

ROOT = Path(__file__).parents[1]


def test_this_checkout_is_whole() -> None:
    assert list(installed.strangers()) == []


def test_a_package_of_the_same_name_that_comes_first_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "flows" / "__init__.py"
    theirs.parent.mkdir()
    theirs.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "flows", raising=False)
    [said] = installed.strangers()
    assert said == f"`flows` is not presel's: the one in {tmp_path} is found first, presel's own belongs in {ROOT}"


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tasks", None)
    [said] = installed.strangers()
    assert said == f"`tasks` is not presel's: it is not installed, presel's own belongs in {ROOT}"


def distribution(site: Path, name: str, files: dict[str, str]) -> None:
    """What pip leaves of a wheel: its files and the list of them."""
    rows = []
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text)}")
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("\n".join(rows))


OWN = {"presel/__init__.py": "", "flows/__init__.py": "", "flows/plan.py": "plan", "tasks/__init__.py": "",
       "deployments/__init__.py": ""}  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, presel among them, that comes first."""
    distribution(tmp_path, "presel", OWN)
    monkeypatch.syspath_prepend(tmp_path)
    for package in installed.PACKAGES:
        monkeypatch.delitem(sys.modules, package, raising=False)
    return tmp_path


def test_an_installation_as_the_wheel_made_it_is_whole(site: Path) -> None:
    assert list(installed.strangers(site)) == []


def test_whoever_has_written_over_a_package_is_named(site: Path) -> None:
    distribution(site, "workflows", {"flows/plan.py": "theirs"})
    [said] = installed.strangers(site)
    assert said == "`flows` is not presel's any more: workflows has replaced flows/plan.py"


def test_a_file_that_is_gone_is_named_without_an_owner(site: Path) -> None:
    (site / "tasks/__init__.py").unlink()
    invalidate_caches()  # the folder may have been looked into within this second
    said = list(installed.strangers(site))
    assert "`tasks` is not presel's any more: something else has replaced tasks/__init__.py" in said


def test_a_flow_is_not_imported_from_a_stranger(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from presel.errors import ConfigError

    (site / "flows/plan.py").write_text("something else")
    monkeypatch.setattr(installed, "HOME", site)
    installed.check.cache_clear()
    with pytest.raises(ConfigError, match=r"`flows` is not presel's any more.*pip install --force-reinstall"):
        installed.check()
