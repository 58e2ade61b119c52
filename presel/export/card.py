"""What stands beside the data: a README with the header that the hub and `datasets` read, and Croissant for
everybody else.

The version's own card is the body, since how the images were chosen and who answered does not
change by copying them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import yaml

from presel.dataset import versions
from presel.dataset.trainer_formats import size_category
from presel.errors import IntegrityError, NotFound

if TYPE_CHECKING:
    from presel.export.job import Job, Side

CARDS = ("README.md", "card.md")
"""What a version calls its card, and what it called it once."""
_OF_THE_VERSION = re.compile(r"^\| file \| holds \|\n.*?(?=^## )|^## Files\n.*?(?=^## )", re.MULTILINE | re.DOTALL)


def readme(job: Job, patterns: Mapping[Side, str]) -> str:
    """The card of a folder whose splits are these files."""
    header = {
        "pretty_name": f"{job.dataset.name} v{job.dataset.version}",
        "license": job.about.license,
        **({"license_name": job.about.license_name} if job.about.license_name else {}),
        **({"license_link": job.about.license_link} if job.about.license_link else {}),
        "language": list(job.about.language),
        "task_categories": ["image-text-to-text", "visual-question-answering"],
        "size_categories": [size_category(job.dataset.records)],
        "annotations_creators": ["machine-generated"],
        "tags": ["visual-instruction-tuning", "data-selection", "presel"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": side, "path": path} for side, path in patterns.items()],
            }
        ],
    }
    told = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{told}---\n\n{_body(job)}"


def _body(job: Job) -> str:
    title, _, rest = _card(job).partition("\n## ")
    rest = _OF_THE_VERSION.sub("", f"## {rest}\n## ")[: -len("## ")].rstrip() if rest else ""
    return f"{title.strip()}\n\n{_here(job)}\n{_notes(job)}{rest}\n"


def _card(job: Job) -> str:
    for name in CARDS:
        with suppress(IntegrityError, NotFound):
            return versions.file(job.dataset, name).decode().split("---\n", 2)[-1]
    return f"# {job.dataset.name}, version {job.dataset.version}\n"


def _here(job: Job) -> str:
    counts, split = job.counts, job.split
    held = (
        f"Held out: {counts['validation']:,} records. Images that are the same or nearly (cosine of {split.threshold:g} "
        f"or more) stand on one side; {split.compared:,} of {split.images:,} images of this and earlier versions were "
        "compared by their vectors. What was held out once stays so in later versions."
        if counts["validation"]
        else "Nothing is held out."
    )
    return f"""## This folder

{counts["train"]:,} records to train on, with their pictures: upright, sRGB, 8 bits, transparency on white. `TRAIN.md` has the
commands of each trainer.

| column | holds |
|---|---|
| `id`, `task` | the sample, and the task that it was chosen for |
| `images` | its pictures |
| `messages` | the dialogue as chat messages with typed parts |
| `conversations` | the same as LLaVA's turns, `<image>` where the picture stands |

{held}
"""


def _notes(job: Job) -> str:
    return f"\n## Source and licence\n\n{job.about.notes.strip()}\n\n" if job.about.notes else "\n"


def croissant(job: Job) -> str:
    """Croissant 1.0 (JSON-LD): which files there are, and which column holds what."""
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": job.name,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": f"Visual instructions for {job.dataset.records:,} images, chosen before they were instructed.",
        "license": job.about.license_link or job.about.license_name or job.about.license,
        "version": f"{job.dataset.version}.0.0",
        "inLanguage": list(job.about.language),
        "distribution": [
            {"@type": "cr:FileObject", "@id": "folder", "name": "folder", "contentUrl": ".", "encodingFormat": "text/plain",
             "sha256": job.dataset.digest},
            {"@type": "cr:FileSet", "@id": "shards", "containedIn": {"@id": "folder"},
             "encodingFormat": "application/x-parquet", "includes": "data/*.parquet"},
        ],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "records", "name": "records", "field": _fields()}],
    }  # fmt: skip
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _fields() -> list[dict[str, Any]]:
    pictures = _field("images", "its pictures", "sc:ImageObject", part="bytes") | {"repeated": True}
    turns = [
        _field(f"conversations/{part}", about, column="conversations", part=part)
        for part, about in (("from", "human or gpt"), ("value", "what is said, <image> where a picture stands"))
    ]
    said = {"@type": "cr:Field", "@id": "records/conversations", "name": "conversations", "repeated": True}
    return [
        _field("id", "the sample"),
        _field("task", "the task it was chosen for"),
        pictures,
        {**said, "description": "the dialogue as LLaVA's turns", "subField": turns},
    ]


def _field(
    name: str, about: str, kind: str = "sc:Text", column: str | None = None, part: str | None = None
) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "shards"}, "extract": {"column": column or name}}
    if part:
        source["transform"] = {"jsonPath": part}
    return {
        "@type": "cr:Field",
        "@id": f"records/{name}",
        "name": name,
        "description": about,
        "dataType": kind,
        "source": source,
    }


_OWN = (
    *(
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "extract",
        "field",
        "fileProperty",
        "fileObject",
        "fileSet",
        "format",
        "includes",
    ),
    *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
"""Words of Croissant's own."""
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{word: f"cr:{word}" for word in _OWN},
}
"""What every Croissant document says of its words."""
