"""What an endpoint does not take of a request, learned from its refusals and kept on the store.

`seed`, `temperature`, `response_format` with a schema, `max_tokens`: each is refused somewhere, and no list of models knows
where, since a model may be behind a router's prefix or a deployment's name. So the first refusal that names a parameter
teaches: a limit takes its other name, a schema becomes JSON and then nothing, anything else is left out. A refusal costs
nothing, and each parameter is refused once a store: `ledger/accepted/<digest>.json` tells the next process.

A key holds what was really sent, so an answer to a request without a seed is found under the key that has none. What was
bought in the form that was asked for first is looked for first. Delete the object to have everything sent again.

A parameter of `generator.request.extra_body` is never left out: a person wrote it there on purpose.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from presel.config import GeneratorConfig
from presel.config.keys import short_digest
from presel.errors import NotFound
from presel.instruct.questions.request import FORMATS, LIMITS, Request
from presel.instruct.words import parsed
from presel.storage import Store

log = logging.getLogger(__name__)

FOLDER = "ledger/accepted"
_OPTIONAL = ("seed", "temperature", "reasoning_effort")
_LESS = {"schema": "json", "json": "none"}
_ABOUT_ITS_SIZE = re.compile(r"too (large|long|big|high|many)|context (length|window)|at most|maximum", re.IGNORECASE)
_ABOUT_A_SCHEMA_ITSELF = re.compile(r"invalid schema|not a valid (json )?schema", re.IGNORECASE)

Changes = Mapping[str, str | None]
"""Parameter -> its other name, the format in place of the schema, or None: left out."""


class Accepted:
    """What a store knows of one model at one endpoint. `changes` is what every request is fitted by."""

    def __init__(self, store: Store, generator: GeneratorConfig) -> None:
        name = short_digest(generator.model, generator.base_url.rstrip("/"))
        self._store, self._path = store, f"{FOLDER}/{name}.json"
        self._model, self._where = generator.model, generator.base_url
        self.changes: Changes = self._known()

    def fitted(self, request: Request) -> Request:
        """A request in the form that the endpoint takes, as far as is known."""
        return fitted(request, self.changes)

    def learn(self, request: Request, status: int, text: str) -> None:
        """From a refusal of `request`, if it names something that can be sent otherwise; in the log, once."""
        change = _change(request, status, text)
        if any(self.changes.get(str(instead)) == name for name, instead in change.items()):
            return  # both names of a limit are refused: this is about something else
        if not change.items() <= self.changes.items():
            self.changes = {**self.changes, **change}
            for name, instead in change.items():
                how = f"`{instead}` takes its place" if instead else "it is left out from now on"
                log.warning("%s: %s does not take `%s`: %s", self._where, self._model, name, how)

    def share(self) -> None:
        """Leave on the store what was learned. Raises StorageError."""
        known = self._known()
        if not self.changes.items() <= known.items():
            document = {"model": self._model, "changes": {**known, **self.changes}}
            self._store.write(self._path, json.dumps(document, sort_keys=True).encode())

    def _known(self) -> Changes:
        with suppress(NotFound, ValueError, KeyError, TypeError):  # what is damaged is learned again
            found = json.loads(self._store.read(self._path))["changes"]
            return {name: instead for name, instead in found.items() if _sensible(name, instead)}
        return {}


def fitted(request: Request, changes: Changes) -> Request:
    """A request with its parameters changed, where it has them."""
    parameters = dict(request.parameters)
    for name, instead in changes.items():
        if name == "response_format":
            if _rank(request.format) < _rank(str(instead)):
                parameters[name] = FORMATS[str(instead)]
        elif name in parameters:
            value = parameters.pop(name)
            if instead:
                parameters[instead] = value
    return request if parameters == request.parameters else replace(request, parameters=parameters)


def _change(request: Request, status: int, text: str) -> dict[str, str | None]:
    """What a refusal asks to be changed; empty: it is about something else."""
    if status not in (400, 415, 422):
        return {}
    names = set(_named(text, [*request.parameters, "response_format", *LIMITS]))
    limit = next(name for name in LIMITS if name in request.parameters)
    if limit in names and not _ABOUT_ITS_SIZE.search(text):
        return {limit: next(name for name in LIMITS if name != limit)}
    if "response_format" in names and request.format in _LESS and not _ABOUT_A_SCHEMA_ITSELF.search(text):
        return {"response_format": _LESS[request.format]}
    return {name: None for name in _OPTIONAL if name in names and name in request.parameters}


def _named(text: str, names: Iterable[str]) -> Iterable[str]:
    """Which parameters a refusal is about: by its `param`, by where a validator says it stands, else by its words."""
    wanted, document = set(names), parsed(text)
    places = {part for place in _places(document) for part in re.split(r"[^\w]+", place)} & wanted
    if places:
        return places
    text = text if document is None else json.dumps(document, ensure_ascii=False)  # no escaped quotation marks
    schema = re.search(r"response_?(schema|format)|json_schema|guided_json", text, re.IGNORECASE)
    said = {name for name in wanted if re.search(rf"(?<![\w.-]){name}(?![\w-])", text)}
    return said | ({"response_format"} if schema else set())


def _places(document: Any) -> Iterable[str]:
    """Every `param` and `loc` in an error body, as text."""
    if isinstance(document, Mapping):
        for name, value in document.items():
            if name in ("param", "loc") and value:
                yield str(value)
            else:
                yield from _places(value)
    elif isinstance(document, list):
        for value in document:
            yield from _places(value)


def _rank(form: str) -> int:
    return ("schema", "json", "none").index(form)


def _sensible(name: str, instead: str | None) -> bool:
    if name == "response_format":
        return instead in FORMATS
    return instead in LIMITS if name in LIMITS else name in _OPTIONAL and instead is None
