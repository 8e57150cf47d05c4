"""Direct solution of the linear systems of a space, as a lineax solver for any operator on it.

The matrix is recovered from products with a few vectors (one a colour; no two unknowns of a colour meet in a row), where it is not at hand.
On a grid it is a stencil (``stencil.py``). A mesh without a grid is put in the order of Cuthill and McKee (1969), whose bands are blocks too.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax import Array

from ..linalg.block_tridiagonal import thomas
from .mesh import Topology
from .space import Space, numbering
from .stencil import gather, solve_stencil, transposed


class Colours(NamedTuple):
    """A colour for every unknown."""

    colour: np.ndarray  # (N,)
    count: int


@lru_cache(maxsize=64)
def colours(topology: Topology, degree: int) -> Colours:
    """So that unknowns of one colour never meet in a row of the matrix."""
    count, _, shape = numbering(topology, degree)
    if shape is not None:
        period = 2 * degree + 1
        index = np.indices(shape)
        colour = sum((axis % period) * period**i for i, axis in enumerate(index))
        return Colours(np.asarray(colour).ravel(), period ** len(shape))
    near = adjacency(topology, degree)
    near = (near @ near).tocsr()
    colour = np.full(count, -1)
    for i in range(count):
        taken = set(colour[near.indices[near.indptr[i] : near.indptr[i + 1]]])
        colour[i] = next(c for c in range(count) if c not in taken)
    return Colours(colour, int(colour.max()) + 1)


def adjacency(topology: Topology, degree: int) -> Any:
    """Which unknowns share a cell, a SciPy sparse matrix of ones."""
    from scipy.sparse import csr_matrix

    count, dofs, _ = numbering(topology, degree)
    row, column = np.repeat(dofs, dofs.shape[1], axis=1).ravel(), np.tile(dofs, dofs.shape[1]).ravel()
    found = csr_matrix((np.ones(row.size), (row, column)), shape=(count, count))
    found.data[:] = 1.0
    return found


class Bands(NamedTuple):
    """An order of the unknowns in which the matrix is block tridiagonal, and its entries."""

    order: np.ndarray  # (N,) unknown at each place
    size: int  # of a block
    row: np.ndarray  # (nonzeros,)
    column: np.ndarray


@lru_cache(maxsize=64)
def banded(topology: Topology, degree: int) -> Bands:
    """Cuthill-McKee, reversed."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    near = adjacency(topology, degree)
    order = np.asarray(reverse_cuthill_mckee(near.tocsr(), symmetric_mode=True))
    place = np.argsort(order)
    entries = near.tocoo()
    row, column = place[entries.row], place[entries.col]
    return Bands(order, int(np.abs(row - column).max()), row, column)


def nonzeros(topology: Topology, degree: int, row: Any = None, column: Any = None) -> Any:
    """Rows and columns of the nonzeros, as unknowns; or where among them the entries ``(row, column)`` are."""
    order, _, rows, columns = banded(topology, degree)
    rows, columns = order[rows], order[columns]
    if row is None:
        return rows, columns
    key = rows.astype(np.int64) * order.size + columns
    by = np.argsort(key)
    return by[np.searchsorted(key[by], np.asarray(row, np.int64) * order.size + column)]


class Direct(lx.AbstractLinearSolver):
    """Solves with any linear operator whose matrix has the pattern of ``space``: one that couples unknowns of common cells only."""

    topology: Topology = eqx.field(static=True)
    degree: int = eqx.field(static=True)

    def init(self, operator: lx.AbstractLinearOperator, options: dict) -> Array:
        """The matrix: a stencil ``(offsets, *lattice)``, or the nonzeros of ``banded``."""
        colour, count = colours(self.topology, self.degree)
        probe = lambda c: operator.mv((jnp.asarray(colour) == c).astype(operator.in_structure().dtype))
        found = jax.vmap(probe)(jnp.arange(count))
        shape = numbering(self.topology, self.degree).shape
        if shape is None:
            order, _, row, column = banded(self.topology, self.degree)
            return found[colour[order[column]], order[row]]
        return gather(found, shape, self.degree)

    def compute(self, state: Array, vector: Array, options: dict) -> tuple:
        """Elimination, block by block."""
        shape = numbering(self.topology, self.degree).shape
        x = (
            self._unordered(state, vector)
            if shape is None
            else solve_stencil(state, vector.reshape(shape), self.degree)
        )
        return x.reshape(-1), lx.RESULTS.successful, {}

    def _unordered(self, nonzeros: Array, vector: Array) -> Array:
        order, size, row, column = banded(self.topology, self.degree)
        blocks = -(-order.size // size)
        (i, r), (j, c) = np.divmod(row, size), np.divmod(column, size)
        rows = jnp.zeros((3, blocks, size, size), vector.dtype).at[j - i + 1, i, r, c].set(nonzeros)
        spare = blocks * size - order.size  # unknowns that are not there are zero
        if spare:
            last = np.arange(size - spare, size)
            rows = rows.at[1, -1, last, last].set(1.0)
        right = jnp.zeros(blocks * size, vector.dtype).at[: order.size].set(vector[order])
        x = thomas((rows[0], rows[1], rows[2]), right.reshape(blocks, size)).reshape(-1)
        return jnp.zeros_like(vector).at[order].set(x[: order.size])

    def transpose(self, state: Array, options: dict) -> tuple:
        """The matrix turned, in the same shape."""
        shape = numbering(self.topology, self.degree).shape
        if shape is None:
            _, _, row, column = banded(self.topology, self.degree)
            swap = np.lexsort((column, row))[np.argsort(np.lexsort((row, column)))]
            return state[swap], options
        return transposed(state, self.degree), options

    def conj(self, state: Array, options: dict) -> tuple:
        return state.conj(), options

    def assume_full_rank(self) -> bool:
        return True


def direct(space: Space) -> Direct:
    """The direct solver of a space."""
    return Direct(space.mesh.topology, space.degree)
