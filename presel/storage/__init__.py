"""Objects by path under a root URI, on a local folder or on S3, behind one interface.

Two promises hold on both: an object that exists is whole (`write` and `create` make it visible at once or not at all),
and `create` has exactly one winner. Everything that must survive a crash or a race in this project stands on these two.
"""

from presel.storage.opening import open_store
from presel.storage.store import Entry, Store

__all__ = ["Entry", "Store", "open_store"]
