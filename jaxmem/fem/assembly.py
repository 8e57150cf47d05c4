"""From element residuals to a tridiagonal system: no loop over elements in Python, no dense matrix."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax import Array

from .mesh import LineMesh

GAUSS = (0.5 - 0.5 / np.sqrt(3.0), 0.5 + 0.5 / np.sqrt(3.0))  # two points, exact to the third degree
ElementResidual = Callable[..., Array]


def assemble(element: ElementResidual, mesh: LineMesh, u: Array, *per_element: Any) -> Array:
    """Sum of ``element(ends of u (2,), ends of x (2,), *per_element)`` over all elements, ``(N + 1,)``."""
    pairs = jax.vmap(element)(_ends(u), _ends(mesh.nodes), *per_element)
    return jnp.zeros_like(u).at[:-1].add(pairs[:, 0]).at[1:].add(pairs[:, 1])


def tangent(element: ElementResidual, mesh: LineMesh, u: Array, *per_element: Any) -> tuple[Array, Array, Array]:
    """Lower, main and upper diagonal of the Jacobian of ``assemble``."""
    blocks = jax.vmap(jax.jacfwd(element))(_ends(u), _ends(mesh.nodes), *per_element)
    main = jnp.zeros_like(u).at[:-1].add(blocks[:, 0, 0]).at[1:].add(blocks[:, 1, 1])
    return blocks[:, 1, 0], main, blocks[:, 0, 1]


def _ends(x: Array) -> Array:
    return jnp.stack([x[:-1], x[1:]], axis=-1)


def solve_bands(lower: Array, main: Array, upper: Array, right: Array) -> Array:
    """The tridiagonal solve, by lineax."""
    return lx.linear_solve(lx.TridiagonalLinearOperator(main, lower, upper), right, lx.Tridiagonal()).value


def bands_of(linear: Callable[[Array], Array], like: Array) -> tuple[Array, Array, Array]:
    """Diagonals of a tridiagonal linear map, from three coloured probes."""
    n = like.shape[0]
    row = np.arange(n)
    probes = jax.vmap(linear)(jnp.asarray([(row % 3 == c) for c in range(3)], like.dtype))
    column = lambda j: probes[(row + j) % 3, row]
    return column(-1)[1:], column(0), column(1)[:-1]


def newton(residual: Callable[[Array], Array], bands: Callable[[Array], tuple], start: Array, most: int) -> Array:
    """The root of a tridiagonal system by Newton with halved steps where the residual would grow; implicit derivatives.

    ``bands(u)`` gives the diagonals of the Jacobian. One step is exact for a linear system: then ``most=1``.
    """

    def solve(f: Callable[[Array], Array], u: Array) -> Array:
        if most == 1:
            return u - solve_bands(*bands(u), f(u))

        def size(u: Array) -> Array:
            worst = jnp.max(jnp.abs(f(u)))
            return jnp.where(jnp.isfinite(worst), worst, jnp.inf)

        def step(carry: tuple) -> tuple:
            u, worst, _, count = carry
            change = solve_bands(*bands(u), f(u))
            fractions = 0.5 ** jnp.arange(8, dtype=u.dtype)
            trial = jax.vmap(lambda s: size(u - s * change))(fractions)
            first = jnp.argmax(trial < worst)
            better = trial[first] < worst
            new = jnp.where(better, u - fractions[first] * change, u)
            return new, jnp.where(better, trial[first], worst), better, count + 1

        first = (u, size(u), jnp.asarray(True), 0)
        return jax.lax.while_loop(lambda c: c[2] & (c[1] > 0.0) & (c[3] < most), step, first)[0]

    def respond(g: Callable[[Array], Array], y: Array) -> Array:
        return solve_bands(*bands_of(g, y), y)

    return jax.lax.custom_root(residual, jax.lax.stop_gradient(start), solve, respond)
