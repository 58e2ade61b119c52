"""One optimiser step that memory and bad samples cannot break.

The loss is taken over response tokens alone and averaged over the tokens of the whole step. A step's samples go through the
model in as many pieces as memory allows and their gradients add up: a smaller card changes the time, not the result. A
sample whose loss is not finite is left out by name, because its gradient would make every weight NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from presel.config import LoraConfig
from presel.reference_model import lora
from presel.reference_model.backbone import ReferenceModel
from presel.reference_model.batches import aligned, image_shape, images, padded
from presel.reference_model.prepare import ImageInputs, Prepared, Tokens

if TYPE_CHECKING:
    import torch

CLIP = 1.0  # gradient norm: the default of the trainers the paper's recipe was run with


class Lesson(NamedTuple):
    """A sample as it is shown once: with its question or without."""

    sample: Prepared
    tokens: Tokens

    @property
    def image(self) -> ImageInputs:
        return self.sample.image_of(self.tokens)


class Trainer:
    """An optimizer over an adapter and, at its own rate, the projector."""

    def __init__(self, model: ReferenceModel, config: LoraConfig) -> None:
        self.model, self.piece = model, config.batch
        self._half = model.device.type == "cuda" or config.precision == "bfloat16"
        self._trained = lora.trained(model)
        projectors = tuple(f"{name}." for name in model.projectors())
        slow = {name for name in self._trained if any(f".{part}" in f".{name}" for part in projectors)}
        groups: list[tuple[list[Any], float]] = [
            ([p for name, p in self._trained.items() if name not in slow], config.learning_rate),
            ([p for name, p in self._trained.items() if name in slow], config.projector_learning_rate),
        ]
        groups = [(parameters, rate) for parameters, rate in groups if parameters]
        self.optimizer = _optimizer(groups, config.optimizer)
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        if model.device.type == "cuda":  # a third more time for most of the memory
            model.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def step(self, lessons: Sequence[Lesson], share: float, seed: int) -> tuple[float | None, list[str]]:
        """Move once, at that share of the learning rates. `seed` is for a model that has dropout layers of its own.

        Returns the loss in nats per response token (None if no sample was left) and the ids that were left out.
        """
        import torch

        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        self.model.model.train()
        with torch.random.fork_rng(), one_thread(self.model.device):
            torch.manual_seed(seed)
            return self._step(list(lessons))

    def _step(self, lessons: list[Lesson]) -> tuple[float | None, list[str]]:
        import torch

        left_out: list[str] = []
        while lessons:
            loss, spoiled = self._gradients(lessons)
            if not spoiled:
                torch.nn.utils.clip_grad_norm_(list(self._trained.values()), CLIP)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
                return loss, left_out
            left_out.extend(spoiled)
            lessons = [lesson for lesson in lessons if lesson.sample.id not in spoiled]
        return None, left_out

    def _gradients(self, lessons: list[Lesson]) -> tuple[float, list[str]]:
        """Gradients of the step's mean loss and that loss; or, with no gradients, the ids whose loss is not finite."""
        import torch

        while True:
            try:
                return self._accumulate(lessons)
            except torch.OutOfMemoryError:
                if self.piece == 1:
                    raise
            self.optimizer.zero_grad(set_to_none=True)
            self.piece //= 2

    def _accumulate(self, lessons: list[Lesson]) -> tuple[float, list[str]]:
        tokens = sum(len(lesson.tokens.response) for lesson in lessons)
        total = 0.0
        for piece in _pieces(lessons, self.piece):
            sums = self._sums(piece)
            spoiled = [x.sample.id for x, value in zip(piece, sums.tolist(), strict=True) if not math.isfinite(value)]
            if spoiled:
                self.optimizer.zero_grad(set_to_none=True)
                return math.nan, spoiled
            loss = sums.sum() / tokens
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total, []

    def _sums(self, piece: list[Lesson]) -> torch.Tensor:
        """Each lesson's summed negative log-likelihood of its response."""
        import torch

        rows, model = [lesson.tokens for lesson in piece], self.model
        counts = [len(row.response) for row in rows]
        at = [n for n, count in enumerate(counts) for _ in range(count)]
        positions = [position - 1 for row in rows for position in row.response]
        targets = torch.tensor([row.ids[p] for row in rows for p in row.response], device=model.device)
        with model.logits_at(at, positions), self._products():
            logits = model.model(
                input_ids=padded([row.ids for row in rows], model.pad, model.device),
                attention_mask=padded([[1] * len(row.ids) for row in rows], 0, model.device),
                use_cache=False,
                **images([lesson.image for lesson in piece], model.device, model.dtype),
                **aligned(rows, 0, None, model.device),
            ).logits
        losses = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
        return torch.stack([part.sum() for part in torch.split(losses, counts)])

    @contextmanager
    def _products(self) -> Iterator[None]:
        """Products in bfloat16 where that is asked for; on a CPU attention by plain products, too."""
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        device = self.model.device.type
        # Backward through the fused attention takes three times as long there.
        plain = sdpa_kernel(SDPBackend.MATH) if device == "cpu" and self._half else nullcontext()
        with torch.autocast(device, torch.bfloat16, enabled=self._half), plain:
            yield


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Hold torch at one thread on a CPU: it groups its sums by thread, and a fit adds up what that does to the last bits.

    One fit on two threads and on one ended in other bytes on one kind of CPU and in the same on another.
    """
    import torch

    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Together:
    """Two optimizers that are used as one: each holds parameters of its own, and they share the state that is checkpointed."""

    def __init__(self, *optimizers: Any) -> None:
        self._all = optimizers
        self.param_groups = [group for one in optimizers for group in one.param_groups]
        self.state = optimizers[0].state
        for one in optimizers:
            one.state = self.state

    def step(self) -> None:
        for one in self._all:
            one.step()

    def zero_grad(self, *, set_to_none: bool = True) -> None:
        for one in self._all:
            one.zero_grad(set_to_none=set_to_none)


def _optimizer(groups: list[tuple[list[Any], float]], name: str) -> Any:
    """AdamW; or Muon for what is a matrix and AdamW for what is not. Each group at its own rate."""
    import torch

    matrices = [([p for p in found if p.ndim == 2], rate) for found, rate in groups] if name == "muon" else []
    taken = {id(p) for found, _ in matrices for p in found}
    others = [([p for p in found if id(p) not in taken], rate) for found, rate in groups]
    kinds: list[Any] = []
    if any(found for found, _ in matrices):
        kinds.append(torch.optim.Muon(_named(matrices), weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))
    if any(found for found, _ in others):
        kinds.append(torch.optim.AdamW(_named(others), weight_decay=0.0))
    return kinds[0] if len(kinds) == 1 else _Together(*kinds)


def _named(groups: list[tuple[list[Any], float]]) -> list[dict[str, Any]]:
    return [{"params": found, "lr": rate} for found, rate in groups if found]


def _pieces(lessons: list[Lesson], size: int) -> Iterator[list[Lesson]]:
    """Lessons whose images have one shape, at most `size` at a time."""
    shapes: dict[tuple[object, ...], list[Lesson]] = {}
    for lesson in lessons:
        shapes.setdefault(image_shape(lesson.image), []).append(lesson)
    for group in shapes.values():
        yield from (group[at : at + size] for at in range(0, len(group), size))
