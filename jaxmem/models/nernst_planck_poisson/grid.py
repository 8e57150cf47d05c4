"""Cells between two walls, fine where space charge stands: logarithmic at a wall, uniform in the bulk."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ...nonlinear.increasing import root_of_increasing


class Grid(NamedTuple):
    """N cells of ``[0, 1]``, or of a stack of layers of which this is one."""

    faces: Array  # (N + 1,)

    @property
    def centres(self) -> Array:
        """``(N,)``."""
        return 0.5 * (self.faces[:-1] + self.faces[1:])

    @property
    def widths(self) -> Array:
        """``(N,)``."""
        return jnp.diff(self.faces)

    @property
    def gaps(self) -> Array:
        """From centre to centre, and from the walls to the first and last: ``(N + 1,)``."""
        return jnp.diff(self.centres, prepend=self.faces[:1], append=self.faces[-1:])


def stacked(front: Array, body: Array, thickness: Array) -> Grid:
    """A membrane of a ``thickness`` below y = 0 between two layers of one: ``front`` crowds at 0, ``body`` at both of its ends."""
    behind = -thickness - front[::-1]
    return Grid(jnp.concatenate([behind[:-1], thickness * (body[:-1] - 1.0), front]))


def stretched(cells: int, crowds: tuple[tuple[Array, float], ...], both: bool = False) -> Grid:
    """Faces ``y_j`` with ``s(y_j) = j/N``, ``s(y) = sum_k w_k ln(1 + y/a_k)/ln(1 + 1/a_k) + (1 - sum_k w_k) y``, of pairs ``(a_k, w_k)``.

    ``both``: half of it, mirrored, for two walls with space charge. Differentiable to the scales ``a_k``.
    """
    half = cells // 2 if both else cells
    ends = jnp.asarray([0.0, 1.0])
    even = 1.0 - sum(share for _, share in crowds)

    def place(fraction: Array) -> Array:
        def short(y: Array) -> Array:
            return sum((w * jnp.log1p(y / a) / jnp.log1p(1.0 / a) for a, w in crowds), even * y) - fraction

        return root_of_increasing(short, ends[0], ends[1], fraction**3)

    inner = jax.vmap(place)(jnp.asarray(np.arange(1, half) / half))
    faces = jnp.concatenate([ends[:1], inner, ends[1:]])
    if both:
        faces = jnp.concatenate([0.5 * faces, 1.0 - 0.5 * faces[-2::-1]])
    return Grid(faces)
