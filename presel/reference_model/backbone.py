"""Loading an LVLM, and the one place that knows how models of different makers are built.

Everything else in this package works on what transformers promises for any image-text-to-text model: a processor with a chat
template, tokens and image tensors in, logits and a cache out. Three questions have no common answer and are answered here:
which layers are the language model's (LoRA goes there), which modules map vision to text (trained whole, at their own
learning rate), and which layer turns hidden states into logits. The rest of a model, its vision tower above all, is frozen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presel.concurrency.device import resolved
from presel.config import ReferenceModelConfig
from presel.errors import ModelError, require

if TYPE_CHECKING:
    import torch

# The names transformers uses for the module between vision tower and language model (LLaVA, Qwen-VL, SmolVLM, Aria, ...).
_PROJECTOR = re.compile(r"(^|\.)(multi_modal_projector|mm_projector|connector|merger|aligner)$")


@dataclass
class ReferenceModel:
    """A loaded LVLM with its processor. Not thread-safe: threads that share one must take turns."""

    model: Any
    processor: Any
    device: torch.device
    dtype: torch.dtype
    shares_prefix: bool | None = field(default=None)
    """Whether a cached image prefix gives this model's own losses; None until the first sample has been scored both ways."""
    stops_early: bool = True
    """Whether a prefix is whole once the last layer has written its keys and values (prefix.py)."""

    @property
    def pad(self) -> int:
        token: int | None = self.processor.tokenizer.pad_token_id
        return 0 if token is None else token

    @property
    def exact(self) -> bool:
        """float32, where equal computations agree to 1e-4."""
        import torch

        return self.dtype == torch.float32

    def language_layers(self) -> list[str]:
        """Names of the language model's linear layers, sorted: LoRA's targets."""
        import torch

        decoder = {id(module) for module in self.model.get_decoder().modules()}
        head = self.model.get_output_embeddings()
        return sorted(
            name
            for name, module in self.model.named_modules()
            if isinstance(module, torch.nn.Linear) and id(module) in decoder and module is not head
        )

    def projectors(self) -> list[str]:
        """Names of the modules that map vision features to the language model's width."""
        return sorted(name for name, _ in self.model.named_modules() if _PROJECTOR.search(name))

    @contextmanager
    def logits_at(self, rows: Sequence[int], positions: Sequence[int]) -> Iterator[None]:
        """Within, a forward pass computes logits for these (row, position) pairs alone: shape (pairs, vocabulary).

        With LLaVA's vocabulary of 32,064 the logits of a whole sequence cost more than a small model and 128 KB a token. The
        hidden states are gathered in front of the output layer, so whatever the model does to logits afterwards still holds.
        """
        import torch

        index = (torch.as_tensor(rows, device=self.device), torch.as_tensor(positions, device=self.device))

        def gather(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (args[0][index], *args[1:])

        handle = self.model.get_output_embeddings().register_forward_pre_hook(gather)
        try:
            yield
        finally:
            handle.remove()


def load_backbone(config: ReferenceModelConfig, dtype: torch.dtype | None = None) -> ReferenceModel:
    """The configured model and processor, in evaluation mode: float32 on a CPU, bfloat16 on a GPU, or as `dtype` says.

    Raises ModelError when they cannot be found, fetched or read.
    """
    require("models", "the reference model")
    import torch
    from transformers import AutoModelForImageTextToText

    device = choose_device(config.device)
    dtype = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
    processor = load_processor(config)
    with _loading(config):
        model = AutoModelForImageTextToText.from_pretrained(resolve(config.model), dtype=dtype)
    return ReferenceModel(model.to(device).eval(), processor, device, dtype)


def load_processor(config: ReferenceModelConfig) -> Any:
    """The processor alone, which is all that a served model needs here. Raises ModelError as `load_backbone` does."""
    require("models", "the reference model")
    from transformers import AutoProcessor

    with _loading(config):
        place = resolve(config.model)
        _ask_for(place)
        processor = AutoProcessor.from_pretrained(place)
    return checked_processor(processor, config.model)


def checked_processor(processor: Any, where: str) -> Any:
    """The processor, if it has what a response's tokens are found by; ModelError if not."""
    if not getattr(processor, "tokenizer", None) or not processor.tokenizer.is_fast:
        raise ModelError(
            "the model has no fast tokenizer, which tells where a response's tokens are",
            where=where,
            fix="use a checkpoint that holds a tokenizer.json",
        )
    return processor


@contextmanager
def _loading(config: ReferenceModelConfig) -> Iterator[None]:
    try:
        with _without_progress_bars():
            yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelError(
            "the reference model cannot be loaded",
            where=f"reference_model.model = {config.model}",
            expected="an image-text-to-text checkpoint with its processor, on the hub or in a folder",
            got=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}",
            fix="copy the checkpoint to a folder and name that, set HF_TOKEN for a gated one, or use model: builtin",
        ) from error


def resolve(name: str) -> str:
    """A hub name or a folder as transformers takes it; `builtin` is the folder the package ships."""
    if name == "builtin":
        from presel.demo.lvlm import base_folder

        return str(base_folder())
    folder = Path(name).expanduser()
    return str(folder) if folder.is_dir() else name


def choose_device(name: str) -> torch.device:
    """Raises ModelError when a GPU is asked for and none is there."""
    import torch

    name = resolved(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("no GPU is visible to torch", where="reference_model.device", fix="use device: auto or cpu")
    return torch.device(name)


def _ask_for(place: str) -> None:
    """Fail at the first file when the hub cannot be reached: transformers would ask for six, half a minute of retries each."""
    from huggingface_hub import hf_hub_download

    if not Path(place).is_dir():
        hf_hub_download(place, "config.json")


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """transformers draws bars on standard error, through whatever a caller shows there."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
