"""Reference elements: the line, the triangle and the quadrilateral, with Lagrange shape functions of degree 1 or 2.

Nodes sit on the lattice ``r/k`` of the reference cell. Shape functions are the monomials of the element combined by the inverse of their
values at the nodes, so that a new degree or cell is a new list of exponents.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .._errors import JaxmemError

DIMENSION = {"line": 1, "triangle": 2, "quadrilateral": 2}
DEGREES = (1, 2)
# corners of the reference cell, counter-clockwise; facets between them keep the cell on their left
CORNERS = {
    "line": np.array([[0], [1]]),
    "triangle": np.array([[0, 0], [1, 0], [0, 1]]),
    "quadrilateral": np.array([[0, 0], [1, 0], [1, 1], [0, 1]]),
}
FACETS = {
    "line": ((0,), (1,)),
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "quadrilateral": ((0, 1), (1, 2), (2, 3), (3, 0)),
}


@dataclass(frozen=True, eq=False)
class Element:
    """Shape functions of one kind of cell."""

    kind: str
    degree: int
    lattice: np.ndarray  # (n, d) integers: node = lattice/degree
    coefficients: np.ndarray  # (monomials, n)

    def shapes(self, points: np.ndarray) -> np.ndarray:
        """Values at reference points ``(Q, d)``: ``(n, Q)``."""
        return (_monomials(points, self.lattice) @ self.coefficients).T

    def gradients(self, points: np.ndarray) -> np.ndarray:
        """Reference gradients at ``(Q, d)``: ``(d, n, Q)``."""
        found = []
        for axis in range(points.shape[1]):
            lower = self.lattice.copy()
            lower[:, axis] = np.maximum(lower[:, axis] - 1, 0)
            found.append(((_monomials(points, lower) * self.lattice[:, axis]) @ self.coefficients).T)
        return np.stack(found)

    def on_facet(self, facet: int) -> np.ndarray:
        """Nodes of a facet in the order of the facet's own element, from its first corner to its last."""
        ends = CORNERS[self.kind][list(FACETS[self.kind][facet])] * self.degree
        steps = np.arange(self.degree + 1 if len(ends) == 2 else 1)
        along = [ends[0] + (ends[-1] - ends[0]) // self.degree * s for s in steps]
        return np.array([int(np.flatnonzero((self.lattice == place).all(1))[0]) for place in along])


def _monomials(points: np.ndarray, powers: np.ndarray) -> np.ndarray:
    return np.prod(points[:, None, :] ** powers[None], axis=-1)


@lru_cache
def element(kind: str, degree: int) -> Element:
    """Of ``kind`` line, triangle or quadrilateral, and ``degree`` 1 or 2."""
    if kind not in DIMENSION or degree not in DEGREES:
        raise JaxmemError(f"There is no element {kind!r} of degree {degree!r}. Write degree=1 or degree=2.")
    axis = np.arange(degree + 1)
    lattice = np.stack(np.meshgrid(*[axis] * DIMENSION[kind], indexing="ij"), -1).reshape(-1, DIMENSION[kind])
    if kind == "triangle":
        lattice = lattice[lattice.sum(1) <= degree]
    corners = CORNERS[kind] * degree  # come first, in their order
    others = [place for place in lattice if not (corners == place).all(1).any()]
    lattice = np.concatenate([corners, np.reshape(others, (-1, DIMENSION[kind]))]).astype(int)
    return Element(kind, degree, lattice, np.linalg.inv(_monomials(lattice / degree, lattice)))
