"""Maps of finite-element functions in the plane."""

from typing import Any

import numpy as np

from ..fem.space import Space


def contours(axis: Any, space: Space, values: Any, levels: int = 24, **style: Any) -> Any:
    """Filled contours of the unknowns ``values (N,)`` at the corners of the cells; the matplotlib set, for a colour bar."""
    from matplotlib.tri import Triangulation

    cells, values = space.mesh.topology.cells, np.asarray(values)
    corners = np.asarray(space.numbering.dofs)[:, : cells.shape[1]]  # corners come first in every cell
    if cells.shape[1] == 4:
        corners = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    x, y = np.asarray(space.coordinates).T
    drawn = axis.tricontourf(Triangulation(x, y, corners), values, levels=levels, **style)
    axis.set_aspect("equal")
    return drawn
