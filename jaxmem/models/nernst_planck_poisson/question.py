"""From a Case to the scaled question of a layer: which ion is which, what stands at both ends, where the cells lie."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.lax import stop_gradient

from ..._errors import JaxmemError
from ..._fields import is_concrete
from ...case import Case
from ...conditions import CurrentDriven, Voltage, VoltageRamp, VoltageSweep
from ...membranes.ion_exchange import FixedChargeMembrane, IonExchangeMembrane, MembranePair
from ..inputs import check_precision
from .equations import Body, Layer, Wall
from .grid import stacked, stretched
from .groups import Groups, charges, scales, similarity

HIGHEST = 120.0  # RT/F, over the larger valence: up to which currents were compared
LEAST = 1e-4  # eps, from which on they were
RESOLVED = 0.7  # of a Debye length of the bulk: the widest cell at a wall
GATHERED = 3.0  # of a Debye length of the salt that gathers at a wall: 1 % of the current


class Rows(NamedTuple):
    """How cells crowd at a wall: a ``share`` of them over ``scale`` Debye lengths, and as ``charged`` over the space charge of the largest voltage;
    ``fixed``: derivatives leave the cells where they are."""

    scale: float
    share: float
    charged: float = 0.0
    fixed: bool = False

    def crowds(self, eps: Array, halves: bool = False) -> tuple[tuple[Array, float], ...]:
        """Scales and shares for ``stretched``, of a layer or of its ``halves``, where lengths count double."""
        thick = (1.5 * HIGHEST / np.sqrt(2.0) * eps) ** (2.0 / 3.0)  # (3 eps V / (2 sqrt 2))^(2/3)
        every = ((self.scale * eps, self.share), (thick, self.charged))
        unit = 2.0 if halves else 1.0
        return tuple((stop_gradient(unit * a) if self.fixed else unit * a, w) for a, w in every if w)


def unresolved(faces: Array, c: Array, eps: Array) -> Array:
    """Whether the cell at y = 0 is too wide for the Debye length, of the bulk or of the salt that has gathered there; ``faces (*batch, N + 1)``,
    ``c (*batch, ..., 2, N)``, ``eps (*batch)``."""
    width = (faces[..., 1] - faces[..., 0]) / eps
    salt = jnp.max(c[..., 0].mean(-1).reshape(*width.shape, -1), axis=-1)
    return (width > RESOLVED) | (width * jnp.sqrt(jnp.maximum(salt, 0.0)) > GATHERED)


def check_electric(case: Case, precision: str, resolved: bool = False) -> None:
    """Refuse what is no current through a binary salt at ion-exchange membranes; ``resolved``: a membrane may have an inside."""
    if isinstance(case.membrane, FixedChargeMembrane) and not resolved:
        raise JaxmemError(
            "Currents at rest through a FixedChargeMembrane are all that is known, from jm.NernstPlanckPoisson(). Write jm.IonExchangeMembrane("
            f"{case.membrane.exchanges!r}) here: of much fixed charge, the layer before the two is alike beyond the limiting current."
        )
    if not isinstance(case.membrane, IonExchangeMembrane | MembranePair | FixedChargeMembrane):
        raise JaxmemError(
            f"Case.membrane is a {type(case.membrane).__name__}, not an ion-exchange membrane. Write jm.IonExchangeMembrane() or "
            "jm.MembranePair()."
        )
    if not isinstance(case.conditions, Voltage | VoltageSweep | VoltageRamp | CurrentDriven):
        raise JaxmemError(
            f"Case.conditions is a {type(case.conditions).__name__}. Write jm.Voltage(0.5, thickness=100 * um), jm.VoltageSweep(...) or "
            "jm.CurrentDriven(...)."
        )
    z, c = case.feed.species.charge, case.feed.concentration
    if len(case.feed.species) != 2 or (
        is_concrete(z) and not bool(np.all(np.asarray(z)[..., 0] * np.asarray(z)[..., 1] < 0.0))
    ):
        raise JaxmemError(
            f"The feed holds {case.feed.species.names}; this model takes one cation and one anion. Write "
            'jm.Mixture.from_concentration({"Na+": 10.0, "Cl-": 10.0}).'
        )
    if is_concrete(c) and not bool(np.any(np.all(np.asarray(c) > 0.0, axis=-1))):
        raise JaxmemError(
            "The feed holds no salt, and pure water carries no current here. Give a concentration above zero."
        )
    check_precision(case, precision)


def counter_first(case: Case) -> Array:
    """Positions in the feed of the counter-ion of the lower membrane and of the co-ion, ``(2,)``."""
    low = case.membrane.low if isinstance(case.membrane, MembranePair) else case.membrane
    sign = 1.0 if low.exchanges == "cations" else -1.0
    first = jnp.where(charges(case.feed)[..., 0] * sign > 0.0, 0, 1)
    return jnp.stack([first, 1 - first], axis=-1)


def is_channel(case: Case) -> bool:
    """Whether a cation and an anion exchanger face each other."""
    m = case.membrane
    return isinstance(m, MembranePair) and m.low.exchanges != m.high.exchanges


def layer_of(case: Case, cells: int, rows: Rows) -> tuple[Layer, Array | None]:
    """The scaled layer of one lane, and the mean co-ions where no wall holds them (between two membranes of one kind)."""
    m, groups, first = case.membrane, similarity(case), counter_first(case)
    if isinstance(m, FixedChargeMembrane):
        return _through(case, m, groups, first, cells, rows), None
    one, two, counter = jnp.ones(()), jnp.ones(2), jnp.asarray([1.0, 0.0])
    wall = lambda membrane: Wall(jnp.stack([membrane.enrichment, one]), counter)
    low, high = wall(m.low if isinstance(m, MembranePair) else m), Wall(two, two)  # else a stirred bulk
    if isinstance(m, MembranePair):
        high = Wall(jnp.stack([one, m.high.enrichment]), 1.0 - counter) if is_channel(case) else wall(m.high)
    pair = isinstance(m, MembranePair)
    grid = stretched(cells, rows.crowds(groups.eps, pair), pair)
    diffusivity = case.feed.diffusivity / scales(case.feed, case.conditions.thickness).diffusivity
    layer = Layer(grid, charges(case.feed)[first], diffusivity[first], groups.eps, low, high)
    return layer, one if pair and not is_channel(case) else None


def _through(case: Case, m: FixedChargeMembrane, groups: Groups, first: Array, cells: int, rows: Rows) -> Layer:
    """Behind, membrane and front, of as many cells each; the front is the layer between y = 0 and 1."""
    unit = scales(case.feed, case.conditions.thickness)
    fixed, thickness = m.charge_density / unit.concentration, m.thickness / unit.length
    inner = 2.0 * rows.scale * groups.eps / thickness / jnp.sqrt(1.0 + 0.5 * fixed)
    front, body = (
        stretched(cells, rows.crowds(groups.eps)),
        stretched(cells, ((inner, rows.share + rows.charged),), both=True),
    )
    grid, (bulk, inside) = stacked(front.faces, body.faces, thickness), (jnp.zeros(cells), jnp.ones(cells))
    where = jnp.concatenate([bulk, inside, bulk])
    sign = 1.0 if m.exchanges == "cations" else -1.0
    stirred = Wall(jnp.ones(2), jnp.ones(2))
    diffusivity = case.feed.diffusivity / unit.diffusivity
    return Layer(
        grid, charges(case.feed)[first], diffusivity[first], groups.eps, stirred, stirred,
        Body(-sign * fixed * where, 1.0 + (m.diffusion - 1.0) * where),
    )  # fmt: skip
