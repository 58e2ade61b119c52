"""What a labelling tool is given: Label Studio tasks and their labelling configuration, or the same as plain rows.

The fields that a person fills are `question_1`, `response_1` and so on, in every form alike, so one reader takes them all
(returned.py). A task carries the key of its request, which says what it is an answer to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from presel.instruct.people.handed import Handed
from presel.tables.turn import Turn

MOST_TASKS = 100_000
"""Of one project: Label Studio becomes slow beyond, and an import of more fails."""
QUESTION, RESPONSE = "question_{}", "response_{}"


def task_data(handed: Handed, *, image: str, picture: str, why: str) -> dict[str, str]:
    """What a task shows and what it is known by. `image`: the address; `picture`: its key in the source."""
    return {
        "image": image,
        "guide": handed.guide.words,
        "why": why,
        "task": handed.guide.task,
        "picture": picture,
        "sample_id": handed.sample_id,
        "presel": handed.key,
    }


def label_studio_task(data: Mapping[str, str], draft: Sequence[Turn] = (), model: str = "") -> dict[str, Any]:
    """A task as Label Studio imports it; a draft becomes a prediction, which people correct in place of writing."""
    task: dict[str, Any] = {"data": dict(data)}
    if draft:
        filled = {name: text for name, text in filled_fields(draft).items() if text}
        task["predictions"] = [{"model_version": model, "result": [_textarea(*field) for field in filled.items()]}]
    return task


def filled_fields(turns: Sequence[Turn]) -> dict[str, str]:
    """The fields of some turns."""
    found: dict[str, str] = {}
    for number, turn in enumerate(turns, start=1):
        found |= {QUESTION.format(number): turn.question, RESPONSE.format(number): turn.response}
    return found


def _textarea(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "image", "type": "textarea", "value": {"text": [text]}}


def labelling_config(turns: Iterable[int]) -> str:
    """Label Studio's labelling configuration for tasks of so many turns each. Fields that all of them have are required."""
    wanted = sorted(set(turns)) or [1]
    fields = [
        _field(name.format(number), f"{title} {number}", required=number <= wanted[0], rows=rows)
        for number in range(1, wanted[-1] + 1)
        for name, title, rows in ((QUESTION, "Question", 2), (RESPONSE, "Response", 4))
    ]
    shown = [
        '  <Header value="$task"/>',
        '  <Image name="image" value="$image" zoom="true"/>',
        '  <Text name="guide" value="$guide"/>',
    ]
    return "\n".join(["<View>", *shown, *fields, "</View>", ""])


def _field(name: str, title: str, *, required: bool, rows: int) -> str:
    needed = f' required="true" requiredMessage={quoteattr(f"{title} is empty")}' if required else ""
    area = f'<TextArea name="{name}" toName="image" rows="{rows}" maxSubmissions="1" editable="true"{needed}/>'
    return f"  <Header value={quoteattr(title)}/>\n  {area}"
