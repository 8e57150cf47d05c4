"""The root of an increasing function of one variable: Newton inside a bracket, with implicit derivatives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def root_of_increasing(
    function: Callable[[Array], Array], low: Array, high: Array, start: Array, most: int = 60
) -> Array:
    """The root of ``function`` in ``[low, high]``, to round-off.

    Newton from ``start``; a step that leaves the bracket, or follows one that did not halve the residual, becomes a bisection, so that
    it cannot diverge. Differentiable to everything that ``function`` closes over (implicitly, never through the steps).
    """
    close = 1e2 * jnp.finfo(low.dtype).eps ** 0.75  # a Newton step as small as this, relative, is the last: it squares

    def solve(f: Callable[[Array], Array], x: Array) -> Array:
        def go(carry: tuple) -> Array:
            *_, moving, count = carry
            return moving & (count < most)

        def step(carry: tuple) -> tuple:
            x, low, high, before, _, count = carry
            value, slope = jax.jvp(f, (x,), (jnp.ones_like(x),))
            low, high = jnp.where(value < 0.0, x, low), jnp.where(value < 0.0, high, x)  # not a number: too high
            newton = x - value / slope
            last = jnp.abs(newton - x) <= close * jnp.abs(x)
            good = last | ((newton >= low) & (newton <= high) & (jnp.abs(value) < 0.5 * before))
            new = jnp.where(good, newton, 0.5 * (low + high))
            return new, low, high, jnp.where(good, jnp.abs(value), jnp.inf), ~last & (high > low), count + 1

        held = jax.lax.stop_gradient((low, high))
        first = (x, *held, jnp.full_like(x, jnp.inf), jnp.ones_like(x, bool), 0)
        return jax.lax.while_loop(go, step, first)[0]

    start = jax.lax.stop_gradient(jnp.clip(start, low, high))
    return jax.lax.custom_root(function, start, solve, lambda g, y: y / g(jnp.ones_like(y)))
