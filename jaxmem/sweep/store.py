"""A folder that holds a study: a zarr group with one array per quantity, chunked along the lanes, and the manifest among its attributes.

A chunk counts as done once its ``status`` is there, which is written last, and while all of its files are, undamaged; every file appears under its name only when it
is whole. So a study that was killed at any moment has whole chunks, and chunks that are computed again.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._errors import DataFileError, JaxmemError, StoreMismatchError, unknown
from .chunks import options, packed, place, put
from .manifest import SCHEMA, compare

NOT_DONE = -1


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise JaxmemError("A sweep on disk needs zarr. Type: pip install 'jaxmem[data]'") from error
    return zarr


def _opened(folder: Path) -> Any:
    """One array of a study."""
    try:
        return _zarr().open_array(folder, mode="r")
    except (ValueError, KeyError, TypeError) as error:
        raise DataFileError(
            f"{folder / 'zarr.json'} is damaged ({error}). Delete {folder} and {folder.parent / 'status'}, and sweep again: everything is computed anew."
        ) from error


class Store:
    """Reading and writing; knows nothing of models."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._targets: dict[str, Any] = {}  # opened once: opening takes as long as writing a chunk

    @property
    def exists(self) -> bool:
        """Whether a group is there."""
        return (self.path / "zarr.json").exists()

    def attributes(self) -> dict[str, Any]:
        """Of the group."""
        return dict(json.loads((self.path / "zarr.json").read_text(encoding="utf-8"))["attributes"])

    def manifest(self) -> dict[str, Any]:
        """As written."""
        where = self.path / "zarr.json"
        if not where.exists():
            raise DataFileError(
                f"{self.path} holds no study. Write jm.sweep(model, cases, store={str(self.path)!r}) to begin one."
            )
        try:
            found = dict(self.attributes()["jaxmem"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataFileError(f"{where} holds no manifest of a study ({error}). Give another store=.") from error
        if found.get("schema") != SCHEMA:
            raise StoreMismatchError(
                f"{self.path} has schema {found.get('schema')!r}; this version reads and writes {SCHEMA}. Sweep again into another folder; xarray.open_zarr reads the numbers as they are."
            )
        return found

    def begin(self, manifest: dict[str, Any], arrays: dict[str, "Layout"], chunk: int, alone: bool) -> None:
        """Make the folder and its arrays, or check that it holds the same study. ``alone``: no other process writes to it."""
        if self.exists:
            compare(self.path, self.manifest(), manifest)
            if alone:
                for half in self.path.rglob("*.partial"):  # what a killed writer left
                    half.unlink()
        elif self.path.exists() and any(
            not (p.name.startswith("zarr.") and p.suffix == ".partial") for p in self.path.iterdir()
        ):
            raise StoreMismatchError(
                f"{self.path} is a folder of something else. Nothing was written. Give another store=."
            )
        else:
            _zarr().create_group(self.path, overwrite=False, attributes={"jaxmem": manifest})
        lanes = int(np.prod(manifest["cases"]["shape"], dtype=int))
        missing = [n for n in arrays if not (self.path / n / "zarr.json").exists()]
        if missing and "status" not in missing:
            raise DataFileError(
                f"{self.path / missing[0]} is missing. Nothing was written. To compute everything again delete {self.path / 'status'} and sweep."
            )
        if "status" in missing and "retries" in self.attributes():
            del _zarr().open_group(self.path, mode="r+").attrs["retries"]  # everything is computed again
        for name, layout in arrays.items():
            if not (self.path / name / "zarr.json").exists():
                self._create(name, layout, lanes, chunk)

    @contextmanager
    def locked(self, share: bool = False, wait: bool = False, suffix: str = ".lock") -> Iterator[None]:
        """One writer at a time; those that ``share`` keep out only the others."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_name(self.path.name + suffix).open("a") as handle:
            if os.name == "posix":
                import fcntl

                try:
                    fcntl.flock(handle, (fcntl.LOCK_SH if share else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
                except BlockingIOError as error:
                    raise StoreMismatchError(
                        f"Another process is writing to {self.path}. Wait for it, or give another store=."
                    ) from error
            yield

    def status(self, checked: bool = False) -> np.ndarray:
        """Codes of all lanes; ``NOT_DONE`` where there is nothing yet. ``checked``: and where anything of a chunk is damaged (reads everything)."""
        lanes = int(np.prod(self.manifest()["cases"]["shape"], dtype=int))
        if not (self.path / "status" / "zarr.json").exists():
            return np.full(lanes, NOT_DONE, np.int16)
        if not checked:
            found, held = self.read("status").copy(), {}
        else:
            held = {p.name: _opened(p) for p in self.path.iterdir() if (p / "zarr.json").exists()}
            found = self._sound(held["status"])
        for lost in self._lost(found, held):
            found[lost] = NOT_DONE
        return found

    @staticmethod
    def _sound(status: Any) -> np.ndarray:
        """Codes, chunk by chunk; ``NOT_DONE`` in those that are damaged."""
        found = np.full(status.shape, NOT_DONE, np.int16)
        for part in _parts(status):
            if (codes := _piece(status, part)) is not None:
                found[part] = codes
        return found

    def _lost(self, status: np.ndarray, held: dict[str, Any]) -> list[slice]:
        """Chunks that are done by their status, but of which a file has gone, or, of arrays that are ``held``, is damaged."""
        parts = _parts(_opened(self.path / "status"))
        done = {k: part for k, part in enumerate(parts) if (status[part] != NOT_DONE).any()}
        lost: set[int] = set()
        for folder in self.path.iterdir():
            if (folder / "zarr.json").exists():
                ndim = _opened(folder).ndim
                lost |= {k for k in done if not place(folder, k, ndim).exists()}
        lost |= {k for x in held.values() for k in done if k not in lost and _piece(x, done[k]) is None}
        return [done[k] for k in sorted(lost)]

    def read(self, name: str) -> np.ndarray:
        """One quantity, checked against its checksums."""
        if not (self.path / name / "zarr.json").exists():
            held = [p.name for p in self.path.iterdir() if p.is_dir()] if self.path.exists() else []
            raise unknown("Quantity of the study", name, held, f"Write study[{min(held, default='status')!r}].")
        held = _opened(self.path / name)
        try:
            return np.asarray(held[...])
        except (ValueError, RuntimeError) as error:
            raise DataFileError(
                f"{self.path / name} is damaged: {error}. Sweep again: what is damaged is computed anew (and retry again, if you did)."
            ) from error

    def write(self, begin: int, found: dict[str, np.ndarray]) -> None:
        """One chunk, its status last."""
        for name in _status_last(found):
            self._put(name, begin // self._target(name).chunks[0], found[name])

    def patch(self, lanes: np.ndarray, chunk: int, found: dict[str, np.ndarray]) -> None:
        """Answers for single lanes: whole chunks are read, changed and written anew, their status last."""
        for name in _status_last(found):
            target = self._target(name)
            for part in np.unique(lanes // chunk):
                own = lanes // chunk == part
                piece = np.asarray(target[part * chunk : (part + 1) * chunk])
                piece[lanes[own] - part * chunk] = found[name][own]
                self._put(name, int(part), piece)

    def put(self, name: str, what: Any) -> None:
        """One attribute beside the manifest."""
        _zarr().open_group(self.path, mode="r+").attrs[name] = what

    def layout(self, name: str) -> "Layout":
        """Of a quantity that is there."""
        held = _opened(self.path / name)
        return Layout(held.shape[1:], held.dtype, (), {})

    def _target(self, name: str) -> Any:
        if name not in self._targets:
            self._targets[name] = _opened(self.path / name)
        return self._targets[name]

    def _put(self, name: str, k: int, piece: np.ndarray) -> None:
        target = self._target(name)
        put(
            place(self.path / name, k, target.ndim),
            packed(piece.astype(target.dtype, copy=False), target.chunks, target.fill_value),
        )

    def _create(self, name: str, layout: "Layout", lanes: int, chunk: int) -> None:
        zarr, dtype = _zarr(), np.dtype(layout.dtype)
        empty = NOT_DONE if name == "status" else np.nan if np.issubdtype(dtype, np.floating) else 0
        zarr.create_array(
            self.path / name, shape=(lanes, *layout.shape), dtype=dtype, chunks=(min(chunk, lanes), *(max(n, 1) for n in layout.shape)),
            fill_value=empty, **options(), dimension_names=("lane", *layout.dims), attributes=layout.attributes,
        )  # fmt: skip


class Layout(NamedTuple):
    """One quantity of a study, beyond its axis of lanes."""

    shape: tuple[int, ...]
    dtype: Any
    dims: tuple[str, ...]
    attributes: dict[str, str]


def _parts(array: Any) -> list[slice]:
    """Its chunks along the lanes."""
    return [slice(b, min(b + array.chunks[0], array.shape[0])) for b in range(0, array.shape[0], array.chunks[0])]


def _piece(array: Any, part: slice) -> np.ndarray | None:
    """One chunk; None where its checksum is not that of its bytes."""
    try:
        return np.asarray(array[part])
    except (ValueError, RuntimeError):
        return None


def _status_last(found: dict[str, Any]) -> list[str]:
    return sorted(found, key=lambda name: (name == "status", name))
