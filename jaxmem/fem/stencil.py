"""Matrices on a grid, kept as stencils: ``S[o, I, J]`` multiplies the unknown at ``(I, J) + offset o`` in the row of ``(I, J)``.

Columns along the short side of the grid are blocks of a block-tridiagonal matrix; with elements of degree 2 every other column meets only its
two neighbours and is eliminated first.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..linalg.block_tridiagonal import solve_block, thomas, tridiagonal


def offsets(degree: int, dimension: int) -> np.ndarray:
    """Of a stencil's entries, ``((2k + 1)^d, d)``."""
    axis = np.arange(-degree, degree + 1)
    return np.stack(np.meshgrid(*[axis] * dimension, indexing="ij"), -1).reshape(-1, dimension)


def shifted(field: Array, offset: np.ndarray) -> Array:
    """``field[I + offset]``, zero outside."""
    pads = [(max(-o, 0), max(o, 0)) for o in map(int, offset)]
    cut = tuple(slice(max(o, 0), max(o, 0) + n) for o, n in zip(map(int, offset), field.shape, strict=True))
    return jnp.pad(field, pads)[cut]


def gather(probes: Array, shape: tuple[int, ...], degree: int) -> Array:
    """The stencil from one product for every colour ``(colours, N)``: at each offset the product of the colour that sits there."""
    period, d = 2 * degree + 1, len(shape)
    fields = probes.reshape(*[period] * d, *shape)  # the first axis of colours is that of the last axis of the lattice
    for axis, n in enumerate(shape):
        place = np.arange(n).reshape([-1 if a == axis else 1 for a in range(d)])
        found = []
        for offset in range(-degree, degree + 1):
            colour = np.broadcast_to((place + offset) % period, shape).astype(np.int32)
            inside = (place + offset >= 0) & (place + offset < n)
            cases = [jnp.take(fields, c, axis=d - 1) for c in range(period)]
            which = jnp.broadcast_to(colour, cases[0].shape)
            found.append(jnp.where(inside, jax.lax.select_n(which, *cases), 0.0))
        fields = jnp.stack(found)  # this axis of offsets comes first now
    if d == 2:
        fields = jnp.swapaxes(fields, 0, 1)
    return fields.reshape(-1, *shape)


def transposed(stencil: Array, degree: int) -> Array:
    """Entry of offset o in the row of p is that of -o in the row of p + o."""
    steps = offsets(degree, stencil.ndim - 1)
    return jnp.stack([shifted(stencil[-1 - i], step) for i, step in enumerate(steps)])


def solve_stencil(stencil: Array, right: Array, degree: int) -> Array:
    """On the lattice; blocks run along its last axis, which is the short one after a turn."""
    width = 2 * degree + 1
    if right.ndim == 1:
        return solve_stencil_columns(stencil.reshape(width, 1, -1, 1), right[:, None], degree)[:, 0]
    s = stencil.reshape(width, width, *right.shape)
    if right.shape[1] > right.shape[0]:
        return solve_stencil_columns(s.transpose(1, 0, 3, 2), right.T, degree).T
    return solve_stencil_columns(s, right, degree)


def solve_stencil_columns(s: Array, right: Array, degree: int) -> Array:
    """``s (2k + 1, 1 or 2k + 1, I, J)``: offsets along and across; every column of J unknowns is a block."""
    if degree == 1:
        return _columns(s, right)
    k, odd = degree, slice(1, None, 2)
    even, inner = s[:, :, ::2], s[:, :, odd]
    dense = jax.vmap(_dense, in_axes=1)
    sides = jnp.concatenate([dense(inner[k - 1]), dense(inner[k + 1]), right[odd][:, :, None]], axis=2)
    solved = jax.vmap(solve_block)(dense(inner[k]), sides)  # odd columns by what is left and right of them
    b = right.shape[1]
    left, here, known = solved[:, :, :b], solved[:, :, b : 2 * b], solved[:, :, 2 * b]
    ahead, behind = even[k + 1][:, :-1], even[k - 1][:, 1:]  # of even columns, on the odd ones at their right and left
    times = jax.vmap(_banded_product, in_axes=(1, 0))
    front, back = times(ahead, solved), times(behind, solved)
    pad = lambda x, low: jnp.pad(x, ((1, 0) if low else (0, 1), (0, 0), (0, 0)))
    main = dense(even[k]) - pad(front[:, :, :b], False) - pad(back[:, :, b : 2 * b], True)
    upper = dense(even[k + 2]) - pad(front[:, :, b : 2 * b], False)
    lower = dense(even[k - 2]) - pad(back[:, :, :b], True)
    r = right[::2] - pad(front[:, :, 2 * b :], False)[:, :, 0] - pad(back[:, :, 2 * b :], True)[:, :, 0]
    x = thomas((lower, main, upper), r) if b > 1 else _scalar(lower[:, 0, 0], main[:, 0, 0], upper[:, 0, 0], r)
    between = known - jnp.einsum("iab,ib->ia", left, x[:-1]) - jnp.einsum("iab,ib->ia", here, x[1:])
    return jnp.zeros_like(right).at[::2].set(x).at[odd].set(between)


def _columns(s: Array, right: Array) -> Array:
    """Degree 1: neighbouring columns only."""
    if right.shape[1] == 1:
        return _scalar(s[0, 0, :, 0], s[1, 0, :, 0], s[2, 0, :, 0], right)
    expand = lambda row: (lambda x: _banded_product(row[0], x), _dense(row[1]), _dense(row[2]))
    return thomas(jnp.moveaxis(s, 2, 0), right, expand)


def _scalar(lower: Array, main: Array, upper: Array, right: Array) -> Array:
    return tridiagonal(lower[1:], main, upper[:-1], right[:, 0])[:, None]


def _dense(diagonals: Array) -> Array:
    """``(2k + 1, J)`` by offset to ``(J, J)``."""
    half, j = diagonals.shape[0] // 2, diagonals.shape[1]
    return sum((diagonals[half + o][:, None] * np.eye(j, k=o) for o in range(-half, half + 1)), jnp.zeros((j, j)))


def _banded_product(diagonals: Array, x: Array) -> Array:
    """The same matrix times ``(J, R)``."""
    half = diagonals.shape[0] // 2
    steps = [np.array([o, 0]) for o in range(-half, half + 1)]
    return sum((diagonals[half + s[0]][:, None] * shifted(x, s) for s in steps), jnp.zeros_like(x))
