"""A judge's one word, yes or no, with log-probabilities where they are asked for and this server gives them.

The double has no eye for right and wrong: how sure it is comes from a digest of picture and words. It is surer where it is told
the question, as a judge would be.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

from presel.demo.endpoint.answers import Question, completion

_TOLD, _NOT_TOLD = (0.85, 0.99), (0.3, 0.99)
"""Between which P(yes) lies, with the question and without."""


def asks_for_a_verdict(question: Question) -> bool:
    """Whether a request wants one word, yes or no."""
    return "one word: yes or no" in question.words and "response_format" not in question.body


def verdict(question: Question, logprobs: bool) -> dict[str, Any]:
    """The completion that a judge gives."""
    low, high = _TOLD if "Question: " in question.words else _NOT_TOLD
    yes = low + (high - low) * _share(hashlib.sha256(question.picture + question.words.partition("\n")[2].encode()))
    body = completion(question, [], None)
    drawn = _share(hashlib.sha256(question.digest.encode())) < yes
    said = "Yes" if (yes >= 0.5 if question.body.get("logprobs") else drawn) else "No"
    choice = body["choices"][0]
    choice["message"]["content"] = said
    body["usage"]["completion_tokens"] = 1
    if logprobs and question.body.get("logprobs"):
        top = [
            {"token": "Yes", "logprob": math.log(yes * 0.98)},
            {"token": "No", "logprob": math.log((1 - yes) * 0.98)},
        ]
        chosen = next(each for each in top if each["token"] == said)
        choice["logprobs"] = {"content": [{**chosen, "top_logprobs": top[: question.body.get("top_logprobs") or 0]}]}
    return body


def _share(digest: Any) -> float:
    return int.from_bytes(digest.digest()[:4], "big") / 2**32
