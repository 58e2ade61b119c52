"""The model whose vectors say which images are alike, loaded by name.

    builtin                                no download: colour, edges, texture
    open_clip:<model>/<tag or file>        a CLIP-like image tower
    timm:<model>                           any timm backbone; DINOv2-base is the paper's

Two configurations are the same encoder when they have the same identity: what the weights are (their digest, not their address)
and how a picture is prepared. `identity` finds that out without building the model, since every key of an embedding asks it.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from presel.concurrency.device import in_key
from presel.encoders.builtin import BuiltinEncoder
from presel.encoders.encoder import Encoder
from presel.errors import ConfigError, require

if TYPE_CHECKING:  # decoding processes import this package, and start in half the time without these
    from presel.config import EncoderConfig
    from presel.encoders.recipe import Recipe

__all__ = ["Encoder", "device_in_key", "identity", "load_encoder"]

_loading = threading.Lock()


def identity(config: EncoderConfig) -> str:
    """What goes into the key of every embedding.

    Raises ConfigError for an unknown name and ModelError when the weights cannot be found, on disk or on the hub.
    """
    if config.name == "builtin":
        return BuiltinEncoder.identity
    return _recipe(config.name, config.weights).identity


def device_in_key(config: EncoderConfig) -> str | None:
    """What the key of an embedding says about where it was computed. The builtin encoder runs on the CPU everywhere."""
    return None if config.name == "builtin" else in_key(config.device)


def load_encoder(config: EncoderConfig) -> Encoder:
    """The encoder, ready to use; one instance per process and weights, on every accelerator there is or on the CPU.

    Raises as `identity` does, and ModelError where `device` is cuda and there is none.
    """
    with _loading:  # two parts that start together must not load a model twice
        return _load(config.name, config.weights, config.device)


@lru_cache(maxsize=8)
def _recipe(name: str, weights: str | None) -> Recipe:
    library, _, model = name.partition(":")
    if library in ("open_clip", "timm"):
        require("models", f"encoder.name: {name}")
    weights = str(Path(weights).expanduser()) if weights else None
    if library == "open_clip" and model:
        from presel.encoders import open_clip

        return open_clip.recipe(model, weights)
    if library == "timm" and model:
        from presel.encoders import timm

        return timm.recipe(model, weights)
    raise ConfigError(
        "unknown encoder",
        where="encoder.name",
        expected="builtin, open_clip:<model>/<tag or file> or timm:<model>",
        got=name,
    )


@lru_cache(maxsize=2)
def _load(name: str, weights: str | None, device: str) -> Encoder:
    if name == "builtin":
        return BuiltinEncoder()
    from presel.encoders.spread import Spread
    from presel.encoders.towers import TowerEncoder, devices

    copies = [TowerEncoder(_recipe(name, weights), one) for one in devices(device)]
    return copies[0] if len(copies) == 1 else Spread(copies)
