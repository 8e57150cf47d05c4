"""What a design must meet: ``jm.at_least``, ``jm.at_most``, ``jm.equal_to`` a number, of any quantity of the Result."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

from .._errors import JaxmemError


class Constraint(NamedTuple):
    """``quantity(result)`` is one number for each design; ``kind`` is ``"at least"``, ``"at most"`` or ``"equal to"``."""

    quantity: Callable[[Any], Array]
    kind: str
    bound: float
    name: str

    def __str__(self) -> str:
        return f"{self.name} {self.kind} {self.bound:g}"


def at_least(quantity: Callable[[Any], Array], bound: float, name: str | None = None) -> Constraint:
    """``jm.at_least(lambda r: r.recovery, 0.45, "recovery")``: a quantity, in SI, from a bound up."""
    return _constraint("at least", quantity, bound, name)


def at_most(quantity: Callable[[Any], Array], bound: float, name: str | None = None) -> Constraint:
    """``jm.at_most(lambda r: r.permeate_concentration, 8.0, "permeate NaCl")``: a quantity, in SI, up to a bound."""
    return _constraint("at most", quantity, bound, name)


def equal_to(quantity: Callable[[Any], Array], bound: float, name: str | None = None) -> Constraint:
    """``jm.equal_to(lambda r: r.recovery, 0.45, "recovery")``: a quantity, in SI, at a value."""
    return _constraint("equal to", quantity, bound, name)


def _constraint(kind: str, quantity: Any, bound: Any, name: str | None) -> Constraint:
    verb = {"at least": "at_least", "at most": "at_most", "equal to": "equal_to"}[kind]
    if not callable(quantity):
        raise JaxmemError(f"{quantity!r} takes no Result. Write jm.{verb}(lambda r: r.recovery, 0.45).")
    try:
        number = float(bound)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise JaxmemError(
            f"The bound {bound!r} of a constraint must be a finite number. Write jm.{verb}(lambda r: r.recovery, 0.45)."
        )
    return Constraint(quantity, kind, number, name or "a quantity")
