"""What a prepared data set holds, as one hash: the same data has the same, wherever it lies."""

import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def content_hash(arrays: Iterable[NDArray[np.generic]], classes: Sequence[str]) -> str:
    """SHA-256 over types, shapes and values of the arrays and the class names, in hexadecimal digits."""
    digest = hashlib.sha256(json.dumps(list(classes)).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
