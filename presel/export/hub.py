"""An export on the Hugging Face hub, or on any server that speaks its protocol (`HF_ENDPOINT`)."""

from __future__ import annotations

from pathlib import Path

from presel.errors import ConfigError, StorageError, require
from presel.export.place import MARKER, UNFINISHED


def push(address: str, repository: str) -> str:
    """Upload a complete export in a folder to that data set, private if it is new; returns the address of the commit.

    Files of an earlier export that this one lacks are removed in the same commit, so the hub never shows a mixture.
    Raises ConfigError for an export on S3, StorageError when the hub refuses or does not answer.
    """
    require("models", "pushing to the hub")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    folder = Path(address)
    if not (folder / MARKER).is_file():
        fix = "export to a folder on this machine first"
        raise ConfigError("only a complete export in a folder can be pushed to the hub", where=address, fix=fix)
    api = HfApi()
    try:
        api.create_repo(repository, repo_type="dataset", private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=[MARKER, UNFINISHED],
            delete_patterns=["data/*", "*.tar", "*.jsonl"],
            commit_message=f"presel: {folder.name}",
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        fix = "log in with `hf auth login` or set HF_TOKEN; the token needs the right to write"
        raise StorageError(f"the hub did not take it: {error}", where=repository, fix=fix) from error
    return str(commit.commit_url)
