"""The Result of an element or a vessel whose membrane tells ions apart."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ...case import Case, modules
from ...chemistry.species import pretty
from ...units import LMH
from ..beyond import beyond
from .separation import AbstractVesselResult

LIMITS = {  # what makers of eight-inch elements ask for; second-hand
    "pressure drop of an element above 1.0 bar": lambda r: jnp.max(r.elements["pressure_drop"], -1) > 1e5,
    "pressure drop of the vessel above 3.5 bar": lambda r: r.pressure_drop > 3.5e5,
    "feed warmer than 45 degC": lambda r: r.case.feed.temperature > 318.15,
    "feed colder than 5 degC": lambda r: r.case.feed.temperature < 278.15,
    "flux of an element above 50 LMH": lambda r: jnp.max(r.elements["flux"], -1) > 50.0 * LMH,
    "beyond what the membrane's closures have learned from": lambda r: r.outside,
}


class IonElementResult(AbstractVesselResult):
    """Answer for one vessel or a batch; arrays ``(*batch)`` or, per species, ``(*batch, S)``, SI; ``elements`` adds an axis."""

    case: Case
    model: Any
    state: Any
    clean: Case
    status: Array

    @property
    def error_estimate(self) -> Array:
        """Estimated discretisation error of flow and ions that leave, relative to those that enter."""
        return self.state.error

    def limits(self) -> dict[str, Array]:
        """What makers ask for, and the lanes that do not keep it."""
        return {text: rule(self) for text, rule in LIMITS.items()}

    # --- streams

    @property
    def feed_flow(self) -> Array:
        """m3/s."""
        return self.state.inlet.flow

    @property
    def concentrate_flow(self) -> Array:
        """m3/s."""
        return self.state.outlet.flow

    @property
    def permeate_flow(self) -> Array:
        """m3/s."""
        return self.feed_flow - self.concentrate_flow

    @property
    def feed_concentration(self) -> Array:
        """mol/m3, ``(*batch, S)``."""
        return self.state.inlet.ions / self.feed_flow[..., None]

    @property
    def permeate(self) -> Array:
        """mol/m3, mixed, ``(*batch, S)``."""
        return (self.state.inlet.ions - self.state.outlet.ions) / self.permeate_flow[..., None]

    @property
    def permeate_concentration(self) -> Array:
        """``permeate`` by the name that trains give it, mol/m3, ``(*batch, S)``."""
        return self.permeate

    @property
    def concentrate(self) -> Array:
        """mol/m3, ``(*batch, S)``."""
        return self.state.outlet.ions / self.concentrate_flow[..., None]

    @property
    def observed_rejection(self) -> Array:
        """``1 - c_p/c_f`` of the whole vessel, ``(*batch, S)``; 1 for a species that the feed does not hold."""
        feed = self.feed_concentration
        return 1.0 - self.permeate / jnp.where(feed > 0.0, feed, 1.0)

    @property
    def area(self) -> Array:
        """Membrane of one element, m2."""
        return getattr(self.clean.membrane, "element", self.clean.membrane).area

    @property
    def learned(self) -> bool:
        """Whether a network has a part in this answer."""
        return any(getattr(part, "known", False) for part in modules(self.clean.membrane))

    @property
    def outside(self) -> Array:
        """Whether a closure that has learned was asked about a water or a flux unlike those, anywhere along the channel; ``(*batch)``."""
        nodes, feed, shape = self.state.nodes, self.clean.feed, self.status.shape
        if not self.learned:
            return jnp.zeros(shape, bool)
        more = (1,) * (nodes.flux.ndim - len(shape))
        every = lambda x: jnp.broadcast_to(x, shape).reshape(*shape, *more)
        species = jax.tree.map(
            lambda x: x if x.ndim < 2 else x.reshape(*x.shape[:-1], *more, x.shape[-1]), feed.species
        )
        at = (species, nodes.interface, every(feed.temperature))
        water = eqx.tree_at(lambda m: (m.species, m.concentration, m.temperature), feed, at)
        wall = getattr(self.clean.membrane, "element", self.clean.membrane).membrane
        names = ("pore_radius", "thickness_over_porosity", "charge_density", "pore_permittivity")
        own = lambda m: [getattr(m, name) for name in names]
        wide = lambda m: eqx.tree_at(own, m, [every(x) for x in own(m)]) if hasattr(m, "pore_radius") else m
        if hasattr(wall, "layers"):
            wall = eqx.tree_at(lambda m: m.layers, wall, tuple(wide(layer) for layer in wall.layers))
        wall = wide(wall)
        found, over = beyond(wall, water, nodes.flux), tuple(range(len(shape), nodes.flux.ndim))
        return self.ok & sum((jnp.any(x, axis=over) for x in found), jnp.zeros(shape, bool))

    # --- balances

    @property
    def closure(self) -> Array:
        """Charge left in permeate and concentrate, relative to the ions there."""
        return charge_left(self.clean.feed.species.charge, self.permeate, self.concentrate)

    # --- per element

    @property
    def elements(self) -> dict[str, Array]:
        """Columns ``(*batch, E)``, those of ions ``(*batch, E, S)``: flows, concentrations, pressures, flux, rejection."""
        nodes = self.state.nodes
        first, last = ([x[..., i] for x in (nodes.stream.flow, nodes.stream.pressure)] for i in (0, -1))
        ions, after = nodes.stream.ions[..., 0, :], nodes.stream.ions[..., -1, :]
        passed = first[0] - last[0]
        permeate, feed = (ions - after) / passed[..., None], nodes.concentration[..., 0, :]
        return {
            "feed_flow": first[0],
            "feed_pressure": first[1],
            "pressure_drop": first[1] - last[1],
            "flux": passed / self.area[..., None],
            "recovery": passed / first[0],
            "permeate_flow": passed,
            "feed_concentration": feed,
            "permeate_concentration": permeate,
            "rejection": 1.0 - permeate / jnp.where(feed > 0.0, feed, 1.0),
            "polarisation_modulus": nodes.interface[..., 0, :] / jnp.where(feed > 0.0, feed, 1.0),
        }

    # --- out

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with units; failed lanes are NaN, ``status`` says why."""
        from .export import OF_IONS, to_xarray

        told = {"outside": ("1", "1: beyond what the networks have learned from")} if self.learned else {}
        return to_xarray(self, {**OF_IONS, **told}, self.clean.feed.species.names)

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame``: one row per lane, element and species; failed lanes are NaN."""
        batch = [f"batch_{i}" for i in range(len(self.case.batch_shape))]
        return self.to_xarray().to_dataframe(dim_order=[*batch, "element", "species"]).reset_index()

    @property
    def plot(self) -> Any:
        """``.plot.profiles()`` returns matplotlib Axes."""
        from ...plot.element import IonElementPlots

        return IonElementPlots(self)

    def heading(self) -> str:
        """Model."""
        return self.model.title()

    def rows(self) -> list[tuple[str, Array, str]]:
        """Rejection of every species."""
        names = self.clean.feed.species.names
        return [(f"R {pretty(n)}", 100.0 * self.observed_rejection[..., i], "%") for i, n in enumerate(names)]


def charge_left(charge: Array, *solutions: Array) -> Array:
    """Charge of solutions ``(*batch, S)`` relative to their ions, the largest."""
    left = [jnp.abs(jnp.sum(charge * c, -1)) / (jnp.sum(jnp.abs(charge) * c, -1) + 1e-30) for c in solutions]
    return jnp.max(jnp.stack(left), axis=0)
