"""What providers refuse of a request, and in which words: each entry plays one line of docs/howto/providers.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from presel.demo.endpoint.http import Incoming, Reply, reply

Document = Mapping[str, Any]


def _openai(name: str, said: str) -> Reply:
    error = {"message": said, "type": "invalid_request_error", "param": name, "code": "unsupported_parameter"}
    return reply(400, {"error": error})


def _gemini(name: str, _said: str) -> Reply:
    words = f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
    return reply(400, [{"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}])


def _mistral(name: str, _said: str) -> Reply:
    detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": 0}]
    return reply(422, {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error", "code": None})


def _vllm(name: str, _said: str) -> Reply:
    words = f"[{{'type': 'extra_forbidden', 'loc': ('body', '{name}'), 'msg': 'Extra inputs are not permitted'}}]"
    return reply(400, {"object": "error", "message": words, "type": "BadRequestError", "param": None, "code": 400})


def _text(name: str, _said: str) -> Reply:
    return Reply(400, f"json: unknown field {name}\n".encode(), kind="text/plain")


def _page(name: str, _said: str) -> Reply:
    page = (
        f"<html><head><style>b {{}}</style></head><body><h1>400</h1> the field <b>{name}</b> is not known</body></html>"
    )
    return Reply(400, page.encode(), kind="text/html")


@dataclass(frozen=True)
class Provider:
    """A server's wishes. `key`: the header that must hold the API key; `query`: what its address must end with."""

    refuses: tuple[str, ...] = ()
    """Parameters, or forms of `response_format`: json_schema, json_object."""
    says: Callable[[str, str], Reply] = _openai
    key: str = "authorization"
    query: Mapping[str, str] | None = None
    needs: tuple[str, ...] = ()
    """Headers without which nothing is answered."""

    def refusal(self, incoming: Incoming) -> Reply | None:
        """What it says to a request that it does not take; None: it takes it."""
        if any(incoming.query.get(name) != value for name, value in (self.query or {}).items()):
            return reply(404, {"error": {"code": "404", "message": "Resource not found"}})
        if not incoming.headers.get(self.key) or any(name not in incoming.headers for name in self.needs):
            return reply(401, {"error": {"code": "401", "message": f"Access denied: no {self.key}"}})
        body = json.loads(incoming.body)
        form = (body.get("response_format") or {}).get("type")
        for name in self.refuses:
            if name == form:
                return self.says("response_format", f"'response_format' of type '{form}' is not supported.")
            if name in body:
                return self.says(name, f"Unsupported parameter: '{name}' is not supported with this model.")
        return None


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider(),
    "thinking": Provider(("max_tokens", "temperature")),
    "azure": Provider(key="api-key", query={"api-version": "2024-10-21"}),
    "gemini": Provider(("seed",), _gemini),
    "mistral": Provider(("seed",), _mistral),
    "vllm": Provider(("reasoning_effort",), _vllm),
    "ollama": Provider(("json_schema",), _text),
    "json only": Provider(("json_schema",)),
    "words only": Provider(("json_schema", "json_object", "seed"), _page),
    "headers": Provider(needs=("http-referer",)),
}
"""Name -> how such a server behaves."""
