"""`import presel` costs nothing, and shows what there is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import presel

HEAVY = ("torch", "pandas", "pyarrow", "numpy", "pydantic", "PIL", "transformers", "prefect", "faiss")


def test_importing_presel_loads_nothing_heavy_and_is_quick() -> None:
    code = (
        "import sys, time, json; start = time.perf_counter(); import presel; took = time.perf_counter() - start; "
        f"print(json.dumps([took, [name for name in {HEAVY} if name in sys.modules]]))"
    )
    runs = [json.loads(subprocess.check_output([sys.executable, "-c", code])) for _ in range(3)]
    assert min(took for took, _ in runs) < 0.3
    assert runs[0][1] == []


def test_choosing_loads_no_torch() -> None:
    code = (
        "import sys, presel; presel.select, presel.plan, presel.open_dataset, presel.irs; print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_every_name_is_there_and_documented() -> None:
    assert dir(presel) == ["PreselError", "__version__", "irs", "open_dataset", "plan", "select"]
    for name in ("irs", "open_dataset", "plan", "select"):
        text = getattr(presel, name).__doc__
        assert "Raises" in text, name
        assert name in (presel.__doc__ or "")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'presel' has no attribute 'choose'"):
        presel.choose  # type: ignore[attr-defined]  # noqa: B018


def test_the_arithmetic_is_imported_from_one_place() -> None:
    from presel.selection import allocate, kmeans, neighbor_centrality, task_weights
    from presel.selection.budget import allocate as same

    assert allocate is same
    assert all(callable(one) for one in (kmeans, neighbor_centrality, task_weights))
