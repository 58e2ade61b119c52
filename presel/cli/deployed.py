"""Whether what a Prefect server runs by schedule is what a configuration file says.

`presel status`, `cancel`, `gc` and `verify` go by a file, a schedule by what was deployed. Where the two name different stores,
each is right about another dataset and neither says so; `presel doctor` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from presel.config import RefreshConfig, without_slash

FLOW = "refresh"
_SAME_DATASET = ("source.uri", "store", "dataset.name")


def configurations() -> dict[str, Any]:
    """What every deployment of the refresh on the server was given as `config`, by its name."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    with get_client(sync_client=True) as client:
        found = client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])), limit=200)
    return {
        f"{FLOW}/{one.name}": (one.parameters or {}).get("config") for one in sorted(found, key=lambda one: one.name)
    }


def disagreement(settings: RefreshConfig, deployed: Mapping[str, Any]) -> str | None:
    """How the deployments differ from a file, in words; None where one of them is the file's, or where there are none."""
    differing = {name: differences(settings, config) for name, config in deployed.items()}
    if not differing or not all(differing.values()):
        return None
    same = [name for name, fields in differing.items() if not set(fields) & {*_SAME_DATASET, "config"}]
    if same:
        return f"{same[0]} is deployed with another {', '.join(differing[same[0]])}"
    told = "; ".join(f"{name} has {_words(config)}" for name, config in deployed.items())
    return f"no deployment has this source, store and dataset: {told}"


def differences(settings: RefreshConfig, config: Any) -> list[str]:
    """The fields in which a deployed configuration differs, as `section.field`; `config` for one that is not valid."""
    try:
        theirs = _flat(RefreshConfig.model_validate(config).model_dump(mode="json"))
    except ValidationError:
        return ["config"]
    ours = _flat(settings.model_dump(mode="json"))
    return [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]


def _flat(section: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            fields |= _flat(value, f"{above}{name}.")
        else:
            fields[f"{above}{name}"] = without_slash(value) if f"{above}{name}" == "source.uri" else value
    return fields


def _words(config: Any) -> str:
    try:
        theirs = RefreshConfig.model_validate(config)
    except ValidationError:
        return "a configuration that is not valid"
    return f"{theirs.source.uri}, {theirs.store} and {theirs.dataset.name}"
