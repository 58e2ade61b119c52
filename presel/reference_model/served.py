"""The two losses from a model behind an OpenAI-compatible server, for teams whose GPUs are there.

A chat completion whose last message is the response, with `prompt_logprobs`: the server runs the prompt and says how likely
each of its tokens was. vLLM does this for prompts with images (checked against its CPU build: 4e-6 nats from local
scoring); the hosted APIs do not, and then the error says so. Of the model only the processor is here. It tells which
tokens a conversation has, and so where the responses are: the server's tokens must be ours with the image expanded in one
place, or the sample is refused. Text is never searched for. Pictures are sent without loss, decoded as in local scoring.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from presel.config import ServedConfig
from presel.errors import ConfigError, EndpointRefused, EndpointUnavailable, ModelError, require
from presel.images.reasons import Reason
from presel.reference_model.conversation import ChatFormat, Rendered, TurnRule, question_free
from presel.reference_model.prepare import Unusable, expansion_of
from presel.reference_model.reading import Sample, read_ahead
from presel.reference_model.score import Losses
from presel.storage import bodies, trust
from presel.tables.turn import Turn

if TYPE_CHECKING:
    from PIL import Image

WHERE = "reference_model.served"
RETRIES = 5  # the SDK's own: scoring costs nothing a second time
_FLOOR = -9999.0  # vLLM writes this for minus infinity, which JSON cannot say
_OTHER_WAYS = (
    "serve the model with vLLM, score with a local one (leave `reference_model.served` out), or import losses "
    "(`reference_model.precomputed`)"
)
_TOO_LONG = re.compile(r"context length|too long|maximum.{0,20}(length|tokens)", re.IGNORECASE)


class ServedModel:
    """One server. Use as a context; `score` may be called once at a time."""

    def __init__(self, config: ServedConfig, chat: ChatFormat, max_length: int, turns: TurnRule) -> None:
        require("instruct", WHERE)
        import httpx2
        import openai

        self._config, self._chat, self._max_length, self._turns = config, chat, max_length, turns
        key = os.environ.get(config.api_key_env, "").strip() or "none"
        self._sdk = openai.OpenAI(
            base_url=_address(config.base_url),
            api_key=key,
            timeout=config.timeout,
            max_retries=RETRIES,
            http_client=httpx2.Client(verify=trust.context(), event_hooks={"response": [bodies.bound]}),
        )

    def __enter__(self) -> ServedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self._sdk.close()

    def score(
        self, samples: Sequence[Sample], read: Callable[[Sample], Image.Image | Unusable]
    ) -> Iterator[tuple[Sample, Losses | Unusable]]:
        """Losses of every sample, in order.

        Raises EndpointRefused when the server returns no prompt log-probabilities, EndpointUnavailable when it does not answer,
        ModelError when not one sample has the server's tokens: its template or tokenizer is another.
        """
        differing = 0
        for sample, found in read_ahead(lambda s: self._score(s, read), samples, threads=self._config.concurrency):
            differing += isinstance(found, Unusable) and found.reason == "tokens_differ"
            if differing == len(samples):
                raise ModelError(
                    "the server reads other tokens than the processor here",
                    where=WHERE,
                    expected="the chat template and tokenizer of `reference_model.model`",
                    got=found.detail if isinstance(found, Unusable) else "",
                    fix="name the checkpoint that is served in `reference_model.model`",
                )
            yield sample, found

    def _score(self, sample: Sample, read: Callable[[Sample], Image.Image | Unusable]) -> Losses | Unusable:
        if (wrong := self._chat.unusable(sample.turns)) is not None:
            return Unusable(*wrong)
        image = read(sample)
        if isinstance(image, Unusable):
            return image
        picture, losses, counts = _data_url(image), [], []
        for turns in (list(sample.turns), question_free(sample.turns, self._turns)):
            found = self._loss(turns, picture)
            if isinstance(found, Unusable):
                return found
            losses.append(found[0])
            counts.append(found[1])
        return Losses(sample.id, counts[0], losses[0], losses[1])

    def _loss(self, turns: Sequence[Turn], picture: str) -> tuple[float, int] | Unusable:
        """Mean nats per response token, and how many these are."""
        rendered = self._chat.render(turns)
        answer = self._ask(_messages(turns, picture), not self._chat.starts_with_bos(rendered.text))
        if isinstance(answer, Unusable):
            return answer
        entries = answer.get("prompt_logprobs")
        if not isinstance(entries, list) or not entries:
            raise EndpointRefused(
                "the server returns no log-probabilities of the prompt",
                where=self._where,
                expected="`prompt_logprobs` in the answer",
                got=", ".join(sorted(answer)),
                fix=_OTHER_WAYS,
            )
        return self._mean(rendered, answer.get("prompt_token_ids"), entries)

    def _mean(self, rendered: Rendered, ids: list[int] | None, entries: list[Any]) -> tuple[float, int] | Unusable:
        short, response = self._chat.tokens(rendered)
        long = ids or [short[0], *(int(next(iter(entry))) for entry in entries[1:])]
        if len(long) > self._max_length:
            return Unusable(Reason.TOO_LONG, f"{len(long)} tokens, the limit is {self._max_length}")
        expansion = expansion_of(short, long)
        # At most the one placeholder was replaced, and before the first response.
        if len(long) != len(entries) or expansion.stop - expansion.start > 1 or expansion.stop > response[0]:
            return Unusable(
                Reason.TOKENS_DIFFER, f"the server's {len(long)} tokens are not the processor's, expanded in one place"
            )
        likelihoods = [_likelihood(entries[at], long[at]) for at in expansion.shift(response)]
        return -math.fsum(likelihoods) / len(likelihoods), len(likelihoods)

    def _ask(self, messages: list[dict[str, Any]], special: bool) -> dict[str, Any] | Unusable:
        import openai

        options = {"prompt_logprobs": 0, "add_generation_prompt": False, "return_token_ids": True}
        try:
            raw = self._sdk.chat.completions.with_raw_response.create(
                model=self._config.model,
                messages=[],
                max_tokens=1,
                temperature=0.0,
                extra_body={"messages": messages, "add_special_tokens": special, **options},
            )
            body = json.loads(raw.text)
        except openai.APIStatusError as error:
            return self._refused(error.status_code, error.response.text)
        except (openai.APIError, ValueError) as error:
            raise EndpointUnavailable(
                "the server does not answer", where=self._where, got=f"{type(error).__name__}: {error}"[:300]
            ) from error
        return body if isinstance(body, dict) else {}

    def _refused(self, status: int, text: str) -> Unusable:
        if status == 400 and _TOO_LONG.search(text):
            return Unusable(Reason.TOO_LONG, text[:200])
        if status in (408, 409, 429) or status >= 500:
            raise EndpointUnavailable(f"the server answers {status}", where=self._where, got=text[:300])
        what = f"the server refuses with {status}: {text[:300]}"
        if status in (401, 403):
            fix = f"put its key into the environment variable {self._config.api_key_env}"
        elif status == 404:
            fix = f"check `{WHERE}.base_url` and `{WHERE}.model`"
        else:
            fix = f"a server must take image prompts and `prompt_logprobs`: {_OTHER_WAYS}"
        raise EndpointRefused(what, where=self._where, fix=fix)

    @property
    def _where(self) -> str:
        return f"{WHERE}, {self._config.model} at {self._config.base_url}"


def _address(base_url: str) -> str:
    address = os.path.expandvars(base_url)
    if "$" in address or not address.startswith(("http://", "https://")):
        raise ConfigError(
            "the server's address is not one, or names a variable that is not set",
            where=f"{WHERE}.base_url",
            expected="https://...",
            got=base_url,
        )
    return address


def _messages(turns: Iterable[Turn], picture: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for at, turn in enumerate(turns):
        image = [{"type": "image_url", "image_url": {"url": picture}}] if at == 0 else []
        messages.append({"role": "user", "content": [*image, {"type": "text", "text": turn.question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.response}]})
    return messages


def _data_url(image: Image.Image) -> str:
    """PNG, since a second JPEG would be another picture."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _likelihood(entry: Any, token: int) -> float:
    """The log-probability of the prompt's own token; NaN where the server left it out."""
    said = entry.get(str(token)) if isinstance(entry, dict) else None
    value = float(said["logprob"]) if isinstance(said, dict) and said.get("logprob") is not None else math.nan
    return -math.inf if value <= _FLOOR else value
