"""The root of a large system whose linear equations have a solver of their own: Newton with halved steps, implicit derivatives."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jax import Array


def damped_newton(
    residual: Callable[[Array], Array],
    start: Array,
    linear_solver: lx.AbstractLinearSolver,
    most: int = 60,
    matrix: Callable[[Array], Any] | None = None,
) -> Array:
    """The root of ``residual (N,) -> (N,)`` near ``start``. Steps are halved where the residual would grow; the iteration ends when none helps.

    ``most=1`` says that the system is linear: one step is exact. ``matrix(u)`` gives the derivative in the form that ``linear_solver`` keeps;
    without it the solver finds its own from products. Differentiable to everything that ``residual`` closes over.
    """

    def inverse(linear: Callable[[Array], Array], right: Array) -> Array:
        shape = jax.ShapeDtypeStruct(right.shape, right.dtype)
        return lx.linear_solve(lx.FunctionLinearOperator(linear, shape), right, linear_solver, throw=False).value

    def solve(f: Callable[[Array], Array], u: Array) -> Array:
        def change(u: Array) -> Array:
            if matrix is None:
                value, slope = jax.linearize(f, u)
                return inverse(slope, value)
            return linear_solver.compute(matrix(u), f(u), {})[0]

        if most == 1:
            return u - change(u)

        def size(u: Array) -> Array:
            worst = jnp.max(jnp.abs(f(u)))
            return jnp.where(jnp.isfinite(worst), worst, jnp.inf)

        def step(carry: tuple) -> tuple:
            u, worst, _, count = carry
            move = change(u)
            fractions = 0.5 ** jnp.arange(8, dtype=u.dtype)
            trial = jax.vmap(lambda s: size(u - s * move))(fractions)
            first = jnp.argmax(trial < worst)
            better = trial[first] < worst
            new = jnp.where(better, u - fractions[first] * move, u)
            return new, jnp.where(better, trial[first], worst), better, count + 1

        first = (u, size(u), jnp.asarray(True), 0)
        return jax.lax.while_loop(lambda c: c[2] & (c[1] > 0.0) & (c[3] < most), step, first)[0]

    root = lambda u: residual(u)  # a function that hashes, whatever it is given
    return jax.lax.custom_root(root, jax.lax.stop_gradient(start), solve, inverse)
