"""The same meshes, elements and weak forms in scikit-fem: solutions must agree to round-off."""

import jax.numpy as jnp
import numpy as np
import pytest
import skfem
from scipy.sparse.linalg import spsolve

from jaxmem import fem

ELEMENTS = {
    ("triangle", 1): (skfem.MeshTri, skfem.ElementTriP1()),
    ("triangle", 2): (skfem.MeshTri, skfem.ElementTriP2()),
    ("quadrilateral", 1): (skfem.MeshQuad, skfem.ElementQuad1()),
    ("quadrilateral", 2): (skfem.MeshQuad, skfem.ElementQuad2()),
}
WIND, D, TRANSFER, OUTSIDE = np.array([1.0, 0.5]), 0.05, 0.7, 2.0


def bent(x: np.ndarray) -> np.ndarray:
    """A rectangle with curved sides."""
    return np.stack([x[:, 0] + 0.1 * np.sin(2.0 * x[:, 1]), x[:, 1] * (1.0 + 0.2 * x[:, 0] ** 2)], axis=1)


def scikit(mesh, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and values."""
    make, element = ELEMENTS[mesh.topology.kind, degree]
    theirs = make(np.ascontiguousarray(np.asarray(mesh.points).T), np.ascontiguousarray(mesh.topology.cells.T))
    # tags by the pairs of corners, as jaxmem knows them
    cells, faces = mesh.topology.cells, fem.mesh.FACETS[mesh.topology.kind]
    pairs = {tuple(sorted(p)): i for i, p in enumerate(theirs.facets.T.tolist())}
    on = {tag: np.array([pairs[tuple(sorted(cells[c, list(faces[f])].tolist()))] for c, f in facets]) for tag, facets in mesh.topology.facets.items()}  # fmt: skip
    order = 2 * degree + 4 if mesh.topology.kind == "quadrilateral" else 2 * degree
    basis = skfem.Basis(theirs, element, intorder=order)
    top = skfem.FacetBasis(theirs, element, facets=on["top"], intorder=order)

    @skfem.BilinearForm
    def transport(u, v, w):
        return D * (u.grad[0] * v.grad[0] + u.grad[1] * v.grad[1]) + (WIND[0] * u.grad[0] + WIND[1] * u.grad[1]) * v

    @skfem.BilinearForm
    def exchange(u, v, w):
        return TRANSFER * u * v

    @skfem.LinearForm
    def supply(v, w):
        return TRANSFER * OUTSIDE * v

    @skfem.LinearForm
    def source(v, w):
        return (1.0 + w.x[0] * w.x[1]) * v

    matrix = transport.assemble(basis) + exchange.assemble(top)
    right = source.assemble(basis) + supply.assemble(top)
    fixed = basis.get_dofs(on["left"]).all()
    free, value = np.setdiff1d(np.arange(basis.N), fixed), np.zeros(basis.N)
    value[fixed] = 1.0
    value[free] = spsolve(matrix[free][:, free].tocsc(), (right - matrix @ value)[free])
    return basis.doflocs.T, value


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "degree", "grid"),
    [(*key, True) if key[1] == 1 else pytest.param(*key, True, marks=pytest.mark.campaign) for key in ELEMENTS]
    + [("triangle", 2, False)],
)
def test_a_bent_channel(kind, degree, grid):
    """Dirichlet, Robin and natural boundaries on a mesh without straight lines, numbered as a grid and not."""
    mesh = fem.rectangle(np.linspace(0.0, 2.0, 9), fem.geometric(6, 0.8), kind)
    mesh = fem.Mesh(jnp.asarray(bent(np.asarray(mesh.points))), mesh.topology)
    if not grid:
        cells, faces = mesh.topology.cells, fem.mesh.FACETS[kind]
        named = {tag: np.array([cells[c, list(faces[f])] for c, f in facets]) for tag, facets in mesh.topology.facets.items()}  # fmt: skip
        shuffle = np.random.default_rng(0).permutation(len(cells))
        mesh = fem.unstructured(mesh.points, cells[shuffle], named)
    quadrature = 2 * degree + 4 if kind == "quadrilateral" else None
    form = fem.AdvectionDiffusion(jnp.asarray(WIND), D, source=lambda c, place: 1.0 + place[0] * place[1])
    conditions = {"left": fem.Dirichlet(1.0), "top": fem.Robin(TRANSFER, OUTSIDE), "right": fem.Natural(), "bottom": fem.Natural()}  # fmt: skip
    problem = fem.Problem(fem.Space(mesh, degree, quadrature), form, conditions)
    ours, at = np.asarray(problem.solve(linear=True)), np.asarray(problem.space.coordinates)
    nodes, theirs = scikit(mesh, degree)
    match = np.argmin(((at[:, None] - nodes[None]) ** 2).sum(-1), axis=1)
    assert len(set(match)) == len(at)
    np.testing.assert_allclose(ours, theirs[match], atol=1e-9 * np.abs(theirs).max())
