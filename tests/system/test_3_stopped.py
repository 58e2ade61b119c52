"""A run that is cancelled keeps what was on its way, and the next one pays for the rest only."""

from __future__ import annotations

import json

from tests.system.installation import Installation
from tests.system.processes import until


def test_a_cancelled_run_keeps_its_answers_and_the_next_buys_the_rest(
    installation: Installation, scheduled: str
) -> None:
    config = installation.config(store=f"{installation.setting.config.store}-stopped", requests_per_minute=40)
    asked = installation.setting.requests()
    if "three" not in installation.processes:
        installation.start_worker("three")
    run = installation.refresh(config)
    until(lambda: installation.setting.requests() > asked + 3, 600, 0.1)
    told = json.loads(installation.presel("cancel", "--json", config=config).communicate(timeout=300)[0])
    assert told == {"asked": [installation.run(run)["name"]], "by_hand": []}
    assert installation.wait(run)["state_name"] == "Cancelled"
    kept = installation.answers(config.store)
    assert kept == installation.setting.requests() - asked > 3
    again = installation.refresh(installation.config(store=config.store))
    assert installation.wait(again)["state_name"] == "Completed", installation.logs(again)[-5:]
    assert installation.answers(config.store) == installation.setting.requests() - asked > kept
