"""Through time: steps as long as the fastest thing in the box allows, seen at equal intervals; a run that blows up stops at once."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .domain import Domain, Salt
from .flow import curl_of_force, stream_function, velocity
from .step import Fields, Numerics, Seen, step
from .vortices import Vortices, observe

_GROWS = 1.2  # at most, a step over the one before
_SHORTEST = 1e-5  # of the longest step: shorter is a blow-up


class Setting(NamedTuple):
    """One box and how it is marched; times in L^2/D."""

    domain: Domain
    salt: Salt
    inverse: Array  # of Stokes
    imposed: Array  # flow along the membrane, (Ny, 1)
    weight: Array  # of each column in the mean current, (Nx,)
    longest: Array
    courant: Array
    fringe: Array | None  # rate of return to the feed, (Ny, Nx)
    how: Numerics


class Drive(NamedTuple):
    """The voltage against time: ``start + rate t``, until a time after which it rests."""

    start: Array
    rate: Array
    until: Array


class Samples(NamedTuple):
    """What was seen over equal intervals ``(K,)``: means over the interval, worst values in it, and its end."""

    time: Array
    voltage: Array
    current: Array  # mean, lower wall
    current_high: Array
    speed_u: Array  # largest
    speed_v: Array
    unsolved: Array  # largest residual of the potential
    unbalanced: Array  # largest defect of the salt balance of a step
    least: Array  # smallest concentration
    shortest: Array  # step
    steps: Array
    vortices: Vortices


class Going(NamedTuple):
    """Inside an interval."""

    fields: Fields
    time: Array
    dt: Array
    alive: Array
    worst: Seen
    carried: Array  # integral of both currents over time, (2,)
    shortest: Array
    steps: Array


def _nothing(dtype: jnp.dtype) -> Seen:
    zero = jnp.zeros((), dtype)
    return Seen(zero, zero, zero, zero, zero, zero, jnp.zeros(2, dtype), jnp.asarray(jnp.inf, dtype))


def one(s: Setting, drive: Drive, g: Going, end: Array) -> Going:
    """One step towards ``end``."""
    dt = jnp.minimum(g.dt, end - g.time)
    voltage = drive.start + drive.rate * jnp.minimum(g.time + dt, drive.until)
    new, seen = step(s.domain, s.salt, s.inverse, s.how, g.fields, voltage, dt, (s.imposed, s.weight))
    if s.fringe is not None:
        new = new._replace(c=(new.c + dt * s.fringe) / (1.0 + dt * s.fringe))
    sound = jnp.all(jnp.isfinite(new.c)) & jnp.all(jnp.isfinite(new.phi)) & (jnp.max(jnp.abs(new.c)) < 1e4)
    allowed = s.courant * s.domain.dx / (seen.u + seen.field + 1e-30)
    following = jnp.minimum(jnp.minimum(_GROWS * g.dt, s.longest), allowed)
    alive = g.alive & sound & (following > _SHORTEST * s.longest)
    keep = lambda a, b: jax.tree.map(lambda x, y: jnp.where(sound, x, y), a, b)
    worst = jax.tree.map(jnp.maximum, seen._replace(salt=jnp.abs(seen.salt)), g.worst)
    worst = worst._replace(least=jnp.minimum(seen.least, g.worst.least))
    carried = g.carried + dt * jnp.stack([seen.current_low, seen.current_high])
    moved = Going(new, g.time + dt, following, alive, worst, carried, jnp.minimum(dt, g.shortest), g.steps + 1)
    return keep(moved._replace(alive=alive), g._replace(alive=jnp.asarray(False)))


def interval(
    s: Setting, drive: Drive, begin: tuple[Fields, Array, Array, Array], end: Array, steps: int | None
) -> tuple:
    """From one time to another: fields, next step, whether it lives, what was seen. ``steps``: so many equal ones, for reverse mode."""
    fields, start, dt, alive = begin
    dtype = fields.phi.dtype
    count = jnp.zeros((), jnp.int32)
    g = Going(fields, start, dt, alive, _nothing(dtype), jnp.zeros(2, dtype), jnp.asarray(jnp.inf, dtype), count)
    if steps is None:
        near = 1e-9 * s.longest
        g = jax.lax.while_loop(lambda g: g.alive & (g.time < end - near), lambda g: one(s, drive, g, end), g)
    else:
        equal = (end - start) / steps
        body = jax.checkpoint(lambda g, _: (one(s, drive, g._replace(dt=equal), g.time + equal), None))
        g = jax.lax.scan(body, g, None, length=steps)[0]
    psi = stream_function(s.inverse, curl_of_force(s.domain, s.salt, g.fields.c, g.fields.phi))
    vortices = observe(s.domain, s.salt, g.fields.c, psi, velocity(s.domain, psi))
    passed = jnp.where(g.time > start, g.time - start, 1.0)
    seen = Samples(
        g.time,
        g.fields.voltage,
        g.carried[0] / passed,
        g.carried[1] / passed,
        g.worst.u,
        g.worst.v,
        g.worst.unsolved,
        jnp.max(g.worst.salt),
        g.worst.least,
        g.shortest,
        g.steps,
        vortices,
    )
    return g.fields, g.dt, g.alive, seen


def march(
    s: Setting,
    fields: Fields,
    duration: Array,
    samples: int,
    drive: Drive,
    steps: int | None,
    told: Callable | None = None,
) -> tuple[Fields, Array, Samples]:
    """``samples`` intervals: the last fields, whether they live, and all that was seen, ``(K,)``; ``told(time, current, step)`` after each."""
    dtype = fields.phi.dtype
    ends = jnp.arange(1, samples + 1, dtype=dtype) * (duration / samples)

    def go(carry: tuple, end: Array) -> tuple:
        fields, dt, alive, seen = interval(s, drive, carry, end, steps)
        if told is not None:
            jax.debug.callback(told, seen.time, seen.current, dt)
        return (fields, seen.time, dt, alive), seen

    first = (fields, jnp.zeros((), dtype), 1e-3 * s.longest, jnp.asarray(True))
    (fields, _, _, alive), seen = jax.lax.scan(go, first, ends)
    return fields, alive, seen
