"""How far bills were above their reservations, kept on the store: what one worker has learned, all workers know.

A reservation is an upper bound by the published rules, and servers break rules: pictures cost more tokens than announced, a
model thinks in tokens that no limit counts. The first bill above its reservation raises the later ones; but a worker that
starts when the money is nearly spent must not have to learn it again with the last of it. Hence a small object for each
model and endpoint, `ledger/drift/<digest>.json`. Two workers that write at once lose the smaller of two factors at most
until the next lease of the one that knew the larger.

Delete the object to trust the published rules again.
"""

from __future__ import annotations

import json
from contextlib import suppress

from presel.config import GeneratorConfig
from presel.config.keys import short_digest
from presel.errors import NotFound
from presel.instruct.money.prices import Estimator
from presel.storage import Store

FOLDER = "ledger/drift"


class Drift:
    """What a store knows of one model's bills at one endpoint."""

    def __init__(self, store: Store, generator: GeneratorConfig) -> None:
        name = short_digest(generator.model, generator.base_url.rstrip("/"))
        self._store, self._path = store, f"{FOLDER}/{name}.json"
        self._model = generator.model

    def share(self, estimator: Estimator) -> None:
        """Take over larger factors from the store, and leave ours there if one of them is larger. Raises StorageError."""
        known = self._known()
        estimator.calibrated = estimator.calibrated or known is not None
        there = known or (0.0, 0.0)
        estimator.factor, estimator.output_factor = (
            max(estimator.factor, there[0]),
            max(estimator.output_factor, there[1]),
        )
        ours = (estimator.factor, estimator.output_factor)
        if estimator.calibrated and ours != there:
            document = {"model": self._model, "input": ours[0], "output": ours[1]}
            self._store.write(self._path, json.dumps(document).encode())

    def _known(self) -> tuple[float, float] | None:
        with suppress(NotFound):
            found = json.loads(self._store.read(self._path))
            return float(found["input"]), float(found["output"])
        return None
