"""Weak forms as plain functions of one element: two nodes, linear shape functions, values at two Gauss points."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from .assembly import GAUSS
from .stabilisation import optimal_tau


def advection_diffusion(
    u: Array,
    x: Array,
    velocity: Array,
    diffusivity: Callable[[Array], Array],
    source: Callable[[Array, Array], Array],
    supg: bool,
) -> Array:
    """``int D(u) u' phi' + v u' phi - R(u, x) phi``, with SUPG also ``int tau v phi' (v u' - (D u')' - R)``; ``(2,)``."""
    h = x[1] - x[0]
    slope, test_slope = (u[1] - u[0]) / h, jnp.stack([-1.0 / h, 1.0 / h])
    total = jnp.zeros_like(u)
    for xi in GAUSS:
        value, place = u[0] + xi * (u[1] - u[0]), x[0] + xi * h
        d, d_slope = jax.jvp(diffusivity, (value,), (jnp.ones_like(value),))
        s = source(value, place)
        test = jnp.asarray([1.0 - xi, xi])
        here = d * slope * test_slope + (velocity * slope - s) * test
        if supg:
            strong = velocity * slope - d_slope * slope**2 - s
            here = here + optimal_tau(velocity, d, h) * velocity * test_slope * strong
        total = total + 0.5 * h * here
    return total


def mass(u: Array, x: Array, lumped: bool) -> Array:
    """``int u phi``, consistent or lumped, ``(2,)``."""
    h = x[1] - x[0]
    return 0.5 * h * u if lumped else h / 6.0 * jnp.stack([2.0 * u[0] + u[1], u[0] + 2.0 * u[1]])
