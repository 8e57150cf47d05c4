"""Iterative solution of the linear systems of a space, for grids too wide for ``direct``: GMRES behind a sweep along the lines.

With D the lines across the grid (tridiagonal each), L and U what couples a line to the one before and after, the preconditioner is

    M = (D + L) D^-1 (D + U)

one sweep down the channel and one up. Where flow outweighs diffusion from cell to cell it needs a stabilised form (``supg=True``); without,
neither converges. Meshes without a grid, and degree 2, have the diagonal alone. Work and memory grow with the number of unknowns, where those of ``direct`` grow with the cube and the square of
the width. Saad and Schultz 1986, doi 10.1137/0907058.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax import Array

from ..linalg.block_tridiagonal import tridiagonal
from ..linalg.loops import rows_of
from .direct import Direct, direct, nonzeros
from .space import Space, numbering
from .stencil import offsets, shifted


class Iterative(lx.AbstractLinearSolver):
    """Like ``Direct``, which finds its matrix; ``rtol`` is of the residual."""

    pattern: Direct
    rtol: float = eqx.field(static=True, default=1e-11)
    restart: int = eqx.field(static=True, default=20)
    most: int = eqx.field(static=True, default=400)

    def init(self, operator: lx.AbstractLinearOperator, options: dict) -> Array:
        """The matrix, as ``Direct`` keeps it."""
        return self.pattern.init(operator, options)

    def compute(self, state: Array, vector: Array, options: dict) -> tuple:
        """GMRES on what the preconditioner leaves."""
        times, sweep = self._parts(state)
        shape = jax.ShapeDtypeStruct(vector.shape, vector.dtype)
        whole = lx.FunctionLinearOperator(lambda x: sweep(times(x)), shape)  # preconditioned from the left
        first = sweep(vector)
        size = jnp.maximum(jnp.max(jnp.abs(first)), jnp.finfo(first.dtype).tiny)
        solver = lx.GMRES(
            self.rtol, self.rtol, max_steps=self.most, restart=self.restart, stagnation_iters=self.restart
        )
        found = lx.linear_solve(whole, first / size, solver, throw=False)
        return size * found.value, found.result, {}

    def _parts(self, state: Array) -> tuple:
        """Product with the matrix, and the preconditioner."""
        topology, degree = self.pattern.topology, self.pattern.degree
        shape = numbering(topology, degree).shape
        if shape is None:
            row, column = nonzeros(topology, degree)
            middle = jnp.zeros(numbering(topology, degree).count).at[row[row == column]].set(state[row == column])
            return lambda x: jnp.zeros_like(x).at[row].add(state * x[column]), lambda r: r / middle
        steps = offsets(degree, len(shape))

        def times(x: Array) -> Array:
            field = x.reshape(shape)
            found = sum((s * shifted(field, o) for s, o in zip(state, steps, strict=True)), jnp.zeros_like(field))
            return found.reshape(-1)

        if degree == 1 and len(shape) == 2:
            return times, lambda r: _sweeps(state, r.reshape(shape)).reshape(-1)
        middle = state[len(steps) // 2]
        return times, lambda r: (r.reshape(shape) / middle).reshape(-1)

    def transpose(self, state: Array, options: dict) -> tuple:
        """The matrix turned, in the same shape."""
        return self.pattern.transpose(state, options)

    def conj(self, state: Array, options: dict) -> tuple:
        return state.conj(), options

    def assume_full_rank(self) -> bool:
        return True


def iterative(space: Space, rtol: float = 1e-11) -> Iterative:
    """The iterative solver of a space."""
    return Iterative(direct(space), rtol)


def _sweeps(stencil: Array, right: Array) -> Array:
    """``M^-1 right`` on the lattice, lines along its short side."""
    s = stencil.reshape(3, 3, *right.shape)
    if right.shape[1] > right.shape[0]:
        return _along(s.transpose(1, 0, 3, 2), right.T).T
    return _along(s, right)


def _along(s: Array, right: Array) -> Array:
    """``s (3, 3, I, J)``: offsets along and across the channel; line i couples to i - 1 and i + 1."""

    def couple(rows: Array, x: Array) -> Array:
        return sum((rows[1 + o] * shifted(x, np.array([o])) for o in (-1, 0, 1)), jnp.zeros_like(x))

    def line(rows: Array, r: Array) -> Array:
        return tridiagonal(rows[0, 1:], rows[1], rows[2, :-1], r)

    def down(before: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, r = step
        x = line(rows[1], r - couple(rows[0], before))
        return x, x

    def up(after: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, x = step
        new = x - line(rows[1], couple(rows[2], after))
        return new, new

    rows, nothing = jnp.moveaxis(s, 2, 0), jnp.zeros_like(right[0])
    _, first = rows_of(down, nothing, (rows, right))
    return rows_of(up, nothing, (rows, first), reverse=True)[1]
