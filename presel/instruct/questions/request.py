"""One question to the API, and the key under which its answer is kept for ever.

The key covers everything that can change the answer: the image's content digest, how the picture is made from it,
the rendered messages, the schema, the model, its parameters and the endpoint. It leaves out everything that changes
by itself: the place of a row in its table, the pool, signed links, the time, the sent picture (whose bytes are
the transform's business, named by its specification and version), and everything that is only about how to ask (timeouts,
concurrency, prices, the key's variable).

A new version of the transform is another key, so no answer is filed under a picture that was not the one sent. What was paid
for under an older version still counts (`earlier`): it is the same question about the same image, and differs by what an
encoder loses. So a release that prepares pictures better asks nothing again.

A follow-up is a request of its own, made from the first one and the answer it got, so a rerun walks through the same
requests and finds all of them paid.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from presel.config import GeneratorConfig
from presel.images import API_VERSION
from presel.instruct.questions.prompts import render
from presel.instruct.questions.schemas import SCHEMA, is_closed, is_own, schema_of

PICTURE = "image:"
"""What stands in a kept message where the sent one has the picture: this and the content digest."""

LIMITS = ("max_tokens", "max_completion_tokens")
"""What a limit of output tokens is called; each is refused somewhere."""
FORMATS: Mapping[str, Mapping[str, str] | None] = {"json": {"type": "json_object"}, "none": None}
"""What `response_format` is where it is not the schema."""

PEOPLE = "people"
"""The model, and the endpoint, of what people are asked. They see the picture as it is: it has no side and no version."""

_REASONING_MODEL = re.compile(r"^(o\d|gpt-5)", re.IGNORECASE)
_IN_WORDS = "\nAnswer with nothing but JSON that fits this JSON schema:\n"


@dataclass(frozen=True)
class Request:
    """A chat completion about one picture. `messages` hold a placeholder where the picture goes."""

    content: str
    picture: Mapping[str, Any]
    messages: tuple[Mapping[str, Any], ...]
    schema: Mapping[str, Any]
    model: str
    parameters: Mapping[str, Any]
    base_url: str

    @cached_property
    def key(self) -> str:
        """32 hex characters."""
        text = json.dumps(self.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        if is_own(self.schema):  # sorted above, but models write the fields of an answer in the order of its schema
            text += json.dumps(self.schema, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def document(self) -> dict[str, Any]:
        """What the key covers, as JSON: this is also what the ledger shows as the question."""
        return {
            "content": self.content,
            "picture": dict(self.picture),
            "messages": [dict(message) for message in self.messages],
            "schema": dict(self.schema),
            "model": self.model,
            "parameters": dict(self.parameters),
            "base_url": self.base_url,
        }

    def earlier(self) -> list[Request]:
        """The same question about the picture as older versions of the transform made it, the newest first."""
        versions = range(self.picture["version"] - 1, 0, -1)
        return [replace(self, picture={**self.picture, "version": version}) for version in versions]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Request:
        """The request that `document` describes."""
        return cls(**{**document, "messages": tuple(document["messages"])})

    @property
    def output_limit(self) -> int:
        """Tokens the answer may have at most."""
        limit: int = self.parameters[self._limit]
        return limit

    @property
    def _limit(self) -> str:
        return next(name for name in LIMITS if name in self.parameters)

    @cached_property
    def size(self) -> int:
        """Bytes of all words that are sent, the picture left out: what input tokens are estimated from."""
        return len(json.dumps([self.messages, self.schema], ensure_ascii=False).encode())

    @property
    def format(self) -> str:
        """What the server holds the model to: schema, json or none."""
        if not self.schema:
            return "none"
        if "response_format" not in self.parameters:
            return "schema"
        return "none" if self.parameters["response_format"] is None else "json"

    def _with_schema(self) -> list[Mapping[str, Any]]:
        """The messages, with the schema in words: no server tells the model of it."""
        first, *others = self.messages
        words = first["content"] + _IN_WORDS + json.dumps(self.schema, ensure_ascii=False)
        return [{**first, "content": words}, *others]

    def longer(self) -> Request:
        """The same question with twice the room, for an answer that was cut."""
        return replace(self, parameters={**self.parameters, self._limit: 2 * self.output_limit})

    def again(self, answer: str, problem: str) -> Request:
        """The same question, the answer it got, and what is wrong with that answer."""
        said = {"role": "assistant", "content": answer}
        wanted = {
            "role": "user",
            "content": f"That answer cannot be used: {problem}. Answer again, only with JSON that fits the schema.",
        }
        return replace(self, messages=(*self.messages, said, wanted))

    def body(self, picture: bytes) -> bytes:
        """What is sent, as JSON: `picture` (a JPEG in base64) in place of the placeholder, put in after the encoding."""
        schema = {"name": "instruction", "strict": is_closed(self.schema), "schema": self.schema}
        document = {
            "messages": self._with_schema() if self.schema and self.format != "schema" else self.messages,
            "model": self.model,
            "response_format": {"type": "json_schema", "json_schema": schema} if self.schema else None,
            **self.parameters,
        }
        document = {name: value for name, value in document.items() if value is not None}
        words = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        # A quotation mark inside a text is escaped, so this finds the placeholder and nothing that a prompt may say.
        before, _, after = words.partition(f'"url":"{PICTURE}{self.content}"'.encode())
        return b"".join((before, b'"url":"data:image/jpeg;base64,', picture, b'"', after))


def opening(
    content: str,
    task: str,
    generator: GeneratorConfig,
    picture_version: int = API_VERSION,
    caption: str | None = None,
) -> Request:
    """The first request about an image of a task.

    `content` is the SHA-256 of the image's bytes; `picture_version` names the code that makes the sent picture from them;
    `caption` is the text beside it. Where a prompt shows that, its words are in the key like all that is sent.
    Raises ConfigError for a template that does not render and for a schema that is none.
    """
    prompt = generator.prompt_of(task)
    system, user = render(prompt, task, caption if prompt.uses_caption else None)
    if generator.writer(prompt) == PEOPLE:
        return for_people(content, system, user)
    picture = {"type": "image_url", "image_url": {"url": PICTURE + content, "detail": generator.image_detail}}
    return Request(
        content=content,
        picture={"side": generator.image_side, "version": picture_version},
        messages=(
            {"role": "system", "content": system},
            {"role": "user", "content": [{"type": "text", "text": user}, picture]},
        ),
        schema=schema_of(prompt, f"generator.prompt of task {task}"),
        model=generator.model,
        parameters=_parameters(generator),
        base_url=generator.base_url.rstrip("/"),
    )


def for_people(content: str, system: str, user: str, opinion: int = 1) -> Request:
    """What people are asked about an image. `opinion`: whose answer it is, the first one's or another person's."""
    picture = {"type": "image_url", "image_url": {"url": PICTURE + content}}
    return Request(
        content=content,
        picture={"side": 0, "version": 1},
        messages=(
            {"role": "system", "content": system},
            {"role": "user", "content": [{"type": "text", "text": user}, picture]},
        ),
        schema=SCHEMA,
        model=PEOPLE,
        parameters={"opinion": opinion} if opinion > 1 else {},
        base_url=PEOPLE,
    )


def _parameters(generator: GeneratorConfig) -> dict[str, Any]:
    """What is sent beside messages, model and schema. What is not sent is not in it, so a key holds what was sent.

    Unless it is set otherwise, under the names that OpenAI's models take: those that think refuse `max_tokens` and a
    temperature. Other names for such models, and other servers' wishes, are learned from a refusal (accepted.py).
    """
    asked, thinks = generator.request, bool(_REASONING_MODEL.match(generator.model))
    limit = LIMITS[thinks] if asked.limit == "as_known" else asked.limit
    seed = generator.seed if asked.seed == "as_set" else asked.seed
    as_set = None if thinks else generator.temperature
    wished = {
        limit: generator.max_output_tokens,
        "seed": seed,
        "temperature": as_set if asked.temperature == "as_set" else asked.temperature,
        "reasoning_effort": asked.reasoning_effort,
        **json.loads(asked.extra_body or "{}"),
    }
    parameters = {name: value for name, value in wished.items() if value is not None}
    if asked.response_format != "schema":
        parameters["response_format"] = FORMATS[asked.response_format]
    return parameters
