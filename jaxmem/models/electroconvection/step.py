"""One step in time: flow, potential with implicit charge, and each ion by columns and rows (split, first order); extrapolated to second order
where asked."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ...linalg.tridiagonal_rows import solve_rows
from .domain import Domain, Salt, right
from .flow import Creeping, Inert, Velocity, curl_of_force, stream_function, velocity
from .potential import change, coefficients, response, right_hand_side
from .transport import divergence, fluxes


class Fields(NamedTuple):
    """A state: both ions ``(2, Ny, Nx)``, the potential, its last change ``(Ny, Nx)``, the voltage it belongs to, and the amplitudes of a flow
    that has inertia."""

    c: Array
    phi: Array
    trend: Array
    voltage: Array
    flow: Array | None = None


class Numerics(NamedTuple):
    """What a step does beyond the equations."""

    iterations: int  # of conjugate gradients
    central: bool  # along x
    order: int = 1  # in time


class Setting(NamedTuple):
    """One box and how it is marched; times in L^2/D."""

    domain: Domain
    salt: Salt
    flow: Creeping | Inert
    imposed: Array  # flow along the membrane that a pump drives, (Ny, 1)
    weight: Array  # of each column in the mean current, (Nx,)
    longest: Array
    courant: Array
    fringe: Array | None  # rate of return to the feed, (Ny, Nx)
    how: Numerics


class Want(NamedTuple):
    """What is imposed at the end of a step: a voltage, or a mean current, which then decides the voltage."""

    voltage: Array
    current: Array | None = None


class Seen(NamedTuple):
    """What one step tells."""

    current_low: Array  # mean over the lower wall, what the step used
    current_high: Array
    u: Array  # largest velocities
    v: Array
    field: Array  # largest |E_x|
    unsolved: Array  # residual of the potential, over the charge
    salt: Array  # change of both ions less what came through the walls, (2,)
    charge: Array  # the same of their charge
    least: Array  # smallest concentration


def advance(s: Setting, f: Fields, want: Want, dt: Array) -> tuple[Fields, Seen]:
    """From ``f`` to ``dt`` later, first order."""
    d, salt, how = s.domain, s.salt, s.how
    psi, amplitudes = stream_function(s.flow, curl_of_force(d, salt, f.c, f.phi), f.flow, dt)
    moved = velocity(d, psi)
    flow = Velocity(moved.u + s.imposed, moved.v)
    before = fluxes(d, salt, f.c, f.phi, f.voltage, flow, how.central)
    source = right_hand_side(d, salt, f.c, f.phi, f.voltage, before, dt)
    k = coefficients(d, salt, before, dt)
    charge = jnp.linalg.norm(jnp.sum(salt.sign * f.c, axis=0) * d.widths)
    raised = want.voltage - f.voltage if want.current is None else jnp.zeros_like(f.voltage)
    delta, unsolved = change(d, salt, k, source, f.trend, raised, charge, how.iterations)
    if want.current is not None:  # the charge that crosses the lower wall is linear in the voltage
        unit = response(d, salt, k, how.iterations)
        carried = lambda x: -jnp.mean(s.weight * k.across[0] * x[0])
        low = -jnp.sum(salt.sign[:, 0, 0] * jnp.mean(s.weight * before.across.flux[:, 0], axis=-1))
        raised = (dt * (want.current - low) + carried(delta)) / -carried(unit)
        delta = delta + raised * unit
    phi, volts = f.phi + delta, f.voltage + raised
    after = fluxes(d, salt, f.c, phi, volts, flow, how.central)
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
        -jnp.sum(signs * jnp.mean(s.weight * low, axis=-1)),
        -jnp.sum(signs * jnp.mean(s.weight * high, axis=-1)),
        jnp.max(jnp.abs(flow.u)),
        jnp.max(jnp.abs(flow.v)),
        jnp.max(jnp.abs(right(f.phi) - f.phi)) / d.dx,
        unsolved,
        balance,
        jnp.sum(signs * balance),
        jnp.min(c),
    )
    return Fields(c, phi, delta, volts, amplitudes), seen


def step(s: Setting, f: Fields, want: Want, dt: Array) -> tuple[Fields, Seen]:
    """One step; at second order two half steps less a whole one (Richardson), which keeps every balance, since all of them are linear."""
    whole, seen = advance(s, f, want, dt)
    if s.how.order == 1:
        return whole, seen
    middle = want._replace(voltage=0.5 * (f.voltage + want.voltage))
    half, first = advance(s, f, middle, 0.5 * dt)
    end, second = advance(s, half, want, 0.5 * dt)
    new = jax.tree.map(lambda a, b: 2.0 * b - a, whole, end)
    both = jax.tree.map(jnp.maximum, first, second)
    linear = lambda name, scale: scale * (getattr(first, name) + getattr(second, name)) - getattr(seen, name)
    seen = both._replace(
        current_low=linear("current_low", 1.0),
        current_high=linear("current_high", 1.0),
        salt=linear("salt", 2.0),
        charge=linear("charge", 2.0),
        least=jnp.min(new.c),
    )
    return new._replace(trend=new.phi - f.phi), seen
