"""The layer by finite elements: exact nodes, and how Newton ends. Orders are in ``test_fem_orders.py``."""

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


@pytest.mark.parametrize("peclet", [1e-3, 1.0, 1e2, 1e3, 1e4])
def test_supg_is_exact_at_nodes(peclet):
    layer = jm.Layer(1.0, peclet * 1e-3, 1e-3, jm.fem.Dirichlet(0.0))
    r = jm.solve(jm.ADM(elements=64), jm.Case(FEED, None, layer))
    x = np.asarray(r.position)
    exact = -np.expm1(-peclet * (1.0 - x)) / -np.expm1(-peclet)
    np.testing.assert_allclose(np.asarray(r.concentration) / SALT, exact, atol=1e-12 if peclet <= 100 else 1e-10)


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
