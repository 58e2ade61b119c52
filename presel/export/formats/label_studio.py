"""Label Studio: tasks with the answers as predictions, and the interface to review them in."""

from __future__ import annotations

from itertools import islice
from typing import Any

from presel.export.job import Job
from presel.export.record import Record

FILES = True
MOST = 100_000
"""Tasks a project."""
_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <Text name="dialogue" value="$dialogue"/>
  <TextArea name="answer" toName="image" editable="true" rows="4"/>
  <Choices name="verdict" toName="image" choice="single">
    <Choice value="right"/><Choice value="wrong"/><Choice value="unusable"/>
  </Choices>
</View>
"""


def write(job: Job) -> None:
    """`tasks-00001.json` and so on, at most 100,000 tasks each, and `label_config.xml`."""
    rows = (_task(job, record) for record in job.records())
    for number in range(1, max(1, -(-job.dataset.records // MOST)) + 1):
        job.write_array(f"tasks-{number:05d}.json", islice(rows, MOST))
    job.write("label_config.xml", _CONFIG)
    job.write("TRAIN.md", _train(job))


def _task(job: Job, record: Record) -> dict[str, Any]:
    said = "\n".join(f"Q: {question}\nA: {answer}" for question, answer in record.turns)
    texts = [answer for _, answer in record.turns]
    answer = {"from_name": "answer", "to_name": "image", "type": "textarea", "value": {"text": texts}}
    pictures = [f"/data/local-files/?d={path}" for path in job.files_of(record)]
    return {
        "data": {"id": record.id, "task": record.task, "image": pictures[0] if pictures else "", "dialogue": said},
        "predictions": [{"model_version": job.name, "result": [answer]}],
    }


def _train(job: Job) -> str:
    return f"""# Review {job.name} in Label Studio

```
LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={job.home} label-studio start
```

Create a project with `label_config.xml` (Settings, Labeling Interface, Code), add a local storage at
`{job.home}/{job.images}` (Settings, Cloud Storage) so that Label Studio may serve the pictures, and import `tasks-00001.json`.
The answers stand there as predictions; an annotation says what is right.
"""
