"""What people have answered so far about the samples of a task: verdicts from the ledger, and `pending` for the rest.

Nobody is asked here. `presel handoff` hands the pending ones out, `presel handin` puts what comes back into the ledger, and
the next run finds it there under the same key. So budgets, seats and refreshes work as they do where an API answers.
"""

from __future__ import annotations

from collections.abc import Sequence

from presel.concurrency.ahead import ahead, shared_pool
from presel.config import GeneratorConfig
from presel.images.reasons import Reason
from presel.instruct.ledger import Ledger
from presel.instruct.questions.dialogue import settled
from presel.instruct.questions.parsing import Problem
from presel.instruct.questions.request import opening
from presel.instruct.samples import Row, Verdict
from presel.storage import open_store

_READERS = 32
_PENDING = Problem(Reason.PENDING, "people are asked: `presel handoff`, then `presel handin`")


class People:
    """The people who write for a store. `verdicts` never waits for anybody."""

    def __init__(self, store: str, generator: GeneratorConfig) -> None:
        self._ledger, self._generator = Ledger(open_store(store)), generator

    def verdicts(self, rows: Sequence[Row]) -> list[Verdict]:
        """A verdict for every row, in the order of the rows."""
        return list(ahead(self._verdict, rows, shared_pool("ledger", _READERS), window=8 * _READERS))

    def _verdict(self, row: Row) -> Verdict:
        request = opening(row["content"], row["task"], self._generator)
        answer = self._ledger.find(request.key)
        if answer is None:
            return Verdict(row, _PENDING)
        prompt = self._generator.prompt_of(row["task"])
        language = prompt.language if prompt.check_language else None
        return Verdict(row, settled(request, answer, prompt.turns, language), (answer,), (False,))
