"""What a plan quotes of the evidence."""

from __future__ import annotations

import pytest

from presel.runs import benchmark, budget_curve

POOLS = (
    {"pool": "a", "ours": [{"share": 0.15, "seeds": 2, "of_full": 0.9}, {"share": 0.3, "seeds": 1, "of_full": 0.95}],
     "random": [{"share": 0.15, "seeds": 2, "of_full": 0.8}, {"share": 0.3, "seeds": 1, "of_full": 0.9}]},
    {"pool": "b", "ours": [{"share": 0.15, "seeds": 2, "of_full": 0.84}],
     "random": [{"share": 0.15, "seeds": 2, "of_full": 0.85}]},
)  # fmt: skip


def test_a_plan_quotes_the_budget_that_all_pools_have_and_calls_it_a_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "pools", lambda: POOLS)
    said = benchmark.words(0.28)
    assert said.startswith("On 2 benchmark pools 15% reached 84 to 90 % of what full data did")
    assert "random 80 to 85 %" in said
    assert "no promise" in said
    assert [benchmark.reached(share) for share in (0.15, 0.3, 0.5)] == ["84-90 %", "95 %", "-"]


def test_without_a_measurement_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "pools", tuple)
    assert benchmark.words(0.15) == ""


def test_the_file_beside_the_code_holds_what_is_quoted() -> None:
    for pool in benchmark.pools():
        for row in (*pool["ours"], *pool["random"]):
            assert row["share"] in (*budget_curve.BUDGETS, 1.0)
            assert 0 < row["of_full"] < 1.5
            assert row["seeds"] >= 1
    assert "0.15" in str(benchmark.pools())
