r"""Block-tridiagonal systems with a few dense rows and columns more.

[A  C] [x]   [r]
[R  D] [y] = [s]        A block tridiagonal, y of a few unknowns: y from (D - R A^-1 C) y = s - R A^-1 r, then x
"""

import jax
import jax.numpy as jnp
import lineax as lx
from jax import Array

from .block_tridiagonal import BlockTridiagonal, thomas


class BorderedBlockTridiagonal(lx.AbstractLinearSolver):
    """A lineax solver for operators on ``(num_blocks block_size + border,)``, whatever their type, with the border last.

    Blocks and columns are recovered from ``3 block_size + border`` products, rows from ``border`` products with the transpose.
    """

    num_blocks: int
    block_size: int
    border: int

    def init(self, operator: lx.AbstractLinearOperator, options: dict) -> tuple:
        """Blocks, columns ``(k, n b)``, rows ``(k, n b)`` and corner ``(k, k)``."""
        n, b, k = self.num_blocks, self.block_size, self.border
        size, dtype = n * b, operator.in_structure().dtype

        def inner(x: Array) -> Array:
            return operator.mv(jnp.append(x, jnp.zeros(k, dtype)))[:size]

        inside = lx.FunctionLinearOperator(inner, jax.ShapeDtypeStruct((size,), dtype))
        blocks = BlockTridiagonal(n, b).init(inside, options)
        units = jnp.concatenate([jnp.zeros((k, size), dtype), jnp.eye(k, dtype=dtype)], axis=1)
        columns = jax.vmap(operator.mv)(units)
        rows = jax.vmap(operator.transpose().mv)(units)
        return blocks, columns[:, :size], rows[:, :size], columns[:, size:].T

    def compute(self, state: tuple, vector: Array, options: dict) -> tuple:
        blocks, columns, rows, corner = state
        n, b = self.num_blocks, self.block_size
        solve = lambda r: thomas(blocks, r.reshape(n, b)).reshape(-1)
        answers = jax.vmap(solve)(jnp.concatenate([vector[None, : n * b], columns]))
        plain, columns = answers[0], answers[1:]
        more = jnp.linalg.solve(corner - rows @ columns.T, vector[n * b :] - rows @ plain)
        return jnp.append(plain - more @ columns, more), lx.RESULTS.successful, {}

    def transpose(self, state: tuple, options: dict) -> tuple:
        blocks, columns, rows, corner = state
        swapped, _ = BlockTridiagonal(self.num_blocks, self.block_size).transpose(blocks, options)
        return (swapped, rows, columns, corner.T), options

    def conj(self, state: tuple, options: dict) -> tuple:
        return jax.tree.map(jnp.conj, state), options

    def assume_full_rank(self) -> bool:
        return True
