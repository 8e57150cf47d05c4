"""Across one layer of the pore, from its permeate side to its feed side, with the exact Jacobian carried along.

Segments of constant field (``kernels.py``) whose nodes are neutral, on three nested grids, extrapolated (Richardson).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import custom_vmap

from ...linalg.loops import in_units, repeated
from .active import active_segment
from .faces import State
from .friction import rubbing_segment
from .kernels import SCHEMES, Kernel
from .problem import Core, Form, identity, ion_sum, rough_log, tiny


class Levels(NamedTuple):
    """Nested grids of ``m``, ``2 m``, ... segments, ``m = factor * segments``, and Richardson extrapolation over the first
    ``order`` of them. A traced ``factor`` (a power of two) and, running forward, a traced ``order`` (1 or 2) serve all sets of
    grids with one compiled program."""

    segments: int
    order: int | Array = 3
    factor: int | Array = 1


# Errors are h^2, h^4, ...: weights of the grids, coarsest first, by order
_WEIGHTS = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [-1 / 3, 4 / 3, 0.0], [1 / 45, -20 / 45, 64 / 45]])


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
    k = SCHEMES[scheme](slab.drift - slab.charge * (slab.h * field))
    if jax.default_backend() == "cpu":  # computed once; an accelerator has it in the kernels that read it
        k = jax.lax.optimization_barrier(k)
    return k, k.decay * slab.ratio + slab.source * k.source, k.decay_slope * slab.ratio + slab.source * k.source_slope


class Balance(NamedTuple):
    """A segment whose feed side is neutral."""

    ratio: Array  # (S, *b) at the feed side
    field: Array  # (*b)
    kernel: Kernel  # at the last trial, and
    along: Array  # (S, *b) the derivative of the ratios to a there
    miss: Array  # (*b) relative error of the ratios left by the last step, which is linear


def _balanced(scheme: str, slab: Slab, field: Array, steps: int) -> Balance:
    """The field that makes the feed side neutral, from a first ``field``: ``steps`` of Newton on ``ln(P/N)``, and one on the plain sum."""
    zb, guard = slab.charge * slab.share, tiny(slab.ratio)
    plus, minus = jnp.maximum(zb, 0.0), jnp.maximum(-zb, 0.0)
    x_plus, x_minus = jnp.maximum(slab.wall, 0.0), jnp.maximum(-slab.wall, 0.0)

    def step(_: Array | int, field: Array) -> Array:
        new, along = _trial(scheme, slab, field)[1:]
        to_field = -slab.charge * slab.h * along
        p, n = ion_sum(plus * new) + x_plus + guard, ion_sum(minus * new) + x_minus + guard
        if scheme == "midpoint":  # ratios may turn negative: no logarithm
            return field - (p - n) / (ion_sum(zb * to_field) + guard)
        d_log = ion_sum(plus * to_field) / p - ion_sum(minus * to_field) / n
        return field - rough_log(p / n) / (d_log + guard)

    if steps > 2:
        field = repeated(steps, step, field)
    else:
        for i in range(steps):
            field = step(i, field)
    kernel, new, along = _trial(scheme, slab, field)
    to_field = -slab.charge * slab.h * along
    correction = -(ion_sum(zb * new) + slab.wall) / (ion_sum(zb * to_field) + guard)
    change = to_field * correction
    new = new + change
    return Balance(
        new, field + correction, kernel, along, jnp.max(jnp.abs(change) / (jnp.abs(new) + guard), axis=0) ** 2
    )


_SETTLED = {"exponential": 5, "midpoint": 24}  # steps until nothing is left, but for a lane in many thousands


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def neutral(scheme: str, slab: Slab, field: Array) -> tuple[Array, Array]:
    """Ratios at the feed side and the field that makes them neutral, from a first ``field``."""
    found = _balanced(scheme, slab, field, _SETTLED[scheme])
    return found.ratio, found.field


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


def _slab(core: Core, passage: Array, h: Array, state: State) -> Slab:
    source = h * core.exchange * passage
    return Slab(core.charge, core.share, core.wall, core.convection * h, source, h + 0.0 * core.wall, state.ratio)


def nearly_known(core: Core, form: Form, passage: Array, h: Array, state: State) -> tuple[State, Array]:
    """``segment`` without slope where the field of ``state`` is that of a state near by: one step, and the error that it may leave."""
    found = _balanced(form.scheme, _slab(core, passage, h, state), state.field, steps=1)
    return State(found.ratio, None, found.field), found.miss


def segment(core: Core, form: Form, passage: Array, h: Array, state: State) -> State:
    """Carry ratios across one segment of width ``h``; the field is the one that keeps the new node neutral."""
    if form.activity_gradient:
        return active_segment(core, form, passage, h, state)
    if core.friction is not None:
        return rubbing_segment(core, form, passage, h, state)
    slab = _slab(core, passage, h, state)
    if state.slope is None:
        ratio, field = neutral(form.scheme, slab, state.field)
        return State(ratio, None, field)

    z, source = core.charge, slab.source
    if form.reverse:
        ratio, field = neutral(form.scheme, slab, state.field)
        k, _, along = _trial(form.scheme, slab, field)
    else:  # kernel and slope of the last trial: near enough for a step of Newton
        steps = 2 if form.scheme == "exponential" else _SETTLED[form.scheme]
        ratio, field, k, along, _ = _balanced(form.scheme, slab, state.field, steps)
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


def rate(core: Core, passage: Array, state: State) -> Array:
    """Relative rate of change of the composition per pore length, migration included."""
    z2b = core.charge**2 * core.share
    change = (core.convection - core.charge * state.field) * state.ratio - core.exchange * passage
    return ion_sum(z2b * jnp.abs(change)) / (ion_sum(z2b * state.ratio) + tiny(change)) + 0.01


def first_field(core: Core, passage: Array, ratio: Array) -> Array:
    """Field at the permeate end: migration balances the charge carried by convection and diffusion."""
    z = core.charge
    drive = ion_sum(z * core.share * (core.convection * ratio - core.exchange * passage))
    return drive / (ion_sum(z * z * core.share * ratio) + tiny(ratio))


def _combine(ratio: Array, slope: Array | None, finest: State) -> State:
    """Richardson combination of the pore entrance: linear, so that the charge sum survives.

    Where the grids disagree so much that a ratio would lose positivity, the finest one alone is taken.
    """
    good = jnp.all(ratio > 0.5 * finest.ratio, axis=0)
    if slope is not None:
        slope = jnp.where(good, slope, finest.slope)
    return State(jnp.where(good, ratio, finest.ratio), slope, finest.field)


def contrast(best: Array, fewer: Array, finest: Array) -> Array:
    """Change by the last extrapolation over the change by the one before, largest relative changes of a ratio."""
    last, first = (jnp.max(jnp.abs(a - b) / finest, axis=0) for a, b in ((best, fewer), (fewer, finest)))
    return jnp.minimum(last / jnp.maximum(first, 1e-300 if first.dtype == jnp.float64 else 1e-37), 1.0)


class Entrance(NamedTuple):
    """The pore entrance by extrapolation, the same with the coarsest grid left out, and the finest grid alone."""

    best: State
    fewer: State
    finest: State
    fields: "Fields | None" = None


class Fields(NamedTuple):
    """The fields of all segments at one state, from which those of a state near by are a step away."""

    field: Array  # (segments of all grids, *b)
    known: Array  # () False: not yet
    miss: Array  # (*b) relative errors of the ratios by taking one step only, summed over the segments


def unknown_fields(levels: Levels, wall: Array) -> Fields:
    """Room for the fields of all three grids, before any is known."""
    count = 7 * levels.segments * (MOST if isinstance(levels.factor, Array) else levels.factor)
    return Fields(jnp.zeros((count, *wall.shape), wall.dtype), jnp.asarray(False), jnp.full_like(wall, jnp.inf))


MOST = 16  # largest factor by which a set of grids may be finer than the first


@custom_vmap
def highest(number: Array) -> Array:
    """The largest of all lanes, one number for all of them: under ``vmap``, a loop may then skip what none of them needs."""
    return jnp.max(number)


@highest.def_vmap
def _highest_of_lanes(size: int, batched: list, number: Array) -> tuple[Array, bool]:
    return highest(number), False


def _repeat(step: Callable, levels: Levels, unit: int, total: int | Array, reverse: bool, carry: tuple) -> tuple:
    """``step(p, carry)`` for ``p`` below ``total``. For reverse mode: ``levels.factor`` units of ``unit`` steps, in a fixed loop that
    skips what is not asked for and computes each unit anew on the way back."""
    if not reverse:
        return in_units(total, levels.segments, step, carry)
    factor = levels.factor

    @jax.checkpoint
    def again(u: Array, carry: tuple) -> tuple:
        return jax.lax.scan(lambda c, i: (step(u * unit + i, c), None), carry, np.arange(unit, dtype=np.int32))[0]

    top = highest(jnp.asarray(factor, jnp.int32))

    def mine(u: Array, carry: tuple) -> tuple:
        return jax.tree.map(lambda new, old: jnp.where(u < factor, new, old), again(u, carry), carry)

    def maybe(carry: tuple, u: Array) -> tuple[tuple, None]:
        return jax.lax.cond(u < top, mine, lambda _, c: c, u, carry), None

    units = np.arange(MOST if isinstance(factor, Array) else factor, dtype=np.int32)
    return jax.lax.scan(maybe, carry, units)[0]


def across(
    core: Core, form: Form, passage: Array, grading: Array, levels: Levels, start: State, near: Fields | None = None
) -> Entrance:
    """Pore entrance by extrapolation over the nested grids of ``levels``: one loop over the segments of all of them."""
    most = levels.order if isinstance(levels.order, int) else 2
    counts = levels.segments * 2 ** np.arange(most, dtype=np.int32)
    ends = np.cumsum(counts, dtype=np.int32)
    weights = jnp.asarray(_WEIGHTS.astype(passage.dtype))[levels.order]
    fewer_weights = np.concatenate([[0.0], _WEIGHTS[most - 1][:2]]).astype(passage.dtype)
    total = levels.factor * (int(ends[-1]) if isinstance(levels.order, int) else jnp.asarray(ends)[levels.order - 1])
    zero = State(*(None if x is None else jnp.zeros_like(x) for x in start))

    def step(p: Array, carry: tuple) -> tuple:
        """One segment. Grids add to the sums at their last segment; the first one of each starts afresh."""
        sum_, less, state, left, fields = carry
        grid = sum((jnp.asarray(p >= levels.factor * end, np.int32) for end in ends[:-1]), np.int32(0))
        segments = levels.factor * jnp.asarray(counts)[grid]
        k = p - levels.factor * jnp.asarray(ends - counts)[grid]
        weight, less_weight = (
            jnp.where(k == segments - 1, jnp.asarray(w)[grid], 0.0) for w in (weights, fewer_weights)
        )
        state = State(*(None if x is None else jnp.where(k == 0, s0, x) for x, s0 in zip(state, start, strict=True)))
        right = node(grading, jnp.asarray(k + 1, grading.dtype) / jnp.asarray(segments, grading.dtype))
        h = right - jnp.where(k == 0, 0.0, left)
        if fields is None:
            new = segment(core, form, passage, h, state)
        else:
            before = jax.lax.dynamic_index_in_dim(fields.field, p, keepdims=False)
            state = state._replace(field=jnp.where(fields.known & jnp.isfinite(before), before, state.field))
            new, miss = nearly_known(core, form, passage, h, state)
            miss = jnp.where(p == 0, 0.0, fields.miss) + miss
            field = jax.lax.dynamic_update_index_in_dim(fields.field, new.field, p, axis=0)
            fields = fields._replace(field=field, miss=miss)
        slope = None if new.slope is None else sum_.slope + weight * new.slope
        sum_ = State(sum_.ratio + weight * new.ratio, slope, new.field)
        return sum_, less + less_weight * new.ratio, new, right, fields

    carry = (zero, jnp.zeros_like(start.ratio), start, jnp.zeros_like(grading[0]), near)
    sum_, less, finest, _, fields = _repeat(step, levels, int(ends[-1]), total, form.reverse, carry)
    if most == 1:
        return Entrance(finest, finest, finest)
    if fields is not None:
        fields = fields._replace(known=jnp.asarray(True))
    medium = 4.0 * finest.ratio - 3.0 * less  # where extrapolation fails, so that the estimate of the error is no zero
    fewer = State(jnp.where(jnp.all(less > 0.5 * finest.ratio, axis=0), less, medium), None, finest.field)
    return Entrance(_combine(sum_.ratio, sum_.slope, finest), fewer, finest, fields)
