"""What the Results of a layer and of a plane have in common: lanes with a status, similarity, and SI from scaled numbers."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._status import code, message, names, tally
from ...case import Case
from ...conditions import VoltageSweep
from .groups import Groups, Scales, scales, similarity


class AbstractScaledResult(eqx.Module):
    """Answer for one question or a batch. Arrays ``(*batch)``, or ``(*batch, V)`` for a sweep of V voltages; profiles and series add axes.

    Failed lanes keep their last sound state and say why in ``status``; exports write NaN for them.
    """

    case: eqx.AbstractVar[Case]
    model: eqx.AbstractVar[Any]
    state: eqx.AbstractVar[Any]
    clean: eqx.AbstractVar[Case]  # the case, with harmless numbers in lanes whose inputs are not sound
    status: eqx.AbstractVar[Array]

    # --- how it went

    @property
    def ok(self) -> Array:
        """Solved; a plane also with ``potential_unsolved``, of which it warns."""
        return (self.status == code("successful")) | (self.status == code("potential_unsolved"))

    def messages(self) -> dict[str, int]:
        """Sentences of the codes that occur, and how often."""
        return tally(self.status)

    @abc.abstractmethod
    def warnings(self) -> dict[str, int]:
        """What to mind, and in how many of the solved lanes."""

    # --- scales

    @property
    def groups(self) -> Groups:
        """Similarity criteria, ``(*batch)``."""
        return similarity(self.clean)

    @property
    def scales(self) -> Scales:
        """One unit of each scaled quantity, SI."""
        return scales(self.clean.feed, self.clean.conditions.thickness)

    @property
    def points(self) -> int:
        """Axes that a sweep adds: 1, or 0 without one."""
        return int(isinstance(self.case.conditions, VoltageSweep))

    def wide(self, x: Array, axes: int = 0) -> Array:
        """A number of each lane, shaped to meet arrays with ``axes`` axes more, those of a sweep not counted."""
        return jnp.broadcast_to(x, self.status.shape).reshape(*self.status.shape, *(1,) * (axes + self.points))

    # --- in print

    @abc.abstractmethod
    def heading(self) -> str:
        """What was solved."""

    @abc.abstractmethod
    def rows(self) -> list[tuple[str, tuple[Array, ...], str]]:
        """Label, values and unit of what is printed."""

    def __str__(self) -> str:
        if not hasattr(self.status, "__array__"):
            return f"{type(self).__name__} (traced)"
        ok = np.asarray(self.ok).reshape(-1)
        lines = [f"{self.model.title()}: {int(ok.sum())}/{ok.size} {self.heading()}"]
        if ok.any():
            for label, values, unit in self.rows():
                lines.append(f"  {label:<12}{', '.join(span(v, ok) for v in values)} {unit}".rstrip())
        lines += [f"  {n} x {text}" for text, n in self.warnings().items()]
        for number, name in names().items():
            lanes = int((np.asarray(self.status) == number).sum())
            if lanes and name != "successful":
                lines.append(f"  {lanes} x {name}: {message(number)}"[:150])
        return "\n".join(lines)


def backwards(sign: float) -> str:
    """Which voltages drive the counter-ions of a membrane away from it: ``sign`` is theirs."""
    return (
        "below the open-circuit value"
        if sign > 0.0
        else "above the open-circuit value of an anion exchanger, which takes negative ones"
    )


def span(value: Array, ok: np.ndarray) -> str:
    """Least to largest over the solved lanes."""
    x = np.asarray(value)
    good = x.reshape(ok.size, -1)[ok] if x.size % ok.size == 0 and x.size >= ok.size else x.reshape(-1)
    low, high = float(good.min()), float(good.max())
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
