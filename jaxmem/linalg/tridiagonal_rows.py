"""Many scalar tridiagonal systems at once, elimination over the leading axis: every operation is a vector over the systems."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .loops import rows_of


class Factors(NamedTuple):
    """An elimination, to be used for several right-hand sides; ``(n, ...)``."""

    lower: Array
    pivot: Array  # its inverse
    coupling: Array


def factor(lower: Array, main: Array, upper: Array) -> Factors:
    """``lower_i x_{i-1} + main_i x_i + upper_i x_{i+1} = r_i``; the first lower and the last upper are not looked at."""

    def eliminate(before: Array, row: tuple) -> tuple:
        low, diagonal, up = row
        pivot = 1.0 / (diagonal - low * before)
        return up * pivot, (pivot, up * pivot)

    lower = lower.at[0].set(0.0)
    _, (pivot, coupling) = rows_of(eliminate, jnp.zeros_like(main[0]), (lower, main, upper))
    return Factors(lower, pivot, coupling.at[-1].set(0.0))


def solve(f: Factors, right: Array) -> Array:
    """``right (n, ...)``, of the shape of the factors or one that they broadcast to."""

    def eliminate(before: Array, row: tuple) -> tuple:
        low, pivot, r = row
        value = (r - low * before) * pivot
        return value, value

    def substitute(after: Array, row: tuple) -> tuple:
        coupling, value = row
        x = value - coupling * after
        return x, x

    none = jnp.zeros_like(right[0])
    _, values = rows_of(eliminate, none, (f.lower, f.pivot, right))
    return rows_of(substitute, none, (f.coupling, values), reverse=True)[1]


def solve_rows(lower: Array, main: Array, upper: Array, right: Array) -> Array:
    """One right-hand side for each system. Transposed in closed form, so that reverse mode costs one solve."""

    def product(x: Array) -> Array:
        zero = jnp.zeros_like(x[:1])
        return main * x + lower * jnp.concatenate([zero, x[:-1]]) + upper * jnp.concatenate([x[1:], zero])

    def transposed(_: object, r: Array) -> Array:
        return solve(factor(jnp.roll(upper, 1, axis=0), main, jnp.roll(lower, -1, axis=0)), r)

    def forward(_: object, r: Array) -> Array:
        return solve(factor(lower, main, upper), r)

    return jax.lax.custom_linear_solve(product, right, forward, transposed)
