"""The backward march: from a guessed permeate to the feed it implies, with the exact Jacobian carried along.

    permeate --face--> pore exit --segments--> pore entrance --face--> interface --film--> feed

Errors decay in this direction; in the other they grow as exp(Peclet). The unknowns are log passages
``t_i = ln(c_p,i/c_b,i)``, the film field ``zeta`` and, when the pressure is given, ``q = ln(J_v/(A dP))``;
``y = (t_1 .. t_S, [q,] zeta)``. At ``y = 0`` and zero flux the equations hold exactly.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .faces import State, face
from .kernels import SCHEMES, Kernel, exponential
from .problem import Core, Form, charges, identity, ion_sum, tiny


class Levels(NamedTuple):
    """Nested grids of ``m``, ``2 m``, ... segments, ``m = factor * segments``, and Richardson extrapolation over the first
    ``order`` of them. A traced ``factor`` (a power of two) and, running forward, a traced ``order`` (1 or 2) serve all sets of
    grids with one compiled program."""

    segments: int
    order: int | Array = 3
    factor: int | Array = 1


# Errors are h^2, h^4, ...: weights of the grids, coarsest first, by order
_WEIGHTS = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [-1 / 3, 4 / 3, 0.0], [1 / 45, -20 / 45, 64 / 45]])


class Residual(NamedTuple):
    value: Array  # (K, *b) ln(computed feed / given feed) [, water balance], ln(P/N) of the permeate
    slope: Array | None  # (K, K, *b)
    grading: Array  # (2, *b) that was used
    grading_next: Array  # (2, *b) that this state asks for
    coarse: Array  # (K, *b) the same residual with the coarsest level left out: what the last extrapolation changed
    contrast: Array  # (*b) how much less the last extrapolation changed than the one before: the gain of a further one
    interface: State  # c_m/c_b, and its slope (S, K - 1, *b)


# -------------------------------------------------------------------------------------------------- pore


class Slab(NamedTuple):
    """What a segment of width ``h`` sees."""

    charge: Array  # (S, *b)
    share: Array  # (S, *b)
    wall: Array  # (*b)
    drift: Array  # (S, *b) A h
    source: Array  # (S, *b) B h e^t
    h: Array  # (*b)
    ratio: Array  # (S, *b) at the permeate side


def _trial(scheme: str, slab: Slab, field: Array) -> tuple[Kernel, Array, Array]:
    """Kernel, ratios at the feed side for a field, and their derivative to ``a``."""
    k = jax.lax.optimization_barrier(SCHEMES[scheme](slab.drift - slab.charge * (slab.h * field)))
    return k, k.decay * slab.ratio + slab.source * k.source, k.decay_slope * slab.ratio + slab.source * k.source_slope


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def neutral(scheme: str, slab: Slab, field: Array) -> tuple[Array, Array]:
    """Ratios at the feed side and the field that makes them neutral, from a first ``field``."""
    zb, guard = slab.charge * slab.share, tiny(slab.ratio)
    plus, minus = jnp.maximum(zb, 0.0), jnp.maximum(-zb, 0.0)
    x_plus, x_minus = jnp.maximum(slab.wall, 0.0), jnp.maximum(-slab.wall, 0.0)
    for _ in range(2 if scheme == "exponential" else 24):
        _, new, along = _trial(scheme, slab, field)
        to_field = -slab.charge * slab.h * along
        p, n = ion_sum(plus * new) + x_plus + guard, ion_sum(minus * new) + x_minus + guard
        if scheme == "midpoint":  # ratios may turn negative: no logarithm
            field = field - (p - n) / (ion_sum(zb * to_field) + guard)
        else:
            d_log = ion_sum(plus * to_field) / p - ion_sum(minus * to_field) / n
            field = field - (jnp.log(p) - jnp.log(n)) / (d_log + guard)
    _, new, along = _trial(scheme, slab, field)
    to_field = -slab.charge * slab.h * along
    correction = -(ion_sum(zb * new) + slab.wall) / (ion_sum(zb * to_field) + guard)  # one step on the plain sum
    return new + to_field * correction, field + correction


@neutral.defjvp
def _neutral_jvp(scheme: str, primals: tuple[Slab, Array], tangents: tuple[Slab, Array]):
    """Implicit: the first field does not matter."""
    (slab, start), (d_slab, _) = primals, tangents
    ratio, field = neutral(scheme, slab, start)

    def held(slab: Slab) -> tuple[Array, Array]:
        new = _trial(scheme, slab, field)[1]
        return new, ion_sum(slab.charge * slab.share * new) + slab.wall

    (_, _), (d_new, d_charge) = jax.jvp(held, (slab,), (d_slab,))
    to_field = -slab.charge * slab.h * _trial(scheme, slab, field)[2]
    d_field = -d_charge / (ion_sum(slab.charge * slab.share * to_field) + tiny(field))
    return (ratio, field), (d_new + to_field * d_field, d_field)


def segment(core: Core, form: Form, passage: Array, h: Array, state: State) -> State:
    """Carry ratios across one segment of width ``h``; the field is the one that keeps the new node neutral."""
    source = h * core.exchange * passage
    slab = Slab(core.charge, core.share, core.wall, core.convection * h, source, h + 0.0 * core.wall, state.ratio)
    ratio, field = neutral(form.scheme, slab, state.field)
    if state.slope is None:
        return State(ratio, None, field)

    z = core.charge
    k, _, along = _trial(form.scheme, slab, field)
    to_field, zb = -z * h * along, z * core.share
    s, columns = z.shape[0], state.slope.shape[1]
    lifted = k.decay[:, None] * state.slope + (source * k.source)[:, None] * identity(columns, source)[:s]
    if form.pressure:  # column of q: convection and exchange are proportional to the flux
        lifted = lifted.at[:, s].add(source * k.source + core.convection * h * along)
    d_field = -ion_sum(zb[:, None] * lifted) / (ion_sum(zb * to_field) + tiny(source))
    return State(ratio, lifted + to_field[:, None] * d_field[None], field)


def node(grading: Array, fraction: Array) -> Array:
    """Position of a grid node, counted from the permeate side; ``fraction`` runs from 0 to 1 in equal steps.

    ``grading = (s_p, s_f)`` are the rates of change of the composition at the permeate and feed ends: nodes crowd
    towards both. ``x = (exp(ln(1+s_p) (1 - (exp(ln(1+s_f)(1-fraction)) - 1)/s_f)) - 1)/s_p`` is smooth, so that
    Richardson extrapolation applies.
    """
    permeate, feed = grading[0], grading[1]
    inner = 1.0 - jnp.expm1(jnp.log1p(feed) * (1.0 - fraction)) / feed
    return jnp.expm1(jnp.log1p(permeate) * inner) / permeate


def _rate(core: Core, passage: Array, state: State) -> Array:
    """Relative rate of change of the composition per pore length, migration included."""
    z2b = core.charge**2 * core.share
    change = (core.convection - core.charge * state.field) * state.ratio - core.exchange * passage
    return ion_sum(z2b * jnp.abs(change)) / (ion_sum(z2b * state.ratio) + tiny(change)) + 0.01


def first_field(core: Core, passage: Array, ratio: Array) -> Array:
    """Field at the permeate end: migration balances the charge carried by convection and diffusion."""
    z = core.charge
    drive = ion_sum(z * core.share * (core.convection * ratio - core.exchange * passage))
    return drive / (ion_sum(z * z * core.share * ratio) + tiny(ratio))


def _width(grading: Array, k: int | Array, segments: int | Array) -> Array:
    dtype = grading.dtype
    left, right = (jnp.asarray(k + i, dtype) / jnp.asarray(segments, dtype) for i in (0, 1))
    return node(grading, right) - node(grading, left)


def _combine(ratio: Array, slope: Array | None, finest: State) -> State:
    """Richardson combination of the pore entrance: linear, so that the charge sum survives.

    Where the grids disagree so much that a ratio would lose positivity, the finest one alone is taken.
    """
    good = jnp.all(ratio > 0.5 * finest.ratio, axis=0)
    if slope is not None:
        slope = jnp.where(good, slope, finest.slope)
    return State(jnp.where(good, ratio, finest.ratio), slope, finest.field)


def _contrast(best: Array, fewer: Array, finest: Array) -> Array:
    """Change by the last extrapolation over the change by the one before, largest relative changes of a ratio."""
    last, first = (jnp.max(jnp.abs(a - b) / finest, axis=0) for a, b in ((best, fewer), (fewer, finest)))
    return jnp.minimum(last / jnp.maximum(first, 1e-300 if first.dtype == jnp.float64 else 1e-37), 1.0)


class Entrance(NamedTuple):
    """The pore entrance by extrapolation, the same with the coarsest grid left out, and the finest grid alone."""

    best: State
    fewer: State
    finest: State


MOST = 16  # largest factor by which a set of grids may be finer than the first


def _repeat(step: Callable, unit: int, factor: int | Array, total: int | Array, reverse: bool, carry: tuple) -> tuple:
    """``step(p, carry)`` for ``p`` below ``total``. For reverse mode: ``factor`` units of ``unit`` steps, in a fixed loop that
    skips what is not asked for and computes each unit anew on the way back."""
    if not reverse:
        return jax.lax.fori_loop(0, total, step, carry)

    @jax.checkpoint
    def again(u: Array, carry: tuple) -> tuple:
        return jax.lax.scan(lambda c, i: (step(u * unit + i, c), None), carry, np.arange(unit, dtype=np.int32))[0]

    def maybe(carry: tuple, u: Array) -> tuple[tuple, None]:
        return jax.lax.cond(u < factor, again, lambda _, c: c, u, carry), None

    units = np.arange(MOST if isinstance(factor, Array) else factor, dtype=np.int32)
    return jax.lax.scan(maybe, carry, units)[0]


def across(core: Core, form: Form, passage: Array, grading: Array, levels: Levels, start: State) -> Entrance:
    """Pore entrance by extrapolation over the nested grids of ``levels``: one loop over the segments of all of them."""
    most = levels.order if isinstance(levels.order, int) else 2
    counts = levels.segments * 2 ** np.arange(most, dtype=np.int32)
    ends = np.cumsum(counts, dtype=np.int32)
    weights = jnp.asarray(_WEIGHTS.astype(passage.dtype))[levels.order]
    fewer_weights = np.concatenate([[0.0], _WEIGHTS[most - 1][:2]]).astype(passage.dtype)
    total = levels.factor * (ends[-1] if isinstance(levels.order, int) else jnp.asarray(ends)[levels.order - 1])
    zero = State(*(None if x is None else jnp.zeros_like(x) for x in start))

    def step(p: Array, carry: tuple[State, Array, State]) -> tuple[State, Array, State]:
        """One segment. Grids add to the sums at their last segment; the first one of each starts afresh."""
        sum_, less, state = carry
        grid = jnp.sum(p >= levels.factor * ends[:-1])
        segments = levels.factor * jnp.asarray(counts)[grid]
        k = p - levels.factor * jnp.asarray(ends - counts)[grid]
        weight, less_weight = (jnp.where(k == segments - 1, jnp.asarray(w)[grid], 0.0) for w in (weights, fewer_weights))
        state = State(*(None if x is None else jnp.where(k == 0, s0, x) for x, s0 in zip(state, start, strict=True)))
        new = segment(core, form, passage, _width(grading, k, segments), state)
        slope = None if new.slope is None else sum_.slope + weight * new.slope
        return State(sum_.ratio + weight * new.ratio, slope, new.field), less + less_weight * new.ratio, new

    carry = (zero, jnp.zeros_like(start.ratio), start)
    sum_, less, finest = _repeat(step, int(ends[-1]), levels.factor, total, form.reverse, carry)
    if most == 1:
        return Entrance(finest, finest, finest)
    fewer = _combine(less, None, State(finest.ratio, None, finest.field))
    return Entrance(_combine(sum_.ratio, sum_.slope, finest), fewer, finest)


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
    if not form.pressure:
        return core
    factor = jnp.exp(y[-2])
    names = ("convection", "exchange", "film_flux")
    return eqx.tree_at(lambda c: [getattr(c, n) for n in names], core, [getattr(core, n) * factor for n in names])


def exit_face(core: Core, form: Form, passage: Array, jacobian: bool) -> State:
    """Permeate to pore exit."""
    s = passage.shape[0]
    slope = passage[:, None] * identity(s + form.pressure, passage)[:s] if jacobian else None
    out = face(
        core,
        form,
        State(passage, slope, jnp.zeros_like(passage[0])),
        core.log_partition,
        core.wall,
        True,
        form.pore_activity,
    )
    return out


def entrance_face(core: Core, form: Form, inlet: State) -> State:
    """Pore entrance to the solution side of the interface."""
    return face(core, form, inlet, -core.log_partition, jnp.zeros_like(core.wall), form.pore_activity, True)


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
) -> Residual:
    """The K equations at ``y`` on the given grids. Without ``grading``, and where ``own``, the state's own rate is used."""
    core = at_flux(core, form, y)
    passage = jnp.exp(y[: core.charge.shape[0]])
    out = exit_face(core, form, passage, jacobian)
    out = State(out.ratio, out.slope, jnp.zeros_like(out.field))
    start_rate = _rate(core, passage, out)
    rate = jax.lax.stop_gradient(jnp.stack([start_rate, jnp.full_like(start_rate, 0.01)]))
    if form.scheme == "midpoint":  # a named discretisation on equal cells
        grading = jnp.full((2, *start_rate.shape), 1e-12, start_rate.dtype)
    else:
        grading = rate if grading is None else jnp.where(own, rate, grading)
    start = State(out.ratio, out.slope, first_field(core, passage, out.ratio))
    inlet, fewer, finest = across(core, form, passage, grading, levels, start)
    contrast = jnp.ones_like(start_rate)
    if estimate:  # both combinations through one compiled piece

        def upstream(ratio: Array) -> tuple[Array, State]:
            value, _, interface = _rows(core, form, y, passage, State(ratio, None, inlet.field))
            return value, interface

        rows, interfaces = jax.vmap(upstream)(jnp.stack([inlet.ratio, fewer.ratio]))
        value, slope, coarse, interface = rows[0], None, rows[1], jax.tree.map(lambda x: x[0], interfaces)
        contrast = _contrast(inlet.ratio, fewer.ratio, finest.ratio)
    else:
        value, slope, interface = _rows(core, form, y, passage, inlet)
        coarse = value
    asked = jax.lax.stop_gradient(jnp.stack([_rate(core, passage, start), _rate(core, passage, inlet)]))
    return Residual(value, slope, grading, asked, coarse, contrast, interface)
