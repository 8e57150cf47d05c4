"""One pore segment that also feels the gradient of the activity coefficients (``activity_gradient=True``).

    c_i' = (J_v/D_p,i)(K_c,i c_i - c_p,i) - c_i (z_i psi' F/RT + d ln gamma_i/dx),      ln gamma_i = -A ln(10) z_i^2 f(I)

Field and gradient are constant along a segment: ``a_i = A_i h - z_i U h + z_i^2 w`` with ``w = A ln(10) (f(I_old) - f(I_new))``; ``U`` keeps the new node
neutral, ``w`` agrees with its ionic strength. Both are found together. Geraldes and Brites Alves 2008, doi 10.1016/j.memsci.2008.04.054.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ...linalg.loops import repeated
from .faces import State, davies, ionic_strength
from .kernels import Kernel, exponential
from .problem import Core, Form, charges, identity, ion_sum, tiny

_STEPS = 4  # of Newton; the last segment's field is near


class Segment(NamedTuple):
    """What is crossed, and from which ratios."""

    core: Core
    source: Array  # (S, *b) B h e^t
    h: Array  # (*b)
    ratio: Array  # (S, *b) at the permeate side


def _trial(at: Segment, field: Array, lift: Array) -> tuple[Kernel, Array, Array]:
    """Kernel, ratios at the feed side, and their derivative to ``a``."""
    z = at.core.charge
    k = exponential(at.core.convection * at.h - z * (at.h * field) + z * z * lift)
    return k, k.decay * at.ratio + at.source * k.source, k.decay_slope * at.ratio + at.source * k.source_slope


def _gamma(core: Core, form: Form, ratio: Array) -> tuple[Array, Array]:
    """``A ln(10) f(I)`` and its derivative to each ratio."""
    strength = ionic_strength(core, form, ratio)
    f, slope = davies(strength.log, form.davies_b)
    return core.debye * f, core.debye * slope * strength.weight / ratio


def _rows(at: Segment, form: Form, new: Array, lift: Array) -> tuple[Array, Array]:
    """Charge of the new node, and what ``w`` misses."""
    zb = charges(at.core)[0]
    return ion_sum(zb * new) + at.core.wall, lift - _gamma(at.core, form, at.ratio)[0] + _gamma(at.core, form, new)[0]


def _respond(at: Segment, form: Form, new: Array, along: Array, row: Array, charge: Array, miss: Array) -> tuple[Array, Array]:  # fmt: skip
    """Changes of ``U`` and ``w`` that add ``charge`` and ``miss``, both ``(..., *b)``, to ``sum row c`` and to what ``w`` misses."""
    z, to = at.core.charge, _gamma(at.core, form, new)[1]
    to_field, to_lift = -z * at.h * along, z * z * along
    a11, a12 = ion_sum(row * to_field) + tiny(new), ion_sum(row * to_lift)
    a21, a22 = ion_sum(to * to_field), 1.0 + ion_sum(to * to_lift)
    det = a11 * a22 - a12 * a21
    det = jnp.where(det == 0.0, tiny(new), det)
    return (a22 * charge - a12 * miss) / det, (a11 * miss - a21 * charge) / det


def _moved(at: Segment, along: Array, d_field: Array, d_lift: Array) -> Array:
    """What these changes do to the ratios, linearised."""
    z = at.core.charge
    return z * along * (z * d_lift - at.h * d_field)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def settled(form: Form, at: Segment, field: Array) -> tuple[Array, Array, Array]:
    """Ratios at the feed side, ``U`` and ``w``, from a first ``field``."""
    core = at.core
    _, plus, minus = charges(core)
    x_plus, x_minus = jnp.maximum(core.wall, 0.0), jnp.maximum(-core.wall, 0.0)

    def step(_: Array | int, now: tuple[Array, Array]) -> tuple[Array, Array]:  # on ln P - ln N
        new, along = _trial(at, *now)[1:]
        p, n = ion_sum(plus * new) + x_plus + tiny(new), ion_sum(minus * new) + x_minus + tiny(new)
        miss = _rows(at, form, new, now[1])[1]
        d_field, d_lift = _respond(at, form, new, along, plus / p - minus / n, -jnp.log(p / n), -miss)
        return now[0] + d_field, now[1] + jnp.clip(d_lift, -1.0, 1.0)

    field, lift = repeated(_STEPS, step, (field, jnp.zeros_like(field)))
    new, along = _trial(at, field, lift)[1:]
    charge, miss = _rows(at, form, new, lift)  # one step on the plain sums
    d_field, d_lift = _respond(at, form, new, along, charges(core)[0], -charge, -miss)
    return new + _moved(at, along, d_field, d_lift), field + d_field, lift + d_lift


@settled.defjvp
def _settled_jvp(form: Form, primals: tuple[Segment, Array], tangents: tuple[Segment, Array]):
    """Implicit: the first field does not matter."""
    (at, start), (d_at, _) = primals, tangents
    new, field, lift = settled(form, at, start)

    def held(at: Segment) -> tuple[Array, Array, Array]:
        ratio = _trial(at, field, lift)[1]
        return ratio, *_rows(at, form, ratio, lift)

    _, (d_new, d_charge, d_miss) = jax.jvp(held, (at,), (d_at,))
    along = _trial(at, field, lift)[2]
    d_field, d_lift = _respond(at, form, new, along, charges(at.core)[0], -d_charge, -d_miss)
    return (new, field, lift), (d_new + _moved(at, along, d_field, d_lift), d_field, d_lift)


def active_segment(core: Core, form: Form, passage: Array, h: Array, state: State) -> State:
    """Carry ratios across one segment of width ``h``, and their slopes where there are any."""
    source = h * core.exchange * passage
    at = Segment(core, source, h + 0.0 * core.wall, state.ratio)
    new, field, lift = settled(form, at, state.field)
    if state.slope is None:
        return State(new, None, field)
    k, _, along = _trial(at, field, lift)
    s, columns = core.charge.shape[0], state.slope.shape[1]
    lifted = k.decay[:, None] * state.slope + (source * k.source)[:, None] * identity(columns, source)[:s]
    if form.pressure:  # column of q: convection and exchange are proportional to the flux
        lifted = lifted.at[:, s].add(source * k.source + core.convection * h * along)
    before, after, zb = _gamma(core, form, state.ratio)[1], _gamma(core, form, new)[1], charges(core)[0]
    charge = ion_sum(zb[:, None] * lifted)
    miss = ion_sum(after[:, None] * lifted) - ion_sum(before[:, None] * state.slope)
    d_field, d_lift = _respond(at, form, new, along, zb, -charge, -miss)
    moved = jax.vmap(lambda f, w: _moved(at, along, f, w), out_axes=1)(d_field, d_lift)
    return State(new, lifted + moved, field)
