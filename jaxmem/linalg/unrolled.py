r"""Block-tridiagonal systems of small blocks written out entry by entry, each entry a vector over block rows.

    L_i x_{i-1} + D_i x_i + U_i x_{i+1} = r_i

Blocks are ``b x b`` nested lists; an entry is an array ``(n,)`` or None for a zero that the elimination then skips. Under ``vmap`` every
operation is a vector over the batch, which for 3 x 3 blocks is several times faster than small matrix products. No pivoting: the caller
orders unknowns so that pivots are safe.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .loops import rows_of

Block = Sequence[Sequence[Any]]


def _times(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a * b


def _minus(a: Any, b: Any) -> Any:
    if b is None:
        return a
    return -b if a is None else a - b


def _product(left: Block, right: list[list[Any]]) -> list[list[Any]]:
    def entry(i: int, j: int) -> Any:
        terms = [t for k in range(len(right)) if (t := _times(left[i][k], right[k][j])) is not None]
        return sum(terms[1:], terms[0]) if terms else None

    return [[entry(i, j) for j in range(len(right[0]))] for i in range(len(left))]


def _difference(a: Block, b: Block) -> list[list[Any]]:
    return [[_minus(x, y) for x, y in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)]


def _eliminated(matrix: list[list[Any]], right: list[list[Any]]) -> list[list[Any]]:
    """``matrix^-1 right`` by Gauss and Jordan, without exchanges."""
    size = len(matrix)
    rows = [list(m) + list(r) for m, r in zip(matrix, right, strict=True)]
    for i in range(size):
        inverse = 1.0 / rows[i][i]
        rows[i] = [_times(x, inverse) for x in rows[i]]
        for k in range(size):
            if k != i and rows[k][i] is not None:
                factor = rows[k][i]
                rows[k] = [_minus(x, _times(factor, y)) for x, y in zip(rows[k], rows[i], strict=True)]
    return [row[size:] for row in rows]


def thomas_unrolled(lower: Block, main: Block, upper: Block, right: Array) -> Array:
    """Solve for ``x (b, R, n)``, ``right (b, R, n)``: R right-hand sides at once. The first lower and last upper block are not used."""
    b, count, _ = right.shape
    zero = jnp.zeros((), right.dtype)

    def eliminate(carry: tuple, row: tuple) -> tuple:
        coupling, before = carry
        low, diagonal, up, r = row
        known = _product(low, [list(c) + list(v) for c, v in zip(coupling, before, strict=True)])
        pivot = _difference(diagonal, [k[:b] for k in known])
        rhs = _difference(r, [k[b:] for k in known])
        solved = _eliminated(pivot, [list(u) + list(v) for u, v in zip(up, rhs, strict=True)])
        full = [[zero if x is None else x for x in s] for s in solved]
        carry = tuple(tuple(s[:b]) for s in full), tuple(tuple(s[b:]) for s in full)
        return carry, carry

    start = (((zero,) * b,) * b, ((zero,) * count,) * b)
    columns = tuple(tuple(right[i, k] for k in range(count)) for i in range(b))
    _, (couplings, values) = rows_of(eliminate, start, (lower, main, upper, columns))
    couplings = jax.tree.map(lambda x: x.at[-1].set(0.0), couplings)

    def substitute(after: tuple, row: tuple) -> tuple:
        coupling, value = row
        x = _difference(value, _product(coupling, [list(a) for a in after]))
        x = tuple(tuple(entries) for entries in x)
        return x, x

    _, x = rows_of(substitute, ((zero,) * count,) * b, (couplings, values), reverse=True)
    return jnp.stack([jnp.stack(row) for row in x])
