"""What was handed out to people, so that what comes back is taken for what it was asked for, whatever has changed since.

`ledger/handed/<digest>.json` names every picture of one handoff with the key of its request. A file from a labelling tool
can say anything; only what was handed out, under its own key, for its own sample, is an answer. The name is a digest of the
content, so the same handoff twice is one object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from presel.config.keys import digest
from presel.instruct.questions.request import Request, for_people
from presel.storage import Store
from presel.storage.sealed import seal, unseal

FOLDER = "ledger/handed"
FORMAT = 1


@dataclass(frozen=True)
class Guide:
    """What people are asked about the images of one task."""

    task: str
    system: str
    user: str
    turns: int
    language: str | None = None
    """That answers must not certainly be in another one than this."""

    def request(self, content: str, opinion: int = 1) -> Request:
        """What is asked about the image with that SHA-256."""
        return for_people(content, self.system, self.user, opinion)

    @property
    def words(self) -> str:
        """As people read it."""
        return f"{self.user}\n\n{self.system}"


@dataclass(frozen=True)
class Handed:
    """One picture that people were asked about."""

    key: str
    """Of the request, and so of its answer in the ledger."""
    sample_id: str
    content: str
    guide: Guide


def note(store: Store, handed: Iterable[Handed]) -> None:
    """Remember what is handed out; call it before anybody can answer."""
    rows = sorted(handed, key=lambda each: each.key)
    guides: list[Guide] = list(dict.fromkeys(each.guide for each in rows))
    number = {guide: at for at, guide in enumerate(guides)}
    document = {
        "guides": [vars(guide) for guide in guides],
        "handed": [[each.key, each.sample_id, each.content, number[each.guide]] for each in rows],
    }
    name = digest(json.dumps(document, sort_keys=True).encode())[:32]
    store.write(f"{FOLDER}/{name}.json", seal(document, FORMAT))


def all_handed(store: Store) -> Mapping[str, Handed]:
    """Everything that was ever handed out, by the key of its request. Raises IntegrityError for a damaged record."""
    found: dict[str, Handed] = {}
    for entry in store.list(f"{FOLDER}/"):
        where, fix = store.locate(entry.path), "delete it, and hand out again: nothing that came back is lost"
        document = unseal(store.read(entry.path), FORMAT, what="the record of a handoff", where=where, fix=fix)
        guides = [Guide(**guide) for guide in document["guides"]]
        for key, sample_id, content, number in document["handed"]:
            found[key] = Handed(key, sample_id, content, guides[number])
    return found
