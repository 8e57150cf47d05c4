"""Equilibrium across a face of the pore: partition, dielectric exclusion, Donnan potential, activity.

    c_out gamma_out = c_in gamma_in exp(jump - z phi),      sum z c_out + X = 0

Ideal: one monotone equation in ``phi``. With activity behind the face its ionic strength is solved along with ``phi``.
The equations are posed on ``ln(positive charge) - ln(negative charge)``, whose slope stays between about -1 and -2 z_max.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ...linalg.loops import repeated
from .problem import Core, Form, charges, ion_sum, tiny


class State(NamedTuple):
    """A position on the march: ratios, their derivative to the unknowns (or None), the field last used."""

    ratio: Array  # (S, *b)
    slope: Array | None  # (S, K, *b)
    field: Array  # (*b)


def davies(log_strength: Array, b: float) -> tuple[Array, Array]:
    """``f(I)`` of Davies and ``I f'(I)``, with ``ln gamma = -A ln(10) z^2 f``; ``ln I`` in mol/L (or molal)."""
    strength = jnp.exp(log_strength)
    root = jnp.exp(0.5 * log_strength)
    return root / (1.0 + root) - b * strength, 0.5 * root / (1.0 + root) ** 2 - b * strength


class Strength(NamedTuple):
    """Ionic strength at a position."""

    log: Array  # (*b) ln I
    weight: Array  # (S, *b) d ln I / d ln c_i


def ionic_strength(core: Core, form: Form, ratio: Array) -> Strength:
    """Molar ``I = 1/2 sum z^2 c``, or molal: the same per kilogram of solvent."""
    part = core.charge**2 * core.share * ratio
    total = ion_sum(part) + tiny(ratio)
    log, weight = jnp.log(0.5 * core.strength * total), part / total
    if form.molal:
        mass = core.solute_mass * ratio
        solvent = jnp.maximum(1.0 - ion_sum(mass), 0.05)
        log, weight = log - jnp.log(solvent), weight + mass / solvent
    return Strength(log, weight)


def _symmetric_start(plus: Array, minus: Array, u: Array, wall: Array) -> Array:
    """Potential of the 1:1 salt with the same charges on both sides: exact for it, near for others."""
    positive, negative = ion_sum(plus * u) + tiny(u), ion_sum(minus * u) + tiny(u)
    s = jnp.abs(wall) + jnp.sqrt(wall * wall + 4.0 * positive * negative)
    s = jnp.maximum(s, 2.0 * tiny(u))  # no ions at all: no potential
    return jnp.log(jnp.where(wall >= 0.0, s / (2.0 * negative), 2.0 * positive / s))


def _charge_row(core: Core, wall: Array, c: Array) -> tuple[Array, Array]:
    """``ln(P/N)`` and its derivative to each ``ln c``; the wall counts on its own side."""
    zb, plus, minus = charges(core)
    p = ion_sum(plus * c) + jnp.maximum(wall, 0.0) + tiny(c)
    n = ion_sum(minus * c) + jnp.maximum(-wall, 0.0) + tiny(c)
    return jnp.log(p / n), jnp.where(zb > 0.0, plus / p, -minus / n) * c


def _ideal_potential(core: Core, log_u: Array, wall: Array, steps: int) -> Array:
    _, plus, minus = charges(core)

    def step(_: Array | int, phi: Array) -> Array:
        row, weight = _charge_row(core, wall, jnp.exp(log_u - core.charge * phi))
        return phi + row / (ion_sum(weight * core.charge) + tiny(row))

    return repeated(steps, step, _symmetric_start(plus, minus, jnp.exp(log_u), wall))


def _davies_potential(core: Core, form: Form, plain: Array, log_u: Array, wall: Array) -> tuple[Array, Array]:
    """``phi`` and ``ln I`` behind the face by a 2 x 2 Newton; ``plain`` is ``log_u`` without activity, for the start."""
    z = core.charge

    def step(_: Array | int, at: tuple[Array, Array]) -> tuple[Array, Array]:
        phi, log_i = at
        f, df = davies(log_i, form.davies_b)
        c = jnp.exp(log_u - z * phi + core.debye * f * z * z)
        row, weight = _charge_row(core, wall, c)
        now = ionic_strength(core, form, c)
        lift = core.debye * df * z * z  # d ln c / d ln I
        a11, a12 = -ion_sum(weight * z) - tiny(row), ion_sum(weight * lift)
        a21, a22, strength_row = ion_sum(now.weight * z), 1.0 - ion_sum(now.weight * lift), log_i - now.log
        det = a11 * a22 - a12 * a21
        det = jnp.where(jnp.abs(det) > 1e-12, det, -1e-12)
        to_phi, to_log = (a22 * row - a12 * strength_row) / det, (a11 * strength_row - a21 * row) / det
        return phi - jnp.clip(to_phi, -8.0, 8.0), log_i - jnp.clip(to_log, -3.0, 3.0)

    phi = _ideal_potential(core, plain, wall, 3)
    log_i = ionic_strength(core, form, jnp.exp(plain - z * phi)).log
    return repeated(form.face_steps, step, (phi, jnp.minimum(log_i, _LOG_STRONG)))


_LOG_STRONG = 1.0  # ln of mol/L: where ideal solutions would be stronger, activity keeps ions out; start from below


class Behind(NamedTuple):
    """The solution of a face: what is found behind it."""

    ratio: Array  # (S, *b) c
    phi: Array  # (*b)
    log_strength: Array  # (*b) ln I; zero when ideal


def _log_ratio(core: Core, form: Form, log_u: Array, phi: Array, log_i: Array, active: bool) -> Array:
    z = core.charge
    log_c = log_u - z * phi
    return log_c + core.debye * davies(log_i, form.davies_b)[0] * z * z if active else log_c


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def equilibrium(form: Form, active: bool, core: Core, log_u: Array, plain: Array, wall: Array) -> Behind:
    """Potential (and, ``active``, ionic strength) behind a face, from ``ln c`` at zero potential and unit activity."""
    if active:
        phi, log_i = _davies_potential(core, form, plain, log_u, wall)
    else:
        phi = _ideal_potential(core, log_u, wall, 3)
        log_i = jnp.zeros_like(phi)
    log_c = _log_ratio(core, form, log_u, phi, log_i, active)
    c = jnp.exp(log_c)
    zbc = charges(core)[0] * c
    correction = (ion_sum(zbc) + wall) / (ion_sum(core.charge * zbc) + tiny(phi))  # one step on the plain charge sum
    return Behind(c * (1.0 + jnp.maximum(-core.charge * correction, -0.9)), phi + correction, log_i)


@equilibrium.defjvp
def _equilibrium_jvp(form: Form, active: bool, primals: tuple, tangents: tuple):
    """Implicit in the potential and the ionic strength."""
    core, log_u, plain, wall = primals
    out = equilibrium(form, active, core, log_u, plain, wall)
    c = out.ratio

    def held(core: Core, log_u: Array, wall: Array) -> tuple[Array, ...]:
        log_c = _log_ratio(core, form, log_u, out.phi, out.log_strength, active)
        charge = ion_sum(core.charge * core.share * jnp.exp(log_c)) + wall
        return log_c, charge, -ionic_strength(core, form, jnp.exp(log_c)).log if active else charge

    _, (d_log_c, d_charge, d_row) = jax.jvp(held, (core, log_u, wall), (tangents[0], tangents[1], tangents[3]))
    d_phi, d_log_i = respond(core, form, c, out.log_strength, -d_charge, -d_row, active)
    d_log_c = d_log_c - core.charge * d_phi
    if active:
        d_log_c = d_log_c + core.debye * davies(out.log_strength, form.davies_b)[1] * core.charge**2 * d_log_i
    return out, Behind(c * d_log_c, d_phi, d_log_i)


def respond(
    core: Core, form: Form, c: Array, log_i: Array, charge: Array, row: Array, active: bool
) -> tuple[Array, Array]:
    """Change of ``phi`` and ``ln I`` that adds ``charge`` to ``sum z b c`` and ``row`` to ``ln I - ln I(c)``."""
    zbc, z = charges(core)[0] * c, core.charge
    stiff = ion_sum(zbc * z) + tiny(c)
    if not active:
        return -charge / stiff, jnp.zeros_like(charge)
    lift, now = core.debye * davies(log_i, form.davies_b)[1] * z * z, ionic_strength(core, form, c)
    coupling, turn = ion_sum(zbc * lift) / stiff, ion_sum(now.weight * z)
    own = 1.0 - ion_sum(now.weight * lift) + turn * coupling
    d_log = (row + turn * charge / stiff) / own
    return coupling * d_log - charge / stiff, d_log


def face(core: Core, form: Form, state: State, jump: Array, wall: Array, gamma_in: bool, gamma_out: bool) -> State:
    """Cross a face: the ratios behind it, their slope, and ``phi``, the potential behind minus before (in RT/F)."""
    z = core.charge
    z2 = z * z
    if form.scheme == "midpoint":  # see the rows of absent ions in the march
        state = state._replace(ratio=jnp.where(core.share > 0.0, state.ratio, jnp.maximum(state.ratio, 1e-30)))
    log_u = plain = jnp.log(state.ratio) + jump
    inside, behind = form.activity and gamma_in, form.activity and gamma_out
    if inside:
        before = ionic_strength(core, form, state.ratio)
        f_in, df_in = davies(before.log, form.davies_b)
        log_u = log_u - core.debye * f_in * z2
    found = equilibrium(form, behind, core, log_u, plain, wall)
    c = found.ratio
    if state.slope is None:
        return State(c, None, found.phi)

    u = state.slope / state.ratio[:, None]  # d ln c at constant phi and ln I
    if inside:
        u = u - (core.debye * df_in * z2)[:, None] * ion_sum(before.weight[:, None] * u)[None]
    charge = -ion_sum((charges(core)[0] * c)[:, None] * u)
    row = ion_sum(ionic_strength(core, form, c).weight[:, None] * u) if behind else charge
    d_phi, d_log = respond(core, form, c, found.log_strength, charge, row, behind)
    u = u - z[:, None] * d_phi[None]
    if behind:
        u = u + (core.debye * davies(found.log_strength, form.davies_b)[1] * z2)[:, None] * d_log[None]
    return State(c, c[:, None] * u, found.phi)
