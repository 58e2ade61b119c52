"""The Prefect UI as a person uses it: pages, tabs, artifacts, the form behind Resume. It looks through a real Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

PATIENCE = 180_000
"""Milliseconds; a busy machine draws slowly."""


class ControlRoom:
    """One browser tab on one server; every page that was looked at can be kept as a picture."""

    def __init__(self, browser: Any, address: str, pictures: Path) -> None:
        self.address, self.pictures = address, pictures
        self.page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
        self.page.set_default_timeout(PATIENCE)

    def ask(self, path: str, **body: Any) -> Any:
        """The server's answer, where a test needs an id."""
        answer = httpx.post(f"{self.address}/api/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def open_run(self, run_id: str) -> None:
        self.page.goto(f"{self.address}/runs/flow-run/{run_id}")
        self.page.get_by_text("Artifacts", exact=True).last.wait_for()

    def tab(self, name: str) -> None:
        self.page.get_by_text(name, exact=True).last.click()

    def artifacts(self, run_id: str) -> dict[str, str]:
        """Keys of a run's own artifacts -> the id of the latest."""
        found = self.ask("artifacts/filter", flow_runs={"id": {"any_": [run_id]}}, sort="UPDATED_DESC")
        return {artifact["key"]: artifact["id"] for artifact in reversed(found) if artifact["key"]}

    def open_artifact(self, run_id: str, key: str, says: str) -> str:
        """Everything the artifact's page says, once it says that."""
        self.page.goto(f"{self.address}/artifacts/artifact/{self.artifacts(run_id)[key]}")
        self.sees(says)
        return str(self.page.inner_text("body"))

    def sees(self, words: str) -> None:
        """Wait until the page shows these words. Fails when it does not."""
        self.page.get_by_text(words).first.wait_for()

    def pictures_shown(self) -> list[int]:
        """The width of every picture of the page that was decoded and drawn, in pixels of its own; 0 for a broken one."""
        self.page.locator("main img, .artifact-page img, img[src^='data:']").first.wait_for()
        return list(self.page.eval_on_selector_all("img[src^='data:']", "found => found.map(one => one.naturalWidth)"))

    def keep(self, name: str) -> None:
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    def run_in(self, state: str, known: set[str]) -> str | None:
        """The id of a run that is not known yet and is in that state."""
        found = self.ask("flow_runs/filter", sort="EXPECTED_START_TIME_DESC")
        return next((run["id"] for run in found if run["state_name"] == state and run["id"] not in known), None)

    def known(self) -> set[str]:
        return {run["id"] for run in self.ask("flow_runs/filter")}
