"""What the Results of an element, a vessel and a train have in common: a feed, split into permeate and the rest."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._status import code, message, names, tally
from ...case import Case
from ...conditions import ATMOSPHERE
from ...units import bar, m3_per_h


class AbstractSeparation(eqx.Module):
    """Answer for one question or a batch; arrays ``(*batch)``, SI.

    Failed lanes keep what was computed and say why in ``status``; exports write NaN for them.
    """

    case: eqx.AbstractVar[Case]
    model: eqx.AbstractVar[Any]
    state: eqx.AbstractVar[Any]
    clean: eqx.AbstractVar[Case]  # the case, with harmless numbers in lanes whose inputs are not sound
    status: eqx.AbstractVar[Array]

    # --- how it went

    @property
    def ok(self) -> Array:
        """Solved, accurate or not: the accuracy is in ``error_estimate``."""
        return (self.status == code("successful")) | (self.status == code("accuracy_not_reached"))

    def messages(self) -> dict[str, int]:
        """Sentences of the codes that occur, and how often."""
        return tally(self.status)

    def warnings(self) -> dict[str, int]:
        """Limits that are crossed, and by how many of the solved lanes."""
        return count(self.limits(), self.ok)

    @abc.abstractmethod
    def limits(self) -> dict[str, Array]:
        """For every limit, the lanes that cross it."""

    # --- streams

    @property
    @abc.abstractmethod
    def feed_flow(self) -> Array:
        """m3/s."""

    @property
    @abc.abstractmethod
    def permeate_flow(self) -> Array:
        """m3/s."""

    @property
    @abc.abstractmethod
    def feed_pressure(self) -> Array:
        """Absolute, Pa."""

    @property
    @abc.abstractmethod
    def specific_energy(self) -> Array:
        """J per m3 of permeate; divide by 3.6e6 for kWh/m3."""

    @property
    def recovery(self) -> Array:
        """Permeate flow over feed flow."""
        return self.permeate_flow / self.feed_flow

    # --- in print

    @abc.abstractmethod
    def heading(self) -> str:
        """What was solved, and how."""

    @abc.abstractmethod
    def rows(self) -> list[tuple[str, Array, str]]:
        """Label, value and unit of what this kind of Result prints of its permeate."""

    def __str__(self) -> str:
        if not hasattr(self.status, "__array__"):
            return f"{type(self).__name__} (traced)"
        ok = np.asarray(self.ok).reshape(-1)
        lines = [f"{self.heading()}: {int(ok.sum())}/{ok.size} solved"]
        if ok.any():
            for label, value, unit in (
                ("recovery", self.recovery * 100.0, "%"),
                ("feed pressure", self.feed_pressure / bar, "bar"),
                ("permeate", self.permeate_flow / m3_per_h, "m3/h"),
                *self.rows(),
                ("energy", self.specific_energy / 3.6e6, "kWh/m3"),
            ):
                good = np.asarray(value).reshape(-1)[ok]
                span = f"{good.min():.4g}" if ok.size == 1 else f"{good.min():.4g} to {good.max():.4g}"
                lines.append(f"  {label:<14}{span} {unit}")
        notes = [f"{n} x {text}" for text, n in self.warnings().items()]
        for number, name in names().items():
            lanes = int((np.asarray(self.status) == number).sum())
            if lanes and name != "successful":
                notes.append(f"{lanes} x {name}: {message(number)}")
        return "\n".join(lines + [f"  {note}"[:150] for note in notes])


class AbstractVesselResult(AbstractSeparation):
    """What the Results of one element or vessel add: its concentrate, its pressures, its area."""

    @property
    @abc.abstractmethod
    def concentrate_flow(self) -> Array:
        """m3/s."""

    @property
    @abc.abstractmethod
    def area(self) -> Array:
        """Membrane of one element, m2."""

    @property
    def feed_pressure(self) -> Array:
        """Absolute, Pa."""
        return self.state.inlet.pressure

    @property
    def concentrate_pressure(self) -> Array:
        """Absolute, Pa."""
        return self.state.outlet.pressure

    @property
    def pressure_drop(self) -> Array:
        """Feed less concentrate, Pa."""
        return self.feed_pressure - self.concentrate_pressure

    @property
    def mean_flux(self) -> Array:
        """Permeate flow over all area, m/s."""
        return self.permeate_flow / (self.area * getattr(self.clean.membrane, "count", 1))

    @property
    def specific_energy(self) -> Array:
        """``[(P_f - P_0) Q_f/eta - eta_ERD (P_c - P_0) Q_c]/Q_p``, J/m3; divide by 3.6e6 for kWh/m3."""
        pump = self.clean.conditions.pump
        spent = (self.feed_pressure - ATMOSPHERE) * self.feed_flow / pump.pump_efficiency
        regained = (self.concentrate_pressure - ATMOSPHERE) * self.concentrate_flow * pump.energy_recovery
        return (spent - regained) / self.permeate_flow


def per_flow(salt: Array, flow: Array) -> Array:
    """Concentration of what flows; zero where nothing does."""
    return salt / jnp.where(flow != 0.0, flow, 1.0)


def count(limits: dict[str, Array], ok: Array) -> dict[str, int]:
    """How many of the lanes that are ``ok`` cross each limit; limits that none crosses are left out."""
    good = np.asarray(ok)
    lanes = {text: int((np.broadcast_to(np.asarray(over), good.shape) & good).sum()) for text, over in limits.items()}
    return {text: n for text, n in lanes.items() if n}
