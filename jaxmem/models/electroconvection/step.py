"""One step in time: flow, potential with implicit charge, and each ion by columns and rows (split, first order)."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ...linalg.tridiagonal_rows import solve_rows
from .domain import Domain, Salt, right
from .flow import Velocity, driven
from .potential import change, coefficients, right_hand_side
from .transport import divergence, fluxes


class Fields(NamedTuple):
    """A state: both ions ``(2, Ny, Nx)``, the potential, its last change ``(Ny, Nx)``, and the voltage it belongs to."""

    c: Array
    phi: Array
    trend: Array
    voltage: Array


class Numerics(NamedTuple):
    """What a step does beyond the equations."""

    iterations: int  # of conjugate gradients
    central: bool  # along x


class Seen(NamedTuple):
    """What one step tells."""

    current_low: Array  # mean over the lower wall, what the step used
    current_high: Array
    u: Array  # largest velocities
    v: Array
    field: Array  # largest |E_x|
    unsolved: Array  # residual of the potential, over the charge
    salt: Array  # change of both ions less what came through the walls, (2,)
    least: Array  # smallest concentration


def step(
    d: Domain,
    salt: Salt,
    inverse: Array,
    how: Numerics,
    f: Fields,
    voltage: Array,
    dt: Array,
    given: tuple[Array, Array],
) -> tuple[Fields, Seen]:
    """From ``f`` to ``dt`` later, at a voltage; ``given``: the flow along the membrane that a pump drives ``(Ny, 1)``, and the weight of each column
    in the mean current."""
    imposed, weight = given
    moved = driven(d, salt, inverse, f.c, f.phi)
    flow = Velocity(moved.u + imposed, moved.v)
    before = fluxes(d, salt, f.c, f.phi, f.voltage, flow, how.central)
    source = right_hand_side(d, salt, f.c, f.phi, f.voltage, before, dt)
    k = coefficients(d, salt, before, dt)
    charge = jnp.linalg.norm(jnp.sum(salt.sign * f.c, axis=0) * d.widths)
    delta, unsolved = change(d, salt, k, source, f.trend, voltage - f.voltage, charge, how.iterations)
    phi = f.phi + delta
    after = fluxes(d, salt, f.c, phi, voltage, flow, how.central)
    gain = -dt * divergence(d, after.along.flux, after.across.flux)
    up, down = after.across.left, after.across.right  # slopes of the flux through faces between rows
    lower, upper = -dt * up[:, :-1] / d.widths, dt * down[:, 1:] / d.widths
    main = 1.0 + dt * (up[:, 1:] - down[:, :-1]) / d.widths
    rows = [jnp.moveaxis(x, 1, 0) for x in (lower, main, upper, gain)]
    column = jnp.moveaxis(solve_rows(*rows), 0, 1)
    spread = 1.0 + dt * salt.diffusivity[:, None, None] * (d.modes**2).astype(phi.dtype)
    modes = jnp.fft.rfft(column, axis=-1)
    c = f.c + jnp.fft.irfft(modes * (1.0 / spread).astype(modes.dtype), n=phi.shape[1], axis=-1)
    low = after.across.flux[:, 0] + down[:, 0] * column[:, 0]
    high = after.across.flux[:, -1] + up[:, -1] * column[:, -1]
    through_low, through_high = jnp.mean(low, axis=-1), jnp.mean(high, axis=-1)
    balance = jnp.sum(jnp.mean(c - f.c, axis=-1) * d.grid.widths, axis=-1) - dt * (through_low - through_high)
    signs = salt.sign[:, 0, 0]
    seen = Seen(
        -jnp.sum(signs * jnp.mean(weight * low, axis=-1)),
        -jnp.sum(signs * jnp.mean(weight * high, axis=-1)),
        jnp.max(jnp.abs(flow.u)),
        jnp.max(jnp.abs(flow.v)),
        jnp.max(jnp.abs(right(f.phi) - f.phi)) / d.dx,
        unsolved,
        balance,
        jnp.min(c),
    )
    return Fields(c, phi, delta, voltage), seen
