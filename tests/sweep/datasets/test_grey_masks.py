"""Masks of few bits a pixel, as PNG optimisers write them."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sweep.datasets import Dataset

from .test_masks import HEIGHT, WIDTH, Labels, kept, write

Load = Callable[[str], Dataset]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_masks_of_few_bits_hold_class_numbers_too(bits: int, own: Path, load: Load) -> None:
    write(own, names=())
    wanted = np.random.default_rng(0).integers(0, min(2**bits, 3), (HEIGHT, WIDTH)).astype(np.uint8)
    for mask in (own / "masks").iterdir():
        mask.write_bytes(_grey_png(wanted, bits=bits))
    for found in kept(load("own")).values():
        np.testing.assert_array_equal(found, wanted)


def _grey_png(values: Labels, *, bits: int) -> bytes:
    """A grey PNG of few bits, which Pillow cannot write: the chunks by hand."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = values.shape
    digits = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(digits.reshape(height, width * bits).astype(np.uint8), axis=1)
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
