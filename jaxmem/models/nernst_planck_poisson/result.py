"""The Result of a current through a layer: currents, voltages, profiles, in SI and scaled."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from ...case import Case
from ...membranes.ion_exchange import FixedChargeMembrane, MembranePair
from .groups import charges
from .question import HIGHEST, LEAST
from .scaled import AbstractScaledResult, backwards


class CurrentResult(AbstractScaledResult):
    """Answer for one question or a batch. Arrays ``(*batch)``, or ``(*batch, V)`` for a sweep of V voltages; profiles add N cells."""

    kept: ClassVar[dict[str, tuple[str, ...]]] = {
        "scaled_voltage": ("point",), "scaled_current": ("point",), "space_charge_thickness": ("point",), "closure": ("point",),
    }  # fmt: skip  # what a sweep stores

    case: Case
    model: Any
    state: Any
    clean: Case
    status: Array

    def warnings(self) -> dict[str, int]:
        """What to mind, and in how many of the solved lanes."""
        ok = np.asarray(self.ok)
        if not ok.any():
            return {}
        against = np.asarray(jnp.any((self.scaled_current * self._sign < -1e-9).reshape(*ok.shape, -1), axis=-1)) & ok
        text = f"voltage {backwards(self._sign)} ({self._open_text()} mV): the current runs backwards"
        valence = np.max(np.abs(np.asarray(charges(self.clean.feed))))
        high = np.asarray(jnp.any((jnp.abs(self.scaled_voltage) * valence > HIGHEST).reshape(*ok.shape, -1), axis=-1))
        thin = np.broadcast_to(np.asarray(self.groups.eps) < LEAST, ok.shape)
        found = {
            text: int(against.sum()),
            f"voltage beyond {HIGHEST / valence:g} RT/F, up to which curves were compared": int((high & ok).sum()),
            f"eps below {LEAST:g}, the smallest for which curves were compared": int((thin & ok).sum()),
        }
        return {text: n for text, n in found.items() if n}

    def _open_text(self) -> str:
        ok = np.asarray(self.ok)
        values = np.broadcast_to(np.asarray(self.open_circuit_voltage), ok.shape)[ok] * 1e3
        return f"{values.min():.3g}" if np.ptp(values) < 1e-6 else f"{values.min():.3g} to {values.max():.3g}"

    @property
    def _sign(self) -> float:
        """Of the counter-ions of the lower membrane."""
        return 1.0 if self._low.exchanges == "cations" else -1.0

    @property
    def _low(self) -> Any:
        m = self.clean.membrane
        return m.low if isinstance(m, MembranePair) else m

    # --- what flows, SI

    @property
    def current(self) -> Array:
        """Current density, A/m2, positive where cations go to y = 0."""
        return self.state.current * self.wide(self.scales.current)

    @property
    def voltage(self) -> Array:
        """From y = 0 to the far end, V, with the Donnan jump at y = 0; across a membrane with an inside from bulk to bulk."""
        return self.state.voltage * self.wide(self.scales.potential)

    @property
    def counter_current(self) -> Array:
        """What counter-ions of the lower membrane carry of the current, A/m2; co-ions carry the rest."""
        return self.state.counter * self.wide(self.scales.current)

    @property
    def transport_number(self) -> Array:
        """Share of the current that counter-ions carry: 1 through an ideally selective membrane; NaN where no current flows."""
        some = jnp.abs(self.state.current) > 1e-9
        return jnp.where(some, self.state.counter / jnp.where(some, self.state.current, 1.0), jnp.nan)

    @property
    def limiting_current(self) -> Array:
        """``F D_1 (1 + |z_1/z_2|) c0/L`` before a stirred bulk and twice that in a gap, A/m2, ``(*batch)``: that of electroneutral solution
        at an ideally selective membrane."""
        return self.scaled_limiting_current * self.scales.current

    @property
    def open_circuit_voltage(self) -> Array:
        """Without current, V, ``(*batch)``: ``(RT/z F) ln(c_w/c0)`` before a stirred bulk."""
        if isinstance(self.clean.membrane, FixedChargeMembrane):  # the same solution on both sides
            return jnp.zeros(self.status.shape)
        ratio = self._low.enrichment
        if isinstance(self.clean.membrane, MembranePair):
            ratio = ratio / self.clean.membrane.high.enrichment
        return jnp.log(ratio) / self._counter(charges(self.clean.feed)) * self.scales.potential

    def _counter(self, per_species: Array) -> Array:
        """The value of the counter-ion."""
        is_first = charges(self.clean.feed)[..., 0] * self._sign > 0.0
        return jnp.where(is_first, per_species[..., 0], per_species[..., 1])

    # --- scaled

    @property
    def scaled_current(self) -> Array:
        """In F D c0/L."""
        return self.state.current

    @property
    def scaled_voltage(self) -> Array:
        """In RT/F."""
        return self.state.voltage

    @property
    def scaled_limiting_current(self) -> Array:
        """In F D c0/L: ``1 + D_1/D_2`` for a 1:1 salt before a stirred bulk, twice that in a gap."""
        z, d = charges(self.clean.feed), self.clean.feed.diffusivity / self.scales.diffusivity[..., None]
        mine = self._counter(z)
        other = jnp.sum(z, axis=-1) - mine
        simple = self._counter(d) * (1.0 - mine / other)
        return simple * (2.0 if isinstance(self.clean.membrane, MembranePair) else 1.0)

    # --- profiles

    @property
    def position(self) -> Array:
        """Centres of the cells over L, ``(*batch, N)``; negative in a membrane with an inside and behind it."""
        return 0.5 * (self.state.faces[..., :-1] + self.state.faces[..., 1:])

    @property
    def concentration(self) -> Array:
        """Of both ions, mol/m3, in the order of the feed, ``(*batch, [V,] 2, N)``."""
        charge = charges(self.clean.feed)
        swap = jnp.broadcast_to(charge[..., 0] * self._sign < 0.0, self.status.shape)
        c = self.state.cells[..., :2, :]
        c = jnp.where(self.wide(swap, 2), c[..., ::-1, :], c)
        per_charge = self.scales.concentration[..., None] / jnp.abs(charge)
        full = jnp.broadcast_to(per_charge, (*self.status.shape, 2))
        return c * full.reshape(*self.status.shape, *(1,) * self.points, 2, 1)

    @property
    def potential(self) -> Array:
        """V, zero at the lower end (y = 0, or the bulk behind a membrane with an inside), ``(*batch, [V,] N)``."""
        return self.state.cells[..., 2, :] * self.wide(self.scales.potential, 1)

    @property
    def space_charge_thickness(self) -> Array:
        """Height over L up to which ``|c_+ - c_-|/(c_+ + c_-)``, in equivalents, exceeds 1/2 in solution; zero where it never does."""
        c = self.state.cells[..., :2, :]
        share = (c[..., 0, :] - c[..., 1, :]) / (c[..., 0, :] + c[..., 1, :])
        share = jnp.where(self.position.reshape(*self.position.shape[:-1], *(1,) * self.points, -1) > 0.0, share, 0.0)
        y = jnp.broadcast_to(self.position.reshape(*self.position.shape[:-1], *(1,) * self.points, -1), share.shape)
        return crossing(y, share, 0.5)

    @property
    def closure(self) -> Array:
        """Difference of the current between any two faces, relative to ``1 + |i|`` in scaled units."""
        return self.state.spread

    # --- out

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with units; failed lanes are NaN, ``status`` says why."""
        from .export import to_xarray

        return to_xarray(self)

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame`` of the curve: one row per lane and voltage, with criteria and status; failed lanes are NaN."""
        from .export import CURVE, GROUPS, rows

        return rows(self.to_xarray()[[*CURVE, *GROUPS, "status"]])

    @property
    def plot(self) -> Any:
        """``.plot.curve()`` and ``.plot.profiles()`` return matplotlib Axes."""
        from ...plot.electric import CurrentPlots

        return CurrentPlots(self)

    def heading(self) -> str:
        """Of how many."""
        return "solved"

    def rows(self) -> list[tuple[str, tuple[Array, ...], str]]:
        """Voltage, current, and what they are to be compared with."""
        return [
            ("voltage", (self.voltage,), "V"),
            ("current", (self.current,), "A/m2"),
            ("limiting", (self.limiting_current,), "A/m2"),
            ("eps, kappa", (self.groups.eps, self.groups.kappa), ""),
        ]


def crossing(y: Array, share: Array, level: ArrayLike) -> Array:
    """The last height where ``share`` falls below ``level``, between two points linearly; zero where it never exceeds it; ``(..., N)``."""
    above = share > level
    last = share.shape[-1] - 2 - jnp.argmax(above[..., -2::-1], axis=-1)
    take = lambda x, i: jnp.take_along_axis(x, i[..., None], axis=-1)[..., 0]
    a, b = take(share, last), take(share, last + 1)
    part = (a - level) / jnp.where(a != b, a - b, 1.0)
    return jnp.where(jnp.any(above[..., :-1], axis=-1), take(y, last) + part * (take(y, last + 1) - take(y, last)), 0.0)
