"""What is seen in a plane of ions: how high vortices reach, how many there are, how thick the space charge is."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ..nernst_planck_poisson.result import crossing
from .domain import Domain, Salt
from .flow import Velocity


class Vortices(NamedTuple):
    """Of one moment, in L; zero where nothing moves."""

    d1: Array  # twice the height of the extremum of the stream function
    d2: Array  # height, above the peak, where the root mean square of v over x is half of its peak
    pairs: Array  # number of the strongest mode of v half way up
    space_charge: Array  # height where the x-mean of (c_1 - c_2)/(c_1 + c_2) falls below 1/2


_STILL = 1e-6  # D/L: slower is at rest


def observe(d: Domain, salt: Salt, c: Array, psi: Array, flow: Velocity, counted: Array | None = None) -> Vortices:
    """Of one state; ``psi (Ny + 1, Nx)`` at corners. In a channel, both of whose membranes are depleted, what stands in its lower half over the
    columns that are ``counted (Nx,)``."""
    moves = jnp.max(jnp.abs(flow.v)) > _STILL
    y, columns = d.grid.faces, jnp.ones(psi.shape[1], psi.dtype)
    if counted is not None:
        columns = (counted > 0.0).astype(psi.dtype)
        low = (y <= 0.5)[:, None]
        psi, flow = jnp.where(low, psi, 0.0), flow._replace(v=jnp.where(low, flow.v, 0.0))
    d1 = 2.0 * _top(y, _crest(jnp.abs(psi) * columns))
    rms = jnp.sqrt(jnp.sum(columns * flow.v**2, axis=1) / jnp.sum(columns))
    peak = jnp.argmax(rms)
    above = jnp.where(jnp.arange(rms.shape[0]) >= peak, rms, rms[peak])
    d2 = crossing(y, above, 0.5 * rms[peak])
    middle = flow.v[jnp.argmin(jnp.abs(y - (0.5 if counted is None else 0.25)))]
    modes = jnp.abs(jnp.fft.rfft(middle))[1:]
    mean = jnp.sum(columns * c, axis=-1) / jnp.sum(columns)
    share = (mean[0] - mean[1]) / (mean[0] + mean[1])
    still = lambda x: jnp.where(moves, x, jnp.zeros_like(x))
    return Vortices(still(d1), still(d2), still(1 + jnp.argmax(modes)), crossing(d.grid.centres, share, 0.5))


def _crest(f: Array) -> Array:
    """Of each row the top of the parabola through its largest number and the two beside it; rows are periodic."""
    j = jnp.argmax(f, axis=1)[:, None]
    before, top, after = (jnp.take_along_axis(f, (j + i) % f.shape[1], axis=1)[:, 0] for i in (-1, 0, 1))
    bend = 2.0 * top - before - after
    return top + (after - before) ** 2 / (8.0 * jnp.where(bend > 0.0, bend, jnp.inf))


def _top(y: Array, f: Array) -> Array:
    """Where the parabola through the largest of ``f`` and its neighbours has its top."""
    j = jnp.clip(jnp.argmax(f), 1, f.shape[0] - 2)
    a, b, c = (y[j + i] - y[j] for i in (-1, 0, 1))
    low, top, high = f[j - 1], f[j], f[j + 1]
    slope_left, slope_right = (top - low) / (b - a), (high - top) / (c - b)
    bend = (slope_right - slope_left) / (c - a)
    vertex = 0.5 * (a + b) - 0.5 * slope_left / jnp.where(bend < 0.0, bend, -jnp.inf)
    return y[j] + jnp.where(bend < 0.0, vertex, 0.0)


def spectrum(widths: Array, box: Array, psi: Array) -> Array:
    """Energy of each mode along x, ``(..., K)``, of stream functions ``(..., Ny + 1, Nx)``: what they add up to is the mean of ``(u^2 + v^2)/2``."""
    columns = psi.shape[-1]
    twice = jnp.asarray([1.0, *[2.0] * (columns // 2 - 1), 1.0], psi.dtype) / columns**2  # of a real series
    square = lambda f: twice * jnp.abs(jnp.fft.rfft(f, axis=-1)) ** 2
    dx = box.reshape(*box.shape, *(1,) * (psi.ndim - box.ndim)) / columns
    u, v = jnp.diff(psi, axis=-2) / widths[..., None], (jnp.roll(psi, 1, axis=-1) - psi) / dx
    gaps = 0.5 * (widths[..., 1:] + widths[..., :-1])[..., None]  # v stands between the rows, and is zero at the walls
    return 0.5 * (jnp.sum(widths[..., None] * square(u), axis=-2) + jnp.sum(gaps * square(v[..., 1:-1, :]), axis=-2))
