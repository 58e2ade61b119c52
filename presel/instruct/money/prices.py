"""What a request may cost at most, what an answer did cost, and what `n` more will cost.

Prices come from genai-prices (kept by the Pydantic team from the providers' pages, shipped with the package: no
network), or from `generator.prices` for a contract or a server of your own. A model that neither knows is an error
before the first request, never a price of zero.

Before: an upper bound, because a reservation that is too small breaks the cap. Picture tokens differ by model family
and the providers' documents disagree with their bills, so the bound takes the dearest published rule (32-pixel
patches times 2.46; tiles of 2,833 + 5,667 for the models that bill so), and `Estimator` raises it if a bill ever
exceeds it. After: the `usage` of the answer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from presel.config import GeneratorConfig
from presel.errors import ConfigError
from presel.instruct.completion import count
from presel.instruct.questions.request import Request

log = logging.getLogger(__name__)

_BYTES_PER_TOKEN = 3.0  # English has about 4.4, Chinese about 3 in UTF-8: fewer bytes per token is the safe side
_MESSAGE_TOKENS = 64  # roles, separators and what a server adds for structured output
_PATCH, _PATCH_FACTOR = 28, 2.46
_FAR, _LONGEST_ANSWER = 128, 200_000
"""No bill is so many times what providers publish, and no model thinks and writes more tokens for one answer than that."""
_SURPRISING, _PROOFS = 1.2, 3
"""A bill so many times its reservation is a surprise, after which so many in a row must be none."""


class Price(NamedTuple):
    """US dollars per million tokens."""

    input_per_million: float
    output_per_million: float

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """US dollars."""
        return (self.input_per_million * input_tokens + self.output_per_million * output_tokens) / 1e6


class Usage(NamedTuple):
    """Tokens of one answer. `measured` is false where the provider did not say and this is our estimate."""

    input_tokens: int
    output_tokens: int
    measured: bool


NOTHING = Usage(0, 0, True)


class Quote(NamedTuple):
    """US dollars: the expected price and an interval that holds it in about 95 of 100 cases."""

    expected: float
    low: float
    high: float


def price_of(generator: GeneratorConfig) -> Price:
    """The price of the configured model. Raises ConfigError when nobody knows it."""
    if generator.prices is not None:
        return Price(generator.prices.input_per_million, generator.prices.output_per_million)
    import genai_prices

    try:
        # Asked for one token: models with a second, dearer tier have it for contexts far beyond one picture.
        one = genai_prices.calc_price(genai_prices.Usage(input_tokens=1, output_tokens=1), model_ref=generator.model)
    except LookupError:
        raise ConfigError(
            f"no price is known for the model {generator.model!r}",
            where="generator.prices",
            fix="set `prices: {input_per_million: ..., output_per_million: ...}` in US dollars; "
            "both 0 for a server of your own",
        ) from None
    return Price(float(one.input_price) * 1e6, float(one.output_price) * 1e6)


def usage_of(body: dict[str, Any], request: Request, estimate: Usage) -> Usage:
    """The tokens an answer was billed for, from its `usage`; what that does not say believably counts as reserved.

    A figure beyond all that the request can have come to is a mistake, which must not eat the whole cap: it is said, and
    counts as reserved. Tokens of thinking are billed as output. Most servers count them in `completion_tokens`; some only in
    `total_tokens` or beside it: the largest figure counts. No picture costs no token: an input of zero is no measurement.
    """
    usage = body.get("usage")
    said = usage if isinstance(usage, Mapping) else {}
    read, written = count(said.get("prompt_tokens")), count(said.get("completion_tokens"))
    reserved = Usage(estimate.input_tokens, max(estimate.output_tokens, request.output_limit), False)
    if not read or written is None:
        return reserved
    details = said.get("completion_tokens_details")
    thought = (count(details.get("reasoning_tokens")) if isinstance(details, Mapping) else None) or 0
    beside = written + thought if thought > written else 0
    billed = Usage(read, max(written, (count(said.get("total_tokens")) or 0) - read, beside), True)
    most = _FAR * published(request).input_tokens, max(_FAR * request.output_limit, _LONGEST_ANSWER)
    if billed.input_tokens <= most[0] and billed.output_tokens <= most[1]:
        return billed
    words = "%s says that an answer took %d and %d tokens, where it can have taken %d and %d: it counts as reserved, %d and %d"
    log.warning(words, request.model, *billed[:2], *most, *reserved[:2])
    return reserved


def picture_tokens(model: str, side: int) -> int:
    """An upper bound for a square picture of that side, over the published rules of the model families."""
    patches = math.ceil(side / _PATCH) ** 2 * _PATCH_FACTOR
    tiles = math.ceil(side / 512) ** 2
    per_tile, base = (5667, 2833) if "4o-mini" in model else (170, 85)
    return math.ceil(max(patches, base + per_tile * tiles))


def published(request: Request) -> Usage:
    """At most so many tokens, by the rules that providers publish."""
    words = request.size / _BYTES_PER_TOKEN + _MESSAGE_TOKENS
    picture = picture_tokens(request.model, int(request.picture["side"]))
    return Usage(math.ceil(words + picture), request.output_limit, False)


@dataclass
class Estimator:
    """Upper bounds before a request is sent, corrected upwards by what is measured."""

    price: Price
    factor: float = 1.0
    output_factor: float = 1.0
    calibrated: bool = False
    """Whether any bill was seen: until then the bounds are only what providers publish."""
    unproven: int = 0
    """So many bills as expected must come, one at a time, before the price is believed again."""

    def tokens(self, request: Request) -> Usage:
        """At most so many tokens, as far as is known."""
        most = published(request)
        read, written = self.factor * most.input_tokens, self.output_factor * most.output_tokens
        return Usage(math.ceil(read), math.ceil(written), False)

    def cost(self, request: Request) -> float:
        """US dollars to reserve for one try of a request."""
        tokens = self.tokens(request)
        return self.price.of(tokens.input_tokens, tokens.output_tokens)

    def learn(self, request: Request, usage: Usage) -> bool:
        """The drift alarm: a bill above its reservation raises every later one; returns whether this one did."""
        self.calibrated = True
        self.unproven = max(0, self.unproven - 1)
        expected = self.tokens(request)
        if not usage.measured:
            return False
        more = [
            ("input", usage.input_tokens, expected.input_tokens),
            ("output", usage.output_tokens, expected.output_tokens),
        ]
        for kind, billed, reserved in more:
            if billed > reserved:
                said = "%s billed %d %s tokens where at most %d were expected: reservations are raised"
                log.warning(said, request.model, billed, kind, reserved)
        before = self.factor, self.output_factor
        ratios = usage.input_tokens / expected.input_tokens, usage.output_tokens / expected.output_tokens
        self.factor, self.output_factor = _raised(self.factor, ratios[0]), _raised(self.output_factor, ratios[1])
        if max(ratios) > _SURPRISING:
            self.unproven = _PROOFS
        return before != (self.factor, self.output_factor)


def _raised(factor: float, ratio: float) -> float:
    return 1.1 * ratio * factor if ratio > 1 else factor


def quote(costs: Sequence[float], n: int, *, resamples: int = 2000, seed: int = 0) -> Quote:
    """The price in US dollars of `n` more instructions, from what the ones bought so far cost each.

    The interval is a bootstrap over the measured costs that draws both the mean (how well do we know it?) and the
    `n` new ones (how much do they scatter?). With no measured cost nothing is known: infinity above, zero below.

    Raises ValueError for a negative `n` or a cost that is negative or not finite.
    """
    measured = np.sort(np.asarray(costs, dtype=np.float64))  # sorted: the order they were bought in says nothing
    if n < 0 or not np.all(np.isfinite(measured)) or np.any(measured < 0):
        raise ValueError("costs must be finite and not negative, and n not negative")
    if n == 0:
        return Quote(0.0, 0.0, 0.0)
    if measured.size == 0:
        return Quote(math.inf, 0.0, math.inf)
    draw = np.random.default_rng(seed)
    means = draw.choice(measured, size=(resamples, min(measured.size, 1000))).mean(axis=1)
    scatter = draw.normal(0.0, measured.std() * math.sqrt(n), size=resamples)
    low, high = np.quantile(np.maximum(means * n + scatter, 0.0), [0.025, 0.975])
    expected = float(measured.mean() * n)
    return Quote(expected, min(float(low), expected), max(float(high), expected))
