"""The files of a study's chunks: the bytes that zarr would write, at a third of its price (a zarr call goes through an event loop and three threads).

A chunk is its numbers, little-endian and in C order, packed by zstd, with the CRC-32C of the packed bytes behind them
(zarr v3: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html). Readers are zarr's own.
"""

import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np

LEVEL = -1  # of zstd: what repeats is packed, digits that do not are copied (at level 1 these cost eight times as much, and shrink by 6 %)
SEPARATOR = "."


def options() -> dict[str, Any]:
    """What the metadata of an array says of all this."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return {
        "compressors": (ZstdCodec(level=LEVEL), Crc32cCodec()),
        "chunk_key_encoding": {"name": "default", "separator": SEPARATOR},
    }


def packed(piece: np.ndarray, shape: tuple[int, ...], fill: Any) -> bytes:
    """The file of a chunk of this ``shape``, of which ``piece`` is the beginning and ``fill`` the rest."""
    import google_crc32c
    from numcodecs import Zstd

    if piece.shape != shape:
        whole = np.full(shape, fill, piece.dtype)
        whole[tuple(slice(n) for n in piece.shape)] = piece
        piece = whole
    little = piece.astype(piece.dtype.newbyteorder("<"), copy=False) if sys.byteorder == "big" else piece
    body = Zstd(level=LEVEL).encode(np.ascontiguousarray(little))
    return body + google_crc32c.value(body).to_bytes(4, "little")


def place(folder: Path, k: int, ndim: int) -> Path:
    """The file of chunk ``k`` along the lanes of the array in ``folder``. All lie in one folder: each of its own would cost a file system as much as the file."""
    return folder / SEPARATOR.join(["c", str(k), *["0"] * (ndim - 1)])


def put(file: Path, body: bytes) -> None:
    """Write a file whose name appears once it is whole."""
    half = file.with_name(f"{file.name}.{uuid.uuid4().hex}.partial")
    try:
        half.write_bytes(body)
        half.replace(file)
    except OSError:
        half.unlink(missing_ok=True)  # a disk that is full has room again
        raise
