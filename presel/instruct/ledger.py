"""Every paid answer, raw, one object each, for ever: `<store>/ledger/answers/<aa>/<request key>.json`.

An answer is made durable before anything looks at it, so no later mistake (a parser, a validator, a crash) can cost
it again: parsing is replayed from here at no price. One object per answer, not one file per thousand: the price is a
PUT per request (a five-thousandth of what the request cost), and in return a killed process loses nothing that had
arrived, and any number of workers write without knowing of each other. The first answer to a request wins; a second
one, bought by accident, is money lost and counted, but the record keeps saying what the first one said.

An answer names its format and holds a checksum over what stands before it, so that `presel verify` finds the byte that a
disk changed inside a sentence. Answers from before there were any have neither, and are read all the same.

What an older release kept although it was none (an error in a body with status 200) stays where it is, and counts as not
there: the answer that was bought in its place lies beside it, `<request key>-1.json`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from presel.concurrency.ahead import ahead, shared_pool
from presel.config.keys import digest
from presel.errors import AlreadyExists, IntegrityError, NotFound
from presel.instruct.completion import complaint, is_void, message_of, words_of
from presel.instruct.words import printable, written
from presel.storage import Store
from presel.storage.sealed import check_format

FOLDER = "ledger/answers"
FORMAT = 1
"""Of an answer. What is paid for is never made again: a presel that raises this must still read the formats before."""
_SEAL = ',\n"sha256": '
_READERS = 32


@dataclass(frozen=True)
class Answer:
    """What the provider said to one request, and what it cost when it was bought."""

    key: str
    request: dict[str, Any]
    status: int
    """200, or the 4xx with which the provider declined this very picture."""
    body: dict[str, Any]
    """The provider's JSON as it came."""
    input_tokens: int
    output_tokens: int
    cost_usd: float
    measured: bool
    """False: the provider sent no usage, and tokens are our estimate."""
    lease: int
    """Under which money lease it was bought (money.py)."""
    answered: str
    """UTC, ISO 8601. For people; in no key and no table."""


class Ledger:
    """The paid answers of one store. Thread-safe; any number of processes may share it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def find(self, key: str) -> Answer | None:
        """The answer to a request, if it was ever bought."""
        return next((found for _, found in self._kept(key) if not is_void(found.status, found.body)), None)

    def keep(self, answer: Answer) -> Answer:
        """Make an answer durable, and return the one that counts: this one, or an earlier one to the same request."""
        name, data = answer.key, _encoded(answer)
        while True:
            try:
                self.store.create(_path(name), data)
                return answer
            except AlreadyExists:
                if found := self.find(answer.key):
                    return found
                name = f"{answer.key}-{len(list(self._kept(answer.key)))}"

    def all_keys(self) -> Iterator[str]:
        """The names of all answers, from the listing alone: a key, but for what stands in the place of an error."""
        for entry in self.store.list(f"{FOLDER}/"):
            yield entry.path.rpartition("/")[2].removesuffix(".json")

    def _kept(self, key: str) -> Iterator[tuple[str, Answer]]:
        """Whatever was kept for a request, the first first, with its name."""
        for number in itertools.count():
            name = f"{key}-{number}" if number else key
            found = self._read(name)
            if found is None:
                return
            yield name, found

    def answers(self) -> Iterator[Answer]:
        """All answers, by key. Reads every object, 32 at a time: for exports, not for runs."""
        for _, found in self.checked():
            if isinstance(found, IntegrityError):
                raise found
            yield found

    def checked(self) -> Iterator[tuple[str, Answer | IntegrityError]]:
        """Every key with its answer, or with what is wrong with it; in key order, a few answers in memory."""
        found = ahead(self._looked_at, self.all_keys(), shared_pool("ledger", _READERS), window=8 * _READERS)
        yield from ((key, answer) for key, answer in found if answer is not None)

    def _looked_at(self, key: str) -> tuple[str, Answer | IntegrityError | None]:
        try:
            return key, self._read(key)
        except IntegrityError as error:
            return key, error

    def _read(self, name: str) -> Answer | None:
        try:
            return self._decoded(name, self.store.read(_path(name)))
        except NotFound:
            return None

    def _decoded(self, key: str, data: bytes) -> Answer:
        where, fix = self.store.locate(_path(key)), "restore it from a backup, or delete it to buy it again"
        sealed, mark, _ = data.rpartition(_SEAL.encode())
        try:
            document = json.loads(data)
            check_format(document, FORMAT, what="this paid answer", where=where)
            if mark and document.pop("sha256") != digest(sealed):
                raise IntegrityError("a paid answer changed after it was written", where=where, fix=fix)
            document.pop("format", None)
            if not isinstance(document.get("body"), dict) or not isinstance(document.get("request"), dict):
                raise TypeError("it holds no request with an answer")
            return Answer(**document)
        except (ValueError, TypeError) as error:
            raise IntegrityError(f"a paid answer cannot be read: {error}", where=where, fix=fix) from error


def ls(ledger: Ledger, prefix: str = "") -> list[str]:
    """The keys that start with `prefix`: `presel ledger ls`."""
    return [key for key in ledger.all_keys() if key.startswith(prefix)]


def line(answer: Answer) -> dict[str, Any]:
    """One answer in a line, with the beginning of its words: `presel ledger ls --long`."""
    said = words_of(answer.body) or message_of(answer.body).get("refusal") or complaint(answer.body) or ""
    told = {"key": answer.key, "answered": answer.answered, "model": answer.request["model"], "status": answer.status}
    spent = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens, "cost_usd": answer.cost_usd}
    return {**told, **spent, "words": " ".join(printable(str(said or "")).split())[:60]}


def show(ledger: Ledger, key: str) -> Answer:
    """One answer by its key or an unambiguous beginning of it: `presel ledger show`. Raises NotFound."""
    matches = [key] if len(key) == 32 else ls(ledger, key)
    found = ledger.find(matches[0].partition("-")[0]) if len(matches) == 1 else None
    if found is None:
        raise NotFound(
            "no such answer" if not matches else f"{len(matches)} answers start like this",
            where=f"{ledger.store.locate(FOLDER)}/{key}",
            fix="`presel ledger ls` lists the keys",
        )
    return found


def stats(ledger: Ledger) -> list[dict[str, Any]]:
    """Answers, tokens and US dollars per model and endpoint: `presel ledger stats`."""
    totals: dict[tuple[str, str], dict[str, Any]] = {}
    for answer in ledger.answers():
        name = (answer.request["model"], answer.request["base_url"])
        row = totals.setdefault(
            name,
            {
                "model": name[0],
                "base_url": name[1],
                "answers": 0,
                "input_tokens": 0,
                "output_tokens": 0,
                "cost_usd": 0.0,
            },
        )
        row["answers"] += 1
        row["input_tokens"] += answer.input_tokens
        row["output_tokens"] += answer.output_tokens
        row["cost_usd"] += answer.cost_usd
    return [totals[name] for name in sorted(totals)]


def export(ledger: Ledger) -> Iterator[str]:
    """One JSON line per answer, by key: `presel ledger export`."""
    for answer in ledger.answers():
        yield written(dict(sorted(asdict(answer).items())))


def _encoded(answer: Answer) -> bytes:
    """JSON with a line for each field: easy to read, and five times as fast as an indented dump, which is pure Python."""
    document = {"format": FORMAT, **vars(answer)}
    fields = [f"{json.dumps(name)}: {written(value)}" for name, value in document.items()]
    sealed = ("{\n" + ",\n".join(fields)).encode()
    return sealed + f'{_SEAL}"{digest(sealed)}"\n}}\n'.encode()


def _path(key: str) -> str:
    return f"{FOLDER}/{key[:2]}/{key}.json"
