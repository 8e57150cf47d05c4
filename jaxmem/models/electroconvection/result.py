"""The Result of electroconvection: currents with intervals, vortices, and the last fields."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from ...case import Case
from ..nernst_planck_poisson.scaled import AbstractScaledResult, backwards
from .statistics import STATES, Mean, growth, mean, state, worst_in
from .vortices import spectrum


class PlaneResult(AbstractScaledResult):
    """Answer for one box or a batch. Arrays ``(*batch)``, or ``(*batch, V)`` for a sweep of V voltages; series add K samples.

    Means are over the last ``window`` of the duration.
    """

    kept: ClassVar[dict[str, tuple[str, ...]]] = dict.fromkeys(  # pyright: ignore[reportAssignmentType]
        (
            "scaled_voltage", "scaled_current.value", "scaled_current.interval", "scaled_current.drift", "vortex_diameter", "vortex_height", "vortex_pairs",
            "space_charge_thickness", "speed", "normal_speed", "kind", "potential_residual",
            "salt_closure", "charge_closure", "current_spread", "min_concentration",
        ),
        ("point",),
    ) | {"state.at_rest": ()}  # fmt: skip  # what a sweep stores

    case: Case
    model: Any
    state: Any
    clean: Case
    status: Array

    def warnings(self) -> dict[str, int]:
        """Results outside of what was tried, and in how many of the solved lanes."""
        thin = np.broadcast_to(np.asarray(self.groups.eps) < 1e-4, self.status.shape) & np.asarray(self.ok)
        fast = np.broadcast_to(np.asarray(self.groups.reynolds) > 1.0, self.status.shape) & np.asarray(self.ok)
        mean, box = self.scaled_current.value, np.broadcast_to(np.asarray(self.box), self.status.shape)
        back = jnp.any((mean * self._sign < -1e-6).reshape(*self.status.shape, -1), axis=-1)
        speeds = self.state.seen.speed_v
        moving = (jnp.abs(growth(speeds, self.model.window)) > 0.1) & (self.kind == 2)
        changing = np.asarray(jnp.any(moving.reshape(*self.status.shape, -1), axis=-1))
        found = {
            "vortices still grow or fade: the mean is none of a steady state, and its interval knows nothing of what comes; march longer (duration=...)": int(
                (changing & np.asarray(self.ok)).sum()
            ),
            f"voltage {backwards(self._sign)}: the current runs backwards": int(
                (np.asarray(back) & np.asarray(self.ok)).sum()
            ),
            "box shorter than 1 thickness: vortices are narrower than they would be": int(
                ((box < 1.0) & np.asarray(self.ok)).sum()
            ),
            "eps below 1e-4, the smallest that the plane was tried for": int(thin.sum()),
            "Reynolds number above 1: Stokes flow leaves inertia out": int(fast.sum()),
        }
        return {text: n for text, n in found.items() if n}

    @property
    def _sign(self) -> float:
        """Of the current of counter-ions to the lower membrane."""
        low = getattr(self.clean.membrane, "low", self.clean.membrane)
        return 1.0 if low.exchanges == "cations" else -1.0

    # --- current

    @property
    def time(self) -> Array:
        """Ends of the samples in L^2/D, ``(..., K)``."""
        return self.state.seen.time

    @property
    def current_series(self) -> Array:
        """Mean over the lower wall and each sample, in F D c0/L, ``(..., K)``."""
        return self.state.seen.current

    @property
    def scaled_current(self) -> Mean:
        """In F D c0/L: value, 95 % interval, deviation, drift."""
        return mean(self.state.seen.current, self.model.window)

    @property
    def scaled_voltage(self) -> Array:
        """At the end, in RT/F."""
        return self.state.seen.voltage[..., -1]

    def _in(self, unit: Array, scaled: Array) -> Array:
        """SI in double precision, whatever the march had."""
        return scaled.astype(unit.dtype) * self.wide(unit)

    @property
    def current(self) -> Array:
        """Mean current density, A/m2."""
        return self._in(self.scales.current, self.scaled_current.value)

    @property
    def current_interval(self) -> Array:
        """Half width of its 95 % interval, A/m2."""
        return self._in(self.scales.current, self.scaled_current.interval)

    @property
    def voltage(self) -> Array:
        """At the end, V."""
        return self._in(self.scales.potential, self.scaled_voltage)

    @property
    def current_at_rest(self) -> Array:
        """Of the steady layer without flow at the first voltage, on the same rows, A/m2, ``(*batch)``."""
        return self.state.at_rest * self.scales.current

    # --- vortices

    def _mean_of(self, series: Array) -> Array:
        return mean(series, self.model.window).value

    @property
    def vortex_diameter(self) -> Array:
        """d1 over L: twice the height of the extremum of the stream function; zero where nothing moves."""
        return self._mean_of(self.state.seen.vortices.d1)

    @property
    def vortex_height(self) -> Array:
        """d2 over L: height above the peak where the root mean square of the normal velocity is half of the peak."""
        return self._mean_of(self.state.seen.vortices.d2)

    @property
    def vortex_pairs(self) -> Array:
        """Of the strongest mode half way up, at the end."""
        return self.state.seen.vortices.pairs[..., -1]

    @property
    def space_charge_thickness(self) -> Array:
        """Over L: where the mean of (c_1 - c_2)/(c_1 + c_2) along the membrane falls below 1/2."""
        return self._mean_of(self.state.seen.vortices.space_charge)

    @property
    def speed(self) -> Array:
        """Largest velocity along the membrane in the last sample, in D/L."""
        return self.state.seen.speed_u[..., -1]

    @property
    def normal_speed(self) -> Array:
        """Largest velocity across the layer in the last sample, in D/L."""
        return self.state.seen.speed_v[..., -1]

    @property
    def energy_spectrum(self) -> Array:
        """Kinetic energy of the last flow in every mode along the membrane, ``(..., Nx/2 + 1)``: mean of ``(u^2 + v^2)/2`` over the box, in (D/L)^2;
        mode n has n vortex pairs in the box."""
        faces = jnp.asarray(self.state.faces, self.state.psi.dtype)
        gap = jnp.diff(faces.reshape(*faces.shape[:-1], *(1,) * (self.scaled_voltage.ndim - self.status.ndim), -1))
        return spectrum(gap, jnp.asarray(self.box, self.state.psi.dtype), self.state.psi)

    @property
    def kind(self) -> Array:
        """Index into ``("quiescent", "steady", "slow drift", "unsteady")``."""
        return state(self.current_series, self.model.window, self.state.seen.speed_v)

    # --- balances

    @property
    def salt_closure(self) -> Array:
        """Largest defect of one step: change of an ion in the box less what came through the walls, relative to the ions there."""
        return jnp.max(self.state.seen.unbalanced, axis=-1)

    @property
    def charge_closure(self) -> Array:
        """Largest defect of one step: change of the charge in the box less the current through its walls, relative to the ions there."""
        return jnp.max(self.state.seen.unbalanced_charge, axis=-1)

    @property
    def current_spread(self) -> Array:
        """Mean current through the lower wall less that through the upper one, over the window and ``1 + |i|``: what still charges the box."""
        low, high = (self._mean_of(x) for x in (self.state.seen.current, self.state.seen.current_high))
        return jnp.abs(low - high) / (1.0 + jnp.abs(low))

    @property
    def min_concentration(self) -> Array:
        """Smallest concentration of an ion at any time, over c0; a little below zero where steps are long."""
        return jnp.min(self.state.seen.least, axis=-1)

    @property
    def potential_residual(self) -> Array:
        """Largest residual that the iterations left of the potential of any step in the window, over the norm of the charge."""
        return worst_in(self.state.seen.unsolved, self.model.window)

    # --- fields, scaled

    @property
    def height(self) -> Array:
        """Heights of the cells over L, ``(*batch, Ny)``."""
        return 0.5 * (self.state.faces[..., 1:] + self.state.faces[..., :-1])

    @property
    def box(self) -> Array:
        """Period along the membrane over L."""
        return self.clean.conditions.length / self.clean.conditions.thickness

    # --- out

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset``: means, series and the last fields; failed lanes are NaN, ``status`` says why."""
        from .export import to_xarray

        return to_xarray(self)

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame`` of the means: one row per lane and voltage; failed lanes are NaN."""
        from ..nernst_planck_poisson.export import rows
        from .export import MEANS

        return rows(self.to_xarray()[[*MEANS, "status"]])

    @property
    def plot(self) -> Any:
        """``.plot.fields()``, ``.plot.history()`` and ``.plot.curve()`` return matplotlib Axes."""
        from ...plot.plane import PlanePlots

        return PlanePlots(self)

    def heading(self) -> str:
        """How far."""
        return f"marched to t = {float(self.model.duration):g} L^2/D"

    def rows(self) -> list[tuple[str, tuple[Array, ...], str]]:
        """Currents and vortices, scaled, and what kind of state it is."""
        i, ok = self.scaled_current, np.asarray(self.ok).reshape(-1)
        kinds = np.asarray(self.kind).reshape(ok.size, -1)[ok].reshape(-1)
        least = float(np.max(np.asarray(i.interval).reshape(ok.size, -1)[ok]))
        states = ", ".join(f"{int((kinds == k).sum())} {name}" for k, name in enumerate(STATES) if (kinds == k).any())
        return [
            ("voltage", (self.scaled_voltage,), "RT/F"),
            ("current", (i.value,), f"F D c0/L, within {least:.1g}"),
            ("at rest", (self.state.at_rest,), "F D c0/L, at the first voltage"),
            ("diameter", (self.vortex_diameter,), "L (d1)"),
            ("speed", (self.speed,), "D/L"),
            ("state", (), states),
        ]
