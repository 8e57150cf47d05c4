"""Observed orders of the finite elements against closed forms."""

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import jaxmem as jm
from jaxmem import fem

SALT = 100.0
FEED = jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})
D, V = 0.1, 1.0  # m2/s and m/s on a unit length


class Manufactured:
    """R such that C/C0 = 1 + sin(pi x) solves -D C'' + v C' = R."""

    def __call__(self, concentration, position):
        return SALT * (D * jnp.pi**2 * jnp.sin(jnp.pi * position) + V * jnp.pi * jnp.cos(jnp.pi * position))


def errors(supg: bool, n: int) -> tuple[float, float]:
    """L2 by three-point Gauss in every element, and the largest at a node."""
    model = jm.ADM(elements=n, supg=supg, reaction=Manufactured())
    r = jm.solve(model, jm.Case(FEED, None, jm.Layer(1.0, V, D, jm.fem.Dirichlet(SALT))))
    x, c = np.asarray(r.position), np.asarray(r.concentration) / SALT
    points, weights = np.polynomial.legendre.leggauss(3)
    at = 0.5 * (points + 1.0)[:, None]
    place, value = x[:-1] + at * np.diff(x), c[:-1] + at * np.diff(c)
    square = 0.5 * weights[:, None] * (value - 1.0 - np.sin(np.pi * place)) ** 2 * np.diff(x)
    return float(np.sqrt(square.sum())), float(np.abs(c - 1.0 - np.sin(np.pi * x)).max())


def order(small: float, large: float) -> float:
    return float(np.log2(large / small))


def test_linear_elements_are_of_second_order():
    (coarse, coarse_node), (fine, fine_node) = (errors(False, n) for n in (160, 320))
    assert abs(order(fine, coarse) - 2.0) < 0.05
    assert abs(order(fine_node, coarse_node) - 2.0) < 0.05
    np.testing.assert_allclose(fine, 3.684e-6, rtol=0.02)


def test_supg_keeps_the_order():
    (coarse, _), (fine, fine_node) = (errors(True, n) for n in (160, 320))
    assert abs(order(fine, coarse) - 2.0) < 0.05
    assert fine_node < 1e-5


@pytest.mark.parametrize("peclet", [1e-3, 1.0, 1e2, 1e3, 1e4])
def test_supg_is_exact_at_nodes(peclet):
    layer = jm.Layer(1.0, peclet * 1e-3, 1e-3, jm.fem.Dirichlet(0.0))
    r = jm.solve(jm.ADM(elements=64), jm.Case(FEED, None, layer))
    x = np.asarray(r.position)
    exact = -np.expm1(-peclet * (1.0 - x)) / -np.expm1(-peclet)
    np.testing.assert_allclose(np.asarray(r.concentration) / SALT, exact, atol=1e-12 if peclet <= 100 else 1e-10)


@pytest.mark.parametrize(("theta", "expected"), [(0.5, 2.0), (1.0, 1.0)])
def test_time_steps_have_their_order(theta, expected):
    """Against a run with many more steps on the same mesh; smooth by a late time."""

    def run(steps: int) -> np.ndarray:
        layer = jm.Layer(1.0, 0.0, 0.1, jm.fem.Dirichlet(0.0), time=1.0)
        return np.asarray(
            jm.solve(jm.ADM(elements=20, steps=steps, theta=theta), jm.Case(FEED, None, layer)).concentration
        )

    exact = run(12_800)
    coarse, fine = (np.abs(run(n) - exact).max() for n in (400, 800))
    assert abs(order(fine, coarse) - expected) < 0.1


def test_newton_ends_quadratically():
    """Residuals of the nonlinear layer, from Newton steps written out: each is about the square of the one before."""
    form = fem.AdvectionDiffusion(jnp.ones(1), diffusivity=lambda c, place: jnp.exp(-0.5 * c))
    ends = {"left": fem.Dirichlet(1.0), "right": fem.Dirichlet(0.0)}
    problem = fem.Problem(fem.Space(fem.line(0.0, 1.0, 50)), form, ends)
    u, sizes = jnp.linspace(1.0, 0.0, 51), []
    for _ in range(7):
        rows, slope = jax.linearize(problem.residual, u)
        sizes.append(float(jnp.max(jnp.abs(rows))))
        operator = lx.FunctionLinearOperator(slope, jax.ShapeDtypeStruct(u.shape, u.dtype))
        u = u - lx.linear_solve(operator, rows, fem.direct(problem.space)).value
    tail = [s for s in sizes if 1e-13 < s < 1e-1]
    assert len(tail) >= 2
    assert np.log(tail[-1]) / np.log(tail[-2]) > 1.6
    assert sizes[-1] < 1e-13
