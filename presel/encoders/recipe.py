"""What an encoder is, before it is built: which architecture, which weights, how a picture is prepared.

Two encoders with equal recipes give equal vectors, so the recipe is the encoder's identity. Weights count by the digest of
their file, wherever it lies. Only formats that cannot run code are loaded: safetensors, or pickles through `weights_only`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from presel.config.keys import short_digest
from presel.errors import ConfigError, ModelError

Resize = Literal["shortest", "longest", "squash"]


@dataclass(frozen=True)
class Preprocess:
    """From an upright RGB picture to the model's input."""

    resize: tuple[int, int]
    """Height and width. shortest: the shorter side becomes resize[0]; longest: the picture fits inside; squash: exactly."""
    mode: Resize
    crop: tuple[int, int]
    """Height and width of the centre that is kept, padded with `fill` where the picture is smaller."""
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fill: int = 0


@dataclass(frozen=True)
class Recipe:
    library: Literal["open_clip", "timm"]
    model: str
    settings: tuple[tuple[str, Any], ...]
    """What else the architecture is built with."""
    weights: str
    """A file on this machine."""
    weights_digest: str
    preprocess: Preprocess

    @property
    def identity(self) -> str:
        """Readable in front, exact behind: everything in the recipe but where the weights lie."""
        parts = {name: value for name, value in asdict(self).items() if name != "weights"}
        return f"{self.library}:{self.model}@{short_digest(json.dumps(parts, sort_keys=True))}"


def fixed_size(name: str) -> None:
    """Raises ConfigError for a model that takes pictures of any shape."""
    if "naflex" in name.lower():
        raise ConfigError(
            "this model takes pictures of any shape and number of patches (NaFlex), and presel feeds pictures of one size",
            where="encoder.name",
            expected="the variant of a fixed size, such as open_clip:ViT-B-16-SigLIP2/webli",
            got=name,
        )


def file_digest(path: str, named_by: str) -> str:
    """SHA-256 of a weights file: 0.3 s for ViT-B, 1 s for ViT-L. Raises ModelError when there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            "the encoder's weights cannot be read",
            where=named_by,
            expected="a safetensors file",
            got=f"{path}: {error.strerror}",
            fix="correct `encoder.weights`",
        ) from error


def tensors(path: str) -> dict[str, Any]:
    """The state dict in a weights file. Raises ModelError for a file that is not one."""
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            return dict(load_file(path))
        import torch

        loaded = torch.load(path, map_location="cpu", weights_only=True)
        return dict(loaded.get("state_dict", loaded))
    except Exception as error:  # both libraries raise half a dozen types over a file that is not theirs
        raise ModelError(
            "this is not a weights file", where=path, expected="safetensors", got=str(error)[:200]
        ) from error
