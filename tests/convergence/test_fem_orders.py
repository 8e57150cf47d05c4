"""Observed orders of the finite elements on manufactured solutions, in one and two dimensions and in time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem import fem

D, V = 0.1, 1.0
PLANE_D, WIND = 0.05, jnp.array([1.0, 0.5])
ROUND = ("left", "right", "bottom", "top")


def sine(place):
    return jnp.prod(jnp.sin(jnp.pi * place), axis=0)


def line_source(c, place):
    x = place[0]
    return D * jnp.pi**2 * jnp.sin(jnp.pi * x) + V * jnp.pi * jnp.cos(jnp.pi * x)


def plane_source(c, place):
    (sx, sy), (cx, cy) = jnp.sin(jnp.pi * place), jnp.cos(jnp.pi * place)
    return 2.0 * PLANE_D * jnp.pi**2 * sx * sy + jnp.pi * (WIND[0] * cx * sy + WIND[1] * sx * cy)


def norms(problem: fem.Problem, u) -> tuple[float, float, float]:
    """Errors: L2, H1 of the gradient, and the largest at a node."""
    space = fem.Space(problem.space.mesh, problem.space.degree, quadrature=2 * problem.space.degree + 2)
    slope = jax.vmap(jax.grad(sine), in_axes=1, out_axes=1)

    @eqx.filter_jit
    def measure(u):
        square = space.integral(u, lambda p: (p.value - sine(p.place)) ** 2)
        rise = space.integral(u, lambda p: jnp.sum((p.gradient - slope(p.place)) ** 2, axis=0))
        return jnp.sqrt(square), jnp.sqrt(rise), jnp.abs(u - sine(space.coordinates.T)).max()

    return tuple(map(float, measure(u)))


def on_line(n: int, degree: int, supg: bool = False) -> tuple[float, float, float]:
    # SUPG keeps fourth order at the nodes only if sources are integrated well
    space = fem.Space(fem.line(0.0, 1.0, n), degree, quadrature=6)
    form = fem.AdvectionDiffusion(jnp.array([V]), D, source=line_source, supg=supg)
    problem = fem.Problem(space, form, {"left": fem.Dirichlet(0.0), "right": fem.Dirichlet(0.0)})
    return norms(problem, problem.solve(linear=True))


def on_plane(n: int, degree: int, kind: str, supg: bool = False) -> tuple[float, float, float]:
    mesh = fem.rectangle(np.linspace(0.0, 1.0, n + 1), np.linspace(0.0, 1.0, n + 1), kind)
    form = fem.AdvectionDiffusion(WIND, PLANE_D, source=plane_source, supg=supg)
    problem = fem.Problem(fem.Space(mesh, degree), form, {side: fem.Dirichlet(0.0) for side in ROUND})
    return norms(problem, problem.solve(linear=True))


def order(coarse: float, fine: float) -> float:
    return float(np.log2(coarse / fine))


LINE = {  # L2, H1, nodes, and L2 at 320 elements from the specification
    "P1": (1, False, (2.0, 1.0, 2.0), 3.684e-6),
    "P2": (2, False, (3.0, 2.0, 4.0), 3.848e-9),
    "SUPG": (1, True, (2.0, 1.0, 4.0), 6.221e-6),
}


@pytest.mark.parametrize("name", [n if n == "P2" else pytest.param(n, marks=pytest.mark.campaign) for n in LINE])
def test_orders_on_a_line(name):
    degree, supg, expected, at_320 = LINE[name]
    # the nodes of P2 reach round-off early: their order is seen on coarser meshes
    pairs = [
        (on_line(160, degree, supg), on_line(320, degree, supg)),
        (on_line(40, degree, supg), on_line(80, degree, supg)),
    ]
    for i, theory in enumerate(expected):
        coarse, fine = pairs[1 if theory == 4.0 else 0]
        if name == "P2" and i == 2:
            coarse, fine = (errors_at_corners(n) for n in (40, 80))
            assert abs(order(coarse, fine) - theory) < 0.05
            continue
        assert abs(order(coarse[i], fine[i]) - theory) < 0.05, (i, coarse[i], fine[i])
    np.testing.assert_allclose(pairs[0][1][0], at_320, rtol=2e-3)


def errors_at_corners(n: int) -> float:
    """Of elements of degree 2, at the ends of the elements, which superconverge."""
    space = fem.Space(fem.line(0.0, 1.0, n), 2, quadrature=6)
    form = fem.AdvectionDiffusion(jnp.array([V]), D, source=line_source)
    problem = fem.Problem(space, form, {"left": fem.Dirichlet(0.0), "right": fem.Dirichlet(0.0)})
    u = problem.solve(linear=True)[::2]
    return float(jnp.abs(u - jnp.sin(jnp.pi * jnp.linspace(0.0, 1.0, n + 1))).max())


@pytest.mark.parametrize(("kind", "degree", "supg"), [("triangle", 1, False), pytest.param("triangle", 2, False, marks=pytest.mark.campaign), pytest.param("triangle", 1, True, marks=pytest.mark.campaign), pytest.param("quadrilateral", 1, False, marks=pytest.mark.campaign), pytest.param("quadrilateral", 2, False, marks=pytest.mark.campaign)])  # fmt: skip
def test_orders_in_the_plane(kind, degree, supg):
    n = 64 if degree == 1 else 32
    coarse, fine = on_plane(n, degree, kind, supg), on_plane(2 * n, degree, kind, supg)
    assert abs(order(coarse[0], fine[0]) - (degree + 1)) < 0.05
    assert abs(order(coarse[1], fine[1]) - degree) < 0.05


@pytest.mark.parametrize(("theta", "expected"), [(0.5, 2.0), (1.0, 1.0)])
@pytest.mark.parametrize("lumped", [False, True])
def test_orders_in_time(theta, expected, lumped):
    """Decay of the first mode of diffusion on a mesh: its rate is known for both masses."""
    n, end = 16, 1.0
    problem = fem.Problem(
        fem.Space(fem.line(0.0, 1.0, n)),
        fem.AdvectionDiffusion(jnp.zeros(1), D),
        {"left": fem.Dirichlet(0.0), "right": fem.Dirichlet(0.0)},
    )
    start = jnp.sin(jnp.pi * problem.space.mesh.nodes)
    cosine = np.cos(np.pi / n)
    rate = D * n**2 * 2.0 * (1.0 - cosine) / (1.0 if lumped else (2.0 + cosine) / 3.0)

    def error(steps: int) -> float:
        step = lambda u, _: (fem.theta_step(problem, u, end / steps, theta, lumped, linear=True)[0], None)
        u = jax.lax.scan(step, start, None, length=steps)[0]
        return float(jnp.abs(u - start * np.exp(-rate * end)).max())

    assert abs(order(error(100), error(200)) - expected) < 0.05


@pytest.mark.campaign
def test_diffrax_takes_the_steps():
    """The same decay by an implicit Runge-Kutta method with its own steps, and its derivative."""
    n = 16

    def at_the_end(d):
        problem = fem.Problem(
            fem.Space(fem.line(0.0, 1.0, n)),
            fem.AdvectionDiffusion(jnp.zeros(1), d),
            {"left": fem.Dirichlet(0.0), "right": fem.Dirichlet(0.0)},
        )
        start = jnp.sin(jnp.pi * problem.space.mesh.nodes)
        return fem.evolve(problem, start, jnp.array([0.0, 0.5, 1.0]), rtol=1e-9, atol=1e-12).ys[-1, n // 2]

    rate = n**2 * 2.0 * (1.0 - np.cos(np.pi / n))
    value, slope = jax.value_and_grad(at_the_end)(jnp.asarray(D))
    np.testing.assert_allclose(value, np.exp(-rate * D), rtol=1e-7)
    np.testing.assert_allclose(slope, -rate * np.exp(-rate * D), rtol=1e-5)
