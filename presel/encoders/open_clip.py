"""CLIP-like image towers: `open_clip:<model>/<pretrained tag>`, or `.../<file>` for weights on this machine.

The text tower is built, because the checkpoints hold both, and dropped after loading. Preprocessing is that of the tag; a file
has no tag, so the model's own default applies, unless tag *and* `encoder.weights` are given: then the tag says how.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from presel.encoders import hub
from presel.encoders.recipe import Preprocess, Recipe, file_digest, fixed_size
from presel.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import torch


def recipe(name: str, weights: str | None) -> Recipe:
    """`name` is `<model>/<tag or file>`. Raises ConfigError for an unknown model or tag, ModelError without weights."""
    import open_clip

    fixed_size(f"open_clip:{name}")
    model, _, pretrained = name.partition("/")
    config = open_clip.get_model_config(model)
    if config is None:
        raise ConfigError(
            "open_clip has no such model",
            where="encoder.name",
            expected=hub.near(model, open_clip.list_models()),
            got=model,
        )
    tag = open_clip.pretrained.get_pretrained_cfg(model, pretrained) if pretrained else {}
    path = weights or (_fetch(f"open_clip:{name}", tag) if tag else _file(model, pretrained))
    size = config["vision_cfg"].get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    preprocess = Preprocess(
        resize=(height, width),
        mode=tag.get("resize_mode", "shortest"),
        crop=(height, width),
        interpolation=tag.get("interpolation", "bicubic"),
        mean=tuple(tag.get("mean") or open_clip.OPENAI_DATASET_MEAN),
        std=tuple(tag.get("std") or open_clip.OPENAI_DATASET_STD),
        fill=int(tag.get("fill_color", 0)),
    )
    settings = (("force_quick_gelu", True),) if tag.get("quick_gelu") else ()
    return Recipe("open_clip", model, settings, path, file_digest(path, f"open_clip:{name}"), preprocess)


def build(recipe: Recipe) -> torch.nn.Module:
    """The image tower, weights loaded."""
    import open_clip

    settings: dict[str, Any] = dict(recipe.settings)
    try:
        model = open_clip.create_model(
            recipe.model, pretrained=recipe.weights, pretrained_text=False, weights_only=True, **settings
        )
    except Exception as error:  # the library raises whatever its checkpoint conversions stumble over
        raise ModelError(
            "the weights do not fit",
            where=f"open_clip:{recipe.model}",
            expected="a file of this model's weights",
            got=f"{recipe.weights}: {str(error)[:300]}",
        ) from error
    tower: torch.nn.Module = model.visual
    return tower


def _file(model: str, pretrained: str) -> str:
    import open_clip

    file = Path(pretrained).expanduser()
    if pretrained and file.is_file():
        return str(file)
    raise ConfigError(
        "neither a pretrained tag nor a file" if pretrained else "no weights are named",
        where="encoder.name",
        expected=f"open_clip:{model}/ and a file, or one of {', '.join(open_clip.list_pretrained_tags_by_model(model)[:6])}",
        got=pretrained or "nothing",
    )


def _fetch(name: str, tag: dict[str, Any]) -> str:
    from open_clip.pretrained import download_pretrained

    repository, _, file = str(tag.get("hf_hub", "")).rpartition("/")
    if repository:
        stems = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
        return hub.fetch(repository, stems, name)
    try:
        return str(download_pretrained(tag))
    except Exception as error:  # urllib and requests errors, by address
        raise hub.unreachable(name, str(tag.get("url") or "the weights"), error) from error
