r"""A steady layer disturbed along the membrane: ``c'(y) cos(kx) exp(sigma t)``, with the flow that it drives.

The equations of ``jaxmem/models/electroconvection`` linearised, on the same rows: potential and stream function follow from the
disturbance of the ions at once, so that ``dc'/dt = M(k) c'`` with a matrix ``(2N, 2N)``.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .equations import Layer, faces
from .grid import Grid


class Across(NamedTuple):
    """Differences across the layer as matrices: corners are the N - 1 faces between rows."""

    to_rows: Array  # d/dy of corner values at centres, (N, N - 1)
    to_corners: Array  # d/dy of centre values at corners, (N - 1, N)
    along: Array  # second derivative at centres with half cells to both walls, (N, N)
    normal: Array  # second derivative at corners, zero at both walls, (N - 1, N - 1)


def across(grid: Grid) -> Across:
    """Of a grid."""
    widths, gaps = grid.widths, grid.gaps
    n = widths.shape[0]
    up = jnp.eye(n, n - 1) - jnp.eye(n, n - 1, -1)  # above less below, zero at the walls
    to_corners = -up.T / gaps[1:-1, None]
    walls = jnp.zeros((n, n)).at[0, 0].set(-1.0 / gaps[0]).at[-1, -1].add(-1.0 / gaps[-1])
    to_rows = up / widths[:, None]
    return Across(to_rows, to_corners, (up @ to_corners + walls) / widths[:, None], to_corners @ to_rows)


def stokes_matrix(a: Across, k: Array) -> Array:
    """``D_n (L_u - k^2) D_c - k^2 (L_v - k^2)``, on stream functions at corners; its inverse times the curl of a force is the flow."""
    n = a.along.shape[0]
    square = k * k
    return a.to_corners @ (a.along - square * jnp.eye(n)) @ a.to_rows - square * (a.normal - square * jnp.eye(n - 1))


def matrix(p: Layer, kappa: Array, cells: Array, voltage: Array, k: Array) -> Array:
    """``M(k)`` of a steady state ``cells (3, N)``; wavenumbers in 1/L, rates in D/L^2."""
    grid, a, n = p.grid, across(p.grid), p.grid.widths.shape[0]
    c, phi, s = cells[:2], cells[2], jnp.sign(p.charge)
    f = faces(p, cells, voltage)
    eye, square = jnp.eye(2 * n).reshape(2, n, 2 * n), k * k  # columns: unit disturbances of c
    charge = s[0] * eye[0] + s[1] * eye[1]
    electric = 2.0 * p.eps**2 * (a.along - square * jnp.eye(n))
    potential = -jnp.linalg.solve(electric, charge)  # (N, 2N)
    strength = -kappa / (2.0 * p.eps**2)
    mean = _at_corners(grid)
    rho = s[0] * c[0] + s[1] * c[1]
    field = a.to_corners @ phi
    normal = strength * ((mean @ charge) * field[:, None] + (mean @ rho)[:, None] * (a.to_corners @ potential))
    curl = -k * normal + strength * k * (a.to_corners @ (rho[:, None] * potential))
    flow = -k * jnp.linalg.solve(stokes_matrix(a, k), curl)  # v at corners
    v = jnp.pad(flow, ((1, 1), (0, 0)))
    wide = jnp.pad(potential, ((1, 1), (0, 0)))

    def rate(i: int) -> Array:
        around = jnp.pad(eye[i], ((1, 1), (0, 0)))
        drop = p.charge[i] * jnp.diff(wide, axis=0) - v * (grid.gaps / p.diffusivity[i])[:, None]
        flux = f.left[i][:, None] * around[:-1] + f.right[i][:, None] * around[1:] + f.drop[i][:, None] * drop
        spread = p.diffusivity[i] * square * (eye[i] + p.charge[i] * c[i][:, None] * potential)
        return (c[i][:, None] * jnp.diff(v, axis=0) - jnp.diff(flux, axis=0)) / grid.widths[:, None] - spread

    return jnp.concatenate([rate(0), rate(1)])


def _at_corners(grid: Grid) -> Array:
    """Centre values on the faces between rows, linearly, ``(N - 1, N)``."""
    w = grid.widths
    n = w.shape[0]
    total = w[1:] + w[:-1]
    return (w[1:] / total)[:, None] * jnp.eye(n - 1, n) + (w[:-1] / total)[:, None] * jnp.eye(n - 1, n, 1)


def leading(m: Array) -> tuple[Array, Array]:
    """The eigenvalue of largest real part (its real part), and its vector; differentiable to any order where it is simple.

    Derivatives are those of ``M x = sigma x`` with ``l x = 1`` fixed, never those of the eigenvalue routine.
    """
    values, vectors = jnp.linalg.eig(jax.lax.stop_gradient(m))
    first = jnp.argmax(values.real)
    start = jnp.append(vectors[:, first], values[first])
    fixed, m = jnp.conj(vectors[:, first]), m.astype(vectors.dtype)

    def equations(x: Array) -> Array:
        return jnp.append(m @ x[:-1] - x[-1] * x[:-1], fixed @ x[:-1] - jnp.ones((), x.dtype))

    def inverse(linear: Callable[[Array], Array], right: Array) -> Array:
        return jnp.linalg.solve(jax.vmap(linear, out_axes=1)(jnp.eye(right.shape[0], dtype=right.dtype)), right)

    x = jax.lax.custom_root(equations, start, lambda _, x: x, inverse)
    return x[-1].real, x[:-1]


def residual(m: Array, value: Array, vector: Array) -> Array:
    """``|M x - sigma x|`` over ``|M| |x|``: of the real part where the eigenvalue is complex, so large there."""
    m, value = m.astype(vector.dtype), value.astype(vector.dtype)
    left = m @ vector - value * vector
    return jnp.linalg.norm(left) / (jnp.linalg.norm(m) * jnp.linalg.norm(vector))
