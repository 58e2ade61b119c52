"""Listing a bucket by many requests at once.

S3 pages through keys 1,000 at a time and each page names the next, so one prefix is listed one page after the other: a
million keys are a thousand round trips. The only way to overlap them is to list several prefixes side by side. The first
levels of folders (the tasks, usually) are taken for that, unless one page cannot hold a level: a bucket with
a folder for each image is listed flat, since a request a folder would cost a thousand times more than it saves.

A server may refuse to list one folder, and yet list what is in it when its parent is asked, since permissions are written for
the prefix of the request. So a refused folder is listed from above. If that is refused, too, the listing fails as a whole:
one with holes would look like a pool with images removed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from presel.errors import AccessDenied, StorageError, StorageUnavailable
from presel.storage.s3_errors import NETWORK
from presel.storage.store import Entry, LeftOut, nothing

REQUESTS = 16
_LEVELS = 3
_COLD = {"GLACIER", "DEEP_ARCHIVE"}


class Range(NamedTuple):
    """What one request asks for."""

    prefix: str
    one_level: bool = False
    token: str | None = None
    after: str | None = None
    """Keys up to this one are left out."""
    within: str | None = None
    """Only keys that start so are wanted; the first one after them ends the range."""


class Page(NamedTuple):
    entries: list[Entry]
    folders: list[str]
    """Prefixes that were not descended into, when the page was asked for one level only."""
    following: str | None
    """The token of the next page."""


FetchPage = Callable[[Range], Page]


def is_one(answer: Mapping[str, Any]) -> bool:
    """Whether this is a listing: the page of a proxy or a login may be well-formed too, and would pass for an empty folder."""
    return any(name in answer for name in ("Name", "IsTruncated", "KeyCount", "Contents"))


def page(answer: Mapping[str, Any], root: int, asked: Range, where: str) -> Page:
    """What the server answered. `root`: characters of each key before an entry's path.

    Raises StorageError where it says that there is more and not how to get it: an end there would be a hole in the pool.
    Raises StorageUnavailable where it is no listing at all.
    """
    following = answer.get("NextContinuationToken")
    if (answer.get("IsTruncated") and not following) or (following and following == asked.token):
        raise StorageError("the server breaks off a listing without saying how to go on", where=where)
    if not is_one(answer):
        raise StorageUnavailable("what answers is no S3 server", where=where, fix=NETWORK)
    listed = answer.get("Contents", ())
    entries = [_entry(item, root) for item in listed if item["Key"].startswith(asked.within or "")]
    past = asked.within and listed and not entries and listed[-1]["Key"] > asked.within
    folders = [item["Prefix"] for item in answer.get("CommonPrefixes", ())]
    return Page(entries, folders, None if past else following)


def _entry(item: Mapping[str, Any], root: int) -> Entry:
    return Entry(item["Key"][root:], item["Size"], item.get("ETag", "").strip('"'), _is_cold(item))


def _is_cold(item: Mapping[str, Any]) -> bool:
    """A restored object keeps its storage class; only `RestoreStatus` says that it can be read."""
    status = item.get("RestoreStatus") or {}
    restored = status.get("RestoreExpiryDate") is not None and not status.get("IsRestoreInProgress")
    return item.get("StorageClass") in _COLD and not restored


def walk(fetch: FetchPage, prefix: str, left_out: LeftOut = nothing) -> Iterator[Entry]:
    """Every entry below `prefix`, in no particular order. At most `REQUESTS` pages are in flight or waiting.

    `left_out`: whether a folder need not be listed. What is in one may come all the same, with that of its parent.
    """
    ranges, entries = _split(fetch, prefix, left_out)
    yield from entries
    with ThreadPoolExecutor(REQUESTS, "s3-list") as pool:
        waiting = deque(ranges)
        flying: dict[Future[Page], Range] = {}
        try:
            while waiting or flying:
                while waiting and len(flying) < REQUESTS:
                    asked = waiting.popleft()
                    flying[pool.submit(fetch, asked)] = asked
                for landed in wait(flying, return_when=FIRST_COMPLETED).done:
                    asked = flying.pop(landed)
                    try:
                        answer = landed.result()
                    except AccessDenied as error:
                        waiting.appendleft(_from_above(asked, prefix, error))
                        continue
                    if answer.following:
                        waiting.appendleft(asked._replace(token=answer.following))
                    yield from answer.entries
        finally:
            for future in flying:
                future.cancel()


def _from_above(refused: Range, top: str, error: AccessDenied) -> Range:
    """The same keys, asked for as a part of the listing of all. Raises the error where that was what was refused."""
    if refused.within or refused.token or refused.prefix == top:
        raise error
    # `.` is the character before `/`: what starts with it sorts just before the folder, and the folder's own key after it.
    return Range(top, after=refused.prefix[:-1] + ".", within=refused.prefix)


def _split(fetch: FetchPage, prefix: str, left_out: LeftOut) -> tuple[list[Range], list[Entry]]:
    """Ranges that together cover `prefix`, and the entries met while finding them."""
    open_prefixes, flat, entries = [prefix], [], []
    for _ in range(_LEVELS):
        deeper = []
        for current in open_prefixes:
            try:
                level = fetch(Range(current, one_level=True))
            except AccessDenied as error:
                flat.append(_from_above(Range(current), prefix, error))
                continue
            if level.following:
                flat.append(Range(current))
            else:
                entries += level.entries
                deeper += [folder for folder in level.folders if not left_out(folder)]
        open_prefixes = deeper
        if len(open_prefixes) + len(flat) >= REQUESTS:
            break
    return [Range(p) for p in open_prefixes] + flat, entries
