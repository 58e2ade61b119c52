"""Pictures side by side in a browser: decoded and drawn anew, so that nothing of a pool is opened by another program."""

from __future__ import annotations

import base64
import html
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from presel.cli.console import visible
from presel.config import RefreshConfig
from presel.errors import PreselError
from presel.images import Rejected
from presel.images.reasons import Reason
from presel.sources import open_source
from presel.sources.source import Source

_SIDE = 480
_STYLE = (
    "body{font:16px system-ui;margin:2rem;background:#fff;color:#1c1d20}div{display:flex;flex-wrap:wrap;gap:1.5rem}"
    "figure{margin:0;max-width:30rem}img{max-width:100%;border:1px solid #ccc}figcaption{overflow-wrap:anywhere}"
)


class Shown(NamedTuple):
    """A picture with what is said below it."""

    key: str
    content: str | None
    words: str


def show_pictures(title: str, pictures: Sequence[Shown], config: RefreshConfig) -> Path:
    """Write one page of these pictures, open it in a browser if there is one, and say where it lies."""
    source = open_source(config.source)
    figures = "".join(_figure(shown, _data(source, shown), config) for shown in pictures)
    head = f"<meta charset=utf-8><title>{html.escape(visible(title))}</title><style>{_STYLE}</style>"
    body = f"<h1>{html.escape(visible(title))}</h1><div>{figures}</div>"
    page = Path(tempfile.mkdtemp(prefix="presel-explain-")) / "explain.html"
    page.write_text(f"<!doctype html><html lang=en>{head}{body}</html>", encoding="utf-8")
    webbrowser.open(page.as_uri())
    return page


def _data(source: Source, shown: Shown) -> bytes | Rejected:
    try:
        return source.read_content(shown.key, shown.content) if shown.content else source.read(shown.key)
    except PreselError as error:
        return Rejected(Reason.UNREADABLE, error.what)


def _figure(shown: Shown, data: bytes | Rejected, config: RefreshConfig) -> str:
    from presel.images import thumbnail
    from presel.images.decoders import opened

    said = f"<figcaption><b>{html.escape(visible(shown.key))}</b><br>{html.escape(shown.words)}"
    picture = data if isinstance(data, Rejected) else opened(data, config.encoder.images, shown.key, _SIDE)
    if isinstance(picture, Rejected):
        why = html.escape(f"{picture.reason} {picture.detail}")
        return f"<figure>{said}<br>The picture cannot be shown: {why}</figcaption></figure>"
    address = f"data:image/jpeg;base64,{base64.b64encode(thumbnail(picture, _SIDE)).decode()}"
    return f'<figure><img alt="" src="{address}">{said}</figcaption></figure>'
