"""Tables on a store: their schemas, the references that stand for them, and what makes a function a stage.

`TableRef` and `DatasetRef` are importable from here because Prefect's cached results name them so.
"""

from presel.tables.schemas import DatasetRef, Part, TableRef

__all__ = ["DatasetRef", "Part", "TableRef"]
