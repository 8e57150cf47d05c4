"""A folder that holds a study: a zarr group with one array per quantity, chunked along the lanes, and the manifest among its attributes.

A chunk counts as done once its ``status`` is there, which is written last; every file appears under its name only when it is whole. So a study that
was killed at any moment has whole chunks, and chunks that are computed again.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataFileError, JaxmemError, StoreMismatchError, unknown
from .manifest import SCHEMA, compare

NOT_DONE = -1


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise JaxmemError("A sweep on disk needs zarr. Type: pip install 'jaxmem[data]'") from error
    return zarr


class Store:
    """Reading and writing; knows nothing of models."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether a group is there."""
        return (self.path / "zarr.json").exists()

    def manifest(self) -> dict[str, Any]:
        """As written."""
        where = self.path / "zarr.json"
        if not where.exists():
            raise DataFileError(
                f"{self.path} holds no study. Write jm.sweep(model, cases, store={str(self.path)!r}) to begin one."
            )
        try:
            found = dict(json.loads(where.read_text(encoding="utf-8"))["attributes"]["jaxmem"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataFileError(f"{where} holds no manifest of a study ({error}). Give another store=.") from error
        if found.get("schema") != SCHEMA:
            raise StoreMismatchError(
                f"{self.path} has schema {found.get('schema')!r}; this version reads {SCHEMA}. Give another store=."
            )
        return found

    def begin(self, manifest: dict[str, Any]) -> None:
        """Make the folder, or check that it holds the same study."""
        if self.exists:
            compare(self.path, self.manifest(), manifest)
            for half in self.path.rglob("*.partial"):  # what a killed writer left
                half.unlink()
            return
        if self.path.exists() and any(self.path.iterdir()):
            raise StoreMismatchError(
                f"{self.path} is a folder of something else. Nothing was written. Give another store=."
            )
        _zarr().create_group(self.path, overwrite=False, attributes={"jaxmem": manifest})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(self.path.name + ".lock").open("a") as handle:
            if os.name == "posix":
                import fcntl

                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise StoreMismatchError(
                        f"Another process is writing to {self.path}. Wait for it, or give another store=."
                    ) from error
            yield

    def status(self) -> np.ndarray:
        """Codes of all lanes; ``NOT_DONE`` where there is nothing yet."""
        lanes = int(np.prod(self.manifest()["cases"]["shape"], dtype=int))
        if not (self.path / "status").exists():
            return np.full(lanes, NOT_DONE, np.int16)
        return self.read("status")

    def read(self, name: str) -> np.ndarray:
        """One quantity, checked against its checksums."""
        if not (self.path / name / "zarr.json").exists():
            held = [p.name for p in self.path.iterdir() if p.is_dir()] if self.path.exists() else []
            raise unknown("Quantity of the study", name, held, f"Write study[{min(held, default='status')!r}].")
        try:
            return np.asarray(_zarr().open_array(self.path / name, mode="r")[...])
        except (ValueError, RuntimeError) as error:
            raise DataFileError(
                f"{self.path / name} is damaged: {error}. Delete {self.path / 'status'} and sweep again."
            ) from error

    def write(self, begin: int, lanes: int, chunk: int, found: dict[str, Any], dims: dict[str, tuple], attributes: dict[str, dict]) -> None:  # fmt: skip
        """One chunk, its status last."""
        for name in sorted(found, key=lambda n: (n == "status", n)):
            value = found[name]
            target = self._array(
                name, (lanes, *value.shape[1:]), value.dtype, chunk, dims[name], attributes.get(name, {})
            )
            target[begin : begin + len(value)] = value

    def _array(self, name: str, shape: tuple, dtype: Any, chunk: int, dims: tuple, attributes: dict) -> Any:
        zarr = _zarr()
        if (self.path / name / "zarr.json").exists():
            return zarr.open_array(self.path / name, mode="r+")
        empty = NOT_DONE if name == "status" else np.nan if np.issubdtype(dtype, np.floating) else 0
        codecs = (zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec())
        return zarr.create_array(
            self.path / name, shape=shape, dtype=dtype, chunks=(min(chunk, shape[0]), *(max(n, 1) for n in shape[1:])), compressors=codecs,
            fill_value=empty, dimension_names=("lane", *dims), attributes=attributes,
        )  # fmt: skip
