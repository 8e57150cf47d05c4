"""The dimensionless nanofiltration problem: what the march reads, and the static choices of the equations.

Arrays are written ions first, batch last: ``(S, *batch)``. Concentrations appear as shares of the total feed
concentration and, on the march, as ratios to the bulk ``g = c/c_bulk``: an absent ion is a trace ion, with a finite
passage and finite derivatives, and needs no special case.
"""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array


class Layer(eqx.Module):
    """What differs between the layers of a pore, L of them along the leading axis, feed side first."""

    convection: Array  # (L, S, *b)
    exchange: Array  # (L, S, *b)
    log_partition: Array  # (L, S, *b)
    wall: Array  # (L, *b)
    friction: Array | None = None  # (L, S, S, *b)


class Core(eqx.Module):
    """One problem, or a batch of them along trailing axes. Pressure-driven problems are scaled with ``J_v = A dP``.

    ``convection``, ``exchange``, ``log_partition`` and ``wall`` are those of the layer at the feed, mostly the only one.
    """

    charge: Array  # (S, *b) z
    share: Array  # (S, *b) c_bulk / c_total
    convection: Array  # (S, *b) A = K_c J_v dx_e / D_p
    exchange: Array  # (S, *b) B = J_v dx_e / D_p
    log_partition: Array  # (S, *b) ln(Phi_i) - dG_i/kT
    film_flux: Array  # (S, *b) J_v/k; zero without film
    film_field: Array  # (S, *b) weight of the film field: 1, or (D/k) over that of the first ion (linear films)
    wall: Array  # (*b) X / c_total
    debye: Array  # (*b) A ln(10) of Davies, zero when ideal
    strength: Array  # (*b) c_total in mol/L (molar) or mol per kg of solution (molal)
    solute_mass: Array  # (S, *b) kg of solute per kg of solution at the bulk concentration; used when molal
    osmotic: Array  # (*b) sigma R T c_total / dP; used when the pressure is given
    deeper: Layer | None = None  # the layers behind the first
    friction: Array | None = None  # (S, S, *b) f_ij = J_v dx_e/D_ij between ions, of the layer at the feed


_OF_LAYERS = ("convection", "exchange", "log_partition", "wall", "friction")


def layers(core: Core) -> Layer:
    """All layers, feed side first."""
    first = Layer(*(None if x is None else x[None] for x in (getattr(core, name) for name in _OF_LAYERS)))
    return first if core.deeper is None else jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, core.deeper)


def at_layer(core: Core, one: Layer) -> Core:
    """The problem as a pore of that layer alone; ``one`` without its leading axis."""
    return dataclasses.replace(core, **{name: getattr(one, name) for name in _OF_LAYERS})


def deepest(core: Core) -> Core:
    """The problem as a pore of the layer at the permeate."""
    return core if core.deeper is None else at_layer(core, jax.tree.map(lambda x: x[-1], core.deeper))


def with_flux(core: Core, factor: Array) -> Core:
    """The problem at ``factor`` times its flux."""

    def fluxes(c):
        behind = [] if c.deeper is None else [c.deeper.convection, c.deeper.exchange]
        rubbing = [x.friction for x in (c, c.deeper) if x is not None and x.friction is not None]
        return [c.convection, c.exchange, c.film_flux, *behind, *rubbing]

    return eqx.tree_at(fluxes, core, [x * factor for x in fluxes(core)])


class Form(NamedTuple):
    """Static choices of the equations (DECISIONS D1, D2, D5, D13 of the model's docstring)."""

    scheme: str = "exponential"  # or "midpoint"
    film: str = "nernst_planck"  # or "suction", "plain", "none"
    activity: bool = False
    pore_activity: bool = True
    davies_b: float = 0.3
    molal: bool = False
    activity_gradient: bool = False  # inside the pore
    pressure: bool = False  # J_v is an unknown
    face_steps: int = 6  # of the Newton for potential and ionic strength at a face
    reverse: bool = True  # False inside the root finder: plain loops, which only run forward

    @property
    def linear_film(self) -> bool:
        """Whether the film is a closed form instead of segments."""
        return self.film in ("suction", "plain")


def tiny(x: Array) -> float:
    """Guard added to sums that may vanish: far below any share, far above the smallest float."""
    return 1e-290 if x.dtype == jnp.float64 else 1e-35


def rough_log(x: Array) -> Array:
    """``ln x`` to seven digits, for steps of an iteration: single precision takes half of the time. Outside of 1e-37 to 1e37
    it is that of the nearest end."""
    return jnp.log(jnp.clip(x, 1e-37, 1e37).astype(jnp.float32)).astype(x.dtype)


def ion_sum(x: Array) -> Array:
    """Sum over ions, the leading axis. The one place where the form of this reduction is chosen: on an accelerator additions, which become part of
    the kernel around them; on a CPU what is faster (by a tenth since jax 0.11, by 30 % before)."""
    if jax.default_backend() != "cpu":
        return sum(x[1:], x[0])
    if jax.__version_info__ >= (0, 11):
        return jnp.sum(x, axis=0)
    return jnp.tensordot(jnp.ones(x.shape[0], x.dtype), x, 1)


def charges(core: Core) -> tuple[Array, Array, Array]:
    """``z b``, its positive part and its negative part."""
    zb = core.charge * core.share
    return zb, jnp.maximum(zb, 0.0), jnp.maximum(-zb, 0.0)


def identity(size: int, like: Array) -> Array:
    """``(size, size, 1, ...)`` unit matrix that broadcasts against the Jacobian of ``like (S, *batch)``."""
    return jnp.eye(size, dtype=like.dtype).reshape((size, size) + (1,) * (like.ndim - 1))
