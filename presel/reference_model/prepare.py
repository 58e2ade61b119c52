"""One sample as tokens and tensors: made once, on any thread, used for fitting and for both losses.

The image goes through the processor once. The question-free token sequence is made by putting the processor's own expansion of
the image placeholder (576 tokens for LLaVA-1.5, a number that depends on the image for others) at the same place of the
question-free text: a sample costs one preprocessing instead of two, and fitting and scoring cannot treat its picture
differently. Nothing is truncated: a sample that is too long says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from presel.images.reasons import Reason
from presel.reference_model.conversation import ChatFormat, Rendered, TurnRule, question_free
from presel.tables.turn import Turn

if TYPE_CHECKING:
    import torch
    from PIL import Image

ImageInputs: TypeAlias = "dict[str, torch.Tensor]"


class Unusable(NamedTuple):
    """Why a sample can be neither fitted nor scored."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True)
class Tokens:
    """One token sequence, and which of its tokens are the response."""

    ids: list[int]
    response: list[int]
    """Positions in `ids`, ascending, never 0."""
    aligned: dict[str, list[int]]
    """Further inputs with one value per token, which some models take (token types)."""


@dataclass(frozen=True)
class Prepared:
    """A sample ready for the model, on the CPU."""

    id: str
    with_question: Tokens
    without_question: Tokens
    shared: int
    """Tokens that both sequences start with: the whole image, and nothing either is asked to predict. 0: no whole image."""
    image: ImageInputs
    """What the model takes beside tokens: pixels, for some models sizes or grids; the first dimension may be concatenated."""
    other_image: ImageInputs | None = None
    """The same for the sequence without the question, where it depends on the tokens (cross-attention masks)."""

    def image_of(self, tokens: Tokens) -> ImageInputs:
        """What goes with one of the two sequences."""
        return self.image if self.other_image is None or tokens is self.with_question else self.other_image


class Preparer:
    """From an image and its turns to tensors, for one processor."""

    def __init__(self, processor: Any, max_length: int, turns: TurnRule = "masked") -> None:
        self._processor, self._max_length, self._turns = processor, max_length, turns
        self._format = ChatFormat(processor)

    def __call__(self, id: str, image: Image.Image, turns: Sequence[Turn]) -> Prepared | Unusable:
        """`image` is RGB. Unusable when a response would be cut at `max_length` tokens or has nothing to predict."""
        if (wrong := self._format.unusable(turns)) is not None:
            return Unusable(*wrong)
        asked, bare = self._format.render(turns), self._format.render(question_free(turns, self._turns))
        found = self._assembled(id, self._processed(asked.text, image), asked, bare)
        if isinstance(found, Unusable) or not _follows_tokens(found):
            return found
        other = self._processed(bare.text, image)
        return replace(found, shared=0, other_image={name: other[name] for name in found.image})

    def again(self, id: str, shown: Shown, turns: Sequence[Turn]) -> Prepared | Unusable:
        """The same for a picture that was prepared before, from what became of it then."""
        import torch

        if (wrong := self._format.unusable(turns)) is not None:
            return Unusable(*wrong)
        asked, bare = self._format.render(turns), self._format.render(question_free(turns, self._turns))
        ids = shown.expansion.apply(self._format.tokens(asked)[0])
        return self._assembled(id, {"input_ids": torch.tensor([ids]), **shown.image}, asked, bare)

    def expansion(self, prepared: Prepared, turns: Sequence[Turn]) -> Expansion:
        """What the processor put in place of the image placeholder of a sample with these turns."""
        return expansion_of(self._format.tokens(self._format.render(turns))[0], prepared.with_question.ids)

    def _assembled(self, id: str, whole: dict[str, Any], asked: Rendered, bare: Rendered) -> Prepared | Unusable:
        if (length := whole["input_ids"].shape[1]) > self._max_length:
            return Unusable(Reason.TOO_LONG, f"{length} tokens, the limit is {self._max_length}")
        first, second = self._format.tokens(asked), self._format.tokens(bare)
        return _assemble(id, whole, first, second, same=self._turns == "masked")

    def _processed(self, text: str, image: Image.Image) -> dict[str, Any]:
        special = not self._format.starts_with_bos(text)
        out = self._processor(text=[text], images=[image], add_special_tokens=special, return_tensors="pt")
        return {name: value for name, value in out.items() if name != "attention_mask"}


class Expansion(NamedTuple):
    """What the processor put in place of the image placeholder: tokens [start, stop) became `tokens`."""

    start: int
    stop: int
    tokens: list[int]

    def apply(self, values: list[int]) -> list[int]:
        return [*values[: self.start], *self.tokens, *values[self.stop :]]

    def shift(self, positions: list[int]) -> list[int]:
        added = len(self.tokens) - (self.stop - self.start)
        return [at + added if at >= self.stop else at for at in positions]

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)


class Shown(NamedTuple):
    """A picture as the model takes it, and the tokens that stand for it."""

    image: ImageInputs
    expansion: Expansion


def expansion_of(short: list[int], long: list[int]) -> Expansion:
    """What `long` has in one place that `short` has not."""
    start = _common(short, long)
    tail = _common(short[start:][::-1], long[start:][::-1])
    return Expansion(start, len(short) - tail, long[start : len(long) - tail])


def _assemble(
    id: str,
    whole: dict[str, Any],
    first: tuple[list[int], list[int]],
    second: tuple[list[int], list[int]],
    *,
    same: bool,
) -> Prepared | Unusable:
    """From what the processor made of the first text, and both as the tokenizer reads them. `same`: the responses must be."""
    ids: list[int] = whole.pop("input_ids")[0].tolist()
    expansion = expansion_of(first[0], ids)
    if expansion.tokens and first[0][: expansion.stop] != second[0][: expansion.stop]:
        return Unusable(Reason.TOKENS_DIFFER, "the image placeholder does not come before the question")
    other = expansion.apply(second[0]) if expansion.tokens else second[0]
    response, other_response = (
        expansion.shift(found) if expansion.tokens else found for found in (first[1], second[1])
    )
    if not response or not other_response:
        return Unusable(Reason.EMPTY_RESPONSE, "the tokenizer leaves nothing of it")
    if same and [ids[at] for at in response] != [other[at] for at in other_response]:
        return Unusable(Reason.TOKENS_DIFFER, "the response is tokenised otherwise without its question")
    names = [name for name, value in whole.items() if tuple(value.shape) == (1, len(ids))]
    aligned = {name: whole.pop(name)[0].tolist() for name in names}
    # A model that sees its image beside the tokens has no placeholder to expand: its image counts as read before the question.
    end = expansion.end if expansion.tokens else _common(ids, other)
    # The sequences differ after the image alone, where token-aligned values are those of plain text.
    trimmed = {name: values[:end] + values[-1:] * (len(other) - end) for name, values in aligned.items()}
    shared = min(_common(ids, other), response[0] - 1, other_response[0] - 1)
    return Prepared(
        id,
        Tokens(ids, response, aligned),
        Tokens(other, other_response, trimmed),
        shared if shared >= end or not expansion.tokens else 0,
        whole,
    )


def _follows_tokens(sample: Prepared) -> bool:
    """Whether something beside the tokens has a row for each of them: it cannot be cut where the sequences part."""
    length = len(sample.with_question.ids)
    return any(value.ndim > 2 and tuple(value.shape[:2]) == (1, length) for value in sample.image.values())


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
