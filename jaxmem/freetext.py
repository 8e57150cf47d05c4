"""Free numbers as people write them: ``pore_radius=0.35..0.8 nm, charge_density``."""

from typing import Any

import numpy as np

from . import units
from ._amounts import amount
from ._errors import JaxmemError
from .case import Case, all_quantities, at_path
from .free import Free, Interval, LogInterval

FACTOR = 10.0  # by which a number may differ from its present value where no bounds are given


def free_of(text: str, case: Case, line: str) -> Free:
    """``"pore_radius=0.35..0.8 nm, charge_density"``: names of quantities, with bounds or a factor of ten either way. ``line`` is what to type."""
    found: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, bounds = (p.strip() for p in part.partition("="))
        path = Free({name: Interval(0.0, 1.0)}).paths(case)[0]  # refuses names that are not there
        meta = {p: m for p, _, m in all_quantities(case)}[path]
        found[name] = _given(name, bounds, meta, line) if bounds else _around(name, path, meta, case)
    if not found:
        raise JaxmemError(f"--free {text!r} names nothing. {line}")
    return Free(found)


def _given(name: str, text: str, meta: dict, line: str) -> Interval | LogInterval:
    """``"0.35..0.8 nm"``; logarithmic where the quantity is positive."""
    first, dots, last = (p.strip() for p in text.partition(".."))
    if not dots:
        raise JaxmemError(f"{name}={text!r} has no two bounds. {line}")
    unit = last.lstrip("+-.0123456789eE").strip()
    same = [d for d, known in units.DIMENSIONS.items() if meta["unit"].removeprefix("1") in known]
    if not same:
        raise JaxmemError(
            f"{name} cannot be bounded here: {meta['unit']} is no unit of the command line. Leave the bounds out."
        )
    low, high = (amount(name, f"{x.removesuffix(unit).strip()} {unit}".strip(), *same)[0] for x in (first, last))
    if not low < high:
        raise JaxmemError(f"{name}={text}: no number lies between; the lower bound comes first. {line}")
    return LogInterval(low, high) if meta["low"] > 0.0 else Interval(low, high)


def _around(name: str, path: str, meta: dict, case: Case) -> Interval | LogInterval:
    """A factor of ten either way, within what the quantity allows; a pore stays wider than every solute."""
    value = np.asarray(at_path(case, path.split(".")), float)
    low, high = float(value.min()), float(value.max())
    if meta["low"] > 0.0:
        least = (
            1.02 * float(np.max(np.asarray(case.feed.species.stokes_radius))) if name.endswith("pore_radius") else 0.0
        )
        return LogInterval(max(low / FACTOR, meta["low"], least), min(high * FACTOR, meta["high"]))
    size = FACTOR * max(abs(low), abs(high))
    if size == 0.0:
        raise JaxmemError(f"{name} is 0: no bounds follow from it. Type: --free '{name}=-100..100 {meta['unit']}'")
    return Interval(max(-size, meta["low"]), min(size, meta["high"]))
