"""Through time: steps as long as the fastest thing in the box allows, seen at equal intervals; a run that blows up stops at once."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from equinox.internal import nondifferentiable_backward
from jax import Array

from .flow import curl_of_force, stream_function, velocity
from .rest import at_rest
from .step import Fields, Seen, Setting, Want, step
from .vortices import Vortices, observe
from .watch import Told, tell

_GROWS = 1.2  # at most, a step over the one before
_CROSSED = 1.0  # cells in a step
_REVERSE = (
    "A march of adaptive steps has no derivatives in reverse mode. Write jm.Electroconvection(steps=200, samples=...), equal steps, for a window; "
    "jm.Electroconvection(steady=100) for vortices at rest; or jax.jvp and jax.jacfwd, which go through."
)
_GREW, _LOST = 1.01, 1e-2  # of a speed: what still grows in the march, and what is gone behind it
_SHORTEST = 1e-5  # of the longest step: shorter is a blow-up


class Drive(NamedTuple):
    """The voltage against time: ``start + rate t``, until a time after which it rests; or a mean current."""

    start: Array
    rate: Array
    until: Array
    current: Array | None = None


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
    unbalanced_charge: Array
    least: Array  # smallest concentration
    shortest: Array  # step
    courant: Array  # largest part of a cell that a step crossed
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
    crossed: Array  # largest part of a cell
    steps: Array


def stream_now(s: Setting, f: Fields) -> Array:
    """The stream function of a state at corners, ``(Ny + 1, Nx)``."""
    return stream_function(s.flow, curl_of_force(s.domain, s.salt, f.c, f.phi), f.flow)[0]


def _nothing(dtype: jnp.dtype) -> Seen:
    zero = jnp.zeros((), dtype)
    return Seen(zero, zero, zero, zero, zero, zero, jnp.zeros(2, dtype), zero, jnp.asarray(jnp.inf, dtype))


def one(s: Setting, drive: Drive, g: Going, end: Array) -> Going:
    """One step towards ``end``."""
    dt = jnp.minimum(g.dt, end - g.time)
    voltage = drive.start + drive.rate * jnp.minimum(g.time + dt, drive.until)
    new, seen = step(s, g.fields, Want(voltage, drive.current), dt)
    if s.fringe is not None:
        new = new._replace(c=(new.c + dt * s.fringe) / (1.0 + dt * s.fringe))
    sound = jnp.all(jnp.isfinite(new.c)) & jnp.all(jnp.isfinite(new.phi)) & (jnp.max(jnp.abs(new.c)) < 1e4)
    allowed = s.courant * s.domain.dx / (seen.u + seen.field + 1e-30)
    following = jnp.minimum(jnp.minimum(_GROWS * g.dt, s.longest), allowed)
    alive = g.alive & sound & (following > _SHORTEST * s.longest)
    alive &= s.courant * dt <= _CROSSED * allowed  # of equal steps: nothing moves on by more than a cell
    keep = lambda a, b: jax.tree.map(lambda x, y: jnp.where(sound, x, y), a, b)
    size = seen._replace(salt=jnp.abs(seen.salt), charge=jnp.abs(seen.charge))
    worst = jax.tree.map(jnp.maximum, size, g.worst)
    worst = worst._replace(least=jnp.minimum(seen.least, g.worst.least))
    carried = g.carried + dt * jnp.stack([seen.current_low, seen.current_high])
    crossed = jnp.maximum(s.courant * dt / allowed, g.crossed)
    moved = Going(new, g.time + dt, following, alive, worst, carried, jnp.minimum(dt, g.shortest), crossed, g.steps + 1)
    return keep(moved._replace(alive=alive), g._replace(alive=jnp.asarray(False)))


def interval(
    s: Setting, drive: Drive, begin: tuple[Fields, Array, Array, Array], end: Array, steps: int | None
) -> tuple:
    """From one time to another: fields, next step, whether it lives, what was seen. ``steps``: so many equal ones, for reverse mode."""
    fields, start, dt, alive = begin
    dtype = fields.phi.dtype
    count = jnp.zeros((), jnp.int32)
    shortest, crossed = jnp.asarray(jnp.inf, dtype), jnp.zeros((), dtype)
    g = Going(fields, start, dt, alive, _nothing(dtype), jnp.zeros(2, dtype), shortest, crossed, count)
    if steps is None:
        near = 1e-9 * s.longest
        g = jax.lax.while_loop(lambda g: g.alive & (g.time < end - near), lambda g: one(s, drive, g, end), g)
        g = nondifferentiable_backward(g, msg=_REVERSE)
    else:
        equal = (end - start) / steps
        body = jax.checkpoint(lambda g, _: (one(s, drive, g._replace(dt=equal), g.time + equal), None))
        g = jax.lax.scan(body, g, None, length=steps)[0]
    psi = stream_now(s, g.fields)
    counted = None if s.fringe is None else s.weight
    vortices = observe(s.domain, s.salt, g.fields.c, psi, velocity(s.domain, psi), counted)
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
        g.worst.charge,
        g.worst.least,
        g.shortest,
        g.crossed,
        g.steps,
        vortices,
    )
    return g.fields, g.dt, g.alive, seen


def march(
    s: Setting,
    fields: Fields,
    alive: Array,
    duration: Array,
    samples: int,
    drive: Drive,
    steps: int | None,
    told: Callable | bool | None = None,
    keep: bool = False,
    lanes: int = 1,
) -> tuple[Fields, Array, Samples, tuple | None]:
    """``samples`` intervals, none where the fields are not ``alive``: the last fields, whether they live, and all that was seen, ``(K,)``;
    ``told`` after each (``watch.py``), of so many ``lanes`` that are marched in all; with ``keep`` the fields and stream function of every sample too."""
    dtype = fields.phi.dtype
    ends = jnp.arange(1, samples + 1, dtype=dtype) * (duration / samples)

    def go(carry: tuple, end: Array) -> tuple:
        fields, dt, alive, seen = interval(s, drive, carry, end, steps)
        now = Told(seen.time, seen.voltage, seen.current, dt, seen.courant, alive)
        tell(told, now, lanes * samples, duration)
        frame = (fields.c, fields.phi, stream_now(s, fields)) if keep else None
        return (fields, seen.time, dt, alive), (seen, frame)

    first = (fields, jnp.zeros((), dtype), 1e-3 * s.longest, alive)
    (fields, _, _, alive), (seen, frames) = jax.lax.scan(go, first, ends)
    return fields, alive, seen, frames


def stand_still(
    s: Setting, near: Fields, drive: Drive, seen: Samples, steps: int, window: float
) -> tuple[Fields, Samples, Array]:
    """The fixed point beside the end of a march, what is seen there in place of the samples of the window, and what Newton left of its change."""
    dt = jax.lax.stop_gradient(jnp.minimum(s.longest, seen.shortest[-1]))
    want = Want(drive.start, drive.current)
    fields, moves = at_rest(s, near, want, dt, steps)
    start = jnp.zeros_like(dt)
    _, _, _, now = interval(s, drive, (fields, start, dt, jnp.asarray(True)), steps * dt, steps)
    last = seen.time.shape[0] - max(round(window * seen.time.shape[0]), 3)
    put = jax.tree.map(lambda series, x: series.at[last:].set(x), seen, now)
    grew = seen.speed_v[-1] > _GREW * seen.speed_v[seen.speed_v.shape[0] // 2]  # and Newton fell back to rest
    moves = jnp.where(grew & (now.speed_v < _LOST * seen.speed_v[-1]), jnp.inf, moves)
    return fields, put._replace(time=seen.time), moves
