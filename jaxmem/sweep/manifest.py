"""What a study is of: enough to refuse to mix two of them."""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from types import CodeType, ModuleType
from typing import Any

import jax
import numpy as np

from .._config import VERSION
from .._errors import JaxmemError, StoreMismatchError

SCHEMA = 2
_LIBRARIES = (
    "builtins",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "equinox",
    "lineax",
    "optimistix",
    "diffrax",
    "optax",
)
_PACKAGES = ("jax", "jaxlib", "numpy", "equinox", "lineax", "optimistix", "diffrax", "zarr")


def _pieces(tree: Any, within: tuple[int, ...] = ()) -> Iterator[bytes]:
    """A value as bytes, the same in every process: numbers by their bits, functions by what they do, objects by what they hold.

    ``within``: what is being told already, where something refers to itself."""
    inner = lambda x: _pieces(x, (*within, id(tree)))
    if tree is None or isinstance(tree, str | bool | int | float | complex):
        yield repr(tree).encode()
    elif hasattr(tree, "__array__") and hasattr(tree, "dtype"):
        x = np.asarray(tree)
        yield f"{x.dtype}{x.shape}".encode()
        yield np.ascontiguousarray(x).tobytes()
    elif id(tree) in within:
        yield b"itself"
    elif isinstance(tree, dict):
        for key in sorted(tree, key=str):
            yield str(key).encode()
            yield from inner(tree[key])
    elif isinstance(tree, bytes | set | frozenset):
        yield repr(sorted(tree, key=repr) if not isinstance(tree, bytes) else tree).encode()
    elif isinstance(tree, partial):
        yield from inner(("partial", tree.func, tree.args, tree.keywords))
    elif isinstance(tree, list | tuple):
        yield f"{type(tree).__name__}{len(tree)}".encode()
        for x in tree:
            yield from inner(x)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        yield f"{type(tree).__module__}.{type(tree).__qualname__}".encode()
        for field in dataclasses.fields(tree):
            if field.name == "progress":  # who is told changes no number
                continue
            yield field.name.encode()
            yield from inner(getattr(tree, field.name))
    else:
        yield f"{getattr(tree, '__module__', '')}.{getattr(tree, '__qualname__', type(tree).__qualname__)}".encode()
        if not _known(tree):
            yield from inner(_holds(tree))


def _known(tree: Any) -> bool:
    """Whether a name and the versions of packages say all: modules, types, and what comes from a library."""
    return isinstance(tree, type | ModuleType) or str(getattr(tree, "__module__", "")).split(".")[0] in _LIBRARIES


def _holds(tree: Any) -> tuple:
    """What a function does and reads: its code, defaults, what it closes over, globals that it names, and of what it is a method; of a wrapped one
    what is inside; of an object its attributes and what calling it does."""
    if isinstance(code := getattr(tree, "__code__", None), CodeType):
        cells = [cell.cell_contents for cell in tree.__closure__ or ()]
        own = (
            str(tree.__module__).split(".")[0] == "jaxmem"
        )  # whose globals its version tells, but not what it closes over
        names = [] if own else [name for name in _names(code) if name in tree.__globals__]
        read = {name: tree.__globals__[name] for name in names}
        return (list(_code(code)), tree.__defaults__, tree.__kwdefaults__, cells, getattr(tree, "__self__", None), read)
    if hasattr(tree, "__wrapped__"):
        return (tree.__wrapped__,)
    return (getattr(tree, "__dict__", {}), vars(type(tree)).get("__call__"))


def _names(code: CodeType) -> list[str]:
    """Global names that a code may read, those inside of it too."""
    inside = [name for x in code.co_consts if isinstance(x, CodeType) for name in _names(x)]
    return sorted({*code.co_names, *inside})


def _code(code: CodeType) -> Iterator[bytes]:
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars)).encode()
    for x in code.co_consts:
        yield from _code(x) if isinstance(x, CodeType) else _pieces(x)


def fingerprint(tree: Any) -> str:
    """SHA-256 of a model or a case: every number in it, and the names of what it is made of."""
    total = hashlib.sha256()
    for piece in _pieces(tree):
        total.update(len(piece).to_bytes(8, "little"))
        total.update(piece)
    return total.hexdigest()


def manifest(model: Any, cases: Any, chunk: int, keep: dict[str, tuple[str, ...]], notes: dict[str, Any], design: Any) -> dict[str, Any]:  # fmt: skip
    """What a study is of."""
    return {
        "schema": SCHEMA,
        "model": {
            "title": model.title(),
            "class": type(model).__name__,
            "options": options(model),
            "sha256": fingerprint(model),
        },
        "cases": {"shape": list(cases.batch_shape), "sha256": fingerprint(cases)},
        "design": design,
        "precision": getattr(model, "precision", "float64"),
        "chunk": chunk,
        "keep": {name: list(dims) for name, dims in keep.items()},
        "versions": {"jaxmem": VERSION, "python": platform.python_version(), **{p: version(p) for p in _PACKAGES}},
        "device": jax.default_backend(),
        "notes": _plain(notes),
    }


def options(model: Any) -> dict[str, Any]:
    """The fields of a model that are plain numbers and words, by name; parts of it under theirs."""
    found: dict[str, Any] = {}
    for f in dataclasses.fields(model):
        value = getattr(model, f.name)
        if isinstance(value, np.ndarray | np.generic | jax.Array) and np.ndim(value) == 0:
            value = np.asarray(value).item()
        if value is None or isinstance(value, bool | int | float | str):
            found[f.name] = value
        elif dataclasses.is_dataclass(value):
            found[f.name] = {"class": type(value).__name__, **options(value)}
    return found


def _plain(notes: dict[str, Any]) -> Any:
    try:
        return json.loads(json.dumps(notes))
    except (TypeError, ValueError) as error:
        raise JaxmemError(
            f"notes = {notes!r} cannot be written as JSON: {error}. Write notes={{'source': 'text'}}."
        ) from error


def compare(path: Any, stored: dict[str, Any], asked: dict[str, Any]) -> None:
    """Refuse to go on with a study of something else."""
    for key in ("schema", "model", "cases", "design", "precision", "chunk", "keep", "versions", "device", "notes"):
        if stored.get(key) != asked[key]:
            raise StoreMismatchError(
                f"{path} holds another study ({key}): stored {_short(stored.get(key))}, asked {_short(asked[key])}. Nothing was written. Give another "
                f"store=, or ask with the same {key}."
            )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 240 else text[:237] + "..."
