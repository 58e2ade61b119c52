"""Who writes the instructions, what is asked, and what it may cost: the only settings that spend money."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from presel.config.keys import InKeyUnless, Operational
from presel.config.section import SECRET, Section

_OURS = {"messages", "model", "stream", "n", "max_tokens", "max_completion_tokens", "response_format"}

_CAPTION = re.compile(r"\{[{%][^}]*\bcaption\b")
_KEYS = ("authorization", "key", "token", "secret", "cookie")


def _as_json(value: object) -> object:
    """A mapping as JSON text, its order kept: a configuration is hashed and compared, and a form shows text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else value


def _is_json(text: str | None) -> str | None:
    if text is not None and not isinstance(json.loads(text), dict):
        raise ValueError("a JSON schema is an object")
    return text


def _is_extra(text: str | None) -> str | None:
    """More fields of a request, but none that decides what is asked or how its answer comes."""
    fields = {} if text is None else json.loads(text)
    if not isinstance(fields, dict) or fields.keys() & _OURS:
        raise ValueError(f"more fields of a request are an object without {', '.join(sorted(_OURS))}")
    return text if fields else None


def _is_no_key(headers: dict[str, str]) -> dict[str, str]:
    """A key belongs into the environment: a configuration is kept, shown and hashed."""
    for name, value in headers.items():
        if any(word in name.lower() for word in _KEYS) and "${" not in value:
            raise ValueError(f"the header {name} holds a key: write `${{NAME}}` and set that environment variable")
    return headers


def holds_no_password(address: str) -> str:
    """Refused where it is read: a configuration is kept and shown by everything that a run tells of it."""
    host = address.partition("://")[2].partition("/")[0]
    named = re.search(r"[?&][^=&]*(key|token|secret|sig|password)[^=&]*=[^&$]", address, re.IGNORECASE)
    if "@" in host or named:
        raise PydanticCustomError(SECRET, "the address holds a password or a key; keys belong into `api_key_env`")
    return address


_NO_SECRET = r"^(?![^/]*//[^/]*@)(?!.*[?&][^=&]*([Kk]ey|[Tt]oken|[Ss]ecret|[Ss]ig|[Pp]assword)[^=&]*=[^&$])"
Endpoint = Annotated[str, AfterValidator(holds_no_password), WithJsonSchema({"type": "string", "pattern": _NO_SECRET})]
"""An address. By its pattern a Prefect server refuses a deployment's or a form's, too, before it keeps it."""


class TurnConfig(Section):
    """One question-response pair."""

    question: str = Field(min_length=1)
    response: str = Field(min_length=1)


class PromptConfig(Section):
    """What is asked of the annotator about one image. A template is Jinja2, sandboxed; it may use `task`, `turns`, `language`
    and `caption`, the text beside the picture (`source.captions`)."""

    kind: Literal["short_answer", "conversation", "detailed_description", "reasoning", "captions", "custom"] = (
        "conversation"
    )
    by: Annotated[Literal["api", "people"] | None, InKeyUnless(None)] = Field(
        None, description="who writes the instructions of this task; null: as `generator.kind` says"
    )
    turns: int = Field(1, ge=1, le=10, description="question-response pairs per image")
    language: str = "English"
    system: str | None = Field(None, description="replaces the kind's own system message")
    template: str | None = Field(None, description="replaces the kind's own user message")
    examples: tuple[tuple[TurnConfig, ...], ...] = Field(
        (), description="answers as they should be, each a list of question and response; shown before the image"
    )
    check_language: bool = Field(
        False, description="ask again, then reject, what is certainly not written in `language` (its English name)"
    )
    answer_schema: Annotated[str | None, BeforeValidator(_as_json), AfterValidator(_is_json)] = Field(
        None,
        description="JSON schema of an answer, as JSON or as a mapping, with `turns` of `question` and `response` in it; "
        "null: these alone, as strings",
    )
    judge: str | None = Field(
        None,
        description="criteria in words: a second, paid request asks the model whether the turns meet them; `rate`: it rates "
        "each turn from 1 to 5 in four respects, and nothing is rejected; null: none",
    )
    reject_below: Annotated[Annotated[int, Field(ge=2, le=5)] | None, InKeyUnless(None)] = Field(
        None, description="with `judge: rate`: what is rated lower in any respect is rejected after all; null: nothing"
    )

    @model_validator(mode="after")
    def _ratings_have_a_rater(self) -> PromptConfig:
        if self.reject_below is not None and self.judge != "rate":
            raise ValueError("`reject_below` is about ratings: set `judge: rate`")
        return self

    @property
    def uses_caption(self) -> bool:
        """Whether a template shows the text beside a picture."""
        return any(_CAPTION.search(text) for text in (self.system, self.template) if text)


class PriceConfig(Section):
    """US dollars per million tokens, for models the price list does not know or a contract of your own."""

    input_per_million: float = Field(ge=0)
    output_per_million: float = Field(ge=0)


class BatchConfig(Section):
    """The provider's batch API: half the price, an answer within 24 hours."""

    requests_per_file: int = Field(50_000, ge=1, le=50_000)
    megabytes_per_file: float = Field(200.0, gt=0, le=200, description="1 MB is a million bytes")
    gather: float = Field(10.0, gt=0, description="seconds without a new request after which a file is sent as it is")
    poll: float = Field(60.0, gt=0, description="seconds between two looks at a batch")
    finish_live: bool = Field(
        False,
        description="what an ended batch leaves open, and follow-ups, are asked at once at the full price; "
        "false: in another batch",
    )
    price_share: float = Field(0.5, gt=0, le=1, description="of the live price")


class PeopleConfig(Section):
    """What the time of people costs, where they write instructions (docs/people.md)."""

    hourly_rate: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="US dollars for an hour of a person's time; 0 for volunteers"
    )
    minutes: float = Field(2.0, gt=0, le=600, description="that one picture is expected to take, for prices beforehand")
    longest: float = Field(
        30.0, gt=0, description="minutes that one annotation counts at most: a page may be left open over night"
    )


class RequestConfig(Section):
    """What is sent beside the messages, for servers that do not take all of it (docs/howto/providers.md)."""

    seed: int | Literal["as_set"] | None = Field("as_set", description="null: send none; as_set: `generator.seed`")
    temperature: Annotated[float, Field(ge=0, le=2)] | Literal["as_set"] | None = Field(
        "as_set", description="null: send none; as_set: `generator.temperature`, but none to OpenAI's reasoning models"
    )
    limit: Literal["as_known", "max_tokens", "max_completion_tokens"] = Field(
        "as_known",
        description="the name of the limit of an answer's tokens; as_known: what OpenAI's model of that name takes",
    )
    response_format: Literal["schema", "json", "none"] = Field(
        "schema",
        description="schema: the server holds the model to the JSON schema; json: to JSON; none: to nothing. Without schema "
        "it is said in the prompt, and an answer is checked here in any case",
    )
    reasoning_effort: str | None = Field(None, min_length=1, description="for models that think; null: send none")
    extra_body: Annotated[str | None, BeforeValidator(_as_json), AfterValidator(_is_extra)] = Field(
        None, description="more fields of a request, as JSON or as a mapping: `{top_k: 1}`"
    )
    extra_headers: Annotated[dict[str, str], AfterValidator(_is_no_key), Operational] = Field(
        default_factory=dict, description="more headers of a request; `${NAME}` is taken from the environment"
    )


class GeneratorConfig(Section):
    """The OpenAI-compatible API that writes instructions. This is the only section that costs money."""

    kind: Annotated[Literal["api", "people"], InKeyUnless("api")] = Field(
        "api", description="who writes the instructions: an API, or people in a labelling tool (`presel handoff`)"
    )
    people: Annotated[PeopleConfig, Operational] = PeopleConfig()
    model: str = "gpt-4.1-mini"
    base_url: Endpoint = Field("https://api.openai.com/v1", description="any server that speaks /chat/completions")
    api_key_env: Annotated[str, Operational] = Field(
        "OPENAI_API_KEY", description="the environment variable that holds the key"
    )
    prompt: PromptConfig = PromptConfig()
    prompts: dict[str, PromptConfig] = Field(default_factory=dict, description="per task, in place of `prompt`")
    image_side: int = Field(768, ge=32, description="longer side in pixels of the picture that is sent")
    image_detail: Literal["low", "high", "auto"] = "auto"
    temperature: float = Field(0.2, ge=0, le=2)
    max_output_tokens: int = Field(800, ge=1)
    seed: int = 0
    request: RequestConfig = RequestConfig()
    max_cost: Annotated[Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["unlimited"], Operational] = Field(
        ..., description="US dollars this store may spend in all; 'unlimited' switches the cap off, in words"
    )
    on_cap: Annotated[Literal["stop", "publish"], Operational] = Field(
        "stop",
        description="when the next request could pass max_cost. stop: the run ends (exit 7) and publishes nothing; publish: "
        "what is paid for is published, the rest is rejected as cap_reached until a run with a higher cap asks for it",
    )
    prices: Annotated[PriceConfig | None, Operational] = None
    mode: Annotated[Literal["live", "batch"], Operational] = Field(
        "live", description="batch: through the provider's batch API, at half the price, within a day"
    )
    batch: Annotated[BatchConfig, Operational] = BatchConfig()
    concurrency: Annotated[int, Field(ge=1, le=1024), Operational] = Field(32, description="requests in flight")
    requests_per_minute: Annotated[int | None, Field(ge=1), Operational] = None
    tokens_per_minute: Annotated[int | None, Field(ge=1), Operational] = None
    timeout: Annotated[float, Field(gt=0), Operational] = Field(120.0, description="seconds for one whole request")
    attempts: Annotated[int, Field(ge=1, le=20), Operational] = Field(
        6, description="tries of one request that failed without an answer"
    )

    @property
    def only_people(self) -> bool:
        """Whether no API is asked for any task."""
        return all(self.writer(prompt) == "people" for prompt in (self.prompt, *self.prompts.values()))

    def prompt_of(self, task: str) -> PromptConfig:
        """What is asked about the images of a task."""
        return self.prompts.get(task, self.prompt)

    def writer(self, prompt: PromptConfig) -> Literal["api", "people"]:
        """Who answers a prompt."""
        return prompt.by or self.kind

    def by_people(self, task: str) -> bool:
        """Whether people write the instructions of a task."""
        return self.writer(self.prompt_of(task)) == "people"

    @model_validator(mode="after")
    def _people_can_be_asked(self) -> GeneratorConfig:
        for prompt in (self.prompt, *self.prompts.values()):
            if self.writer(prompt) == "people" and (prompt.judge or prompt.answer_schema):
                raise ValueError("people write plain turns: `judge` and `answer_schema` are for `by: api`")
            if self.writer(prompt) == "people" and prompt.uses_caption:
                raise ValueError("people are not shown the text beside a picture yet: `caption` is for `by: api`")
            if self.writer(prompt) == "people" and self.people.hourly_rate is None:
                raise ValueError(
                    "people are asked, but not what an hour costs: set `people.hourly_rate` (0: volunteers)"
                )
        return self
