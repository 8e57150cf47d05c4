"""Equilibrium across a face of the pore: partition, dielectric exclusion, Donnan potential, activity.

    c_out gamma_out = c_in gamma_in exp(jump - z phi),      sum z c_out + X = 0

Ideal: one monotone equation in ``phi``. With activity behind the face its ionic strength is solved along with ``phi``.
The equations are posed on ``ln(positive charge) - ln(negative charge)``, whose slope stays between about -1 and -2 z_max.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

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
    return jnp.where(wall >= 0.0, jnp.log(s / (2.0 * negative)), -jnp.log(s / (2.0 * positive)))


def _charge_row(core: Core, wall: Array, c: Array) -> tuple[Array, Array]:
    """``ln P - ln N`` and its derivative to each ``ln c``; the wall counts on its own side."""
    zb, plus, minus = charges(core)
    p = ion_sum(plus * c) + jnp.maximum(wall, 0.0) + tiny(c)
    n = ion_sum(minus * c) + jnp.maximum(-wall, 0.0) + tiny(c)
    return jnp.log(p) - jnp.log(n), jnp.where(zb > 0.0, plus / p, -minus / n) * c


def _settled(step: Callable, start: Any, count: int, differentiable: int) -> Any:
    """Newton steps: the first ones in a loop without derivative, the last ones with.

    ``k`` differentiable steps from the root are exact to order ``2^k - 1``; the linear step that follows adds one more.
    """
    held = jax.lax.stop_gradient(
        jax.lax.fori_loop(0, count - differentiable, lambda _, x: step(x), jax.lax.stop_gradient(start))
    )
    for _ in range(differentiable):
        held = step(held)
    return held


def _ideal_potential(core: Core, log_u: Array, wall: Array, steps: int, differentiable: int) -> Array:
    _, plus, minus = charges(core)

    def step(phi: Array) -> Array:
        row, weight = _charge_row(core, wall, jnp.exp(log_u - core.charge * phi))
        return phi + row / (ion_sum(weight * core.charge) + tiny(row))

    return _settled(step, _symmetric_start(plus, minus, jnp.exp(log_u), wall), steps, differentiable)


def _davies_potential(core: Core, form: Form, plain: Array, log_u: Array, wall: Array) -> tuple[Array, Array]:
    """``phi`` and ``ln I`` behind the face by a 2 x 2 Newton; ``plain`` is ``log_u`` without activity, for the start."""
    z = core.charge

    def step(at: tuple[Array, Array]) -> tuple[Array, Array]:
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

    phi = _ideal_potential(core, plain, wall, 3, 0)
    return _settled(
        step, (phi, ionic_strength(core, form, jnp.exp(plain - z * phi)).log), form.face_steps, 2 * form.differentiable
    )


def face(core: Core, form: Form, state: State, jump: Array, wall: Array, gamma_in: bool, gamma_out: bool) -> State:
    """Cross a face: the ratios behind it, their slope, and ``phi``, the potential behind minus before (in RT/F)."""
    z, zb = core.charge, charges(core)[0]
    z2 = z * z
    if form.scheme == "midpoint":  # see the rows of absent ions in the march
        state = state._replace(ratio=jnp.where(core.share > 0.0, state.ratio, jnp.maximum(state.ratio, 1e-30)))
    log_u = plain = jnp.log(state.ratio) + jump
    inside, behind = form.activity and gamma_in, form.activity and gamma_out
    if inside:
        before = ionic_strength(core, form, state.ratio)
        f_in, df_in = davies(before.log, form.davies_b)
        log_u = log_u - core.debye * f_in * z2
    if behind:
        phi, log_i = _davies_potential(core, form, plain, log_u, wall)
        f, df = davies(log_i, form.davies_b)
        c = jnp.exp(log_u - z * phi + core.debye * f * z2)
    else:
        phi = _ideal_potential(core, log_u, wall, 4, 1 * form.differentiable)
        c = jnp.exp(log_u - z * phi)
    stiff = ion_sum(zb * z * c) + tiny(phi)
    correction = (ion_sum(zb * c) + wall) / stiff  # one linear step on the plain charge sum
    c = c * (1.0 - z * correction)
    if state.slope is None:
        return State(c, None, phi + correction)

    u = state.slope / state.ratio[:, None]  # d ln c at constant phi and ln I
    if inside:
        u = u - (core.debye * df_in * z2)[:, None] * ion_sum(before.weight[:, None] * u)[None]
    d_phi = ion_sum((zb * c)[:, None] * u) / stiff
    if behind:
        lift, now = core.debye * df * z2, ionic_strength(core, form, c)
        coupling = ion_sum(zb * c * lift) / stiff
        own = 1.0 - ion_sum(now.weight * lift) + ion_sum(now.weight * z) * coupling
        d_log = (ion_sum(now.weight[:, None] * u) - ion_sum(now.weight * z) * d_phi) / own
        d_phi = d_phi + coupling * d_log
        u = u + lift[:, None] * d_log[None]
    return State(c, c[:, None] * (u - z[:, None] * d_phi[None]), phi + correction)
