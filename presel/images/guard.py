"""Decoding where a crash or a hang costs one image, not the run.

Pillow hands TIFF, AVIF and JPEG 2000 to large C libraries whose bugs are found by fuzzing every year. A segfault there takes
the process, and with it a part's work; tried again, it dies at the same file. So these formats are decoded by a child process,
one for each decoding thread, started when the first such file is met. JPEG, PNG, GIF, WebP and BMP, nearly all of a pool, go
the short way: their decoders are the most attacked software there is, and a child costs the builtin encoder half as much
processor time again for each. But none is beyond crashing: a part whose last attempt never ended (`attempts.py`) is
decoded by children altogether, and so is every part with `encoder.isolate: all`.

The child speaks through its standard streams: a line of JSON, then bytes. If it dies or is silent for too long, a fresh one
gets one more try, since an out-of-memory killer may have picked it; then the image is a reject.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, Any

from PIL import Image

from presel.config import ImageConfig
from presel.images.decoding import Picture, open_picture
from presel.images.formats import SUPPORTED, sniff
from presel.images.reasons import Reason, Rejected

FRAGILE = frozenset({"TIFF", "AVIF", "JPEG2000"})
_CHILD = (sys.executable, "-m", "presel.images.guard")
_threads = threading.local()


def open_guarded(
    data: bytes, limits: ImageConfig, key: str = "", side: int | None = None, *, isolated: bool = False
) -> Picture | Rejected:
    """`open_picture`, in a child process for formats whose decoders are not to be trusted with ours; `isolated`: for all."""
    kind = sniff(data)
    if kind not in FRAGILE and not (isolated and kind in SUPPORTED):
        return open_picture(data, limits, key, side)
    guard: Guard | None = getattr(_threads, "guard", None)
    if guard is None:
        guard = _threads.guard = Guard()
    return guard.open(data, limits, key, side)


class Guard:
    """One child process, started on first use and again whenever it is lost. Not to be shared by threads."""

    def __init__(self, command: Sequence[str] = _CHILD, patience: float = 30.0) -> None:
        self._command, self._patience = command, patience
        self._child: subprocess.Popen[bytes] | None = None
        self._late = False

    def open(self, data: bytes, limits: ImageConfig, key: str = "", side: int | None = None) -> Picture | Rejected:
        """What `open_picture` returns, or a reject when the decoder crashed or took longer than `patience` seconds, twice."""
        question = {"limits": limits.model_dump(), "key": key, "side": side, "bytes": len(data)}
        failure = ""
        for _ in range(2):
            try:
                return self._ask(question, data)
            except (OSError, ValueError, EOFError):
                failure = self._bury()
        return Rejected(Reason.UNDECODABLE, f"{sniff(data)}: its decoder {failure}")

    def close(self) -> None:
        if self._child is not None:
            self._bury()

    def __del__(self) -> None:
        self.close()

    def _ask(self, question: dict[str, Any], data: bytes) -> Picture | Rejected:
        child = self._child = self._child or _start(self._command)
        assert child.stdin is not None
        assert child.stdout is not None
        alarm = threading.Timer(self._patience, self._lose_patience, (child,))
        alarm.start()
        try:
            _send(child.stdin, question, data)
            answer, pixels = _receive(child.stdout)
        finally:
            alarm.cancel()
        if "reason" in answer:
            return Rejected(Reason[answer["reason"]], answer["detail"])
        image = Image.frombytes("RGB", tuple(answer["size"]), pixels)
        return Picture(image, answer["width"], answer["height"], answer["format"])

    def _lose_patience(self, child: subprocess.Popen[bytes]) -> None:
        self._late = True
        child.kill()

    def _bury(self) -> str:
        child, self._child = self._child, None
        if child is None:
            return "could not be started"
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was still to be written can go nowhere
                    stream.close()
        try:
            code = child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        late, self._late = self._late, False
        return f"took longer than {self._patience:g} s" if late else f"crashed (exit status {code})"


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _send(stream: IO[bytes], header: dict[str, Any], body: bytes) -> None:
    stream.write(json.dumps(header).encode() + b"\n")
    stream.write(body)
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    line = stream.readline()
    if not line:
        raise EOFError
    header: dict[str, Any] = json.loads(line)
    body = stream.read(header["bytes"])
    if len(body) < header["bytes"]:
        raise EOFError
    return header, body


def _serve() -> None:
    """The child: answers questions until its input ends."""
    while True:
        try:
            question, data = _receive(sys.stdin.buffer)
        except EOFError:
            return
        limits = ImageConfig.model_validate(question["limits"])
        opened = open_picture(data, limits, question["key"], question["side"])
        if isinstance(opened, Rejected):
            _send(sys.stdout.buffer, {"reason": opened.reason.name, "detail": opened.detail, "bytes": 0}, b"")
            continue
        pixels = opened.image.tobytes()
        known = {"width": opened.width, "height": opened.height, "format": opened.format}
        _send(sys.stdout.buffer, known | {"size": opened.image.size, "bytes": len(pixels)}, pixels)


if __name__ == "__main__":
    _serve()
