"""Adapters: LoRA on the language model, the projector trained whole, the vision tower frozen (the paper's recipe).

Files in, files out: `adapter_model.safetensors` and `adapter_config.json` are what peft itself writes and reads, so an adapter
can be used without this package. They are written here, with sorted names, because peft's own saving orders its lists by
hash: the same training would give other bytes in every process.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from presel.config import LoraConfig
from presel.errors import ModelError
from presel.reference_model.backbone import ReferenceModel

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"
Files = Mapping[str, bytes]


def attach(model: ReferenceModel, config: LoraConfig, seed: int) -> None:
    """Wrap the model in place with a fresh adapter; afterwards only adapter and projector require gradients."""
    import peft
    import torch

    projectors = model.projectors() if config.projector_learning_rate > 0 else []
    layers = model.language_layers()
    # peft wants one layer at least to put a low-rank update beside: what is trained whole are the others.
    updated, whole = (layers[:1], layers[1:]) if config.whole else (layers, [])
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules=updated,
        modules_to_save=[*projectors, *whole] or None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.model = _wrapped(model, settings)
    for parameter in trained(model).values():
        parameter.data = parameter.data.float()  # small updates vanish in bfloat16


def trained(model: ReferenceModel) -> dict[str, Any]:
    """Parameters that require gradients, by name, sorted."""
    return {name: p for name, p in sorted(model.model.named_parameters()) if p.requires_grad}


def export(model: ReferenceModel, base: str) -> dict[str, bytes]:
    """The adapter as files, for the base of that name; the same weights, the same bytes."""
    import peft
    from safetensors.torch import save

    # Without `save_embedding_layers` peft would ask the hub whether the base's vocabulary was ever another.
    state = peft.get_peft_model_state_dict(model.model, save_embedding_layers=False)
    tensors = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    settings = {name: _plain(value) for name, value in model.model.peft_config["default"].to_dict().items()}
    settings["base_model_name_or_path"] = base
    return {
        WEIGHTS: save(tensors, metadata={"format": "pt"}),
        SETTINGS: (json.dumps(settings, indent=1, sort_keys=True) + "\n").encode(),
    }


def read_files(folder: Path) -> dict[str, bytes]:
    """An adapter's two files from a folder. Raises ModelError when one is missing."""
    try:
        return {name: (folder / name).read_bytes() for name in (WEIGHTS, SETTINGS)}
    except OSError as error:
        raise ModelError(
            "not an adapter", where=str(folder), expected=f"{WEIGHTS} and {SETTINGS}", got=f"{error.strerror}"
        ) from error


def apply(model: ReferenceModel, files: Files) -> None:
    """Put an adapter on the model in place: merged into the weights in float32, beside them in bfloat16 (where merging rounds).

    Raises ModelError when the adapter is of another model.
    """
    _add(model, files, "default")
    if model.exact:
        model.model = model.model.merge_and_unload()
    model.model.requires_grad_(False).eval()


def apply_several(model: ReferenceModel, adapters: Mapping[str, Files]) -> None:
    """Put adapters beside the weights of one model in place, by name; `active` says which one counts.

    Two 7B models would take twice 14 GB; two adapters on one take 0.6 GB each. Raises ModelError as `apply` does.
    """
    for name, files in sorted(adapters.items()):
        _add(model, files, name)
    model.model.requires_grad_(False).eval()


@contextmanager
def active(model: ReferenceModel, name: str) -> Iterator[None]:
    """Within, the model computes with that adapter; with none if it has no adapter of that name."""
    known = getattr(model.model, "peft_config", {})
    if name in known:
        model.model.set_adapter(name)
        model.model.requires_grad_(False)
        yield
    elif known:
        with model.model.disable_adapter():
            yield
    else:
        yield


def _add(model: ReferenceModel, files: Files, name: str) -> None:
    import peft
    from safetensors.torch import load

    try:
        settings = {key: value for key, value in json.loads(files[SETTINGS]).items() if value is not None}
        settings.pop("base_model_name_or_path", None)
        config = peft.LoraConfig.from_peft_type(**settings)
        if hasattr(model.model, "peft_config"):
            model.model.add_adapter(name, config)
        else:
            model.model = _wrapped(model, config, name)
        found = peft.set_peft_model_state_dict(model.model, load(files[WEIGHTS]), adapter_name=name)
        missing = [
            key for key in found.missing_keys if f".{name}" in key and ("lora_" in key or "modules_to_save" in key)
        ]
        unexpected = list(found.unexpected_keys)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ModelError(
            "the adapter does not fit the model", where=SETTINGS, got=str(error).splitlines()[0]
        ) from error
    if missing or unexpected:
        raise ModelError(
            "the adapter does not fit the model",
            where=WEIGHTS,
            expected=f"{len(missing)} more weights" if missing else "no other weights",
            got=(missing or unexpected)[0],
            fix="fit the reference model again",
        )


def _wrapped(model: ReferenceModel, settings: Any, name: str = "default") -> Any:
    import peft

    with warnings.catch_warnings():
        # peft 0.21 still reads an attribute that transformers 5 has renamed.
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
        return peft.get_peft_model(model.model, settings, adapter_name=name)


def _plain(value: Any) -> Any:
    """peft keeps sets and enums in its settings; JSON wants lists and words, in an order that is always the same."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
