from __future__ import annotations

import hashlib
import io
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.config import ClusteringConfig, EncoderConfig, ReferenceModelConfig, RefreshConfig
from presel.config.keys import canonical, digest, image_id, sample_id, stage_key
from presel.dataset.settings import portable
from presel.tables.schemas import Part, TableRef

names = st.text(max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


def table(store: str = "a", digest: str = "d") -> TableRef:
    part = Part(label="t", path="p", digest=digest, rows=1, bytes=1)
    return TableRef(stage="s", store=store, key="k", digest=digest, rows=1, parts=(part,))


@given(st.dictionaries(names, json_values, max_size=4))
def test_the_order_of_the_inputs_does_not_matter(inputs):
    assert stage_key("s", 1, inputs) == stage_key("s", 1, dict(reversed(inputs.items())))


@given(json_values, json_values)
def test_other_values_give_another_key(one, other):
    same = stage_key("s", 1, {"x": one}) == stage_key("s", 1, {"x": other})
    assert same == (_json(one) == _json(other))


def _json(value: object) -> str:
    import json

    return json.dumps(value, sort_keys=True)


def test_stage_and_version_are_part_of_the_key():
    assert len({stage_key("a", 1, {}), stage_key("a", 2, {}), stage_key("b", 1, {})}) == 3


def test_a_table_counts_by_its_digest_and_not_by_where_it_lies():
    here, there, changed = table("a"), table("b"), table("a", digest="e")
    assert stage_key("s", 1, {"t": here}) == stage_key("s", 1, {"t": there}) != stage_key("s", 1, {"t": changed})


def test_operational_settings_stay_out_and_semantic_ones_go_in():
    key = stage_key("s", 1, {"c": EncoderConfig()})
    assert key == stage_key("s", 1, {"c": EncoderConfig(batch_size=7, device="cpu")})
    assert key != stage_key("s", 1, {"c": EncoderConfig(name="builtin")})
    assert stage_key("s", 1, {"c": ClusteringConfig()}) != stage_key(
        "s", 1, {"c": ClusteringConfig(images_per_cluster=9)}
    )


def test_a_setting_that_was_added_later_leaves_the_keys_of_its_default_as_they_were():
    """The keys were written down before the setting existed: a store made then is found again."""
    assert stage_key("cluster", 2, {"config": ClusteringConfig(), "seed": 0}) == "3e6bf64c6228c6ac815a6c1c54a4ca99"
    other = ClusteringConfig(images_per_cluster=9, quality="best")
    assert stage_key("cluster", 2, {"config": other, "seed": 3}) == "406510b0ac001621298d93c21c08b128"
    assert stage_key("score", 3, {"config": ReferenceModelConfig(loss_floor=0)}) == "065065db0bbe2ff4575e2c2b14d5e6ae"
    assert stage_key("embed", 3, {"encoder": EncoderConfig()}) == "52ea56e563e6a6a3e250da05c3177e04"
    asked = ClusteringConfig(engine="gpu")
    assert stage_key("cluster", 2, {"config": asked, "seed": 0}) != "3e6bf64c6228c6ac815a6c1c54a4ca99"


def test_settings_of_the_default_are_published_as_they_were():
    config = RefreshConfig.model_validate({"source": {"uri": "pool"}, "store": "store", "generator": {"max_cost": 1}})
    assert "engine" not in portable(config)["clustering"]
    asked = config.model_copy(update={"clustering": ClusteringConfig(engine="gpu")})
    assert portable(asked)["clustering"]["engine"] == "gpu"


def test_a_value_without_canonical_form_is_refused_rather_than_guessed():
    with pytest.raises(TypeError, match="no canonical form"):
        stage_key("s", 1, {"x": object()})


def test_ids_do_not_confuse_where_one_part_ends_and_the_next_begins():
    assert sample_id("a", "bc") != sample_id("ab", "c")
    assert image_id("a", "bc") != image_id("ab", "c")
    assert image_id("a", "b") != sample_id("a", "b")


def test_ids_are_what_they_have_always_been():
    """They name what was paid for: with another scheme, every sample of every store would be a new one."""
    content, etag = digest(b"a picture"), "9b2cf535f27731c974343645a3985328"
    assert content == "92b2fa58028958317e408bd84ecfa70f5ee35b121991dbc232c49d166353708b"
    assert sample_id("chart", content) == "8e116bb2096505df1eca6972c513c56d"
    assert image_id("photos/a.jpg", etag) == "8c9fdec3f554cb65965e53b119783995"
    assert image_id("photos/a.jpg", etag, "chart") == "078eadcb900767d73704335fdeff7762"
    assert sample_id("Straße", "ü\n") == "9f75bc5f0d6a5c0ba4c80fd6de38cffb"
    assert stage_key("rank", 3, {"seed": 0, "task": "é"}) == "4cedfea5b7c97bb22c2c0875c5ab8405"
    assert stage_key("rank", 3, {"samples": table()}) == "5dc2acd9aa186d843a590e242c45bdce"


def test_a_file_has_the_digest_of_its_bytes_wherever_it_was_read_to_and_however_long_it_is():
    data = bytes(range(256)) * (1 << 13)
    file = io.BytesIO(data)
    file.seek(7)
    assert digest(file) == digest(data) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_write_is_in_no_key(value: float):
    with pytest.raises(ValueError, match="not JSON compliant"):
        stage_key("s", 1, {"x": value})


def test_a_tuple_counts_as_a_list_and_bytes_as_nothing_that_a_key_can_hold():
    assert stage_key("s", 1, {"x": (1, "a")}) == stage_key("s", 1, {"x": [1, "a"]})
    with pytest.raises(TypeError, match="a bytes has no canonical form: pass a table reference or a config section"):
        stage_key("s", 1, {"x": b"ab"})


def test_a_mapping_in_an_input_counts_by_its_content_whatever_its_order_and_the_type_of_its_names():
    assert list(canonical({"b": 1, "a": {"d": 1, "c": 2}, 3: 0})) == ["3", "a", "b"]
    assert list(canonical({"b": 1, "a": {"d": 1, "c": 2}})["a"]) == ["c", "d"]


def test_a_choice_counts_by_its_value():
    class Choice(Enum):
        ONE = "one"

    assert canonical(Choice.ONE) == "one"


def test_settings_are_named_in_one_order():
    names = list(canonical(EncoderConfig()))
    assert names == sorted(names)
