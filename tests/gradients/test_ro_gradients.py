"""Reverse osmosis: adjoint = tangent = central difference; failed lanes have none and harm no other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.units import bar, m3_per_h

SALT = 547.57


def vessel(x: jax.Array, imposed: str) -> jm.Case:
    """Ten numbers, each one for its own value at one: A, B, pressure or recovery, flow, T, h, L, eps, area, salt."""
    a, b, drive, flow, t, h, length, eps, area, salt = x
    feed = jm.Mixture.from_concentration({"Na+": SALT * salt, "Cl-": SALT * salt}, temperature=300.0 * t)
    membrane = jm.SolutionDiffusionMembrane(4e-12 * a, 2e-8 * b)
    element = jm.SpiralElement(membrane, 37.0 * area, 0.956 * length, 0.7e-3 * h, 0.89 * eps)
    if imposed == "pressure":
        return jm.Case(feed, jm.Vessel(element, 2), jm.FeedPressure(60 * bar * drive, 9 * m3_per_h * flow))
    return jm.Case(feed, jm.Vessel(element, 2), jm.Recovery(0.2 * drive, 9 * m3_per_h * flow))


def outcome(x: jax.Array, imposed: str) -> jax.Array:
    r = jm.solve(jm.SpiralWound(cells=3), vessel(x, imposed), throw=False)
    return jnp.stack([r.recovery, r.specific_energy / 1e7, r.permeate_concentration, r.permeate_flow * 1e3])


@pytest.mark.campaign
@pytest.mark.parametrize("imposed", ["pressure", "recovery"])
def test_vessel_both_ways(imposed):
    """The compilation takes most of a minute."""
    ask, one = (lambda x: outcome(x, imposed)), jnp.ones(10)
    forward, reverse = jax.jit(jax.jacfwd(ask))(one), jax.jit(jax.jacrev(ask))(one)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("imposed", "way"), [("pressure", jax.jacrev), pytest.param("recovery", jax.jacfwd, marks=pytest.mark.campaign)]
)
def test_vessel(imposed, way):
    ask, one = (lambda x: outcome(x, imposed)), jnp.ones(10)
    slope, f, step = jax.jit(way(ask))(one), jax.jit(ask), 1e-5
    difference = np.stack([(f(one.at[i].add(step)) - f(one.at[i].add(-step))) / (2 * step) for i in range(10)], axis=-1)
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-8)


@pytest.mark.campaign
def test_layer_profile():
    feed = jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})

    def wall(x: jax.Array) -> jax.Array:
        model = jm.ADM(elements=60, diffusivity=jm.ExponentialDiffusivity(1e-4 * x[2]))
        layer = jm.Layer(5e-5 * x[3], 1e-5 * x[1], 1e-9 * x[0], jm.fem.TotalFlux(3e-5 * x[4]))
        return jm.solve(model, jm.Case(feed, None, layer), throw=False).concentration[30:] / SALT

    one = jnp.ones(5)
    forward, reverse = jax.jacfwd(wall)(one), jax.jacrev(wall)(one)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, atol=1e-12)
    step, f = 1e-5, jax.jit(wall)
    difference = np.stack([(f(one.at[i].add(step)) - f(one.at[i].add(-step))) / (2 * step) for i in range(5)], axis=-1)
    np.testing.assert_allclose(forward, difference, rtol=2e-6, atol=1e-8)


@pytest.mark.campaign
def test_taylor_slope_of_the_coupled_layer():
    feed = jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})

    def flux(a: jax.Array) -> jax.Array:
        case = jm.Case(feed, jm.SolutionDiffusionMembrane(4e-12 * a, 7e-8), jm.PressedLayer(55 * bar, 50e-6, 1.5e-9))
        return jm.solve(jm.ADMSDM(), case, throw=False).volume_flux * 1e5

    value, slope = jax.value_and_grad(flux)(1.0)
    steps = np.array([1e-2, 5e-3, 2.5e-3])
    left = [abs(float(flux(1.0 + s) - value - s * slope)) for s in steps]
    rates = np.diff(np.log(left)) / np.diff(np.log(steps))
    np.testing.assert_allclose(rates, 2.0, atol=0.1)


def test_a_failed_lane_has_no_gradient_and_harms_no_other():
    pressure = jnp.array([60.0, 20.0, 55.0]) * bar  # the second is below the osmotic pressure
    feed = jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})

    def recoveries(pressure: jax.Array, a: jax.Array) -> jax.Array:
        element = jm.SpiralElement(jm.SolutionDiffusionMembrane(a, 2e-8), 37.0, 0.956)
        case = jm.Case(feed, element, jm.FeedPressure(pressure, 9 * m3_per_h))
        return jnp.sum(jm.solve(jm.SpiralWound(cells=3), case, throw=False).recovery)

    a = jnp.asarray(4e-12)
    to_pressure, to_a = jax.grad(recoveries, argnums=(0, 1))(pressure, a)
    good_pressure, good_a = jax.grad(recoveries, argnums=(0, 1))(pressure[::2], a)
    assert to_pressure[1] == 0.0
    np.testing.assert_allclose(to_pressure[::2], good_pressure, rtol=1e-12)
    np.testing.assert_allclose(to_a, good_a, rtol=1e-12)


def test_batch_equals_vmap_and_single():
    pressure = jnp.array([50.0, 60.0, 70.0]) * bar
    feed = jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})
    element = jm.element("SW30HRLE-400")
    ask = lambda p: (
        jm.solve(jm.SpiralWound(), jm.Case(feed, element, jm.FeedPressure(p, 9 * m3_per_h)), throw=False).recovery
    )
    batch = ask(pressure)
    np.testing.assert_allclose(jax.vmap(ask)(pressure), batch, rtol=1e-12)
    np.testing.assert_allclose(jnp.stack([ask(p) for p in pressure]), batch, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(ask)(pressure), batch, rtol=1e-12)


def test_no_salt_has_the_slope_of_little_salt():
    """The derivative by the salt of the feed is the same on both sides of none."""

    def recovery(salt: jax.Array) -> jax.Array:
        return jm.solve(jm.SpiralWound(cells=3), vessel(jnp.ones(10).at[9].set(salt), "pressure"), throw=False).recovery

    slope = jax.jit(jax.vmap(jax.grad(recovery)))(jnp.array([0.0, 1e-7]))
    np.testing.assert_allclose(slope[0], slope[1], rtol=1e-5)


def test_train_of_ions():
    """Two stages with a booster and a recycle, by every number that they hold, against central differences."""

    def ask(x: jax.Array) -> jax.Array:
        feed = jm.Mixture.from_concentration({"Na+": 20.0 * x[0], "Cl-": 20.0 * x[0]}, temperature=298.15 * x[1])
        wall = jm.SpieglerKedemMembrane(0.9 * x[2], 3e-6 * x[3], water_permeance=1.5e-11 * x[4])
        leaf = jm.SpiralElement(wall, 37.0 * x[5], 0.96 * x[6], 0.7e-3 * x[7], 0.89 * x[8])
        stages = jm.Stage(jm.Vessel(leaf, 1), 2.0 * x[9]), jm.Stage(jm.Vessel(leaf, 1), 1.0, booster=2.0 * bar * x[10])
        given = jm.FeedPressure(10.0 * bar * x[11], 18.0 * m3_per_h * x[12], pump=jm.Pump(0.8 * x[13], 0.9 * x[14]))
        case = jm.Case(feed, jm.Train(stages, recycle=0.3 * x[15]), given)
        r = jm.solve(jm.ReverseOsmosisTrain(jm.SpiralWoundIons(jm.SpieglerKedem(), cells=1)), case, throw=False)
        return jnp.stack([r.recovery, r.specific_energy / 1e6, r.permeate_concentration[0] / 20.0])

    one, step = jnp.ones(16), 1e-5
    slope = jax.jit(jax.jacrev(ask))(one)
    up, down = jax.jit(jax.vmap(ask))(jnp.concatenate([one + step * jnp.eye(16), one - step * jnp.eye(16)])).reshape(
        2, 16, 3
    )
    np.testing.assert_allclose(slope, (up - down).T / (2.0 * step), rtol=1e-6, atol=1e-8)
