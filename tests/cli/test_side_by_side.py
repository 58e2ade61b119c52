"""`presel explain --open`: a page of pictures in which no name from the pool is anything but text."""

from __future__ import annotations

import hashlib
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from presel.cli.side_by_side import Shown, show_pictures
from presel.demo.setting import demo_config


def test_pictures_are_drawn_anew_and_names_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, opened = tmp_path / "pool" / "one", []
    pool.mkdir(parents=True)
    monkeypatch.setattr(webbrowser, "open", opened.append)
    good, hostile = pool / "a.png", pool / "<img src=x onerror=alert(1)>.png"
    Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8)).save(good)
    hostile.write_bytes(b"<script>alert(1)</script>")
    content = hashlib.sha256(good.read_bytes()).hexdigest()
    shown = [
        Shown("one/a.png", content, "picked"),
        Shown(f"one/{hostile.name}", None, "left out"),
        Shown("one/gone.png", "0" * 64, "<b>bold</b>"),
    ]
    page = show_pictures("one/<b>", shown, demo_config(str(tmp_path / "pool"), str(tmp_path / "store")))
    text = page.read_text()
    assert opened == [page.as_uri()]
    assert text.count("data:image/jpeg") == 1
    assert text.count("cannot be shown") == 2
    assert "<script>" not in text
    assert "<img src=x" not in text
    assert "<b>bold" not in text
