"""``field(unit=...)``: the one place where a quantity's metadata lives.

It feeds range checks, error messages, xarray attributes and plot labels.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from . import units
from ._config import checks_under_trace
from ._errors import PhysicalRangeError, ShapeError


def float_array(x: Any):
    """Numbers as floating arrays; float32 stays float32 (the solver refuses it by name)."""
    if x is None or isinstance(x, Tracer):
        return x
    try:
        array = np.asarray(x) if not isinstance(x, jax.Array) else x
    except ValueError as error:
        raise ShapeError(f"{x!r} is ragged. Give rows of one length, or one array per case.") from error
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if array.dtype.kind != "f":
        raise ShapeError(
            f"{_short(x)} is not a number or an array of numbers. Pass a float, a list of floats or an array."
        )
    return jnp.asarray(array)


def _short(x: Any) -> str:
    text = repr(x)
    return text if len(text) < 120 else f"A {type(x).__name__}"


def whole(x: Any) -> Any:
    """Counts of NumPy as Python's own; anything else as it is, for the checks to see."""
    return int(x) if isinstance(x, np.integer) else x


def real(x: Any) -> Any:
    """Numbers of NumPy and JAX as Python's own; anything else as it is, for the checks to see."""
    one = isinstance(x, np.floating | np.integer) or (
        is_concrete(x) and np.ndim(x) == 0 and np.issubdtype(x.dtype, np.number) and np.isrealobj(x)
    )
    return float(x) if one else x


def field(
    *,
    unit: str,
    doc: str,
    symbol: str = "",
    ndim: int = 0,
    low: float | None = None,
    high: float | None = None,
    usual: float | None = None,
    hint: str = "",
    optional: bool = False,
    **kwargs: Any,
) -> Any:
    """A float array with a unit. ``ndim``: axes it has in one question (more are batch); ``low``, ``high``: allowed, in SI.

    ``usual``: what one starts from, where there is no default; ``hint``: the unit of ``jaxmem.units`` in which people think of it.
    """
    usual = kwargs.get("default") if usual is None else usual
    metadata = {"unit": unit, "doc": doc, "symbol": symbol, "ndim": ndim, "low": low, "high": high, "hint": hint}
    metadata |= {"optional": optional, "usual": usual}
    if optional:
        kwargs.setdefault("default", None)

    def convert(x: Any):
        x = float_array(x)
        if isinstance(x, Tracer) and checks_under_trace() and not (low is None and high is None):
            inside = (x >= (-np.inf if low is None else low)) & (x <= (np.inf if high is None else high))
            x = eqx.error_if(x, ~inside, f"{doc} is outside ({low}, {high}) {unit}")
        return x

    return eqx.field(converter=convert, metadata=metadata, **kwargs)


def quantities(module: eqx.Module | type) -> dict[str, Any]:
    """The fields of a module, or of its type, that were declared with a unit."""
    return {f.name: f.metadata for f in module.__dataclass_fields__.values() if "unit" in f.metadata}


def is_concrete(x: Any) -> bool:
    """Whether the numbers are there: an array, and not a tracer."""
    return x is not None and not isinstance(x, Tracer) and isinstance(x, jax.Array | np.ndarray)


def check(module: eqx.Module) -> None:
    """Ranges and finiteness of concrete values. In a batch, single bad lanes pass: the solver reports them by status."""
    for name, meta in quantities(module).items():
        value = getattr(module, name)
        if value is None:
            if not meta["optional"]:
                raise PhysicalRangeError(
                    f"{type(module).__name__}.{name} is None. Give {meta['doc']} in {meta['unit']}."
                )
            continue
        if not is_concrete(value):
            continue
        if value.ndim < meta["ndim"]:
            raise ShapeError(
                f"{type(module).__name__}.{name} has shape {value.shape}; it needs at least {meta['ndim']} axes "
                f"(*batch{', S' if meta['ndim'] else ''}). Write {name}=jnp.array([...])."
            )
        bad = outside(np.asarray(value), meta)
        lanes = bad.reshape(*bad.shape[: bad.ndim - meta["ndim"]], -1).any(-1) if meta["ndim"] else bad
        if lanes.size and lanes.all():
            raise PhysicalRangeError(
                range_message(f"{type(module).__name__}.{name}", np.asarray(value)[bad].flat[0], meta)
            )


def outside(value: np.ndarray, meta: Mapping[str, Any]) -> np.ndarray:
    """Where numbers are not finite or leave the bounds of a field."""
    bad = ~np.isfinite(value)
    if meta["low"] is not None:
        bad |= value < meta["low"]
    if meta["high"] is not None:
        bad |= value > meta["high"]
    return np.asarray(bad)


def example(name: str, meta: Mapping[str, Any]) -> str:
    """``, as in pore_radius=0.45 * jm.units.nm``, or the unit where no usual value is known."""
    if meta["usual"] is None or meta["ndim"]:
        return "" if meta["unit"] == "1" else f" in {meta['unit']}"
    short = name.rsplit(".", 1)[-1]
    if meta["hint"]:
        return f", as in {short}={meta['usual'] / getattr(units, meta['hint']):g} * jm.units.{meta['hint']}"
    return f", as in {short}={meta['usual']:g}{'' if meta['unit'] == '1' else ' (' + meta['unit'] + ')'}"


def range_message(name: str, value: float, meta: Mapping[str, Any]) -> str:
    low, high = (f"{b:g}" if b is not None else "any" for b in (meta["low"], meta["high"]))
    unit = "" if meta["unit"] == "1" else f" {meta['unit']}"
    text = f"{name} = {value:g} is outside ({low}, {high}){unit}."
    hint, low, high = (
        meta["hint"],
        *(b if b is not None else s * np.inf for b, s in ((meta["low"], -1), (meta["high"], 1))),
    )
    if not np.isfinite(value):
        text += " Replace the missing value."
    elif hint and low <= value * getattr(units, hint) <= high and value > 0.0:
        text += f" jaxmem is SI: for {value:g} {hint} write {value:g} * jm.units.{hint}."
    elif meta["unit"] == "K" and low <= value + 273.15 <= high:
        text += f" For {value:g} degrees Celsius write {value:g} + 273.15."
    else:
        text += f" Pass a value inside the range{example(name, meta)}."
    return text
