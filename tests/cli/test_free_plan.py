"""A plan without money needs no key and shows what there is; what would stop it is found before the pool is read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from presel.cli.free_plan import check_generator
from presel.config import GeneratorConfig, PriceConfig
from presel.demo.setting import environment
from presel.errors import ConfigError

NO_KEY = "PRESEL_NO_SUCH_KEY"


def presel(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "presel.cli", *arguments], capture_output=True, text=True, timeout=300)


def test_a_plan_without_money_or_key_shows_the_pool_and_its_prices(tmp_path: Path) -> None:
    for number in range(8):
        file = tmp_path / f"pool/{'cat' if number % 2 else 'dog'}/{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((64, 64), 90).save(file)
    config = {
        "source": {"uri": str(tmp_path / "pool")},
        "store": str(tmp_path / "store"),
        "encoder": {"name": "builtin"},
        "generator": {"model": "gpt-4.1-mini", "max_cost": 5, "api_key_env": NO_KEY},
    }
    (tmp_path / "presel.yaml").write_text(json.dumps(config))
    with environment(PREFECT_HOME=str(tmp_path / "prefect")):
        done = presel("plan", "-c", str(tmp_path / "presel.yaml"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {row["task"]: (row["usable"], row["reference"]) for row in told["tasks"]} == {"cat": (4, 1), "dog": (4, 1)}
    prices = told["at_most_usd"]
    assert 0 < prices["reference"] <= prices["budget"] <= prices["everything"]
    assert not list((tmp_path / "store").glob("ledger/answers/**/*.json"))


def test_a_missing_key_or_price_is_found_before_anything_runs() -> None:
    paid = PriceConfig(input_per_million=1, output_per_million=2)
    generator = GeneratorConfig(model="somebody/s-model", max_cost=5, api_key_env=NO_KEY, prices=paid)
    with pytest.raises(ConfigError, match=NO_KEY):
        check_generator(generator, may_spend=True)
    with pytest.raises(ConfigError, match="no price is known"):
        check_generator(generator.model_copy(update={"prices": None}), may_spend=False)
    own = PriceConfig(input_per_million=0, output_per_million=0)
    with pytest.raises(ConfigError, match=NO_KEY):  # requests that cost nothing are sent by a plan, too
        check_generator(generator.model_copy(update={"prices": own}), may_spend=False)
    check_generator(generator, may_spend=False)
