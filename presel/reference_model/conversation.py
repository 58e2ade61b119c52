"""A sample's questions and responses in the model's own chat template, with the place of every response known.

Templates differ (roles, separators, system messages, trimming), so nothing here knows one. The template is rendered once per
number of turns with a slot where each text goes; a conversation is that skeleton with the slots filled. Two things follow
for free: a response's characters are known exactly, and the question-free prompt is the *same skeleton* with empty question
slots, so that both losses are taken over the same response tokens at every turn. (The released scripts join a
conversation's replies into one for the question-free pass, which scores other tokens than the first pass did. To compare
with them there is `turns: joined`.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

from presel.errors import ModelError
from presel.images.reasons import Reason
from presel.tables.turn import Turn

# Private-use characters: no template, tokenizer or annotator writes them.
_SLOT = re.compile("\ue000([qr]\\d+)\ue001")
TurnRule = Literal["masked", "joined"]


class Rendered(NamedTuple):
    """A whole conversation as text."""

    text: str
    responses: tuple[tuple[int, int], ...]
    """Start and end of each response in `text`, in characters, with the template's end-of-turn mark if it has one."""


class ChatFormat:
    """The chat template of one processor."""

    def __init__(self, processor: Any) -> None:
        if not getattr(processor, "chat_template", None):
            raise ModelError(
                "the processor has no chat template",
                where=type(processor).__name__,
                fix="use an instruction-tuned checkpoint, or save a chat_template.jinja beside its processor",
            )
        self._processor = processor
        self._skeletons: dict[int, list[str]] = {}

    def render(self, turns: Sequence[Turn]) -> Rendered:
        """The conversation about one image. An empty question changes nothing beside itself."""
        pieces, responses, position = [], [], 0
        skeleton = self._skeleton(len(turns))
        for at, piece in enumerate(skeleton):
            if at % 2 == 0:  # the template's own text
                pieces.append(piece)
            elif piece[0] == "q":
                pieces.append(turns[int(piece[1:])].question)
            else:
                pieces.append(turns[int(piece[1:])].response)
                mark = self._end_mark(skeleton[at + 1])
                responses.append((position, position + len(pieces[-1]) + len(mark)))
            position += len(pieces[-1])
        return Rendered("".join(pieces), tuple(responses))

    def tokens(self, rendered: Rendered) -> tuple[list[int], list[int]]:
        """Tokens with the image placeholder as it stands in the template, and the positions of those of the responses."""
        special = not self.starts_with_bos(rendered.text)
        out = self._processor.tokenizer(rendered.text, add_special_tokens=special, return_offsets_mapping=True)
        inside = [
            at
            for at, (start, end) in enumerate(out["offset_mapping"])
            if end > start and any(start < stop and end > begin for begin, stop in rendered.responses)
        ]
        return list(out["input_ids"]), inside

    def unusable(self, turns: Sequence[Turn]) -> tuple[Reason, str] | None:
        """Reason and detail when there is nothing to predict, or nothing that could be told from structure."""
        if not turns or not all(turn.response.strip() for turn in turns):
            return Reason.EMPTY_RESPONSE, ""
        mark = self.control_token(turns)
        return None if mark is None else (Reason.CONTROL_TOKEN, mark)

    def control_token(self, turns: Sequence[Turn]) -> str | None:
        """A special token that somebody wrote into a question or a response: it would be read as structure, not as text."""
        texts = [text for turn in turns for text in turn]
        return next((mark for mark in self._specials if any(mark in text for text in texts)), None)

    def starts_with_bos(self, text: str) -> bool:
        """Whether the template has written the beginning-of-sequence token already."""
        bos = self._processor.tokenizer.bos_token
        return bool(bos) and text.startswith(bos)

    def _skeleton(self, turns: int) -> list[str]:
        """Template text and slot names in turn: text, q0, text, r0, text, q1, ..."""
        if turns not in self._skeletons:
            text = self._processor.apply_chat_template(_slotted(turns), tokenize=False, add_generation_prompt=False)
            skeleton = _SLOT.split(text)
            expected = [f"{kind}{turn}" for turn in range(turns) for kind in "qr"]
            if skeleton[1::2] != expected:
                raise ModelError(
                    "the chat template does not keep every question and response in order",
                    where=type(self._processor).__name__,
                    expected=expected,
                    got=skeleton[1::2],
                    fix="use a checkpoint whose template renders plain user and assistant turns",
                )
            self._skeletons[turns] = skeleton
        return self._skeletons[turns]

    def _end_mark(self, text: str) -> str:
        """The special token that closes a response (`</s>`, `<|im_end|>`): a model must learn to stop, so it counts."""
        return next((mark for mark in self._specials if text.startswith(mark)), "")

    @cached_property
    def _specials(self) -> list[str]:
        tokenizer = self._processor.tokenizer
        added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
        return sorted({*tokenizer.all_special_tokens, *added}, key=len, reverse=True)


def question_free(turns: Sequence[Turn], rule: TurnRule) -> list[Turn]:
    """The turns of the second loss. joined: one turn whose response is all of them with a space between, as released."""
    if rule == "joined":
        return [Turn("", " ".join(turn.response for turn in turns))]
    return [Turn("", turn.response) for turn in turns]


def _slotted(turns: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for turn in range(turns):
        image = [{"type": "image"}] if turn == 0 else []
        messages.append({"role": "user", "content": [*image, {"type": "text", "text": f"\ue000q{turn}\ue001"}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": f"\ue000r{turn}\ue001"}]})
    return messages
