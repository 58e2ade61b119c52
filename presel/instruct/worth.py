"""Is what comes back worth what it costs? Answers that can nearly all not be used end a run, before its pool is out.

A seat whose answer cannot be used goes to another image. That is right for one in a hundred and ruinous where a model thinks
its limit away, a template asks for nothing, or a judge lets nothing pass: seats would be handed on until no image is left,
each for two or three requests. So a task, and all tasks together, end in words when at least 20 images gave nothing, they
are half of all, and the last 20 were among them. The first three answers are shown: they usually say what is wrong.
"""

from __future__ import annotations

from presel.errors import EndpointRefused
from presel.images.reasons import WITHOUT_ANSWER, Reason
from presel.instruct.completion import words_of
from presel.instruct.ledger import Answer
from presel.instruct.questions.parsing import Problem
from presel.instruct.words import printable

LEAST = 20
_SHOWN, _LETTERS = 3, 200


class Worth:
    """What became of the images of one task, or of all."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._usable = self._failed = self._in_a_row = 0
        self._shown: list[str] = []

    def hear(self, problem: Problem | None, answers: tuple[Answer, ...]) -> EndpointRefused | None:
        """Count a verdict; why to stop, if it is enough. One for want of money or of a picture does not count."""
        if problem is None:
            self._usable, self._in_a_row = self._usable + 1, 0
        elif _is_about_answers(problem.reason, answers):
            self._failed, self._in_a_row = self._failed + 1, self._in_a_row + 1
            if len(self._shown) < _SHOWN:
                self._shown.append(_shown(problem, answers))
        lately = min(self._in_a_row, self._failed)
        return self._stop() if lately >= LEAST and self._failed >= self._usable else None

    def _stop(self) -> EndpointRefused:
        asked = self._failed + self._usable
        return EndpointRefused(
            f"{self._failed} of {asked} images asked about gave nothing that can be used, among them the last {LEAST}; "
            f"the first: {'; '.join(self._shown)}",
            where=self._what,
            fix="change what is asked (`generator.prompt`, `max_output_tokens`, `model`), or leave the task out; what is paid "
            "for is kept, and `presel ledger show KEY` shows an answer whole",
        )


def _is_about_answers(reason: Reason, answers: tuple[Answer, ...]) -> bool:
    if reason in (Reason.CAP_REACHED, Reason.UNAVAILABLE):
        return False
    return bool(answers) or reason in WITHOUT_ANSWER or reason is Reason.DECLINED


def _shown(problem: Problem, answers: tuple[Answer, ...]) -> str:
    said = printable(words_of(answers[-1].body)).strip() if answers else ""
    quoted = f"{said[:_LETTERS]!r}" if said else "no words"
    key = f", {answers[-1].key}" if answers else ""
    return f"{quoted} ({problem.reason}: {problem.detail[:100]}{key})"
