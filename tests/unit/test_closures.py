"""Hindrance, partitioning, charge laws, the segment rules and the small linear solver, against numbers worked out apart."""

import dataclasses

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.linalg.small_dense import SmallDense, apply, gauss_jordan, inverse
from jaxmem.models.dspmde.kernels import exponential, midpoint

LAMBDA = jnp.asarray([0.3, 0.5, 0.7, 0.8, 0.9, 0.95])


def test_dechadilok_deen_numbers() -> None:
    kd, kc = jm.DechadilokDeen(smooth=False)(LAMBDA)
    for ours, printed in zip(kd, ("0.4150", "0.1898", "0.0545", "0.0200", "0.0033", "6.2e-4"), strict=True):
        assert float(ours) == pytest.approx(float(printed), rel=0.02 if "e" in printed else 1e-9, abs=5.1e-5)
    assert np.allclose(kc, [1.316, 1.346, 1.279, 1.211, 1.119, 1.063], atol=5.1e-4)


def test_bowen_numbers() -> None:
    kd, kc = jm.Bowen()(LAMBDA)
    assert np.allclose(kd, [0.4199, 0.1665, 0.0323, 0.0132, 0.0280, 0.0485], atol=5.1e-5)
    assert np.allclose(kc, [1.418, 1.461, 1.346, 1.248, 1.134, 1.074], atol=5.1e-4)
    assert float(kd[-1]) > float(kd[3])  # it turns upward: the trap of this law


def test_confined_water() -> None:
    """One layer of 0.28 nm: the two laws at r_p = 2 d, and their limits of wide pores."""
    wide, double = jnp.asarray(1e-6), jnp.asarray(0.56e-9)
    layer, viscous = jm.OrientedLayer(), jm.ConfinedViscosity(in_flow=False)
    given, bulk = jnp.asarray(41.3), jnp.asarray(78.36)
    assert float(layer(given, double, bulk)) == pytest.approx(78.36 - 0.75 * 72.36)
    assert float(layer(given, wide, bulk)) == pytest.approx(78.36, rel=1e-3)
    assert float(layer(given, jnp.asarray(0.1e-9), bulk)) == pytest.approx(6.0)
    assert [float(x) for x in viscous(double)] == pytest.approx([1.0 + 9.0 - 2.25, 1.0])
    assert float(jm.ConfinedViscosity()(wide)[1]) == pytest.approx(1.0, rel=0.01)


@pytest.mark.campaign
def test_confinement_reaches_the_rejection() -> None:
    """A viscous pore: the rejection of a thicker membrane, at the pressure of a thicker one. A layer: that permittivity."""
    conditions = jm.FluxDriven(jnp.full(32, 1e-5))
    wall = jm.membrane("default")

    def ask(wall: jm.PoreMembrane, **options: bool) -> jm.models.result.PointResult:
        return jm.solve(jm.DSPMDE(activity="ideal", **options), jm.Case(jm.feed("mix4"), wall, conditions))

    ratio = float(jm.ConfinedViscosity()(wall.pore_radius)[0])
    viscous = ask(dataclasses.replace(wall, viscosity=jm.ConfinedViscosity()))
    thick = ask(dataclasses.replace(wall, thickness_over_porosity=wall.thickness_over_porosity * ratio))
    assert np.allclose(viscous.observed_rejection, thick.observed_rejection, rtol=0.0, atol=1e-12)
    assert np.allclose(viscous.pressure, thick.pressure, rtol=1e-12)
    layered = ask(dataclasses.replace(wall, permittivity=jm.OrientedLayer(layer_permittivity=31.0)))
    same = ask(
        dataclasses.replace(
            wall,
            pore_permittivity=float(jm.OrientedLayer(31.0)(wall.charge_density, wall.pore_radius, jnp.asarray(78.36))),
        )
    )
    assert np.allclose(layered.observed_rejection, same.observed_rejection, rtol=0.0, atol=1e-12)
    plain, pushed = ask(wall), ask(wall, pressure_diffusion=True)
    less = np.asarray(
        plain.peclet - pushed.peclet
    )  # Y J_v dx_e/D_p: the same for every flux law, V 8 mu J dx/(R T r^2)
    volume = 4 / 3 * np.pi * 6.02214076e23 * np.asarray(jm.feed("mix4").species.stokes_radius) ** 3
    expected = volume * 8 * 0.89e-3 * 1e-5 * 1.33e-6 / (8.314462618 * 298.15 * 0.25e-18)
    assert np.allclose(less, expected, rtol=1e-3)
    assert "pressure diffusion" in str(pushed)


@pytest.mark.parametrize("law", [jm.DechadilokDeen(), jm.Bowen()])
def test_point_solute_is_not_hindered(law: object) -> None:
    kd, kc = law(jnp.asarray([1e-9]))
    assert np.allclose(kd, 1.0, atol=1e-6)
    assert np.allclose(kc, 1.0, atol=1e-6)


@pytest.mark.parametrize("smooth", [True, False])
def test_kd_is_positive_and_falls(smooth: bool) -> None:
    """Errata: with a minus at lambda^6, K_d is negative above 0.515; without the branch it turns upward above 0.95."""
    x = jnp.linspace(1e-6, 1.0 - 1e-6, 20001)
    kd, kc = jm.DechadilokDeen(smooth=smooth)(x)
    assert bool(jnp.all(kd > 0.0))
    assert bool(jnp.all(jnp.isfinite(kc)))
    below = x < (1.0 if smooth else 0.94)
    assert bool(jnp.all(jnp.diff(kd)[np.asarray(below[1:])] < 0.0))


def test_errata_would_be_seen() -> None:
    x = 0.6
    wrong = 1 + 1.125 * x * np.log(x) - 1.56034 * x + 0.528155 * x**2 + 1.91521 * x**3 - 2.81903 * x**4
    wrong += 0.270788 * x**5 - 1.10115 * x**6 - 0.435933 * x**7
    assert wrong < 0.0
    assert float(jm.DechadilokDeen()(jnp.asarray(x))[0]) > 0.1
    without = (1 + x * (3.867 + x * (-1.907 - 0.834 * x))) / (1 + 1.867 * x)
    assert float(jm.DechadilokDeen()(jnp.asarray(x))[1]) - without > 0.1


def test_bridge_stays_near_the_hard_switch() -> None:
    x = jnp.linspace(0.92, 0.98, 6001)
    off = np.abs(np.asarray(jm.DechadilokDeen()(x)[0] / jm.DechadilokDeen(smooth=False)(x)[0]) - 1.0)
    inside = np.asarray((x > 0.94) & (x < 0.955))
    assert off[inside].max() < 0.0485  # 4.8 %
    assert off[inside].max() > 0.01
    assert off[~inside].max() < 1e-9


@pytest.mark.parametrize("joint", [0.94, 0.955])
def test_bridge_is_twice_differentiable(joint: float) -> None:
    """One-sided finite differences of ln K_d from the left and from the right agree in value, slope and curvature."""

    def log_kd(x: np.ndarray) -> np.ndarray:
        return np.log(np.asarray(jm.DechadilokDeen()(jnp.asarray(x))[0]))

    h = 2e-5
    step = np.arange(5) * h
    weights = {1: np.array([-25, 48, -36, 16, -3]) / (12 * h), 2: np.array([35, -104, 114, -56, 11]) / (12 * h * h)}
    right, left = log_kd(joint + 1e-9 + step), log_kd(joint - 1e-9 - step)
    assert abs(right[0] - left[0]) < 1e-6
    assert weights[1] @ right == pytest.approx(-(weights[1] @ left), rel=1e-4)
    assert weights[2] @ right == pytest.approx(weights[2] @ left, rel=2e-2)


def test_bridge_by_automatic_differentiation() -> None:
    def log_kd(x: jax.Array) -> jax.Array:
        return jnp.log(jm.DechadilokDeen()(x)[0])

    for joint in (0.94, 0.955):
        for order, rel in ((log_kd, 1e-7), (jax.grad(log_kd), 1e-5), (jax.grad(jax.grad(log_kd)), 1e-3)):
            left, right = float(order(jnp.asarray(joint - 1e-10))), float(order(jnp.asarray(joint + 1e-10)))
            assert left == pytest.approx(right, rel=rel)


def born(pore: float, bulk: float, z: float = 1.0, radius: float = 0.184e-9, ratio: float = 0.0) -> float:
    one = lambda x: jnp.asarray([x])
    return float(jnp.exp(jm.BornExclusion()(one(ratio), one(z), one(radius), one(pore), one(bulk), one(298.15)))[0])


def test_born() -> None:
    assert born(41.3, 78.36) == pytest.approx(0.174812185885, abs=5e-13)
    assert born(78.36, 41.3) > 1.0 > born(41.3, 78.36)  # the sign of the bracket
    assert born(41.3, 78.36, z=2.0) == pytest.approx(0.174812185885**4, rel=1e-10)
    assert born(41.3, 78.36, z=0.0, ratio=0.6) == pytest.approx(0.16, rel=1e-13)
    assert born(78.36, 78.36, ratio=0.5) == pytest.approx(0.25, rel=1e-14)
    steric = jm.StericExclusion()(*[jnp.asarray([v]) for v in (0.6, 2.0, 1e-10, 40.0, 78.0, 298.15)])
    assert float(jnp.exp(steric)[0]) == pytest.approx(0.16, rel=1e-13)


def test_freundlich() -> None:
    law = jm.FreundlichCharge(exponent=0.5, reference=4.0)
    water = jm.Mixture.from_concentration({"Na+": 20.0, "Mg+2": 8.0, "Cl-": 36.0})
    assert float(law(jnp.asarray(-10.0), water)) == pytest.approx(-10.0 * 3.0, rel=1e-14)  # (20 + 16)/4 = 9
    sugar = jm.Mixture.from_concentration({"glucose": 3.0})
    assert float(law(jnp.asarray(-10.0), sugar)) == 0.0
    assert float(jm.ConstantCharge()(jnp.asarray(-10.0), water)) == -10.0
    slope = jax.grad(lambda c: law(jnp.asarray(-10.0), jm.Mixture(water.species, c)))(water.concentration)
    assert np.allclose(slope, [-0.5 * 30.0 / 36.0, -0.5 * 30.0 * 2.0 / 36.0, 0.0], rtol=1e-12)


POINTS = [-60.0, -3.0, -0.5, -0.021, -0.0199, -1e-4, -1e-9, 1e-9, 1e-4, 0.0199, 0.021, 0.5, 3.0, 60.0]


BOTH = [(exponential, a) for a in POINTS] + [(midpoint, a) for a in POINTS if a > -1.9]  # which has a pole at -2


@pytest.mark.parametrize(("rule", "a"), BOTH)
def test_kernel_slopes(rule: object, a: float) -> None:
    at = jnp.asarray(a)
    kernel = rule(at)
    assert float(jax.grad(lambda x: rule(x).source)(at)) == pytest.approx(float(kernel.source_slope), rel=1e-9)
    assert float(jax.grad(lambda x: rule(x).decay)(at)) == pytest.approx(float(kernel.decay_slope), rel=1e-12)


@pytest.mark.parametrize("a", POINTS)
def test_exponential_kernel_values(a: float) -> None:
    kernel = exponential(jnp.asarray(a))
    assert float(kernel.decay) == pytest.approx(np.exp(-a), rel=1e-14)
    assert float(kernel.source) == pytest.approx(-np.expm1(-a) / a, rel=1e-12)


def test_gauss_jordan() -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(5, 5, 40)) + 4.0 * np.eye(5)[:, :, None]
    right = random.normal(size=(5, 2, 40))
    x = np.asarray(gauss_jordan(jnp.asarray(matrix), jnp.asarray(right)))
    for i in range(40):
        assert np.allclose(x[..., i], np.linalg.solve(matrix[..., i], right[..., i]), rtol=1e-10, atol=1e-12)
        assert np.allclose(inverse(jnp.asarray(matrix))[..., i], np.linalg.inv(matrix[..., i]), rtol=1e-9, atol=1e-12)
    assert np.allclose(apply(jnp.asarray(matrix), jnp.asarray(x[:, 0])), right[:, 0], atol=1e-11)


def test_small_dense_in_lineax() -> None:
    random = np.random.default_rng(2)
    matrix = jnp.asarray(random.normal(size=(4, 4)) + 4.0 * np.eye(4))
    right = jnp.asarray(random.normal(size=4))
    operator = lx.MatrixLinearOperator(matrix)
    ours = lx.linear_solve(operator, right, SmallDense())
    theirs = lx.linear_solve(operator, right, lx.LU())
    assert np.allclose(ours.value, theirs.value, rtol=1e-12)

    def loss(m: jax.Array, solver: lx.AbstractLinearSolver) -> jax.Array:
        return jnp.sum(lx.linear_solve(lx.MatrixLinearOperator(m), right, solver).value ** 2)

    assert np.allclose(jax.grad(loss)(matrix, SmallDense()), jax.grad(loss)(matrix, lx.LU()), rtol=1e-10)
