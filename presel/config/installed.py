"""Whether the packages that presel installs beside itself are still its own.

`flows`, `tasks` and `deployments` are plain names at top level. Another distribution may bring a package of the same name: pip
then writes one over the other without a word. Or a folder of that name comes first on the path. Either ends in an import error
that explains nothing, so this is asked before, and answered in words.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution, distributions
from importlib.util import find_spec
from pathlib import Path

from presel.errors import ConfigError, require

PACKAGES = ("flows", "tasks", "deployments")
HOME = Path(__file__).parents[2]


@cache
def check() -> None:
    """Called before a flow or a task is imported. Raises MissingExtra without Prefect, else ConfigError."""
    require("flows", "running a flow")
    for said in strangers():
        raise ConfigError(said, fix=f"install it again, in an environment of its own: {AGAIN}")


AGAIN = "pip install --force-reinstall --no-deps presel"


def strangers(home: Path | None = None) -> Iterator[str]:
    """A sentence for each package that is not the one beside presel (in `home`), or not as it was installed."""
    home = home or HOME
    for package in PACKAGES:
        spec = find_spec(package)
        found = Path(spec.origin).parent if spec and spec.origin else None
        if found != home / package:
            where = f"the one in {found.parent} is found first" if found else "it is not installed"
            yield f"`{package}` is not presel's: {where}, presel's own belongs in {home}"
    for changed in _changed(home):
        by = ", ".join(sorted(_owners(changed))) or "something else"
        yield f"`{changed.parts[0]}` is not presel's any more: {by} has replaced {changed}"


def _changed(home: Path) -> Iterator[PackagePath]:
    """The first file of each package that is not what the wheel held. An editable install lists none."""
    try:
        own: Distribution = distribution("presel")
    except PackageNotFoundError:
        return
    if Path(str(own.locate_file("presel"))).parent.resolve() != home.resolve():
        return  # presel runs from a checkout, beside another one that is installed
    seen: set[str] = set()
    for file in own.files or ():
        package = file.parts[0]
        if package in PACKAGES and package not in seen and file.hash and not _as_recorded(file):
            seen.add(package)
            yield file


def _as_recorded(file: PackagePath) -> bool:
    path = Path(str(file.locate()))
    if file.hash is None or not path.is_file():
        return False
    digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value


def _owners(file: PackagePath) -> set[str]:
    """Names of other distributions that say the same file is theirs."""
    others = (one for one in distributions() if one.name != "presel")
    return {one.name for one in others if any(theirs == file for theirs in one.files or ())}
