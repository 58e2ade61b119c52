"""Where the unlabelled images lie, and which task each belongs to."""

from presel.sources.source import Source, open_source
from presel.sources.task_names import SINGLE_TASK

__all__ = ["SINGLE_TASK", "Source", "open_source"]
