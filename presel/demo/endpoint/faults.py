"""What goes wrong, how often, and when: drawn from a seed, so that a rehearsal can be repeated.

Kinds of fault differ in what they depend on. A fault on the way (a reset, a 500) depends on the request and on
how often it was sent, so a second try fares differently. A fault of the answer (a refusal, a cut text) depends on
the request alone, like a model at temperature 0: however often a run is killed and started again, the same picture
is refused. A batch made again from the same file fares differently, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

ON_THE_WAY = (
    "rate_limit",
    "server_error",
    "reset",
    "slow",
    "hang",
    "truncated",
    "html",
    "error_in_200",
    "error_in_choice",
)
OF_A_BATCH = ("batch_expires", "batch_fails")
OF_THE_ANSWER = (
    "refusal",
    "content_filter",
    "filtered_400",
    "length",
    "wrong_schema",
    "fenced",
    "empty",
    "no_usage",
    "unfit",
    "thinks",
    "half",
)

PROFILES: Mapping[str, Mapping[str, float]] = {
    "none": {},
    "mild": {
        "rate_limit": 0.01,
        "server_error": 0.01,
        "reset": 0.005,
        "slow": 0.01,
        "truncated": 0.005,
        "refusal": 0.005,
        "length": 0.01,
        "wrong_schema": 0.01,
        "fenced": 0.02,
    },
    "storm": {
        "rate_limit": 0.08,
        "server_error": 0.06,
        "reset": 0.04,
        "slow": 0.04,
        "truncated": 0.04,
        "html": 0.02,
        "error_in_200": 0.01,
        "error_in_choice": 0.01,
        "refusal": 0.02,
        "content_filter": 0.02,
        "filtered_400": 0.02,
        "length": 0.05,
        "wrong_schema": 0.05,
        "fenced": 0.08,
        "empty": 0.02,
        "no_usage": 0.05,
        "thinks": 0.05,
        "half": 0.02,
        "batch_expires": 0.3,
        "batch_fails": 0.1,
    },
}
"""Name -> fault -> share of requests."""


class Faults:
    """Draws faults. `shares`: a profile's name, or shares of your own."""

    def __init__(self, shares: str | Mapping[str, float], seed: int) -> None:
        self.shares = PROFILES[shares] if isinstance(shares, str) else shares
        known = [*ON_THE_WAY, *OF_THE_ANSWER, *OF_A_BATCH]
        unknown = set(self.shares) - set(known)
        if unknown:
            raise ValueError(f"unknown faults {sorted(unknown)}; there are {known}")
        self._seed = seed

    def on_the_way(self, request: str, times: int) -> str | None:
        """For a request (its digest) that is sent for the `times`-th time."""
        return self._draw(ON_THE_WAY, f"{request}:{times}")

    def of_a_batch(self, file: str, times: int) -> str | None:
        """For a file (its digest) of which the `times`-th batch is made."""
        return self._draw(OF_A_BATCH, f"{file}:{times}")

    def of_the_answer(self, request: str) -> str | None:
        return self._draw(OF_THE_ANSWER, request)

    def _draw(self, names: tuple[str, ...], about: str) -> str | None:
        number = int.from_bytes(hashlib.sha256(f"{self._seed}:{names[0]}:{about}".encode()).digest()[:8], "big") / 2**64
        for name in names:
            number -= self.shares.get(name, 0.0)
            if number < 0:
                return name
        return None
