"""Chat completions as the real API words them: choices, `finish_reason`, usage with picture tokens, and their failures."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

Annotate = Callable[[bytes, str, Mapping[str, Any]], Sequence[tuple[str, str]]]
"""(the JPEG that was sent, the user's words, the whole request) -> (question, response) pairs."""

_COUNT = re.compile(r"exactly (\d+) questions")


@dataclass(frozen=True)
class Question:
    """What a request asks, taken apart."""

    model: str
    words: str
    picture: bytes
    body: Mapping[str, Any]
    digest: str
    """Of the request as it came: equal requests, equal answers."""

    @property
    def limit(self) -> int:
        """Output tokens allowed."""
        return int(self.body.get("max_completion_tokens") or self.body.get("max_tokens") or 4096)


def understood(raw: bytes) -> Question:
    """A request's question. Raises ValueError for what the real API answers with 400."""
    body = json.loads(raw)
    words, picture = [], b""
    for message in body["messages"]:
        content = message["content"]
        if isinstance(content, str):
            words.append(content)
            continue
        for part in content:
            if part["type"] == "text":
                words.append(part["text"])
            elif part["type"] == "image_url":
                picture = _picture(part["image_url"]["url"])
    return Question(str(body["model"]), "\n".join(words), picture, body, hashlib.sha256(raw).hexdigest())


def completion(question: Question, turns: Sequence[tuple[str, str]], fault: str | None) -> dict[str, Any]:
    """The answer to a question, spoiled by `fault` if there is one."""
    text = json.dumps(
        _judgement(fault)
        if "fit" in _properties(question)
        else _ratings(question, fault)
        if "ratings" in _properties(question)
        else {"turns": [{"question": q, "response": r} for q, r in turns]},
        ensure_ascii=False,
    )
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    finish: str | None = "stop"
    # A model that was told what was wrong, or given more room, does better: follow-ups are never spoiled like their first.
    if fault == "refusal":
        message.update(content=None, refusal="I'm sorry, I can't help with that picture.")
    elif fault == "content_filter":
        message["content"], finish = "", "content_filter"
    elif fault == "length" and question.limit <= 1000:
        message["content"], finish = text[: len(text) // 2], "length"
    elif fault == "wrong_schema" and not _follow_up(question):
        message["content"] = json.dumps({"items": [response for _, response in turns]})
    elif fault == "empty" and not _follow_up(question):
        message["content"] = ""
    elif fault == "fenced":
        message["content"] = f"Here it is:\n```json\n{text[:-1]},}}\n```"
    elif fault == "thinks":
        message["content"] = f'<think>Something like {{"turns": []}}, or {{"turns": [1]}}?</think>\n{text}'
    elif fault == "half" and not _follow_up(question):
        message["content"], finish = text[: len(text) // 2], None
    usage = None if fault == "no_usage" else _usage(question, message["content"] or message["refusal"] or "")
    return {
        "id": f"chatcmpl-{question.digest[:24]}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": question.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        **({"usage": usage} if usage else {}),
    }


def failure(code: str, message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def disguised(question: Question, in_choice: bool) -> dict[str, Any]:
    """How a router says that the model behind it failed: with status 200, in the body or in a choice."""
    error = {"code": 429, "message": "Provider returned error: rate-limited upstream."}
    message = {"role": "assistant", "content": None}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "error" if in_choice else None}
    return {
        "id": f"gen-{question.digest[:24]}",
        "object": "chat.completion",
        "model": question.model,
        "choices": [{**choice, **({"error": error} if in_choice else {})}],
        **({} if in_choice else {"error": error}),
    }


def looks(picture: bytes, words: str, _request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """An annotator that needs no ground truth: it says what can be measured in any picture."""
    if not picture:
        return [("What is there to see?", "No picture was sent.")]
    image = Image.open(io.BytesIO(picture))
    width, height = image.size
    facts = [
        ("How wide is the picture?", f"It is {width} pixels wide."),
        ("How high is the picture?", f"It is {height} pixels high."),
        ("Is the picture wider than high?", "Yes." if width > height else "No."),
        ("Which mode are its pixels in?", f"They are {image.mode}."),
        ("Which file format is it?", f"It is a {image.format} file."),
    ]
    found = _COUNT.search(words)
    wanted = int(found[1]) if found else 1
    start = hashlib.sha256(picture).digest()[0]
    asked = [facts[(start + i) % len(facts)] for i in range(wanted)]
    return [(q if i < len(facts) else f"{q[:-1]}, once more ({i})?", r) for i, (q, r) in enumerate(asked)]


def _properties(question: Question) -> Mapping[str, Any]:
    """What the answer is to be made of."""
    schema = ((question.body.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}
    return schema.get("properties") or {}


def _ratings(question: Question, fault: str | None) -> dict[str, Any]:
    """Ratings from 3 to 5 by a digest of the question; of the fault `unfit`, a picture that nobody needs."""
    respects = _properties(question)["ratings"]["items"]["required"]
    turns = json.loads(question.words.rpartition("\n")[2])
    drawn = hashlib.sha256(question.words.encode()).digest()
    rated = [{name: 3 + drawn[i] % 3 for i, name in enumerate(respects)} for _ in turns]
    return {"ratings": [{**one, "visual_dependency": 1} if fault == "unfit" else one for one in rated]}


def _judgement(fault: str | None) -> dict[str, Any]:
    """A judge with no eye for anything: all is fit, but what the fault `unfit` draws."""
    return {"reason": "It was drawn." if fault == "unfit" else "Nothing is wrong with it.", "fit": fault != "unfit"}


def _follow_up(question: Question) -> bool:
    return any(message["role"] == "assistant" for message in question.body["messages"])


def _picture(url: str) -> bytes:
    header, _, data = url.partition(",")
    if not header.startswith("data:image/") or not header.endswith(";base64"):
        raise ValueError("this endpoint fetches nothing: the picture must be a data URL")
    return base64.b64decode(data, validate=True)


def _usage(question: Question, text: str) -> dict[str, int]:
    """Tokens as a model with 32-pixel patches (factor 1.62, at most 1,536 patches) bills them; four letters a token."""
    picture = 0
    if question.picture:
        width, height = Image.open(io.BytesIO(question.picture)).size
        picture = math.ceil(1.62 * min(1536, math.ceil(width / 32) * math.ceil(height / 32)))
    prompt, written = picture + len(question.words) // 4 + 20, max(1, len(text) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
