"""The root of a few equations: Newton with step control, and implicit derivatives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from ..linalg.small_dense import apply, gauss_jordan, inverse


def root_of_small(function: Callable[[Array], Array], start: Array, most: int = 40) -> Array:
    """The root near ``start`` of ``function (K,) -> (K,)``, whose unknowns and values are of order one.

    Full Newton steps while the residual falls, halved ones otherwise. Differentiable to everything that ``function`` closes over.
    """

    def solve(f: Callable[[Array], Array], x: Array) -> Array:
        def size(value: Array) -> Array:
            worst = jnp.max(jnp.abs(value))
            return jnp.where(jnp.isfinite(worst), worst, jnp.inf)

        def go(carry: tuple) -> Array:
            _, worst, moved, count = carry
            return (worst > 0.0) & moved & (count < most)

        def step(carry: tuple) -> tuple:
            x, worst, _, count = carry
            change = -gauss_jordan(jax.jacfwd(f)(x), f(x)[:, None])[:, 0]
            change = jnp.where(jnp.all(jnp.isfinite(change)), change, 0.0)
            fractions = 0.5 ** jnp.arange(6, dtype=x.dtype)
            trial = jax.vmap(lambda s: size(f(x + s * change)))(fractions)
            best = jnp.argmin(jnp.where(jnp.arange(6) == jnp.argmax(trial < worst), -1.0, trial))
            better = trial[best] < worst
            new = jnp.where(better, x + fractions[best] * change, x)
            return new, jnp.where(better, trial[best], worst), better, count + 1

        return jax.lax.while_loop(go, step, (x, size(f(x)), jnp.asarray(True), 0))[0]

    def tangent(g: Callable[[Array], Array], y: Array) -> Array:
        return apply(inverse(jax.jacfwd(g)(jnp.zeros_like(y))), y)  # linear in y, so that it can be transposed

    return jax.lax.custom_root(function, jax.lax.stop_gradient(start), solve, tangent)
