"""The task of the export flow, which a refresh ends with, too."""

from __future__ import annotations

from presel import export
from tasks.cpu import CPU

export_version = CPU.plain_task(export.export_version, "export")
