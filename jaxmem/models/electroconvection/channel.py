"""A channel between a cation and an anion exchanger: what feeds it, and how it starts.

The box is periodic along the channel. Between 0.88 and 0.98 of its length, away from the walls, both ions return to the feed (a fringe), so that
what leaves at the right enters fresh at the left; currents are means over the first 0.8 of the length.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..nernst_planck_poisson.equations import Layer
from .domain import Domain

BEGIN, END = 0.88, 0.98  # of the length: the fringe
MEASURED = 0.8  # of the length, ahead of it
_CLEAR = (
    0.03,
    0.10,
)  # from the walls: the fringe is masked below the first, whole above the second, or it would destroy the double layers
_STRENGTH = 20.0  # of the rate, in mean velocities over the length of the fringe


def _rise(x: np.ndarray | Array) -> Array:
    """From 0 to 1, smoothly, over ``[0, 1]``."""
    t = jnp.clip(jnp.asarray(x), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def fringe(d: Domain, columns: int, peclet: Array) -> Array:
    """Rate of return to the feed, ``(Ny, Nx)``."""
    x = (np.arange(columns) + 0.5) / columns
    edge = 0.2 * (END - BEGIN)
    along = _rise((x - BEGIN) / edge) * _rise((END - x) / edge)
    y = d.grid.centres
    low, high = _CLEAR
    across = _rise((y - low) / (high - low)) * _rise((1.0 - y - low) / (high - low))
    rate = _STRENGTH * peclet / ((END - BEGIN) * columns * d.dx)
    return rate * across[:, None] * along[None]


def weight(columns: int, channel: bool) -> Array:
    """Of each column in a mean current, ``(Nx,)``, adding up to the number of columns."""
    x = (np.arange(columns) + 0.5) / columns
    counted = (x < MEASURED) if channel else np.ones(columns, bool)
    return jnp.asarray(counted * (columns / counted.sum()))


class Start(NamedTuple):
    """A channel without current."""

    cells: Array  # (3, N)
    voltage: Array


def at_open_circuit(p: Layer) -> Start:
    """Feed with a diffuse layer at each wall: ``phi`` follows the counter-ions of both."""
    y, s, z = p.grid.centres, p.sign, jnp.abs(p.charge)
    low, high = jnp.log(p.low.concentration[0]) / z[0], jnp.log(p.high.concentration[1]) / z[1]
    near, far = low * jnp.exp(-y / p.eps), high * jnp.exp(-(1.0 - y) / p.eps)
    over = far - near  # potential over that of the feed, times the sign of the low counter-ion
    cells = jnp.stack([jnp.exp(-z[0] * over), jnp.exp(z[1] * over), s * (low + over)])
    return Start(cells, s * (low + high))
