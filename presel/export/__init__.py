"""From a published version to what a trainer reads: pictures copied right, records in its own form, written whole.

`exporting` is the mechanism, one for all; `formats/` has one small file for each trainer. A format
says which files it writes and in which words; it neither reads a picture from the source nor
decides what is held out.
"""

from presel.export.exporting import export_dataset, export_version

__all__ = ["export_dataset", "export_version"]
