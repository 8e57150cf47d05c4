r"""Block-tridiagonal systems by elimination from the first block row to the last (Thomas).

    L_i x_{i-1} + D_i x_i + U_i x_{i+1} = r_i

Each pivot block is factored with partial pivoting; between blocks there is none, so that the caller's matrix must allow it (diagonally
dominant blocks, positive definite, or the M-matrices of stabilised transport). Cost ``8/3 n b^3`` flops, memory ``n b^2``.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jax import Array

from .loops import rows_of
from .small_dense import gauss_jordan

SMALL = 4  # blocks up to here are eliminated without a call to LAPACK


def solve_block(matrix: Array, right: Array) -> Array:
    """``matrix (b, b)``, ``right (b, R)``."""
    if matrix.shape[0] == 1:
        return right / matrix
    if matrix.shape[0] <= SMALL:
        return gauss_jordan(matrix, right)
    return jax.scipy.linalg.lu_solve(jax.scipy.linalg.lu_factor(matrix), right)


def dense_blocks(row: tuple[Array, Array, Array]) -> tuple[Callable, Array, Array]:
    """A row given as three dense blocks."""
    lower, main, upper = row
    return lambda x: lower @ x, main, upper


def thomas(rows: Any, right: Array, expand: Callable = dense_blocks) -> Array:
    """Solve for ``x (n, b)``. ``rows`` has a leading axis n; ``expand(row)`` gives the product with ``L_i``, ``D_i`` and ``U_i``.

    The first lower and the last upper block are not looked at, but must be finite.
    """
    b = right.shape[1]

    def eliminate(carry: tuple[Array, Array], step: tuple) -> tuple:
        coupling, before = carry
        row, r = step
        lower_times, main, upper = expand(row)
        known = lower_times(jnp.concatenate([coupling, before[:, None]], axis=1))
        solved = solve_block(main - known[:, :b], jnp.concatenate([upper, (r - known[:, b])[:, None]], axis=1))
        carry = (solved[:, :b], solved[:, b])
        return carry, carry

    start = (jnp.zeros((b, b), right.dtype), jnp.zeros(b, right.dtype))
    _, (couplings, values) = rows_of(eliminate, start, (rows, right))

    def substitute(after: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        coupling, value = step
        x = value - coupling @ after
        return x, x

    _, x = rows_of(substitute, jnp.zeros(b, right.dtype), (couplings.at[-1].set(0.0), values), reverse=True)
    return x


def tridiagonal(lower: Array, main: Array, upper: Array, right: Array) -> Array:
    """Blocks of one: ``lower (n - 1,)``, ``main (n,)``, ``upper (n - 1,)``. The kernel of ``lineax.Tridiagonal``, without its alarm: one
    singular system of a batch says so by what it returns."""
    below, above = jnp.append(0.0, lower), jnp.append(upper, 0.0)
    return jax.lax.linalg.tridiagonal_solve(below, main, above, right[:, None])[:, 0]


class BlockTridiagonal(lx.AbstractLinearSolver):
    """A lineax solver for operators on ``(num_blocks block_size,)`` that are block tridiagonal, whatever their type.

    The blocks are recovered from ``3 block_size`` products with vectors of zeros and ones that do not overlap.
    """

    num_blocks: int
    block_size: int

    def init(self, operator: lx.AbstractLinearOperator, options: dict) -> tuple[Array, Array, Array]:
        """Lower, main and upper blocks, each ``(n, b, b)``."""
        n, b = self.num_blocks, self.block_size
        if operator.in_size() != n * b or operator.out_size() != n * b:
            raise ValueError(f"The operator has {operator.in_size()} unknowns; BlockTridiagonal({n}, {b}) has {n * b}.")
        block, colour = jnp.arange(n) % 3, jnp.arange(3)
        chosen = (block[None, :] == colour[:, None]).astype(operator.in_structure().dtype)  # (3, n)
        probes = jnp.einsum("cn,kb->cknb", chosen, jnp.eye(b)).reshape(3 * b, n * b)
        found = jax.vmap(operator.mv)(probes).reshape(3, b, n, b)  # colour, column, block row, row
        row = jnp.arange(n)
        take = lambda j: jnp.swapaxes(found[(row + j) % 3, :, row], 1, 2)
        return take(-1), take(0), take(1)

    def compute(self, state: tuple, vector: Array, options: dict) -> tuple:
        x = thomas(state, vector.reshape(self.num_blocks, self.block_size))
        return x.reshape(-1), lx.RESULTS.successful, {}

    def transpose(self, state: tuple, options: dict) -> tuple:
        lower, main, upper = (jnp.swapaxes(block, 1, 2) for block in state)
        return (jnp.roll(upper, 1, axis=0), main, jnp.roll(lower, -1, axis=0)), options

    def conj(self, state: tuple, options: dict) -> tuple:
        return tuple(block.conj() for block in state), options

    def assume_full_rank(self) -> bool:
        return True
