"""From the root back to concentrations and potentials everywhere: film, faces, pore."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .faces import State, face
from .march import at_flux, exit_face
from .pore import first_field, node, segment
from .problem import Core, Form, Layer, at_layer, charges, deepest, ion_sum, layers, tiny


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
    places = ((passage, 0.0), (interface, 0.0), (inlet.ratio, core.wall), (out.ratio, deepest(core).wall))
    closure = jnp.max(jnp.stack([_relative_charge(core, r, w) for r, w in places]), axis=0)
    return Points(passage, interface, inlet.ratio, out.ratio, inlet.field, out.field, closure)


class PoreProfile(NamedTuple):
    """L layers of ``M`` segments each: ``L (M + 1)`` nodes, feed side first; inner faces stand twice."""

    position: Array  # (.., *b) 0 at the feed face, 1 at the permeate face; every layer takes an equal share
    ratio: Array  # (.., S, *b)
    potential: Array  # (.., *b) in RT/F, zero at the pore entrance


def _layer_profile(core: Core, form: Form, passage: Array, grading: Array, segments: int, exit_: Array) -> PoreProfile:
    """Across one layer from its permeate side, by the march itself."""
    start = State(exit_, None, first_field(core, passage, exit_))
    if form.scheme == "midpoint":
        grading = jnp.full_like(grading, 1e-12)
    fractions = jnp.arange(segments + 1, dtype=grading.dtype) / segments
    x = jax.vmap(lambda f: node(grading, f))(fractions)

    def step(state: State, h: Array) -> tuple[State, tuple[Array, Array]]:
        new = segment(core, form, passage, h, state)
        return new, (new.ratio, new.field * h)

    _, (ratio, drop) = jax.lax.scan(step, start, x[1:] - x[:-1])
    ratio = jnp.concatenate([start.ratio[None], ratio])[::-1]
    rise = jnp.concatenate([jnp.zeros_like(drop[:1]), jnp.cumsum(drop[::-1], axis=0)])  # from the entrance
    return PoreProfile(1.0 - x[::-1], ratio, rise)


def pore_profile(core: Core, form: Form, y: Array, grading: Array, segments: int) -> PoreProfile:
    """Ratios and potential at the nodes of one grid."""
    core, every = at_flux(core, form, y), []
    passage = jnp.exp(y[: core.charge.shape[0]])
    count, exit_ = layers(core).wall.shape[0], exit_face(core, form, passage, False).ratio
    jumps = []
    for i in reversed(range(count)):
        this = at_layer(core, jax.tree.map(lambda x, i=i: x[i], layers(core)))
        own = grading[2 * (count - i) : 2 * (count - i) + 2] if i else grading[:2]
        every.append(_layer_profile(this, form, passage, own, segments, exit_))
        if i:
            that: Layer = jax.tree.map(lambda x, i=i: x[i - 1], layers(core))
            inlet, active = State(every[-1].ratio[0], None, y[-1]), form.pore_activity
            behind = face(
                at_layer(core, that), form, inlet, that.log_partition - this.log_partition, that.wall, active, active
            )
            exit_ = behind.ratio
            jumps.append(-behind.field)  # psi behind the face minus psi before it, feed to permeate
    every, jumps, total, potential = every[::-1], jumps[::-1], 0.0, []
    for i, one in enumerate(every):
        total = total + (jumps[i - 1] if i else 0.0)
        potential.append(total + one.potential)
        total = total + one.potential[-1]
    position = jnp.concatenate([(i + one.position) / count for i, one in enumerate(every)])
    return PoreProfile(position, jnp.concatenate([p.ratio for p in every]), jnp.concatenate(potential))


def pore_drop(core: Core, form: Form, y: Array, grading: Array, segments: int) -> Array:
    """``psi(pore out) - psi(pore in)`` in RT/F: extrapolated over three nested grids."""
    if form.scheme == "midpoint":
        return pore_profile(core, form, y, grading, segments).potential[-1]
    a, b, c = (pore_profile(core, form, y, grading, m * segments).potential[-1] for m in (1, 2, 4))
    return (a - 20.0 * b + 64.0 * c) / 45.0
