from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from presel.config import RefreshConfig

MINIMAL = {"source": {"uri": "pool"}, "store": "store", "generator": {"max_cost": 1}}


def test_a_minimal_configuration_has_the_papers_numbers():
    config = RefreshConfig.model_validate(MINIMAL)
    assert (config.reference.share, config.budget.share) == (0.05, 0.15)
    assert config.clustering.images_per_cluster == 100
    assert (config.reference_model.lora.rank, config.reference_model.lora.alpha) == (128, 256)


def test_a_cap_must_be_named_or_switched_off_in_words():
    with pytest.raises(ValidationError, match="max_cost"):
        RefreshConfig.model_validate({**MINIMAL, "generator": {}})
    assert RefreshConfig.model_validate({**MINIMAL, "generator": {"max_cost": "unlimited"}})


@pytest.mark.parametrize("cap", [-1, float("nan"), float("inf")])
def test_a_cap_that_nothing_could_be_compared_with_is_refused_before_anything_starts(cap: float) -> None:
    with pytest.raises(ValidationError, match="max_cost"):
        RefreshConfig.model_validate({**MINIMAL, "generator": {"max_cost": cap}})


def test_paper_mode_has_no_guard_and_allows_nothing_of_ours():
    assert RefreshConfig.model_validate({**MINIMAL, "mode": "paper"}).selection.near_duplicate is None
    for section in ({"selection": {"near_duplicate": 0.9}}, {"selection": {"strategy": "coverage"}},
                    {"weights": {"shrinkage": True}}, {"weights": {"estimator": "trimmed"}},
                    {"reference_model": {"fit": "cross"}},
                    {"reference_model": {"lora": {"question_dropout": 0.2}}}):  # fmt: skip
        with pytest.raises(ValidationError, match="departs from it"):
            RefreshConfig.model_validate({**MINIMAL, "mode": "paper", **section})


def test_the_form_that_prefect_shows_can_be_made_and_forbids_unknown_fields():
    schema = RefreshConfig.model_json_schema()
    assert schema["additionalProperties"] is False
    assert "max_cost" in schema["$defs"]["GeneratorConfig"]["required"]


def test_the_form_shows_what_matters_first_in_words_and_folds_what_is_rarely_touched():
    schema = RefreshConfig.model_json_schema()
    fields = sorted(schema["properties"], key=lambda name: schema["properties"][name]["position"])
    assert fields[:6] == ["source", "store", "generator", "budget", "dataset", "execution"]
    assert set(fields) == set(RefreshConfig.model_fields)
    generator = schema["$defs"]["GeneratorConfig"]
    shown = sorted(generator["properties"].values(), key=lambda field: field["position"])
    assert [field["title"] for field in shown][:4] == ["Model", "Max cost", "Base URL", "API key variable"]
    assert "concurrency" in generator["description"]
    folded = schema["properties"]["encoder"]
    assert [tab["title"] for tab in folded["anyOf"]] == ["As it is", "Change"]
    assert folded["default"] is None
    assert folded["description"].startswith("The model whose vectors")


@pytest.mark.parametrize(
    ("given", "valid"),
    [
        ({"encoder": None, "selection": {"strategy": "coverage"}}, True),
        ({"execution": {"approve": True, "workers": 2}}, True),
        ({"execution": {"workers": 0}}, False),
        ({"execution": {"wrokers": 2}}, False),
        ({"encoder": {"images": {"min_side": 0}}}, False),
        ({"generator": {"concurrency": 3}}, False),
    ],
)
def test_the_form_is_as_strict_as_the_models_also_about_what_it_does_not_show(given: dict, valid: bool):
    config = {**MINIMAL, **given}
    assert Draft202012Validator(RefreshConfig.model_json_schema()).is_valid(config) is valid
    if valid:
        assert RefreshConfig.model_validate(config)
    else:
        with pytest.raises(ValidationError):
            RefreshConfig.model_validate(config)


def test_a_section_that_is_left_as_it_is_is_that_of_the_defaults():
    left = {"encoder": None, "weights": {"reestimate": None}, "execution": None}
    assert RefreshConfig.model_validate({**MINIMAL, **left}) == RefreshConfig.model_validate(MINIMAL)
    with pytest.raises(ValidationError, match="source"):
        RefreshConfig.model_validate({**MINIMAL, "source": None})


def test_no_field_can_hold_a_secret():
    def names(schema: dict) -> set[str]:
        found = {*schema.get("properties", {}), *(name.strip("^$") for name in schema.get("patternProperties", {}))}
        return found.union(*(names(definition) for definition in schema.get("$defs", {}).values()))

    suspicious = {
        n for n in names(RefreshConfig.model_json_schema()) if any(w in n for w in ("secret", "password", "key"))
    }
    assert suspicious == {"api_key_env"}


def test_a_slash_at_the_end_of_the_stores_address_is_no_other_store() -> None:
    given = {"source": {"uri": "pool"}, "generator": {"max_cost": 1.0}}
    stores = ("s3://bucket/presel/", "s3://bucket/presel", "/")
    assert [RefreshConfig(store=store, **given).store for store in stores] == [stores[1], stores[1], "/"]
