"""Listing a bucket by many requests at once.

S3 pages through keys 1,000 at a time and each page names the next, so one prefix is listed one page after the other: a
million keys are a thousand round trips. The only way to overlap them is to list several prefixes side by side. The first
levels of folders (the tasks, usually) are taken for that, unless one page cannot hold a level: a bucket with
a folder for each image is listed flat, since a request a folder would cost a thousand times more than it saves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from presel.storage.store import Entry

REQUESTS = 16
_LEVELS = 3


class Page(NamedTuple):
    entries: list[Entry]
    folders: list[str]
    """Prefixes that were not descended into, when the page was asked for one level only."""
    following: str | None
    """The token of the next page."""


class Range(NamedTuple):
    """What one request asks for."""

    prefix: str
    one_level: bool = False
    token: str | None = None


FetchPage = Callable[[Range], Page]


def walk(fetch: FetchPage, prefix: str) -> Iterator[Entry]:
    """Every entry below `prefix`, in no particular order. At most `REQUESTS` pages are in flight or waiting."""
    ranges, entries = _split(fetch, prefix)
    yield from entries
    with ThreadPoolExecutor(REQUESTS, "s3-list") as pool:
        waiting = deque(ranges)
        flying: dict[Future[Page], str] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) < REQUESTS:
                    asked = waiting.popleft()
                    flying[pool.submit(fetch, asked)] = asked.prefix
                for landed in wait(flying, return_when=FIRST_COMPLETED).done:
                    page, below = landed.result(), flying.pop(landed)
                    if page.following:
                        waiting.appendleft(Range(below, token=page.following))
                    yield from page.entries
        finally:
            for future in flying:
                future.cancel()


def _split(fetch: FetchPage, prefix: str) -> tuple[list[Range], list[Entry]]:
    """Ranges that together cover `prefix`, and the entries met while finding them."""
    open_prefixes, flat, entries = [prefix], [], []
    for _ in range(_LEVELS):
        deeper = []
        for current in open_prefixes:
            page = fetch(Range(current, one_level=True))
            if page.following:
                flat.append(Range(current))
            else:
                entries += page.entries
                deeper += page.folders
        open_prefixes = deeper
        if len(open_prefixes) + len(flat) >= REQUESTS:
            break
    return [Range(p) for p in open_prefixes] + flat, entries
