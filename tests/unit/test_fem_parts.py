"""Parts of the finite elements: quadrature, shape functions, boundaries, direct solvers, partition, files, and what is refused."""

from math import factorial

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import jaxmem as jm
from jaxmem import fem
from jaxmem.fem.elements import element
from jaxmem.fem.quadrature import rule
from jaxmem.linalg.block_tridiagonal import BlockTridiagonal

SIDES = ("left", "right", "bottom", "top")
UNIT = np.linspace(0.0, 1.0, 5)


@pytest.mark.parametrize("degree", range(1, 9))
def test_quadrature_is_exact(degree):
    x, w = rule("line", degree)
    np.testing.assert_allclose(w @ x[:, 0] ** degree, 1.0 / (degree + 1), rtol=1e-13)
    for i in range(degree + 1):
        j = degree - i
        x, w = rule("triangle", degree)
        exact = factorial(i) * factorial(j) / factorial(i + j + 2)
        np.testing.assert_allclose(w @ (x[:, 0] ** i * x[:, 1] ** j), exact, rtol=1e-13)
        x, w = rule("quadrilateral", degree)
        np.testing.assert_allclose(w @ (x[:, 0] ** i * x[:, 1] ** j), 1.0 / ((i + 1) * (j + 1)), rtol=1e-13)


@pytest.mark.parametrize("kind", ["line", "triangle", "quadrilateral"])
@pytest.mark.parametrize("degree", [1, 2])
def test_shape_functions(kind, degree):
    """One at their own node, together one, and gradients that are those of the values."""
    e, inside = element(kind, degree), np.full((1, 1 if kind == "line" else 2), 0.3)
    np.testing.assert_allclose(e.shapes(e.lattice / degree), np.eye(len(e.lattice)), atol=1e-14)
    np.testing.assert_allclose(e.shapes(inside).sum(), 1.0)
    for axis, slope in enumerate(e.gradients(inside)):
        step = np.zeros_like(inside)
        step[0, axis] = 1e-6
        np.testing.assert_allclose((e.shapes(inside + step) - e.shapes(inside - step)) / 2e-6, slope, atol=1e-9)


def test_matrices_of_equations_22_and_23():
    """Element entries of the weak form and, with the velocity turned, those that the seed paper prints."""
    d, v, h = 1e-5, 0.01, 0.00356
    for sign, expected in (
        (1.0, [[d / h - v / 2, -d / h + v / 2], [-d / h - v / 2, d / h + v / 2]]),
        (-1.0, [[d / h + v / 2, -d / h - v / 2], [-d / h + v / 2, d / h - v / 2]]),
    ):
        space = fem.Space(fem.line(0.0, h, 1))
        stencil = np.asarray(fem.matrix(space, fem.AdvectionDiffusion(jnp.array([sign * v]), d), jnp.zeros(2)))
        found = [[stencil[1, 0], stencil[2, 0]], [stencil[0, 1], stencil[1, 1]]]
        np.testing.assert_allclose(found, expected, rtol=1e-14)


def mesh_of(kind: str, grid: bool) -> fem.Mesh:
    mesh = fem.rectangle(np.linspace(0.0, 1.5, 4), np.array([0.0, 0.2, 0.5, 0.6, 1.0]), kind)
    if grid:
        return mesh
    cells, faces = mesh.topology.cells, fem.mesh.FACETS[kind]
    named = {t: np.array([cells[c, list(faces[f])] for c, f in facets]) for t, facets in mesh.topology.facets.items()}
    return fem.unstructured(mesh.points, cells, named)


@pytest.mark.parametrize(("kind", "grid", "degree"), [("triangle", True, 1), ("triangle", False, 2)])  # fmt: skip
def test_matrix_and_solver_are_those_of_the_residual(kind, grid, degree):
    """Assembled matrix, matrix recovered from products, direct solution and its transpose, against a dense Jacobian."""
    form = fem.AdvectionDiffusion(
        jnp.array([1.0, -0.3]), 0.1, lambda c, place: 1.0 + c**2, lambda c, place: c * place[0]
    )
    conditions = {"left": fem.Dirichlet(1.0), "right": fem.Permeable(0.2), "top": fem.Robin(0.5, 2.0), "bottom": fem.Natural()}  # fmt: skip
    problem = fem.Problem(fem.Space(mesh_of(kind, grid), degree), form, conditions)
    n, solver = len(problem.space), fem.direct(problem.space)
    u, right = jnp.cos(jnp.arange(float(n))), jnp.sin(jnp.arange(float(n)))
    dense = jax.jit(jax.jacfwd(lambda u: problem.residual(u)))(u)
    operator = lx.MatrixLinearOperator(dense)
    np.testing.assert_allclose(solver.init(operator, {}), problem.matrix(u), atol=1e-13)
    np.testing.assert_allclose(dense @ solver.compute(problem.matrix(u), right, {})[0], right, atol=1e-10)
    turned = solver.transpose(problem.matrix(u), {})[0]
    np.testing.assert_allclose(dense.T @ solver.compute(turned, right, {})[0], right, atol=1e-10)


@pytest.mark.parametrize("b", [1, 3, 6])
def test_block_tridiagonal(b):
    n, key = 7, jax.random.key(b)
    blocks = jax.random.normal(key, (3, n, b, b)).at[1].add(4.0 * b * jnp.eye(b))
    dense = jnp.zeros((n, b, n, b))
    for i in range(n):
        for j in (-1, 0, 1):
            if 0 <= i + j < n:
                dense = dense.at[i, :, i + j].set(blocks[j + 1, i])
    dense, right = dense.reshape(n * b, n * b), jnp.arange(float(n * b))
    ask = lambda a, r: lx.linear_solve(lx.MatrixLinearOperator(a), r, BlockTridiagonal(n, b)).value
    np.testing.assert_allclose(dense @ ask(dense, right), right, atol=1e-11)
    np.testing.assert_allclose(jax.vmap(ask, (None, 0))(dense, jnp.eye(n * b)[:2]).T, jnp.linalg.inv(dense)[:, :2], atol=1e-12)  # fmt: skip
    ours, exact = jax.grad(lambda a: jnp.sum(ask(a, right) ** 2)), jax.grad(lambda a: jnp.sum(jnp.linalg.solve(a, right) ** 2))  # fmt: skip
    mask = dense != 0.0
    np.testing.assert_allclose(jnp.where(mask, ours(dense), 0.0), jnp.where(mask, exact(dense), 0.0), atol=1e-10)


def test_iterative_solver_agrees_with_the_direct_one():
    """Value and gradient on a grid by sweeps along its lines, value on a mesh without a grid."""
    x, y = np.linspace(0.0, 4.0, 25), 1.0 - np.linspace(1.0, 0.0, 13) ** 1.5
    grid = fem.rectangle(x, y, "triangle")
    cells = grid.topology.cells
    edges = {
        tag: np.stack([cells[f[:, 0], (f[:, 1] + i) % 3] for i in (0, 1)], 1) for tag, f in grid.topology.facets.items()
    }
    loose = fem.unstructured(grid.points, cells, edges)
    for mesh, atol in ((grid, 1e-9), (loose, 1e-8)):
        space = fem.Space(mesh)
        ends = {"left": fem.Dirichlet(1.0), "right": fem.Natural(), "bottom": fem.Dirichlet(0.0), "top": fem.Natural()}

        def total(d, solver, space=space, ends=ends):
            form = fem.AdvectionDiffusion(lambda p: jnp.stack([p[1] * (2.0 - p[1]), 0.0 * p[0]]), d, supg=True)
            return space.integral(fem.Problem(space, form, ends).solve(linear=True, solver=solver))

        asked = jax.value_and_grad if mesh is grid else lambda f: f
        ours, theirs = (
            jax.jit(asked(lambda d, s=s: total(d, s)))(0.02) for s in (fem.iterative(space), fem.direct(space))
        )
        np.testing.assert_allclose(ours, theirs, rtol=atol)


@pytest.mark.campaign
def test_conservative_and_plain_forms_agree():
    """On a line with elements of degree 2: the same solution where the velocity has no divergence, whatever stands at the outlet."""
    space = fem.Space(fem.line(0.0, 1.0, 40), 2)
    for outlet in (fem.TotalFlux(0.7), fem.Permeable(0.2), fem.Robin(0.5, 0.1)):
        both = [
            fem.Problem(
                space,
                fem.AdvectionDiffusion(jnp.array([1.0]), 0.3, conservative=c),
                {"left": fem.Dirichlet(1.0), "right": outlet},
            ).solve(linear=True)
            for c in (False, True)
        ]
        np.testing.assert_allclose(*both, atol=1e-12)
        # exact: c = a + b exp(x v/D), 1 at the inlet
        x, grow = np.asarray(space.coordinates)[:, 0], np.exp(1.0 / 0.3)
        b = (float(both[0][-1]) - 1.0) / (grow - 1.0)
        np.testing.assert_allclose(both[0], 1.0 + b * np.expm1(x / 0.3), atol=2e-6)


def test_partition_makes_concentrations_jump():
    """Two layers with partition coefficient K: flux D1 D2 K (c0 - c1/..)/..., and the concentration is K times as large inside."""
    k, d1, d2 = 0.25, 2.0, 0.5
    mesh = fem.rectangle(np.linspace(0.0, 2.0, 9), np.linspace(0.0, 1.0, 3), regions={"a": (slice(0, 4), slice(None)), "b": (slice(4, 8), slice(None))})  # fmt: skip
    space = fem.Space(mesh)
    inside = space.by_region({"a": 1.0, "b": k})
    form = fem.AdvectionDiffusion(jnp.zeros(2), space.by_region({"a": d1, "b": d2}), partition=inside)
    ends = {"left": fem.Dirichlet(1.0), "right": fem.Dirichlet(0.0), "top": fem.Natural(), "bottom": fem.Natural()}
    u = fem.Problem(space, form, ends).solve(linear=True)
    flux = 1.0 / (1.0 / d1 + 1.0 / (d2 * k))
    at = np.asarray(space.coordinates)[:, 0]
    np.testing.assert_allclose(u, np.where(at <= 1.0, 1.0 - flux / d1 * at, flux / (d2 * k) * (2.0 - at)), atol=1e-12)


def test_gradients_to_coordinates_and_coefficients():
    """A number of a bent channel, by its points, velocity, diffusivity and boundary values: reverse, forward and differences."""
    mesh = fem.rectangle(np.linspace(0.0, 1.0, 6), np.linspace(0.0, 0.5, 4))

    @eqx.filter_jit
    def outlet(x):
        stretch = jnp.stack([mesh.points[:, 0] * x[0], mesh.points[:, 1] * (1.0 + x[1] * mesh.points[:, 0])], axis=1)
        space = fem.Space(fem.Mesh(stretch, mesh.topology))
        form = fem.AdvectionDiffusion(jnp.array([x[2], 0.1]), x[3], supg=True)
        ends = {
            "left": fem.Dirichlet(1.0),
            "top": fem.Robin(x[4], 0.0),
            "bottom": fem.Natural(),
            "right": fem.Natural(),
        }
        u = fem.Problem(space, form, ends).solve(linear=True)
        return space.integral(u)

    x = jnp.array([1.2, 0.3, 1.5, 0.05, 0.4])
    reverse = jax.grad(outlet)(x)
    step = 1e-5 * jnp.eye(5)
    batch = jax.vmap(outlet)(jnp.concatenate([x + step, x - step]))
    np.testing.assert_allclose(reverse, (batch[:5] - batch[5:]) / 2e-5, rtol=1e-6)
    way = jnp.array([0.3, -1.0, 0.5, 0.02, 0.7])
    np.testing.assert_allclose(jax.jvp(outlet, (x,), (way,))[1], reverse @ way, rtol=1e-10)


@pytest.mark.filterwarnings("ignore")
def test_mesh_files(tmp_path):
    """A square from a Gmsh file with named sides, turned cells, an idle point and a named line between two cells."""
    meshio = pytest.importorskip("meshio")
    points = np.array([[0, 0, 0], [1000, 0, 0], [1000, 1000, 0], [0, 1000, 0], [5, 5, 0]], float)
    cells = [
        ("triangle", np.array([[0, 2, 1], [0, 2, 3]])),
        ("line", np.array([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]])),
    ]
    tags = [np.array([1, 2]), np.array([3, 3, 4, 4, 5])]
    names = {
        "wet": np.array([1, 2]),
        "dry": np.array([2, 2]),
        "wall": np.array([3, 1]),
        "open": np.array([4, 1]),
        "between": np.array([5, 1]),
    }
    found = meshio.Mesh(points, cells, cell_data={"gmsh:physical": tags, "gmsh:geometrical": tags}, field_data=names)
    found.write(tmp_path / "square.msh", file_format="gmsh22", binary=False)
    mesh = fem.read_mesh(tmp_path / "square.msh", 1e-3)
    assert mesh.points.shape == (4, 2)
    assert {name: len(part) for name, part in mesh.topology.regions.items()} == {"wet": 1, "dry": 1}
    assert set(mesh.topology.facets) == {"wall", "open"}
    space = fem.Space(mesh, 2)
    u = fem.Problem(space, fem.AdvectionDiffusion(jnp.zeros(2)), {"wall": fem.Dirichlet(1.0), "open": fem.Natural()}).solve(linear=True)  # fmt: skip
    np.testing.assert_allclose(u, 1.0, atol=1e-12)
    np.testing.assert_allclose(space.integral(u), 1.0)
    tags[1][:] = [1, 1, 2, 2, 5]  # the numbers of the surfaces, which Gmsh counts apart
    names["wall"][0], names["open"][0] = 1, 2
    found.write(tmp_path / "shared.msh", file_format="gmsh22", binary=False)
    shared = fem.read_mesh(tmp_path / "shared.msh", 1e-3).topology
    assert {name: len(part) for name, part in shared.regions.items()} == {"wet": 1, "dry": 1}
    assert {name: len(part) for name, part in shared.facets.items()} == {"wall": 2, "open": 2}
    with pytest.raises(jm.DataFileError, match="no file"):
        fem.read_mesh(tmp_path / "other.msh")
    (tmp_path / "text.msh").write_text("nothing")
    with pytest.raises(jm.DataFileError, match="not a mesh"):
        fem.read_mesh(tmp_path / "text.msh")


SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
TWO = np.array([[0, 1, 2], [0, 2, 3]])
ROUND = {"all": np.array([[0, 1], [1, 2], [2, 3], [3, 0]])}
PLAIN = fem.AdvectionDiffusion(jnp.zeros(2))


def laplace(**conditions) -> fem.Problem:
    return fem.Problem(fem.Space(fem.rectangle(UNIT, UNIT)), PLAIN, conditions)


REFUSED = {
    "inverted cell": (lambda: fem.unstructured(SQUARE, TWO[:, ::-1], ROUND), ("inverted", "[::-1]")),
    "duplicate cell": (lambda: fem.unstructured(SQUARE, np.concatenate([TWO, TWO[:1]]), ROUND), ("2 times", "np.unique")),
    "three cells at an edge": (
        lambda: fem.unstructured(np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 1.0], [0.5, 2.0], [0.5, -1.0]]), np.array([[0, 1, 2], [0, 1, 3], [0, 4, 1]]), {}),
        ("3 cells", "duplicate"),
    ),
    "velocity of one number": (lambda: fem.Problem(fem.Space(fem.unstructured(SQUARE, TWO, ROUND)), fem.AdvectionDiffusion(lambda x: 1.0 - x[1] ** 2, 0.1), {name: fem.Natural() for name in ROUND}), ("shape (2,) at 2 places", "it needs (2, 2)", "jnp.stack(")),
    "source of no array": (lambda: fem.Problem(fem.Space(fem.unstructured(SQUARE, TWO, ROUND)), fem.AdvectionDiffusion((1.0, 0.0), 0.1, source=lambda c, place: None), {name: fem.Natural() for name in ROUND}), ("source gives None", "source=lambda c, place:")),
    "overlapping cells": (lambda: fem.unstructured(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.2, 0.9]]), np.array([[0, 1, 2], [0, 1, 3]]), {}), ("Cells 0 and 1", "point 0 to point 1", "np.delete(cells, 1")),
    "unknown cell in a region": (lambda: fem.unstructured(SQUARE, TWO, ROUND, {"gel": np.array([1, 2])}), ('"gel" = [1, 2]', "0 to 1")),
    "region of fractions": (lambda: fem.unstructured(SQUARE, TWO, ROUND, {"gel": np.array([0.5])}), ('"gel" = [0.5]', "np.array(")),
    "unknown point": (lambda: fem.unstructured(SQUARE, np.array([[0, 1, 7]]), {}), ("point 7 of 4", "from 0")),
    "inner edge tagged": (lambda: fem.unstructured(SQUARE, TWO, {"cut": np.array([[0, 2]])}), ("not on the boundary", "cut")),
    "wrong corners": (lambda: fem.unstructured(SQUARE, np.array([[0, 1]]), {}), ("(E, 3)", "(E, 4)")),
    "nodes that fall": (lambda: fem.rectangle(UNIT[::-1], UNIT), ("inverted",)),
    "not a number": (lambda: fem.rectangle(np.array([0.0, np.nan, 1.0]), UNIT), ("not a number",)),
    "one node": (lambda: fem.rectangle(UNIT[:1], UNIT), ("(nx + 1,)", "linspace")),
    "unknown cell": (lambda: fem.rectangle(UNIT, UNIT, "hexagon"), ("hexagon", "triangle")),
    "unknown side": (lambda: fem.rectangle(UNIT, UNIT, sides={"inlet": ("lft", slice(0, 2))}), ("lft", "left")),
    "empty region": (lambda: fem.rectangle(UNIT, UNIT, regions={"feed": (slice(9, 12), slice(None))}), ("empty", "feed")),
    "degree": (lambda: fem.Space(fem.rectangle(UNIT, UNIT), 3), ("degree = 3", "degree=1")),
    "untagged boundary": (lambda: fem.Problem(fem.Space(fem.unstructured(SQUARE, TWO, {"low": np.array([[0, 1]])})), PLAIN, {"low": fem.Natural()}), ("3 facets", "untagged")),
    "boundary without condition": (lambda: laplace(left=fem.Dirichlet(1.0)), ("right, bottom, top", "Natural()")),
    "unknown boundary": (lambda: laplace(wall=fem.Dirichlet(1.0)), ("wall", "left")),
    "SUPG of degree 2": (
        lambda: fem.Problem(fem.Space(fem.rectangle(UNIT, UNIT), 2), fem.AdvectionDiffusion(jnp.ones(2), supg=True), {s: fem.Natural() for s in SIDES}),
        ("SUPG", "degree=1"),
    ),
    "condition that the form does not know": (
        lambda: fem.Problem(fem.Space(fem.rectangle(UNIT, UNIT)), lambda p: (p.value, p.gradient), {s: fem.Robin(1.0) for s in SIDES}),
        ("Robin", "Integrand"),
    ),
    "cell in no region": (lambda: fem.Space(fem.rectangle(UNIT, UNIT, regions={"a": (slice(0, 2), slice(None))})).by_region({"a": 1.0}), ("no named region", "elsewhere")),
    "unknown region": (lambda: fem.Space(fem.rectangle(UNIT, UNIT)).by_region({"a": 1.0}), ("a", "names none")),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(jm.JaxmemError) as caught:
        make()
    for word in words:
        assert word in str(caught.value)
