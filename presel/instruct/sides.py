"""With which `image_side`s a store was ever asked, so that another one buys nothing that was sent before, byte for byte.

A key names the side that was configured, not the picture that came of it: a picture of 24 pixels is the same at 512 as at 768.
So before it is bought at one side its answers at the others are looked for, and count if the sent pictures are equal. Almost
every store knows one side, and then this costs nothing: `ledger/sides/768`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

from presel.errors import AlreadyExists
from presel.instruct.ledger import FOLDER as ANSWERS
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.questions.request import Request
from presel.storage import Store

FOLDER = "ledger/sides"
_BEFORE = 768
"""Of stores from before this was noted: the default."""


class Sides:
    """What one store knows. `side` is that of the engine."""

    def __init__(self, store: Store, side: int) -> None:
        names = (entry.path.rpartition("/")[2] for entry in store.list(f"{FOLDER}/"))
        known = {int(name) for name in names if name.isdigit()}
        if not known and next(iter(store.list(f"{ANSWERS}/")), None) is not None:
            known.add(_note(store, _BEFORE))
        if side not in known:
            _note(store, side)
        self.others = sorted(known - {side}, reverse=True)

    def sent_before(
        self, forms: tuple[Request, ...], ledger: Ledger, picture: Callable[[], bytes], at: Callable[[int], bytes]
    ) -> Answer | None:
        """The answer to one of `forms` at another side, if `at` that side the sent picture is the same."""
        for side in self.others:
            found = next((found for each in _at(side, forms) if (found := ledger.find(each.key))), None)
            if found is not None and at(side) == picture():
                return found
        return None


def _at(side: int, forms: tuple[Request, ...]) -> Iterator[Request]:
    for form in {form.key: form for form in forms}.values():
        there = replace(form, picture={**form.picture, "side": side})
        yield from (there, *there.earlier())


def _note(store: Store, side: int) -> int:
    with suppress(AlreadyExists):
        store.create(f"{FOLDER}/{side}", b"")
    return side
