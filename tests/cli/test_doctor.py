"""What does not answer is not waited for, by nobody; and every finding says how to go on."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
from PIL import Image

from presel.cli import doctor
from presel.config import RefreshConfig
from presel.demo.setting import environment


@pytest.fixture
def settings(tmp_path: Path) -> RefreshConfig:
    (tmp_path / "pool/cat").mkdir(parents=True)
    Image.effect_noise((64, 64), 90).save(tmp_path / "pool/cat/1.png")
    return RefreshConfig.model_validate(
        {
            "source": {"uri": str(tmp_path / "pool")},
            "store": str(tmp_path / "store"),
            "encoder": {"name": "builtin"},
            "reference_model": {"model": "builtin"},
            "generator": {"model": "gpt-4.1-mini", "max_cost": 1, "api_key_env": "PRESEL_TEST_KEY"},
        }
    )


def test_what_does_not_answer_is_late_alone_and_another_way_is_named(
    settings: RefreshConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encoder(_: RefreshConfig) -> doctor.Finding:
        time.sleep(30)
        raise AssertionError("nobody waits for it")

    checks = [
        check for check in doctor.CHECKS if check.__name__ in ("install", "network", "source", "endpoint", "prices")
    ]
    doctor.prices(settings)  # imports what it needs
    monkeypatch.setattr(doctor, "CHECKS", (*checks, encoder))
    monkeypatch.setattr(doctor, "_import_what_is_needed", lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as silent, environment(PRESEL_TEST_KEY="key"):
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        generator = settings.generator.model_copy(update={"base_url": silent_url})
        started = time.monotonic()
        found = {f.check: f for f in doctor._all_at_once(settings.model_copy(update={"generator": generator}), 3.0)}
    assert time.monotonic() - started < 15
    assert [found[name].level for name in ("source", "price", "endpoint", "encoder")] == [
        "ok",
        "ok",
        "error",
        "warning",
    ]
    assert "`presel plan` needs none" in found["endpoint"].fix
    assert "--patience" in found["encoder"].fix
    assert "`encoder.name: builtin` needs no weights" in found["encoder"].fix


@pytest.mark.parametrize(
    ("status", "level"), [(200, "ok"), (404, "ok"), (401, "error"), (502, "error"), (407, "error")]
)
def test_a_proxys_own_page_is_no_answer_of_the_endpoint(status: int, level: str) -> None:
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server, environment(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1"):
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert doctor._answers("endpoint", url, "KEY", "generator.base_url", {}).level == level
