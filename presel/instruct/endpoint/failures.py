"""The one table that says what an endpoint's failures mean: may it be tried again, and may it have been billed?

A reset, a time-out or a broken body came after the request was sent: the provider may have worked and will bill, so it
counts as spent at its reserved price. The same words read a live response, a line of a batch's output and an error that a
router reports with status 200.

Secrets: the key is cut out of every text that comes back (secrecy.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx2
import openai

from presel.errors import EndpointRefused
from presel.images.reasons import Reason
from presel.instruct.completion import choice_of, complaint, has_usage, is_void
from presel.instruct.endpoint.outcomes import Answered, Declined, Failed, Outcome, Throttled
from presel.instruct.endpoint.said import code_and_message
from presel.instruct.endpoint.secrecy import Secret
from presel.instruct.words import parsed, printable

RETRYABLE_STATUS = frozenset({408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_TIMED_OUT = frozenset({504, 524, 598, 599})
"""A gateway waited for the model and gave up: what it waited for may have been worked out, and be billed."""
_LONGEST_ERROR = 10_000
"""Characters of an error body that are searched for the names of parameters."""
FATAL: dict[int, str] = {
    401: "check the key in the environment variable that `generator.api_key_env` names",
    402: "the account has no credit: add some, then run again; nothing is bought twice",
    403: "the key may not use this model: check its permissions, or choose another `generator.model`",
    404: "check `generator.base_url` and `generator.model`",
    405: "check `generator.base_url`",
    407: "check the proxy settings",
}
_OUT_OF_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated")
_ABOUT_THE_PICTURE = ("content_filter", "content_policy_violation", "moderation_blocked", "invalid_image", "image_")


class Reading:
    """Reads what one endpoint says. `where` is its address, `secret` the key that no text may carry further."""

    def __init__(self, where: str, secret: str) -> None:
        self._where, self._secret = where, Secret(secret)
        self._secret.quiet()

    def outcome(self, status: int, text: str, headers: Mapping[str, str]) -> Outcome:
        """What a response comes to. Raises EndpointRefused when no request will ever succeed."""
        return self._answer(text, headers) if 200 <= status < 300 else self._status(status, text, headers)

    def _answer(self, text: str, headers: Mapping[str, str]) -> Outcome:
        body = _json(text)
        if body is None:
            return Failed(
                Reason.BROKEN_BODY,
                f"not JSON: {self._secret.out_of_message(text[:200])[:80]!r}",
                billed=True,
                headers=headers,
            )
        if (error := complaint(body)) is not None:
            return self._in_disguise(error, body, headers)
        if is_void(200, body):
            what = "an empty answer without `usage`" if choice_of(body) else "no `choices` in the answer"
            return Failed(Reason.BROKEN_BODY, what, billed=True, headers=headers)
        return Answered(200, body, headers)

    def _in_disguise(self, error: Any, body: Mapping[str, Any], headers: Mapping[str, str]) -> Outcome:
        """An error with status 200, of a model behind a router: of the moment, or about the account or the picture."""
        text = json.dumps({"error": error})
        said = _error(self._secret.out_of_message(text))
        if out_of_credit(text) or said["code"] in ("401", "402"):
            return self._status(int(said["code"]) if said["code"].isdigit() else 402, text, headers)
        if said["code"].startswith(_ABOUT_THE_PICTURE):
            return Answered(400, {"error": said}, headers)
        message = " ".join(part for part in (said["code"], said["message"]) if part)
        return Failed(
            Reason.SERVER_ERROR, f"an error with status 200: {message}", billed=has_usage(body), headers=headers
        )

    def _status(self, status: int, text: str, headers: Mapping[str, str]) -> Outcome:
        code, message = code_and_message(self._secret.out_of_message(text))
        message = message or f"status {status}"
        if out_of_credit(text):
            status = 402
        if status == 429:
            return Throttled(headers, message)
        if status in RETRYABLE_STATUS or status >= 500:
            return Failed(Reason.SERVER_ERROR, f"{status}: {message}", status in _TIMED_OUT, headers)
        if status in FATAL or 300 <= status < 400:
            raise EndpointRefused(
                f"the endpoint refuses with {status}: {message}",
                where=self._where,
                fix=FATAL.get(status, FATAL[404]),
            )
        if code.startswith(_ABOUT_THE_PICTURE):
            return Answered(400, {"error": {"code": code, "message": message}}, headers)
        if text.lstrip().startswith("{") and _json(text) is None:  # cut on its way: it may have been about the picture
            return Failed(Reason.BROKEN_BODY, f"{status} with half a body", billed=False, headers=headers)
        return Declined(status, f"{status}: {message}", text[:_LONGEST_ERROR])

    def failed(self, error: Exception) -> Failed:
        for foreign, (reason, billed) in FAILURES.items():
            if isinstance(error, foreign):
                cause = (isinstance(error, openai.APIConnectionError) and error.__cause__) or error
                billed = billed and not isinstance(cause, NEVER_SENT)
                reason = Reason.BROKEN_BODY if isinstance(cause, httpx2.DecodingError) else reason
                said = self._secret.out_of_message(f"{type(error).__name__}: {cause}")
                return Failed(reason, printable(said)[:300], billed)
        raise error

    def message(self, text: str) -> str:
        """What an error body says, for people."""
        return code_and_message(self._secret.out_of_message(text))[1]

    def scrubbed(self, text: str) -> str:
        """Without the key: an endpoint may say it back."""
        return self._secret.out_of(text)


FAILURES: dict[type[Exception], tuple[Reason, bool]] = {
    TimeoutError: (Reason.TIMEOUT, True),
    openai.APITimeoutError: (Reason.TIMEOUT, True),
    openai.APIConnectionError: (Reason.CONNECTION, True),
    openai.APIError: (Reason.BROKEN_BODY, True),
    httpx2.HTTPError: (Reason.CONNECTION, True),
    httpx2.StreamError: (Reason.CONNECTION, True),
    UnicodeError: (Reason.BROKEN_BODY, True),
    json.JSONDecodeError: (Reason.BROKEN_BODY, True),
}
"""Foreign exception -> (reason, may it have been billed?). The first that fits counts."""

NEVER_SENT: tuple[type[Exception], ...] = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
)
"""Causes of a connection error that came before a byte was sent: certainly not billed."""


def out_of_credit(text: str) -> bool:
    """Whether an error body says that the account has no money, under whatever status."""
    return code_and_message(text)[0] in _OUT_OF_CREDIT


def _json(text: str) -> dict[str, Any] | None:
    """A body; some compatible endpoints put it into a list."""
    body = parsed(text)
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    return body if isinstance(body, dict) else None


def _error(text: str) -> dict[str, str]:
    code, message = code_and_message(text)
    return {"code": code, "message": message}
