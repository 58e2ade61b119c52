"""A configuration as it is published: what decides a version's content, without addresses, secrets and operational settings."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from presel.config import RefreshConfig
from presel.config.keys import canonical


def portable(config: RefreshConfig) -> dict[str, Any]:
    """The settings that decide the content.

    Secrets are not in a configuration to begin with. Where the images lay and who answered is in the manifest's `run`;
    of a model in a local folder only the folder's name is left.
    """
    settings: dict[str, Any] = canonical(config)
    del settings["source"]["uri"], settings["generator"]["base_url"]
    if settings["reference_model"]["served"] is not None:
        del settings["reference_model"]["served"]["base_url"]
    if "verdict" in settings["reference_model"]:
        del settings["reference_model"]["verdict"]["base_url"]
    if "exclude" in settings:
        settings["exclude"] = [PurePath(uri).name for uri in settings["exclude"]]
    for section, setting in (("encoder", "weights"), ("reference_model", "model")):
        value = settings[section][setting]
        if value is not None and PurePath(value).is_absolute():
            settings[section][setting] = PurePath(value).name
    return settings


def without_credentials(uri: str) -> str:
    """An address without user, password and query, whatever somebody put into it."""
    parts = urlsplit(uri)
    if not parts.netloc:
        return uri
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
