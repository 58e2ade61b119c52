"""Addresses in a configuration: what the environment fills in, what cannot be meant, and where a relative one starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

_VARIABLE = re.compile(r"\$\{(\w*)\}")
_ONE_SLASH = re.compile(r"(s3|file|https?|gs|az):(?!//)")
_AT = (
    ("store",),
    ("source", "uri"),
    ("source", "mapping"),
    ("encoder", "weights"),
    ("reference_model", "precomputed"),
    ("exclude",),
    ("export", "to"),
)
Config = TypeVar("Config", bound=BaseModel)


def address(uri: str) -> str:
    """An address with each `${NAME}` replaced by what the environment says. Raises ValueError for what cannot be meant."""

    def value(found: re.Match[str]) -> str:
        said = os.environ.get(found[1])
        if not said:
            raise ValueError(f"the environment variable {found[1]} is not set")
        return said

    filled = _VARIABLE.sub(value, uri)
    if wrong := _ONE_SLASH.match(filled):
        raise ValueError(f"an address of this kind begins with {wrong[1]}://")
    return filled


def absolute(uri: str, folder: Path) -> str:
    """A relative path as one from `folder`; any other address as it is."""
    if "://" in uri or uri.startswith(("/", "~")):
        return uri
    return os.path.normpath(folder.absolute() / uri) + ("/" if uri.endswith("/") else "")


def resolved(config: Config, folder: Path) -> Config:
    """A whole configuration whose relative addresses start from `folder`, that of its file."""
    for path in _AT:
        config = _replaced(config, path, folder)
    return config


def _replaced(section: Config, path: tuple[str, ...], folder: Path) -> Config:
    name, *deeper = path
    value = getattr(section, name)
    if value is None:
        return section
    if isinstance(value, tuple):
        new: object = tuple(absolute(each, folder) for each in value)
    else:
        new = _replaced(value, tuple(deeper), folder) if deeper else absolute(value, folder)
    return section if new == value else section.model_copy(update={name: new})
