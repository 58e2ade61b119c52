"""The one stage that spends money. It retries inside, request by request; a retry of the task replays paid answers for free."""

from __future__ import annotations

from datetime import timedelta

from presel.stages import instruct as instructing
from tasks.policy import Policy
from tasks.resources import Resource

API = Policy(Resource.API, retries=3, delays=(10, 60, 300), timeout=timedelta(hours=48))

instruct = API.stage_task(instructing.instruct, "instruct {wanted.stage} {wanted.label}")
