"""The backward march: from a guessed permeate to the feed it implies, with the exact Jacobian carried along.

    permeate --face--> pore exit --segments--> pore entrance --face--> interface --film--> feed

Errors decay in this direction; in the other they grow as exp(Peclet). Layers of a pore follow one another, with a face between
them. The unknowns are log passages ``t_i = ln(c_p,i/c_b,i)``, the film field ``zeta`` and, when the pressure is given,
``q = ln(J_v/(A dP))``; ``y = (t_1 .. t_S, [q,] zeta)``. At ``y = 0`` and zero flux the equations hold exactly.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .faces import State, face
from .kernels import exponential
from .pore import Fields, Levels, across, contrast, first_field, rate, unknown_fields
from .problem import Core, Form, Layer, at_layer, charges, deepest, identity, ion_sum, layers, tiny, with_flux


class Residual(NamedTuple):
    """What a march from permeate to feed leaves, and what it passes on."""

    value: Array  # (K, *b) ln(computed feed / given feed) [, water balance], ln(P/N) of the permeate
    slope: Array | None  # (K, K, *b)
    grading: Array  # (2 L, *b) that was used: both ends of the first layer, then of the others from the permeate on
    grading_next: Array  # (2 L, *b) that this state asks for
    fewer: Array  # (S, *b) the pore entrance with the coarsest level left out
    contrast: Array  # (*b) how much less the last extrapolation changed than the one before: the gain of a further one
    interface: State  # c_m/c_b, and its slope (S, K - 1, *b)
    memory: "Memory | None" = None


class Memory(NamedTuple):
    """Fields of every segment at one state, for one march (one layer) or for one per combination of the grids."""

    first: tuple[Fields, ...]  # of the layer at the feed
    behind: tuple[Fields, ...]  # of the others, from the permeate on, along a leading axis; none for one layer

    def miss(self) -> Array:
        """What the fields may leave, summed over layers and combinations."""
        every = [f.miss for f in self.first] + [jnp.sum(f.miss, axis=0) for f in self.behind]
        return sum(every[1:], every[0])


def blank_memory(core: Core, levels: Levels) -> Memory:
    """Before any evaluation."""
    one, deeper = unknown_fields(levels, core.wall), 0 if core.deeper is None else core.deeper.wall.shape[0]
    behind = jax.tree.map(lambda x: jnp.broadcast_to(x, (deeper, *x.shape)), one)
    return Memory((one,), ()) if deeper == 0 else Memory((one,) * 3, (behind,) * 3)


# -------------------------------------------------------------------------------------------------- film


def suction(phi: Array) -> tuple[Array, Array]:
    """Geraldes and Alves 2008 (doi 10.1016/j.memsci.2008.04.054): ``k*/k`` and its derivative to ``ln phi``."""
    inner = 1.0 + 0.26 * phi**1.4
    return phi + inner**-1.7, phi - 1.7 * inner**-2.7 * 0.26 * 1.4 * phi**1.4


def film(core: Core, form: Form, passage: Array, state: State, zeta: Array) -> State:
    """Interface to bulk: one constant-field segment, or the linear law. Appends the column of ``zeta``."""
    f, z = core.film_flux, core.charge * core.film_field
    s = z.shape[0]
    if form.linear_film:
        factor, factor_slope = suction(f) if form.film == "suction" else (jnp.ones_like(f), jnp.zeros_like(f))
        f, z, relative = f / factor, z / factor, factor_slope / factor
        decay, source = 1.0 - f + z * zeta, f
        to_zeta = z * state.ratio
        to_flux = f * (1.0 - relative) * (passage - state.ratio) - z * relative * zeta * state.ratio
    else:
        k = exponential(f - z * zeta)
        decay, source = k.decay, f * k.source
        along = k.decay_slope * state.ratio + f * passage * k.source_slope
        to_zeta, to_flux = -z * along, source * passage + f * along
    ratio = decay * state.ratio + source * passage
    if state.slope is None:
        return State(ratio, None, zeta)
    columns = state.slope.shape[1]
    slope = decay[:, None] * state.slope + (source * passage)[:, None] * identity(columns, ratio)[:s]
    if form.pressure:
        slope = slope.at[:, s].add(to_flux)
    return State(ratio, jnp.concatenate([slope, to_zeta[:, None]], axis=1), zeta)


# ---------------------------------------------------------------------------------------------- the whole


def at_flux(core: Core, form: Form, y: Array) -> Core:
    """The problem at the flux that ``y`` states (the identity when the flux is given)."""
    return with_flux(core, jnp.exp(y[-2])) if form.pressure else core


def exit_face(core: Core, form: Form, passage: Array, jacobian: bool) -> State:
    """Permeate to pore exit."""
    s, last = passage.shape[0], deepest(core)
    slope = passage[:, None] * identity(s + form.pressure, passage)[:s] if jacobian else None
    permeate = State(passage, slope, jnp.zeros_like(passage[0]))
    return face(last, form, permeate, last.log_partition, last.wall, True, form.pore_activity)


def entrance_face(core: Core, form: Form, inlet: State) -> State:
    """Pore entrance to the solution side of the interface."""
    return face(core, form, inlet, -core.log_partition, jnp.zeros_like(core.wall), form.pore_activity, True)


class Crossing(NamedTuple):
    """A march through layers: the far side, the gradings used and asked for, ``(2 L, *b)``, and the fields on the way."""

    inlet: State
    grading: Array
    asked: Array
    fields: Fields | None = None


def _layer(
    core: Core,
    form: Form,
    passage: Array,
    levels: Levels,
    grading: Array,
    own: bool | Array,
    out: State,
    near: Fields | None = None,
) -> tuple:
    """Across one layer: its start, its far side (best, coarsest left out, finest), its grading and what it asks for."""
    begin = State(out.ratio, out.slope, first_field(core, passage, out.ratio))
    asked = rate(core, passage, out)
    if form.scheme == "midpoint":  # a named discretisation on equal cells
        grading = jnp.full_like(grading, 1e-12)
    else:
        grading = jnp.where(own, jax.lax.stop_gradient(jnp.stack([asked, jnp.full_like(asked, 0.01)])), grading)
    inlet = across(core, form, passage, grading, levels, begin, near)
    ends = (rate(core, passage, begin), rate(core, passage, inlet.best))
    return inlet, grading, jax.lax.stop_gradient(jnp.stack(ends))


def _deeper(core: Core, form: Form, passage: Array, levels: Levels, grading: Array, own, out: State, pick: str, near):
    """Through the layers behind the first, from the permeate on: the exit of the first layer, as ``pick``ed by all of them."""
    every = layers(core)
    here, next_ = (
        jax.tree.map(lambda x: jnp.flip(x, 0), part) for part in (core.deeper, jax.tree.map(lambda x: x[:-1], every))
    )

    def cross(state: State, given: tuple[Layer, Layer, Array, Fields | None]) -> tuple[State, tuple]:
        this, that = at_layer(core, given[0]), at_layer(core, given[1])
        inlet, used, asked = _layer(this, form, passage, levels, given[2], own, state, given[3])
        jump, active = that.log_partition - this.log_partition, form.pore_activity
        new = face(that, form, getattr(inlet, pick), jump, that.wall, active, active)
        return State(new.ratio, new.slope, jnp.zeros_like(new.field)), (used, asked, inlet.fields)

    shape = grading.shape[1:]
    end, (used, asked, fields) = jax.lax.scan(cross, out, (here, next_, grading.reshape(-1, 2, *shape), near))
    return Crossing(end, used.reshape(-1, *shape), asked.reshape(-1, *shape), fields)


def _crossings(
    core: Core,
    form: Form,
    passage: Array,
    levels: Levels,
    grading,
    own,
    out: State,
    estimate: bool,
    near: Memory | None,
) -> tuple[list[Crossing], Memory | None]:
    """The pore entrance by all grids, and with ``estimate`` also with the coarsest left out and by the finest alone."""
    first, rest = grading[:2], grading[2:]
    if core.deeper is None:
        inlet, used, asked = _layer(core, form, passage, levels, first, own, out, near and near.first[0])
        found = [Crossing(x, used, asked) for x in inlet[:3]]
        return found, None if inlet.fields is None else Memory((inlet.fields,), ())
    found, fields = [], []
    for i, pick in enumerate(("best", "fewer", "finest") if estimate else ("best",)):
        behind = _deeper(core, form, passage, levels, rest, own, out, pick, near and near.behind[i])
        inlet, used, asked = _layer(core, form, passage, levels, first, own, behind.inlet, near and near.first[i])
        both = (jnp.concatenate(x) for x in ((used, behind.grading), (asked, behind.asked)))
        found.append(Crossing(getattr(inlet, pick), *both))
        fields.append((inlet.fields, behind.fields))
    return found if estimate else found * 3, near and Memory(*zip(*fields, strict=True))


def _rows(core: Core, form: Form, y: Array, passage: Array, inlet: State) -> tuple[Array, Array | None, State]:
    """Everything upstream of the pore entrance: residual rows, their slopes, and the interface."""
    s = passage.shape[0]
    interface = entrance_face(core, form, inlet)
    feed = film(core, form, passage, interface, y[-1])
    if form.linear_film:  # may pass through negative values: ln continued linearly (C1), well below the root at 1
        low = jnp.minimum(0.05 * (interface.ratio + core.film_flux * passage), 0.3)
        above = feed.ratio > low
        clipped = jnp.where(above, feed.ratio, low)
        logs, inverse = jnp.log(clipped) + jnp.where(above, 0.0, (feed.ratio - low) / clipped), 1.0 / clipped
    else:
        safe = feed.ratio if form.scheme == "exponential" else jnp.where(core.share > 0.0, feed.ratio, 1.0)
        logs, inverse = jnp.log(safe), 1.0 / safe
    _, plus, minus = charges(core)
    p, n = ion_sum(plus * passage) + tiny(passage), ion_sum(minus * passage) + tiny(passage)
    bare = ion_sum(plus + minus) == 0.0  # neutral solutes only: nothing drives a field
    value = [logs]
    if form.pressure:  # J_v/(A dP) = 1 - sigma dPi/dP
        value.append((jnp.exp(y[-2]) - 1.0 + core.osmotic * ion_sum(core.share * (interface.ratio - passage)))[None])
    value.append(jnp.where(bare, y[-1], jnp.log(p) - jnp.log(n))[None])
    absent = core.share == 0.0
    if form.scheme == "midpoint":  # equal cells may leave a trace of nothing without a positive solution: t = 0 for it
        value[0] = jnp.where(absent, y[:s], logs)
    if feed.slope is None:
        return jnp.concatenate(value), None, interface
    zero = jnp.zeros_like(feed.slope[:1])
    slope = [inverse[:, None] * feed.slope]
    if form.scheme == "midpoint":
        slope[0] = jnp.where(absent[:, None], identity(feed.slope.shape[1], passage)[:s], slope[0])
    if form.pressure:
        water = core.osmotic * ion_sum(core.share[:, None] * interface.slope)
        water = water.at[:s].add(-core.osmotic * core.share * passage).at[s].add(jnp.exp(y[-2]))
        slope.append(zero.at[0, :-1].set(water))
    slope.append(zero.at[0, :s].set((plus / p - minus / n) * passage).at[0, -1].set(jnp.where(bare, 1.0, 0.0)))
    return jnp.concatenate(value), jnp.concatenate(slope), interface


def residual(
    core: Core,
    form: Form,
    y: Array,
    levels: Levels,
    grading: Array | None,
    jacobian: bool,
    estimate: bool = False,
    own: bool | Array = False,
    near: Memory | None = None,
) -> Residual:
    """The K equations at ``y`` on the given grids. Without ``grading``, and where ``own``, the state's own rate is used.
    The fields of a state ``near`` by save a third of the work (without Jacobian)."""
    assert near is None or not jacobian
    core = at_flux(core, form, y)
    passage = jnp.exp(y[: core.charge.shape[0]])
    out = exit_face(core, form, passage, jacobian)._replace(field=jnp.zeros_like(core.wall))
    if grading is None:
        own, grading = True, jnp.ones((2 * layers(core).wall.shape[0], *core.wall.shape), passage.dtype)
    (best, fewer, finest), memory = _crossings(core, form, passage, levels, grading, own, out, estimate, near)
    value, slope, interface = _rows(core, form, y, passage, best.inlet)
    gain = jnp.ones_like(core.wall)
    if estimate:
        gain = contrast(best.inlet.ratio, fewer.inlet.ratio, finest.inlet.ratio)
    return Residual(value, slope, best.grading, best.asked, fewer.inlet.ratio, gain, interface, memory)


def upstream(core: Core, form: Form, y: Array, inlet: Array) -> Array:
    """The K equations at ``y`` from these ratios at the pore entrance."""
    core = at_flux(core, form, y)
    return _rows(core, form, y, jnp.exp(y[: core.charge.shape[0]]), State(inlet, None, jnp.zeros_like(core.wall)))[0]
