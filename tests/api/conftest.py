from __future__ import annotations

import pytest

from presel.config import ReferenceModelConfig
from presel.reference_model import ReferenceModel, load


@pytest.fixture(scope="session")
def builtin() -> ReferenceModel:
    """The demo's tiny LLaVA."""
    return load(ReferenceModelConfig(model="builtin", device="cpu"))
