"""timm backbones: `timm:<model>`, with the preprocessing that timm's own configuration of the model says.

Two exceptions. DINOv2: timm's configuration is the one it was finished with, 518 px, five times the work; the paper, and the
model's authors in their own evaluation, resize the shorter side to 256 and take the centre 224 (METHOD 6). DINOv3: timm pools
its patches by average, while its authors take the class token, as they did for DINOv2, and so does this module.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from presel.encoders import hub
from presel.encoders.recipe import Preprocess, Recipe, Resize, file_digest, fixed_size, tensors
from presel.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import torch


def recipe(model: str, weights: str | None) -> Recipe:
    """Raises ConfigError for a model that timm does not know and ModelError when its weights cannot be had."""
    import timm

    name = f"timm:{model}"
    fixed_size(name)
    if not timm.is_model(model.partition(".")[0]):
        raise ConfigError(
            "timm has no such model",
            where="encoder.name",
            expected=hub.near(model.partition(".")[0], timm.list_models()),
            got=name,
        )
    try:
        config = timm.get_pretrained_cfg(model)
    except RuntimeError as error:
        known = ", ".join(timm.list_pretrained(f"{model.partition('.')[0]}.*"))
        raise ConfigError("timm has no such weights", where="encoder.name", expected=known, got=name) from error
    preprocess, settings = _preprocess(model, config)
    path = weights or _fetch(name, config)
    return Recipe("timm", model, settings, path, file_digest(path, name), preprocess)


def build(recipe: Recipe) -> torch.nn.Module:
    """The backbone without its classifier, weights loaded."""
    import timm

    state = tensors(recipe.weights)
    overlay: dict[str, Any] = {"state_dict": state, "hf_hub_id": None, "url": "", "file": ""}
    try:
        model: torch.nn.Module = timm.create_model(
            recipe.model, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **dict(recipe.settings)
        )
    except (RuntimeError, KeyError, ValueError) as error:
        raise ModelError(
            "the weights do not fit",
            where=f"timm:{recipe.model}",
            expected="a file of this model's weights",
            got=f"{recipe.weights}: {str(error)[:300]}",
        ) from error
    return model


def _preprocess(model: str, config: Any) -> tuple[Preprocess, tuple[tuple[str, Any], ...]]:
    side = int(config.input_size[-1])
    share: float = float(config.crop_pct or 0.875)
    settings: dict[str, Any] = {}
    if "dinov2" in model:
        side, share, settings = 224, 224 / 256, {"img_size": 224}
    if "dinov3" in model and model.startswith("vit_"):
        settings = {"global_pool": "token"}
    modes: dict[str, Resize] = {"center": "shortest", "squash": "squash", "border": "longest"}
    scaled = math.floor(side / share)
    return Preprocess(
        resize=(scaled, scaled),
        mode=modes[config.crop_mode or "center"],
        crop=(side, side),
        interpolation=config.interpolation or "bilinear",
        mean=tuple(config.mean),
        std=tuple(config.std),
    ), tuple(settings.items())


def _fetch(name: str, config: Any) -> str:
    if not config.hf_hub_id:
        raise ModelError("these weights are not on the model hub", where=name, fix="name a file in `encoder.weights`")
    names = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    return hub.fetch(config.hf_hub_id, names, name)
