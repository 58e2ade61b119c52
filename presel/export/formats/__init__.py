"""One file for each form: what it writes, and `TRAIN.md`, which says how its trainer is started."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from presel.config import Trainer
from presel.export.formats import (
    hf,
    internvl,
    label_studio,
    llama_factory,
    llava,
    ms_swift,
    openai,
    qwen,
    trl,
    webdataset,
)

FORMATS: Mapping[Trainer, ModuleType] = {
    "hf": hf,
    "llava": llava,
    "llama-factory": llama_factory,
    "ms-swift": ms_swift,
    "trl": trl,
    "qwen": qwen,
    "internvl": internvl,
    "webdataset": webdataset,
    "openai": openai,
    "label-studio": label_studio,
}
"""Each has `FILES`, whether its records name pictures by their files, and `write(job)`."""
