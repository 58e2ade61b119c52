from __future__ import annotations

import pytest

from presel.config import ReferenceModelConfig
from presel.reference_model import ReferenceModel, load

BUILTIN = ReferenceModelConfig(model="builtin", max_length=512, device="cpu")


@pytest.fixture(scope="session")
def builtin() -> ReferenceModel:
    """The demo's tiny LLaVA; tests that change it load their own."""
    return load(BUILTIN)
