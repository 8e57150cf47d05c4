"""From the root back to concentrations and potentials everywhere: film, faces, pore."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .faces import State, face
from .march import at_flux, exit_face, first_field, node, segment
from .problem import Core, Form, charges, ion_sum, tiny


class Points(NamedTuple):
    """Ratios to the bulk at the named places ``(S, *b)``; potentials in RT/F ``(*b)``."""

    permeate: Array
    interface: Array
    pore_in: Array
    pore_out: Array
    donnan_feed: Array  # psi(pore in) - psi(interface)
    donnan_permeate: Array  # psi(pore out) - psi(permeate)
    closure: Array  # largest relative charge left anywhere


def _relative_charge(core: Core, ratio: Array, wall: Array | float) -> Array:
    zb, plus, minus = charges(core)
    gross = ion_sum(plus * ratio) + ion_sum(minus * ratio) + jnp.abs(wall) + tiny(ratio)
    return jnp.abs(ion_sum(zb * ratio) + wall) / gross


def points(core: Core, form: Form, y: Array, interface: Array) -> Points:
    """Concentration ratios and Donnan potentials at the faces."""
    core = at_flux(core, form, y)
    passage = jnp.exp(y[: core.charge.shape[0]])
    out = exit_face(core, form, passage, False)
    inlet = face(core, form, State(interface, None, y[-1]), core.log_partition, core.wall, True, form.pore_activity)
    places = ((passage, 0.0), (interface, 0.0), (inlet.ratio, core.wall), (out.ratio, core.wall))
    closure = jnp.max(jnp.stack([_relative_charge(core, r, w) for r, w in places]), axis=0)
    return Points(passage, interface, inlet.ratio, out.ratio, inlet.field, out.field, closure)


class PoreProfile(NamedTuple):
    position: Array  # (M + 1, *b) 0 at the feed face, 1 at the permeate face
    ratio: Array  # (M + 1, S, *b)
    potential: Array  # (M + 1, *b) in RT/F, zero at the pore entrance


def pore_profile(core: Core, form: Form, y: Array, grading: Array, segments: int) -> PoreProfile:
    """Ratios and potential at the nodes of one grid, by the march itself."""
    core = at_flux(core, form, y)
    passage = jnp.exp(y[: core.charge.shape[0]])
    out = exit_face(core, form, passage, False)
    start = State(out.ratio, None, first_field(core, passage, out.ratio))
    if form.scheme == "midpoint":
        grading = jnp.full_like(grading, 1e-12)
    fractions = jnp.arange(segments + 1, dtype=grading.dtype) / segments
    x = jax.vmap(lambda f: node(grading, f))(fractions)

    def step(state: State, h: Array):
        new = segment(core, form, passage, h, state)
        return new, (new.ratio, new.field * h)

    _, (ratio, drop) = jax.lax.scan(step, start, x[1:] - x[:-1])
    ratio = jnp.concatenate([start.ratio[None], ratio])[::-1]
    rise = jnp.concatenate([jnp.zeros_like(drop[:1]), jnp.cumsum(drop[::-1], axis=0)])  # from the entrance
    return PoreProfile(1.0 - x[::-1], ratio, rise)


def pore_drop(core: Core, form: Form, y: Array, grading: Array, segments: int) -> Array:
    """``psi(pore out) - psi(pore in)`` in RT/F: extrapolated over three nested grids."""
    if form.scheme == "midpoint":
        return pore_profile(core, form, y, grading, segments).potential[-1]
    a, b, c = (pore_profile(core, form, y, grading, m * segments).potential[-1] for m in (1, 2, 4))
    return (a - 20.0 * b + 64.0 * c) / 45.0
