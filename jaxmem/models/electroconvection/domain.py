"""Where things stand in the plane: cells of a box, periodic along the membrane (x), stretched across the layer (y)."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..nernst_planck_poisson.equations import Wall
from ..nernst_planck_poisson.grid import Grid


class Domain(NamedTuple):
    """Arrays are ``(Ny, Nx)`` at cell centres; ``(Ny, Nx)`` at the right faces of cells; ``(Ny + 1, Nx)`` at their lower faces and the
    upper wall; stream functions stand at corners, ``(Ny + 1, Nx)``, right of their cells."""

    grid: Grid
    dx: Array
    modes: Array  # k' = (2/dx) sin(k dx/2): differences have exactly these, (Nx/2 + 1,)

    @property
    def widths(self) -> Array:
        """Of the rows, ``(Ny, 1)``."""
        return self.grid.widths[:, None]

    @property
    def gaps(self) -> Array:
        """Between the centres of rows, half ones at the walls, ``(Ny + 1, 1)``."""
        return self.grid.gaps[:, None]


class Salt(NamedTuple):
    """What the equations need to know of a salt and its walls; ions lead, counter-ions first."""

    charge: Array  # (2,)
    diffusivity: Array  # (2,)
    eps: Array
    kappa: Array
    low: Wall
    high: Wall

    @property
    def sign(self) -> Array:
        """Of the charge of each ion, ``(2, 1, 1)``."""
        return jnp.sign(self.charge)[:, None, None]


def domain(grid: Grid, length: Array, columns: int) -> Domain:
    """A box of ``length``."""
    dx = length / columns
    k = 2.0 * np.pi * np.arange(columns // 2 + 1) / columns
    return Domain(grid, dx, 2.0 / dx * jnp.asarray(np.sin(k / 2.0)))


def right(x: Array) -> Array:
    """The neighbour to the right of every cell."""
    return jnp.roll(x, -1, axis=-1)


def left(x: Array) -> Array:
    """The neighbour to the left."""
    return jnp.roll(x, 1, axis=-1)


def to_faces(d: Domain, x: Array) -> Array:
    """Values of cells on the faces between rows, linearly, ``(..., Ny - 1, Nx)``."""
    below, above = d.widths[:-1], d.widths[1:]
    return (above * x[..., :-1, :] + below * x[..., 1:, :]) / (below + above)
