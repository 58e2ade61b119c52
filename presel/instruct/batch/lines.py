"""What one line of a batch's output or error file comes to, in the words of live responses (outcomes.py).

Providers promise less about these files than about responses, and keep less of it: a status that is a word, a body that is
missing, an error that is a list. Whatever cannot be read is a failed try and asked again; none of it ends the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from presel.errors import EndpointRefused
from presel.images.reasons import Reason
from presel.instruct.endpoint.failures import Reading, out_of_credit
from presel.instruct.endpoint.outcomes import Declined, Failed, Outcome
from presel.instruct.words import written


def outcome_of(line: Mapping[str, Any], reading: Reading) -> Outcome:
    """A line without a response was never worked on, and is not billed."""
    response, error = line.get("response"), line.get("error")
    if not isinstance(response, Mapping):
        return Failed(Reason.TIMEOUT, reading.message(json.dumps(error)), billed=False)
    code = response.get("status_code")
    status = code if isinstance(code, int) else 0
    text = reading.scrubbed(written(response.get("body")))
    try:
        return reading.outcome(status, text, {})
    except EndpointRefused as refused:  # the batch as a whole was accepted, so this is about the line
        if out_of_credit(text):  # or about the moment: that must not reject a picture
            return Failed(Reason.SERVER_ERROR, str(refused), billed=False)
        return Declined(status, str(refused))
