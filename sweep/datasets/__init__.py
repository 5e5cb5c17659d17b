"""Data sets by name: the built-in ones and the user's own, read and checked once, then memory-mapped.

A new built-in set takes a reader that returns `Raw`, and one row in `builtin.py`. What follows (labels, test
part, checks, storage) happens in `prepared.py`, for all of them alike.
"""

from .catalogue import Datasets, Listed
from .dataset import Dataset, DatasetInfo

__all__ = ["Dataset", "DatasetInfo", "Datasets", "Listed"]
