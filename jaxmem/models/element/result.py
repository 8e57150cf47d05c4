"""The Result of an element or a vessel: what leaves it, what it costs, and a row for every element."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from ..._errors import JaxmemError
from ...case import Case
from ...units import LMH, m3_per_h
from ..inputs import LEAKS, SOLID, SOLUBLE
from .march import leaks, volume
from .separation import AbstractVesselResult, per_flow

LIMITS = {  # what makers ask for; published and second-hand
    "feed pressure above 83 bar": lambda r: r.feed_pressure > 83e5,
    "feed warmer than 45 degC": lambda r: r.case.feed.temperature > 318.15,
    "feed colder than 5 degC": lambda r: r.case.feed.temperature < 278.15,
    LEAKS: lambda r: _leaks(r),
    "pressure drop of an element above 1.0 bar": lambda r: jnp.max(r.elements["pressure_drop"], -1) > 1e5,
    "pressure drop of the vessel above 3.5 bar": lambda r: r.pressure_drop > 3.5e5,
    "recovery of an element above 15 %": lambda r: jnp.max(r.elements["recovery"], -1) > 0.15 + 1e-9,
    "flux of an element above 36 LMH": lambda r: jnp.max(r.elements["flux"], -1) > 36.0 * LMH,
    "rejection below 50 %: a leak more than a product": lambda r: r.observed_rejection < 0.5,
    "concentrate of an eight-inch vessel below 3 m3/h": lambda r: (
        _eight_inch(r) & (r.concentrate_flow < 3.0 * m3_per_h)
    ),
    "feed of an eight-inch vessel above 16 m3/h": lambda r: _eight_inch(r) & (r.feed_flow > 16.0 * m3_per_h),
    "A and B were fitted with other mass transfer or friction": lambda r: _other_closures(r),
    "neither NaCl nor like sea salt, but counted as sea salt": lambda r: _unlike(r),
    SOLID: lambda r: jnp.max(r.state.nodes.wall.interface, (-2, -1)) > SOLUBLE,
}


def _leaks(r: Any) -> Array:
    """Of the outlet of a vessel."""
    wall, behind = getattr(r.clean.membrane, "element", r.clean.membrane).membrane, r.clean.conditions.permeate_pressure
    return leaks(r.state.outlet, behind, wall.reflection, r.brine, r.clean.feed.temperature)


def _eight_inch(r: Any) -> Array:
    """Elements of 25 m2 and more."""
    return r.area > 25.0


def _other_closures(r: Any) -> Array:
    """Whether the membrane's numbers belong to other closures than the element's."""
    element = getattr(r.clean.membrane, "element", r.clean.membrane)
    fitted = element.membrane.provenance.closures
    return jnp.full(r.status.shape, bool(fitted) and fitted != element.closures)


def _unlike(r: Any) -> Array:
    """Feeds that are counted as sea salt and hold less than two thirds Na+ and Cl-, by mass."""
    feed = r.clean.feed
    if r.model.brine is not None or r.brine.name != "sea salt":
        return jnp.zeros(r.status.shape, bool)
    mass = feed.mass_concentration
    mine = jnp.asarray([name in ("Na+", "Cl-") for name in feed.species.names])
    return jnp.sum(jnp.where(mine, mass, 0.0), axis=-1) < 0.667 * jnp.sum(mass, axis=-1)


class ElementResult(AbstractVesselResult):
    """Answer for one vessel or a batch; arrays ``(*batch)``, SI; ``elements`` adds an axis of E elements."""

    case: Case
    model: Any
    state: Any
    brine: Any
    clean: Case  # the case, with harmless numbers in lanes whose inputs are not sound
    status: Array

    # --- how it went

    @property
    def steps(self) -> Array:
        """Steps along the channel."""
        return jnp.full(self.status.shape, self.state.nodes.stream.water.shape[-1] - 1)

    @property
    def error_estimate(self) -> Array:
        """Estimated discretisation error of the recovery (zero for the comparison schemes: not estimated)."""
        return self.state.error

    def limits(self) -> dict[str, Array]:
        """What makers ask for, and the lanes that do not keep it."""
        return {text: rule(self) for text, rule in LIMITS.items()}

    # --- streams

    def _volume(self, water: Array, salt: Array) -> Array:
        t = self.clean.feed.temperature
        t = t.reshape(t.shape + (1,) * (water.ndim - t.ndim)) if t.ndim else t
        return volume(self.brine, water, salt, t)

    @property
    def feed_flow(self) -> Array:
        """m3/s."""
        return self._volume(self.state.inlet.water, self.state.inlet.salt)

    @property
    def permeate_flow(self) -> Array:
        """m3/s."""
        inlet, outlet = self.state.inlet, self.state.outlet
        return self._volume(inlet.water - outlet.water, inlet.salt - outlet.salt)

    @property
    def concentrate_flow(self) -> Array:
        """m3/s."""
        return self._volume(self.state.outlet.water, self.state.outlet.salt)

    @property
    def feed_concentration(self) -> Array:
        """All salts, kg/m3."""
        return self.state.inlet.salt / self.feed_flow

    @property
    def permeate_concentration(self) -> Array:
        """All salts, kg/m3, mixed."""
        return per_flow(self.state.inlet.salt - self.state.outlet.salt, self.permeate_flow)

    @property
    def concentrate_concentration(self) -> Array:
        """All salts, kg/m3."""
        return self.state.outlet.salt / self.concentrate_flow

    @property
    def permeate(self) -> Array:
        """mol/m3 of each species, ``(*batch, S)``: all salts pass alike."""
        share = 1.0 - self.observed_rejection
        return share[..., None] * self.clean.feed.concentration

    @property
    def observed_rejection(self) -> Array:
        """``1 - c_p/c_f`` of the whole vessel; 1 for pure water."""
        feed = self.feed_concentration
        return 1.0 - self.permeate_concentration / jnp.where(feed > 0.0, feed, 1.0)

    # --- size and energy

    @property
    def area(self) -> Array:
        """Membrane of one element, m2; with ``RequiredArea`` what was asked for."""
        return self.state.area

    @property
    def minimum_energy(self) -> Array:
        """Thermodynamic minimum of this separation with a pure permeate: ``(Pi_f/Y) ln(1/(1 - Y))``, J/m3."""
        osmotic = self.brine.osmotic_pressure(self.feed_concentration, self.clean.feed.temperature)
        return -osmotic * jnp.log1p(-self.recovery) / self.recovery

    # --- balances

    @property
    def salt_closure(self) -> Array:
        """Feed less concentrate less permeate, over feed: permeate summed over the elements."""
        passed = jnp.sum(self.elements["permeate_flow"] * self.elements["permeate_concentration"], axis=-1)
        salt = self.state.inlet.salt
        return (salt - self.state.outlet.salt - passed) / jnp.where(salt > 0.0, salt, 1.0)

    @property
    def water_closure(self) -> Array:
        """Mass of feed less concentrate less permeate, over feed."""
        e = self.elements
        passed = jnp.sum(e["permeate_mass"], axis=-1)
        inlet, outlet = self.state.inlet, self.state.outlet
        return (inlet.water + inlet.salt - outlet.water - outlet.salt - passed) / (inlet.water + inlet.salt)

    # --- per element

    @property
    def elements(self) -> dict[str, Array]:
        """Columns ``(*batch, E)``: flows, concentrations, pressures, flux, recovery, polarisation of every element."""
        n = self.state.nodes
        first, last = (type(n.stream)(*(x[..., i] for x in n.stream)) for i in (0, -1))
        water, salt = first.water - last.water, first.salt - last.salt
        feed, permeate = self._volume(first.water, first.salt), self._volume(water, salt)
        t = self.clean.feed.temperature[..., None]
        inside = per_flow(salt, permeate)
        osmotic = self.brine.osmotic_pressure(n.concentration[..., 0], t) - self.brine.osmotic_pressure(inside, t)
        permeate_pressure = self.clean.conditions.permeate_pressure[..., None]
        bulk = n.concentration[..., 0]
        return {
            "feed_flow": feed,
            "feed_concentration": n.concentration[..., 0],
            "feed_pressure": first.pressure,
            "pressure_drop": first.pressure - last.pressure,
            "net_driving_pressure": first.pressure - permeate_pressure - osmotic,
            "flux": permeate / self.state.area[..., None],
            "recovery": permeate / feed,
            "polarisation_modulus": jnp.where(
                bulk > 0.0, n.wall.interface[..., 0] / jnp.where(bulk > 0.0, bulk, 1.0), 1.0
            ),
            "permeate_flow": permeate,
            "permeate_mass": water + salt,
            "permeate_concentration": inside,
            "concentrate_flow": self._volume(last.water, last.salt),
            "concentrate_concentration": n.concentration[..., -1],
        }

    def permeate_split(self, front: int) -> tuple[Array, Array, Array, Array]:
        """Permeate drawn from both ends: flow (m3/s) and salt (kg/m3) of the first ``front`` elements together, then of the others."""
        e, found = self.elements, []
        salt = e["permeate_flow"] * e["permeate_concentration"]
        if not 0 < front < salt.shape[-1]:
            raise JaxmemError(
                f"front = {front!r}. A vessel of {salt.shape[-1]} is split after 1 to {salt.shape[-1] - 1} elements."
            )
        for part in (slice(None, front), slice(front, None)):
            mass, inside = jnp.sum(e["permeate_mass"][..., part], -1), jnp.sum(salt[..., part], -1)
            flow = self._volume(mass - inside, inside)
            found += [flow, inside / flow]
        flow, c, other, c_other = found
        return flow, c, other, c_other

    # --- out

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with units; failed lanes are NaN, ``status`` says why."""
        from .export import OF_SALT, to_xarray

        return to_xarray(self, OF_SALT)

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame``: one row per lane and element; failed lanes are NaN."""
        return self.to_xarray().to_dataframe().reset_index()

    @property
    def plot(self) -> Any:
        """``.plot.profiles()`` returns matplotlib Axes."""
        from ...plot.element import ElementPlots

        return ElementPlots(self)

    def heading(self) -> str:
        """Model and brine."""
        return f"{self.model.title()}, {self.brine.name}"

    def rows(self) -> list[tuple[str, Array, str]]:
        """Salt in the permeate."""
        return [("permeate salt", self.permeate_concentration * 1e3, "mg/L")]
