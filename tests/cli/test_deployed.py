"""What the command line reads and what a server runs by schedule, held side by side."""

from __future__ import annotations

from typing import Any

import pytest

from presel.cli.deployed import differences, disagreement
from presel.config import RefreshConfig


def config(**changed: Any) -> dict[str, Any]:
    return {"source": {"uri": "s3://b/images"}, "store": "s3://b/presel", "generator": {"max_cost": 25.0}, **changed}


FILE = RefreshConfig.model_validate(config())


@pytest.mark.parametrize(
    ("deployed", "fields"),
    [
        (config(), []),
        (config(source={"uri": "s3://b/images/"}, store="s3://b/presel/"), []),
        (config(generator={"max_cost": 25, "model": "other"}), ["generator.model"]),
        (config(store="s3://b/elsewhere"), ["store"]),
        (config(dataset={"name": "second"}), ["dataset.name"]),
        (config(stroe="s3://b/presel"), ["config"]),
        (None, ["config"]),
    ],
)
def test_a_deployed_configuration_differs_in_the_fields_whose_meaning_differs(deployed: Any, fields: list[str]) -> None:
    assert differences(FILE, deployed) == fields


def test_one_deployment_that_is_the_file_s_is_enough_and_none_at_all_is_no_disagreement() -> None:
    assert disagreement(FILE, {}) is None
    assert disagreement(FILE, {"refresh/a": config(store="s3://b/of-another-dataset"), "refresh/b": config()}) is None


def test_a_schedule_for_another_store_is_named_with_what_it_has() -> None:
    said = disagreement(FILE, {"refresh/refresh": config(store="s3://b/elsewhere"), "refresh/old": {"store": 1}})
    assert said is not None
    assert "refresh/refresh has s3://b/images, s3://b/elsewhere and dataset" in said
    assert "refresh/old has a configuration that is not valid" in said


def test_the_same_dataset_with_another_setting_is_told_by_the_setting() -> None:
    said = disagreement(FILE, {"refresh/refresh": config(budget={"share": 0.3})})
    assert said == "refresh/refresh is deployed with another budget.share"
