"""Weights from the model hub: from its cache when they are there, without asking; else fetched, or a plain word why not.

The cache comes first, so that a run that has its weights neither waits for a network nor changes when somebody uploads others.
The hub library answers a missing network with half a minute of retries for each file name; one short question before
it finds that out in seconds.
"""

from __future__ import annotations

from difflib import get_close_matches

from presel.errors import ModelError

_PATIENCE = 10.0
"""Seconds for the hub to say anything at all."""


def fetch(repository: str, names: list[str], encoder: str) -> str:
    """The path of the first of these files that the repository has. Raises ModelError, with what to do about it."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in names:
        try:
            return str(hf_hub_download(repository, name, local_files_only=True))
        except LocalEntryNotFoundError:
            continue
    try:
        _knock()
        for name in names[:-1]:
            try:
                return str(hf_hub_download(repository, name))
            except EntryNotFoundError:
                continue
        return str(hf_hub_download(repository, names[-1]))
    except Exception as error:  # httpx, hub and disk errors: all mean that the weights are not to be had
        raise unreachable(encoder, f"{names[0]} of {constants.ENDPOINT}/{repository}", error) from error


def near(name: str, known: list[str]) -> str:
    """Names that somebody may have meant, for a message."""
    lower = {one.lower(): one for one in known}
    meant = [lower[one] for one in get_close_matches(name.lower(), lower, 4)]
    return f"one as {', '.join(meant or known[:6])}"


def unreachable(encoder: str, what: str, error: Exception) -> ModelError:
    """What to tell somebody whose machine cannot fetch weights."""
    return ModelError(
        "the encoder's weights cannot be fetched",
        where=f"encoder.name: {encoder}",
        expected="a model hub that answers, or the weights in its cache",
        got=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}",
        fix=f"fetch {what} on a machine with a network, copy it here and name its path in `encoder.weights`, "
        "or use `encoder.name: builtin`, which needs no weights",
    )


def _knock() -> None:
    from huggingface_hub import constants, get_session

    if not constants.HF_HUB_OFFLINE:
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
