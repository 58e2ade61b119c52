"""One child that opens pictures, seen from here: started when it is needed, asked, and buried when it dies.

Bytes and pixels go through shared memory, words through pipes. A word from the child is believed only as far as it makes sense:
a decoder that has overwritten its own memory may say anything.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from presel.errors import PreselError
from presel.images.child import ENOUGH, How
from presel.images.memory import Memory
from presel.images.reasons import Reason
from presel.images.rejected import Rejected

PATIENCE = 30.0
"""Seconds of processor time for one picture; the slowest that is admitted takes 5."""
_SILENCE = 600_000
"""Milliseconds without a word from a child that has neither died nor lost patience with itself: somebody stopped it."""
_KEEP = 64 * 2**20
"""Bytes of shared memory that a child may hold on to between questions."""
_NAME = 32
_STARTS = 3
"""Children in a row that may end before they are ready."""
_SERVE = "from presel.images.child import serve; serve(int(sys.argv[1]), float(sys.argv[2]))"
_LEAN = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PILLOW_BLOCKS_MAX": "8",  # pixels of one picture serve the next: a sixth of the time went into fresh pages
    "MALLOC_MMAP_THRESHOLD_": str(2**26),
    "MALLOC_TRIM_THRESHOLD_": str(2**26),
}


class File(NamedTuple):
    data: bytes
    name: str
    """Tells a lying extension."""


class Opened(NamedTuple):
    """A usable picture: its pixels (height, width, 3), or what a preparation made of them."""

    array: NDArray[Any]
    width: int
    height: int
    format: str
    """Width and height are those of the upright original, whatever it was scaled to."""


class Answer(NamedTuple):
    end: Opened | Rejected
    seconds: float
    """Of the child's work."""
    last: bool = False


class Lost(Exception):
    """The child has ended in the middle of a picture; says how. Never leaves `presel.images`."""

    def __init__(self, how: str, deserved: bool = False) -> None:
        super().__init__(how)
        self.deserved = deserved
        """It would end so again."""


class Decoder:
    """For one thread at a time. `command` starts a child, which gets two arguments more: a descriptor, and `patience`."""

    def __init__(self, command: Sequence[str] | None = None, patience: float = PATIENCE) -> None:
        # Where `presel` was found by this process, the child finds it, too.
        self._command = command or [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {_SERVE}"]
        self._patience = patience
        self._memory = Memory()
        self._child: subprocess.Popen[bytes] | None = None
        self._heard, self._ready = b"", False

    def start(self) -> None:
        """Start the child if it does not run, without waiting for it."""
        if self._child is not None and self._child.poll() is None:
            return
        self.close()
        self._heard, self._ready = b"", False
        self._child = subprocess.Popen(
            [*self._command, str(self._memory.file), str(self._patience)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=[self._memory.file],
            env=os.environ | _LEAN,
            start_new_session=True,  # Ctrl-C is for us alone: a part may have to be finished first
        )

    def close(self) -> None:
        if self._child is not None:
            self._bury()

    def ask(self, files: Sequence[File], how: How) -> Iterator[Answer]:
        """What became of the first of these files, and of as many after it as fit in memory together.

        Raises Lost, before or after some answers, and PreselError when no child can be started or none can prepare.
        """
        spans = _spans(files)
        answers_at = sum(spans[-1])
        room = self._memory.room(answers_at + ENOUGH + 4 * how.limits[0] + 2**20)
        for (start, length), file in zip(spans, files, strict=True):
            room[start : start + length] = file.data
        named = [(*span, file.name[-_NAME:]) for span, file in zip(spans, files, strict=True)]
        self._question({"how": how, "files": named, "room": len(room), "answers_at": answers_at})
        used = answers_at
        for _ in files:
            told = self._line()
            if "error" in told:
                raise PreselError("a picture cannot be prepared", where=str(how.prepare), got=told["error"])
            try:
                answer = _answer(told, room)
            except (KeyError, ValueError, TypeError) as error:
                raise self._lost("answered nonsense") from error
            used += answer.end.array.nbytes if isinstance(answer.end, Opened) else 0
            yield answer
            if answer.last:
                break
        if used > _KEEP:
            self._memory.clear()

    def _question(self, question: dict[str, Any]) -> None:
        """Ask a child that is ready. One that ends before it is has seen no picture: it was killed, or none can start."""
        for left in reversed(range(_STARTS)):
            self.start()
            self._say(question)
            try:
                self._ready = self._ready or self._line() == {"ready": True}
                return
            except PreselError:
                if not left:
                    raise

    def _say(self, question: dict[str, Any]) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # listening will tell how it ended
            self._child.stdin.write(json.dumps(question).encode() + b"\n")

    def _line(self) -> dict[str, Any]:
        assert self._child is not None
        assert self._child.stdout is not None
        words, waiting = self._child.stdout.fileno(), select.poll()
        waiting.register(words, select.POLLIN)
        while b"\n" not in self._heard:
            got = os.read(words, 65536) if waiting.poll(_SILENCE) else b""
            if not got:
                raise self._lost()
            self._heard += got
        line, _, self._heard = self._heard.partition(b"\n")
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError as error:
            raise self._lost("answered nonsense") from error
        return told

    def _lost(self, how: str | None = None) -> Exception:
        code = self._bury()
        if self._ready and code == -signal.SIGPROF:
            return Lost(f"took longer than {self._patience:g} s of processor time", deserved=True)
        ended = f"crashed ({signal.Signals(-code).name if code < 0 else f'exit status {code}'})"
        if self._ready:
            return Lost(how or ended)
        return PreselError(
            "the processes that decode pictures cannot be started",
            where=" ".join(self._command[:1]),
            expected="a child that says it is ready",
            got=f"one that {ended}",
            fix="raise the limits of memory and processes, or see what `import presel.images.child` says in a fresh python",
        )

    def _bury(self) -> int:
        child, self._child = self._child, None
        assert child is not None
        child.kill()  # on what has ended this does nothing
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()
        return child.wait()


def _spans(files: Sequence[File]) -> list[tuple[int, int]]:
    """(start, length) of each file in the shared memory."""
    spans, start = [], 0
    for file in files:
        spans.append((start, len(file.data)))
        start += len(file.data)
    return spans


def _answer(told: dict[str, Any], room: memoryview) -> Answer:
    seconds, last = float(told["seconds"]), bool(told["last"])
    if "reason" in told:
        return Answer(Rejected(Reason[told["reason"]], str(told["detail"])), seconds, last)
    shape, kind, start = tuple(map(int, told["shape"])), np.dtype(told["dtype"]), int(told["at"])
    size = int(np.prod(shape)) * kind.itemsize
    # A copy: the place is needed for the next picture, and its owner may die or go mad.
    array = np.frombuffer(room[start : start + size], kind).reshape(shape).copy()
    return Answer(Opened(array, int(told["width"]), int(told["height"]), str(told["format"])), seconds, last)
