"""Advection and diffusion on the mesh of a ``fem.Space``, by scikit-fem and SuperLU."""

import time
import warnings
from typing import Any

import numpy as np
import skfem
from scipy.sparse.linalg import splu

ELEMENTS = {
    ("line", 1): (skfem.MeshLine, skfem.ElementLineP1),
    ("triangle", 1): (skfem.MeshTri, skfem.ElementTriP1),
    ("triangle", 2): (skfem.MeshTri, skfem.ElementTriP2),
    ("quadrilateral", 1): (skfem.MeshQuad, skfem.ElementQuad1),
}


def solve(mesh: Any, degree: int, wind: np.ndarray, diffusivity: float) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Seconds of assembly, seconds of taking the boundary out and solving, places and values."""
    make, element = ELEMENTS[mesh.topology.kind, degree]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = make(np.ascontiguousarray(np.asarray(mesh.points).T), np.ascontiguousarray(mesh.topology.cells.T))

    @skfem.BilinearForm
    def transport(u, v, w):
        return sum(diffusivity * u.grad[i] * v.grad[i] + wind[i] * u.grad[i] * v for i in range(len(wind)))

    @skfem.LinearForm
    def source(v, w):
        return np.sin(w.x[0]) * v

    begin = time.perf_counter()
    basis = skfem.Basis(theirs, element(), intorder=2 * degree)
    matrix, right = transport.assemble(basis), source.assemble(basis)
    middle = time.perf_counter()
    free = basis.complement_dofs(basis.get_dofs())
    value = np.zeros(basis.N)
    value[free] = splu(matrix[free][:, free].tocsc()).solve(right[free])
    return middle - begin, time.perf_counter() - middle, basis.doflocs.T, value
