"""Elements whose membrane tells ions apart: closed form, a march written apart, the membrane point as the limit, lanes that fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import jaxmem as jm
from jaxmem._status import code
from jaxmem.units import bar, m3_per_h

SALT = jm.Mixture.from_concentration({"Na+": 30.0, "Cl-": 30.0})
SK = jm.SpiralWoundIons(jm.SpieglerKedem())


def vessel(membrane, count: int = 2, **geometry) -> jm.Vessel:
    return jm.Vessel(jm.SpiralElement(membrane, **{"area": 37.0, "length": 0.96, **geometry}), count)


def test_constant_rejection():
    """``c = c_0 (1 - Y)^-sigma`` along the channel where every drop is rejected alike, without polarisation and friction."""
    sigma = 0.9
    membrane = jm.SpieglerKedemMembrane(sigma, 1e-12, water_permeance=1e-14)
    model = jm.SpiralWoundIons(jm.SpieglerKedem(), cells=4)
    plain = vessel(membrane, mass_transfer=jm.ConstantTransfer(1.0), friction=jm.ConstantDrop(0.0))
    case = jm.Case(SALT, plain, jm.Recovery(jnp.array([0.1, 0.4, 0.7]), flow=1e-6))  # J_v/k of 1e-8
    r = jm.solve(model, case)
    y = np.asarray(r.recovery)
    np.testing.assert_allclose(y, [0.1, 0.4, 0.7], rtol=1e-10)
    mixed = (1.0 - (1.0 - y) ** (1.0 - sigma)) / y
    np.testing.assert_allclose(r.permeate, 30.0 * mixed[:, None] * np.ones(2), rtol=1e-7)
    assert float(jnp.max(r.closure)) < 1e-12
    np.testing.assert_allclose(
        jnp.sum(r.elements["permeate_flow"][..., None] * r.elements["permeate_concentration"], -2),
        r.permeate_flow[:, None] * r.permeate,
        rtol=1e-12,
    )


def test_against_a_march_written_apart():
    """Spiegler-Kedem with its film, spacers and friction, by NumPy and SciPy: within 1e-6."""
    sigma, permeability, permeance, pressure, flow = 0.97, 3e-7, 1.5e-11, 12e5, 2.2e-3
    r = jm.solve(
        jm.SpiralWoundIons(jm.SpieglerKedem(), cells=4),
        jm.Case(
            SALT, vessel(jm.SpieglerKedemMembrane(sigma, permeability, permeance), 1), jm.FeedPressure(pressure, flow)
        ),
    )
    brine, t = jm.NaClBrine(), jnp.asarray(298.15)
    h, eps, length, area = 0.711e-3, 0.89, 0.96, 37.0
    d_h, width = 4 * eps / (2 / h + 8 * (1 - eps) / h), area / 2 / length
    d = float(jnp.min(SALT.diffusivity))  # the smallest coefficient, of the slowest ion, is that of the salt

    def rate(_, y):
        q, n, p = y
        c = n / q
        w = float(brine.mass_fraction(jnp.asarray(c * 0.0584428), t))
        rho, mu = (float(law(jnp.asarray(w), t)) for law in (brine.density, brine.viscosity))
        v = q / (h * width * eps)
        re, sc = rho * v * d_h / mu, mu / rho / d
        k = 0.46 * (re * sc) ** 0.36 * d / d_h

        def point(j):
            passage = (1 - sigma) / (1 - sigma * np.exp(-(1 - sigma) * j / permeability))
            growth = np.exp(j / k)
            wall = c * growth / (1 - passage + passage * growth)
            return passage * wall, wall

        def miss(j):
            behind, wall = point(j)
            return j - permeance * (p - 101325.0 - sigma * 2 * 8.314462618 * 298.15 * (wall - behind))

        j = brentq(miss, 1e-12, permeance * p, xtol=1e-20, rtol=1e-13)
        return [-area * j, -area * j * point(j)[0], -6.23 * re**-0.3 * rho * v**2 / 2 / d_h * length]

    end = solve_ivp(rate, (0, 1), [flow, 30.0 * flow, pressure], rtol=1e-9, atol=1e-14).y[:, -1]
    np.testing.assert_allclose([r.concentrate_flow, r.state.outlet.ions[0], r.concentrate_pressure], end, rtol=1e-6)


def test_lanes_of_dspm_de():
    """An element of little area is a membrane point; a lane with bad numbers and one below its permeate pressure are told."""
    feed, pore = jm.feed("brackish8"), jm.membrane("NF270")
    pressures, areas = jnp.array([6.0, 6.0, 1.05, -1.0]) * bar, jnp.array([37.0, 0.05, 37.0, 37.0])
    narrow = areas / 37.0 * 0.96  # as wide as the others
    case = jm.Case(feed, vessel(pore, 1, area=areas, length=narrow), jm.FeedPressure(pressures, flow=9 * m3_per_h))
    r = jm.solve(jm.SpiralWoundIons(), case, throw=False)
    expected = ["successful", "successful", "pressure_spent", "outside_model"]
    np.testing.assert_array_equal(r.status, [code(name) for name in expected])
    assert bool(jnp.all(jnp.isfinite(r.permeate[:3])))
    assert 1e-12 < float(r.error_estimate[0]) < 1e-5
    assert float(jnp.max(r.closure[:2])) < 1e-12
    np.testing.assert_allclose(r.permeate[1], r.state.nodes.permeate[1, 0, 0], rtol=1e-3)


@pytest.mark.campaign
def test_gradients_of_dspm_de():
    """Reverse mode through the whole vessel against central differences, to pressure, pore radius and charge."""
    feed = jm.feed("brackish8")

    def magnesium(x: jax.Array) -> jax.Array:
        pore = jm.membrane("NF270", pore_radius=0.45e-9 * x[1], charge_density=-40.0 * x[2])
        case = jm.Case(feed, vessel(pore, 2), jm.FeedPressure(7e5 * x[0], flow=9 * m3_per_h))
        return jm.solve(jm.SpiralWoundIons(jm.DSPMDE(tolerance=1e-9)), case, throw=False).observed_rejection[2]

    one, step = jnp.ones(3), 1e-4
    slope = jax.jit(jax.grad(magnesium))(one)
    f = jax.jit(magnesium)
    difference = [(f(one.at[i].add(step)) - f(one.at[i].add(-step))) / (2 * step) for i in range(3)]
    np.testing.assert_allclose(slope, difference, rtol=1e-5)


@pytest.mark.campaign
def test_gradients_at_an_imposed_recovery():
    """The pressure that the recovery takes, to permeance, recovery and height of the spacer: to 1e-6."""

    def pressure(x: jax.Array) -> jax.Array:
        membrane = jm.SpieglerKedemMembrane(0.97, 3e-7, 1.5e-11 * x[0])
        case = jm.Case(
            SALT, vessel(membrane, spacer_height=0.711e-3 * x[2]), jm.Recovery(0.3 * x[1], flow=9 * m3_per_h)
        )
        return jm.solve(SK, case, throw=False).feed_pressure

    one, step = jnp.ones(3), 1e-4
    slope, f = jax.jit(jax.grad(pressure))(one), jax.jit(pressure)
    difference = [(f(one.at[i].add(step)) - f(one.at[i].add(-step))) / (2 * step) for i in range(3)]
    np.testing.assert_allclose(slope, difference, rtol=1e-6)


def test_what_cannot_be_is_told():
    membrane = jm.SpieglerKedemMembrane(0.97, 3e-7, 1.5e-11)
    flows, pressures = jnp.array([9.0, 0.02, 9.0, 40.0]) * m3_per_h, jnp.array([12.0, 12.0, 1.0, 2.0]) * bar
    case = jm.Case(SALT, vessel(membrane, 3), jm.FeedPressure(pressures, flow=flows))
    r = jm.solve(SK, case, throw=False)
    expected = ["successful", "channel_runs_dry", "below_osmotic_pressure", "pressure_spent"]
    np.testing.assert_array_equal(r.status, [code(name) for name in expected])
    with pytest.raises(jm.JaxmemError, match="SpiralWoundIons"):
        jm.solve(jm.SpiralWound(), case)
    with pytest.raises(jm.JaxmemError, match="ConstantTransfer"):
        jm.solve(SK, jm.Case(SALT, vessel(membrane, mass_transfer=jm.ConstantModulus(1.0)), case.conditions))
    with pytest.raises(jm.JaxmemError, match="cells=2"):
        jm.SpiralWoundIons(cells=0)
    with pytest.raises(jm.JaxmemError, match="PoreMembrane"):
        jm.solve(jm.SpiralWoundIons(), case)
    with pytest.raises(jm.JaxmemError, match="SpiralElement"):
        jm.solve(SK, jm.Case(SALT, membrane, case.conditions))
