"""A module as plain data, and back: class and fields of every part, arrays apart. Only classes of jaxmem and layers of equinox can be named."""

import sys
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._errors import JaxmemError

_PLAIN = (bool, int, str, type(None))
_LAYERS = "equinox.nn._linear"


def described(x: Any, arrays: list[np.ndarray], where: str = "") -> Any:
    """``x`` in words of JSON; its arrays are appended to ``arrays``. ``where`` is its name, for messages."""
    if isinstance(x, eqx.Module) and _known(type(x).__module__):
        parts = {n: described(getattr(x, n), arrays, f"{where}.{n}".lstrip(".")) for n in type(x).__dataclass_fields__}
        return {"module": f"{type(x).__module__}:{type(x).__qualname__}", "parts": parts}
    if isinstance(x, np.generic):
        x = x.item()
    if eqx.is_array(x) or isinstance(x, np.ndarray):
        arrays.append(np.asarray(x))
        return {"array": len(arrays) - 1}
    if isinstance(x, float):
        return {"float": repr(x)}  # infinity is no JSON
    if isinstance(x, tuple | list) and not hasattr(x, "_fields"):
        return {type(x).__name__: [described(part, arrays, f"{where}.{i}") for i, part in enumerate(x)]}
    if isinstance(x, _PLAIN):
        return x
    raise JaxmemError(
        f"{where or 'What you gave'} is a {type(x).__name__} of your own, which a file cannot hold. Use a closure or model of jaxmem, or save its arrays yourself."
    )


def rebuilt(words: Any, arrays: list[np.ndarray]) -> Any:
    """What ``described`` put in words. Raises ``ValueError`` or its like for words that describe nothing."""
    if not isinstance(words, dict):
        if not isinstance(words, _PLAIN):
            raise ValueError(f"{words!r} describes nothing")
        return words
    kind = "module" if "module" in words else next(iter(words), "")
    if kind == "array":
        return jnp.asarray(arrays[words["array"]])
    if kind == "float":
        return float(words["float"])
    if kind in ("tuple", "list"):
        return {"tuple": tuple, "list": list}[kind](rebuilt(part, arrays) for part in words[kind])
    if kind != "module":
        raise ValueError(f"{words!r} describes nothing")
    return _module(*words["module"].split(":"), {n: rebuilt(part, arrays) for n, part in words["parts"].items()})


def _module(place: str, name: str, parts: dict[str, Any]) -> eqx.Module:
    """Without running its constructor; its checks are run."""
    if not _known(place):
        raise ValueError(f"{place}:{name} is no part of jaxmem")
    kind = getattr(
        sys.modules.get(place), name, None
    )  # nothing is imported for a file: a module may do more than define
    if not (isinstance(kind, type) and issubclass(kind, eqx.Module) and kind.__module__ == place) or set(parts) != set(
        kind.__dataclass_fields__
    ):
        raise ValueError(f"{place}:{name} has not the parts {', '.join(parts)}")
    made = object.__new__(kind)
    for part, field in kind.__dataclass_fields__.items():
        object.__setattr__(made, part, field.metadata.get("converter", lambda x: x)(parts[part]))
    for base in kind.__mro__:
        if "__check_init__" in vars(base):
            base.__check_init__(made)  # type: ignore[attr-defined]
    return made


def _known(place: str) -> bool:
    return place.startswith("jaxmem.") or place == _LAYERS
