"""Small dense systems, one per lane: Gauss-Jordan elimination with the batch on the trailing axes.

For the 3- to 11-wide systems of a membrane point a LAPACK call per lane costs more than the arithmetic. Here every
operation is a vector over the batch. No pivoting: the caller orders the rows so that pivots are safe, and looks at the
result (a vanishing pivot gives non-finite numbers in its own lane only).
"""

import jax.numpy as jnp
import lineax as lx
from jax import Array

from .loops import repeated


def gauss_jordan(matrix: Array, right: Array) -> Array:
    """Solve ``matrix @ x = right`` for ``matrix (K, K, *batch)`` and ``right (K, R, *batch)``; returns ``(K, R, *batch)``."""
    k = matrix.shape[0]
    augmented = jnp.concatenate([matrix, right], axis=1)
    rows = jnp.arange(k).reshape((k,) + (1,) * (matrix.ndim - 1))

    def eliminate(i: Array, m: Array) -> Array:
        pivot_row = m[i] / m[i, i][None]
        factor = jnp.where(rows == i, 0.0, m[:, i][:, None])
        return jnp.where(rows == i, pivot_row[None], m - factor * pivot_row[None])

    return repeated(k, eliminate, augmented)[:, k:]


def inverse(matrix: Array) -> Array:
    """Inverse of ``(K, K, *batch)``."""
    k = matrix.shape[0]
    eye = jnp.eye(k, dtype=matrix.dtype).reshape((k, k) + (1,) * (matrix.ndim - 2))
    return gauss_jordan(matrix, jnp.broadcast_to(eye, matrix.shape))


def apply(matrix: Array, x: Array) -> Array:
    """``matrix (K, L, *batch)`` times ``x (L, *batch)``."""
    return jnp.sum(matrix * x[None], axis=1)


class SmallDense(lx.AbstractLinearSolver[Array]):
    """The same elimination as a lineax solver, for operators with a small dense matrix."""

    def init(self, operator: lx.AbstractLinearOperator, options: dict) -> Array:
        return operator.as_matrix()

    def compute(self, state: Array, vector: Array, options: dict):
        return gauss_jordan(state, vector[:, None])[:, 0], lx.RESULTS.successful, {}

    def transpose(self, state: Array, options: dict):
        return state.T, options

    def conj(self, state: Array, options: dict):
        return state.conj(), options

    def assume_full_rank(self) -> bool:
        return True
