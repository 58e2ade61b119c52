"""Taking what came back: an annotation becomes an answer in the ledger, with who gave it, how long it took and what it cost.

It is filed under the key of what was asked, so that nothing asks again. A second person's answer to the same picture is kept
beside it, for agreement; it is paid, and the first one counts. What is no answer (nothing in it, a picture that nobody handed
out, another key's sample) is refused with its reason, and its picture stays open: in the labelling tool it can be mended and
handed in again.

People's time is owed however the cap stands, so what they come to is entered into the money log under a lease that asks for no
room. It names the answers, so that what a killed process took is settled for what it kept.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from presel.concurrency.ahead import ahead, shared_pool
from presel.config import PeopleConfig
from presel.errors import StorageUnavailable
from presel.images.reasons import Reason
from presel.instruct.completion import message_of, words_of
from presel.instruct.ledger import Answer, Ledger
from presel.instruct.money.owners import Owner
from presel.instruct.money.purse import Purse
from presel.instruct.people.handed import Handed, all_handed
from presel.instruct.people.returned import Found, Refused, Returned
from presel.instruct.questions.dialogue import settled
from presel.instruct.questions.parsing import Problem
from presel.instruct.questions.request import Request
from presel.instruct.words import written
from presel.storage import Store

MOST_OPINIONS = 5
_AT_ONCE = 500
_READERS = 32


@dataclass
class Taken:
    """What came of handing in."""

    taken: int = 0
    """Answers that are new in the ledger, further opinions and skipped pictures among them."""
    further: int = 0
    """Of them, another person's about a picture that has an answer."""
    skipped: int = 0
    """Of them, pictures that a person would not write about: their seats go on."""
    known: int = 0
    """Handed in before."""
    seconds: float = 0.0
    cost_usd: float = 0.0
    refused: list[Refused] = field(default_factory=list)


def take(store: Store, people: PeopleConfig, found: Iterable[Found]) -> Taken:
    """Keep every usable answer among `found`. Raises StorageError, and IntegrityError for a damaged store."""
    handed, done = all_handed(store), Taken()
    claimed: dict[str, list[Returned]] = defaultdict(list)
    for each in found:
        if (refused := _foreign(each, handed)) is not None:
            done.refused.append(refused)
        elif isinstance(each, Returned):
            claimed[each.key].append(each)
    ledger = Ledger(store)
    keys = sorted(claimed)
    kept = ahead(lambda key: _opinions(ledger, handed[key]), keys, shared_pool("ledger", _READERS), 8 * _READERS)
    fresh: list[Answer] = []
    for key, opinions in zip(keys, kept, strict=True):
        fresh += _new(handed[key], opinions, claimed[key], people, done)
    _keep(store, ledger, fresh, done)
    return done


def _foreign(each: Found, handed: Mapping[str, Handed]) -> Refused | None:
    if isinstance(each, Refused):
        return each
    known = handed.get(each.key)
    if known is None:
        return Refused(each.place, each.key, Reason.FOREIGN, "no picture was handed out under this key")
    if known.sample_id != each.sample_id:
        return Refused(each.place, each.key, Reason.FOREIGN, f"the key is of {known.sample_id}, not {each.sample_id}")
    return None


def _opinions(ledger: Ledger, handed: Handed) -> list[Answer]:
    """All answers to one picture, the first one first."""
    found = (ledger.find(handed.guide.request(handed.content, n).key) for n in range(1, MOST_OPINIONS + 1))
    return list(itertools.takewhile(lambda answer: answer is not None, found))  # type: ignore[arg-type]


def _new(
    handed: Handed, opinions: list[Answer], returned: Sequence[Returned], people: PeopleConfig, done: Taken
) -> Iterator[Answer]:
    """What of an image's annotations is new and usable; an answer comes before a skip, the earlier before the later."""
    for each in sorted(returned, key=lambda one: (one.skipped, one.at, one.who, one.turns)):
        answer = _answer(handed, each, len(opinions) + 1, people)
        before = next((opinion for opinion in opinions if _who(opinion) == each.who), None)
        if before is not None:
            if _said(before) == _said(answer):
                done.known += 1
            else:
                done.refused.append(Refused(each.place, each.key, Reason.ANSWERED, f"by {each.who or 'nobody named'}"))
            continue
        problem = (
            None
            if each.skipped
            else settled(Request.of(answer.request), answer, handed.guide.turns, handed.guide.language)
        )
        if isinstance(problem, Problem):
            done.refused.append(Refused(each.place, each.key, problem.reason, problem.detail))
        elif len(opinions) >= MOST_OPINIONS:
            done.refused.append(Refused(each.place, each.key, Reason.ANSWERED, f"by {MOST_OPINIONS} others"))
        else:
            opinions.append(answer)
            yield answer


def _answer(handed: Handed, each: Returned, opinion: int, people: PeopleConfig) -> Answer:
    request = handed.guide.request(handed.content, opinion)
    seconds = min(each.seconds, 60 * people.longest)
    content = written({"turns": [{"question": question, "response": response} for question, response in each.turns]})
    message: dict[str, Any] = {"role": "assistant", "content": content if each.turns else ""}
    if each.skipped:
        message = {"role": "assistant", "content": "", "refusal": f"skipped by {each.who or 'a person'}"}
    about = {"who": each.who, "seconds": seconds, "at": each.at, "task": handed.guide.task}
    return Answer(
        key=request.key,
        request=request.document(),
        status=200,
        body={"choices": [{"message": message, "finish_reason": "stop"}], "people": about},
        input_tokens=0,
        output_tokens=0,
        cost_usd=seconds / 3600 * (people.hourly_rate or 0.0),
        measured=each.seconds > 0,
        lease=-1,
        answered=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _who(answer: Answer) -> str:
    return str(answer.body.get("people", {}).get("who", ""))


def _said(answer: Answer) -> tuple[str, bool]:
    return words_of(answer.body), bool(message_of(answer.body).get("refusal"))


def _keep(store: Store, ledger: Ledger, fresh: Sequence[Answer], done: Taken) -> None:
    """Durable before it is counted, and counted as money with it."""
    if not fresh:
        return
    owner = Owner(store)
    owner.beat()
    purse = Purse(store, math.inf, owner, in_flight=0)
    for start in range(0, len(fresh), _AT_ONCE):
        _keep_some(ledger, purse, fresh[start : start + _AT_ONCE], done)
    owner.leave()


def _keep_some(ledger: Ledger, purse: Purse, fresh: Sequence[Answer], done: Taken) -> None:
    grant = purse.lease([(answer.key, answer.cost_usd) for answer in fresh])
    if grant.held or grant.lease is None:
        if grant.lease is not None:
            purse.settle(grant.lease, 0.0, 0.0)
        raise StorageUnavailable(
            "another process takes the same answers", where="presel handin", fix="hand in again when it has ended"
        )
    number = grant.lease.number
    leased = [replace(answer, lease=number) for answer in fresh]
    spent = 0.0
    # Where this fails the lease stays open: a later run that finds its owner gone settles it for the answers that are there.
    for answer, kept in ahead(
        lambda each: (each, ledger.keep(each)), leased, shared_pool("ledger", _READERS), 8 * _READERS
    ):
        if kept is not answer:  # somebody was faster
            done.known += 1
            continue
        spent += answer.cost_usd
        done.taken += 1
        done.skipped += _said(answer)[1]
        done.further += bool(answer.request["parameters"])
        done.seconds += answer.body["people"]["seconds"]
        done.cost_usd += answer.cost_usd
    purse.settle(grant.lease, spent, 0.0)
