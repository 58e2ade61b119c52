"""Stages that want an accelerator and work without one. A cluster gives them a card (runner.py)."""

from __future__ import annotations

from datetime import timedelta

from presel.stages import calibrate as calibrating
from presel.stages import embed as embedding
from presel.stages import fit as fitting
from presel.stages import score as scoring
from tasks.policy import Policy
from tasks.resources import Resource

GPU = Policy(Resource.GPU, retries=2, delays=(5, 30), timeout=timedelta(hours=24))

embed_part = GPU.stage_task(embedding.embed_part, "embed {part.label}")
calibrate = GPU.stage_task(calibrating.calibrate, "calibrate the guard")
fit_reference_model = GPU.stage_task(fitting.fit_reference_model, "fit reference model")
score_relevance = GPU.stage_task(scoring.score_relevance, "score {instructions.label}")
