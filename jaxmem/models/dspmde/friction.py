"""One pore segment whose ions also rub against one another (``PoreMembrane.friction``).

    c_i' + z_i c_i psi'/V_T = (J_v/D_p,i)(K_c,i c_i - c_p,i) - sum_j K_ij (v_i - v_j),     K_ij = c_i c_j/(c_tot D_ij),     v_i = J_v c_p,i/c_i

``K`` is symmetric and not negative (Onsager): friction dissipates, and its sum over ions vanishes. As ``K_ij (v_i - v_j) = J_v (c_j c_p,i - c_i c_p,j)/(c_tot D_ij)``
it adds to what convection and exchange are already: ``A_i + sum_j f_ij c_p,j/c_tot`` and ``B_i + sum_j f_ij c_j/c_tot``, ``f_ij = J_v dx_e/D_ij``. Both are taken
at the mean of the ends of a segment, so that errors stay even in its width. Maxwell-Stefan form after Krishna and Wesselingh 1997, doi
10.1016/S0009-2509(96)00458-7. Field and ratios of the new node are found together.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ...linalg.loops import repeated
from ...linalg.small_dense import apply, gauss_jordan, inverse
from .faces import State
from .kernels import Kernel, exponential
from .problem import Core, Form, charges, identity, ion_sum, tiny

# Steps of Newton, for the field and then for both: near enough for a step of the root finder; until nothing is left
_NEAR, _SETTLED = (2, 2), (5, 5)


class Segment(NamedTuple):
    """What is crossed, and from which ratios."""

    core: Core
    passage: Array  # (S, *b)
    h: Array  # (*b)
    ratio: Array  # (S, *b) at the permeate side


class Trial(NamedTuple):
    """A segment with friction, solved for a field."""

    ratio: Array  # (S, *b) at the feed side
    kernel: Kernel
    along: Array  # (S, *b) its derivative to a
    pull: Array  # (S, *b) what friction adds to A
    hold: Array  # (S, *b) and to B
    total: Array  # (*b) c_tot, of the mean


def _trial(at: Segment, new: Array, field: Array) -> Trial:
    """The feed side for a field, with the friction of the mean of old and ``new``."""
    core, mean = at.core, at.core.share * 0.5 * (at.ratio + new)
    total = ion_sum(mean) + tiny(field)
    pull, hold = (apply(core.friction, x) / total for x in (core.share * at.passage, mean))
    k = exponential(at.h * (core.convection + pull - core.charge * field))
    source = at.h * (core.exchange + hold) * at.passage
    found = k.decay * at.ratio + source * k.source
    return Trial(found, k, k.decay_slope * at.ratio + source * k.source_slope, pull, hold, total)


def _response(at: Segment, t: Trial) -> Array:
    """``d(new - trial)/d new``, ``(S, S, *b)``, at a given field."""
    share, passes = at.core.share[None], at.h * at.passage * t.kernel.source
    to_total = -(at.h * t.along * t.pull + passes * t.hold) / t.total
    moved = to_total[:, None] * share + (passes / t.total)[:, None] * at.core.friction * share
    return identity(share.shape[1], at.ratio) - 0.5 * moved


def _solved(at: Segment, t: Trial, rows: Array, charge: Array, differentiable: bool = True) -> tuple[Array, Array]:
    """Changes of ratios ``(S, R, *b)`` and field ``(R, *b)`` that add ``rows`` to ``new - trial`` and ``charge`` to the charge of the node."""
    to_field = -at.core.charge * at.h * t.along
    response, weight = _response(at, t), charges(at.core)[0]
    if differentiable:  # linear in rows, for reverse mode
        back = inverse(response)
        free, by_field = jnp.sum(back[:, :, None] * rows[None], axis=1), apply(back, to_field)
    else:
        moved = gauss_jordan(response, jnp.concatenate([rows, to_field[:, None]], axis=1))
        free, by_field = moved[:, :-1], moved[:, -1]
    d_field = (charge - ion_sum(weight[:, None] * free)) / (ion_sum(weight * by_field) + tiny(charge))
    return free + by_field[:, None] * d_field[None], d_field


@jax.custom_jvp
def settled(at: Segment, field: Array) -> tuple[Array, Array]:
    """Ratios at the feed side and the field, from a first ``field``."""
    return _found(at, field, *_SETTLED)


def _found(at: Segment, field: Array, of_field: int, of_both: int) -> tuple[Array, Array]:
    """After so many steps for the field with friction as before the segment, then for field and ratios."""
    core = at.core
    _, plus, minus = charges(core)
    x_plus, x_minus = jnp.maximum(core.wall, 0.0), jnp.maximum(-core.wall, 0.0)

    def first(_: Array | int, field: Array) -> Array:  # on ln P - ln N, as without friction
        t = _trial(at, at.ratio, field)
        to_field = -core.charge * at.h * t.along
        p, n = ion_sum(plus * t.ratio) + x_plus + tiny(field), ion_sum(minus * t.ratio) + x_minus + tiny(field)
        return field - jnp.log(p / n) / (ion_sum(plus * to_field) / p - ion_sum(minus * to_field) / n + tiny(field))

    def step(_: Array | int, now: tuple[Array, Array]) -> tuple[Array, Array]:
        new, field = now
        t = _trial(at, new, field)
        left = -ion_sum(charges(core)[0] * new) - core.wall
        d_new, d_field = _solved(at, t, (t.ratio - new)[:, None], left[None], False)
        return jnp.maximum(new + d_new[:, 0], 0.1 * new), field + d_field[0]

    field = repeated(of_field, first, field)
    return repeated(of_both, step, (_trial(at, at.ratio, field).ratio, field))


@settled.defjvp
def _settled_jvp(primals: tuple[Segment, Array], tangents: tuple[Segment, Array]):
    """Implicit: the first field does not matter."""
    (at, start), (d_at, _) = primals, tangents
    new, field = settled(at, start)

    def held(at: Segment) -> tuple[Array, Array]:
        return _trial(at, new, field).ratio, ion_sum(charges(at.core)[0] * new) + at.core.wall

    _, (rows, charge) = jax.jvp(held, (at,), (d_at,))
    d_new, d_field = _solved(at, _trial(at, new, field), rows[:, None], -charge[None])
    return (new, field), (d_new[:, 0], d_field[0])


def rubbing_segment(core: Core, form: Form, passage: Array, h: Array, state: State) -> State:
    """Carry ratios across one segment of width ``h``, and their slopes where there are any."""
    at = Segment(core, passage, h + 0.0 * core.wall, state.ratio)
    if state.slope is None or form.reverse:
        new, field = settled(at, state.field)
    else:
        new, field = _found(at, state.field, *_NEAR)
    if state.slope is None:
        return State(new, None, field)
    t, s = _trial(at, new, field), core.charge.shape[0]
    passes = at.h * at.passage * t.kernel.source
    old = identity(s, new) - _response(at, t)  # the mean knows the permeate side as well
    mixed = lambda columns: jnp.sum(old[:, :, None] * columns[None], axis=1)
    to_passage = (passes * (core.exchange + t.hold))[:, None] * identity(s, new)
    to_passage += (at.h * t.along / t.total)[:, None] * core.friction * (core.share * passage)[None]
    rows = t.kernel.decay[:, None] * state.slope + mixed(state.slope)
    rows = rows.at[:, :s].add(to_passage)
    if form.pressure:  # column of q: convection, exchange and friction are proportional to the flux
        own = at.h * t.along * (core.convection + t.pull) + passes * (core.exchange + t.hold)
        rows = rows.at[:, s].add(own)
    return State(new, _solved(at, t, rows, jnp.zeros_like(rows[0]), form.reverse)[0], field)
