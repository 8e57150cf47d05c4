"""The slit in two dimensions against reference numbers, its balances, its gradients, and the film law it implies."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem import fem
from jaxmem._status import code
from jaxmem.chemistry.osmotic import VanTHoff

ENTRIES = {
    e["id"]: e
    for e in json.loads((Path(__file__).parents[1] / "reference/ro.json").read_text(encoding="utf-8"))["entries"]
}
MASS = float(jm.species("Na+", "Cl-").molar_mass.sum())


def nacl(kilograms: float) -> jm.Mixture:
    return jm.Mixture.from_concentration({"Na+": kilograms / MASS, "Cl-": kilograms / MASS})


@pytest.mark.parametrize("alpha", [1.0, 0.1, 0.05])
def test_complete_rejection(alpha):
    h, velocity, d = 5e-4, 0.1, 1.5e-9
    flux, at = d / (alpha * h), np.array([1e-3, 1e-2, 0.05, 0.1, 0.2])
    conditions = jm.SlitFlux(flux, velocity, h, at * velocity * h / flux, d)
    r = jm.solve(jm.SlitRO(), jm.Case(nacl(10.0), jm.SolutionDiffusionMembrane(4e-12, 0.0), conditions))
    expected = [ENTRIES[f"slit_complete_alpha{alpha:g}_X{x:g}"]["outputs"]["cw_over_c0"] for x in at]
    np.testing.assert_allclose(r.wall_concentration[:, -1] / 10.0, expected, rtol=1e-4)
    np.testing.assert_allclose((1.0 - at) * r.bulk_concentration[:, -1] / 10.0, 1.0, rtol=1e-10)
    assert float(jnp.max(jnp.abs(r.salt_closure))) < 1e-10


def seawater(steps: int = 200, elements: int = 160, **changes) -> tuple[jm.SlitRO, jm.Case]:
    i = ENTRIES["slit_sdm_SW"]["inputs"]
    given = {"pressure": i["P0_Pa"], "velocity": i["ubar0_m_s"], "half_height": i["h_m"], "length": i["L_m"], "diffusivity": i["D_m2_s"], "viscosity": i["mu_Pa_s"]}  # fmt: skip
    membrane = jm.SolutionDiffusionMembrane(i["A_m_s_Pa"], i["B_m_s"])
    model = jm.SlitRO(osmotic=VanTHoff(), steps=steps, elements=elements, ratio=0.9625 ** (160 / elements))
    return model, jm.Case(nacl(i["c0_kg_m3"]), membrane, jm.SlitPressure(**{**given, **changes}))


def test_coupled_with_the_wall():
    o = ENTRIES["slit_sdm_SW"]["outputs"]
    r = jm.solve(*seawater())
    ours = [r.volume_flux[0], r.volume_flux[-1], r.mean_flux, r.wall_concentration[-1], r.permeate_concentration, -r.pressure_drop, r.recovery]  # fmt: skip
    names = ("Jw_0_m_s", "Jw_L_m_s", "Jw_mean_m_s", "cw_L_kg_m3", "cp_mean_kg_m3", "dP_Pa", "recovery")
    np.testing.assert_allclose(ours, [o[name] for name in names], rtol=1e-4)
    assert abs(float(r.salt_closure)) < 1e-10
    assert "1/1 solved" in str(r)


def test_second_order():
    coarse, middle, fine = (jm.solve(*seawater(25 * n, 20 * n)).mean_flux for n in (2, 4, 8))
    assert abs(np.log2(abs(float((coarse - middle) / (middle - fine)))) - 2.0) < 0.25


def test_its_sherwood_number_gives_the_flux_back():
    """Film theory with the local k of the slit, point by point, is the slit."""
    model, case = seawater()
    r = jm.solve(model, case)
    some = np.array([50, 100, 200])
    k = r.sherwood[some] * case.conditions.diffusivity / (4.0 * case.conditions.half_height)
    salt = r.bulk_concentration[some] / MASS
    feed = jm.Mixture.from_concentration({"Na+": salt, "Cl-": salt})
    pressed = jm.PressureDriven(r.state.at.pressure[some], jm.film("same", k))
    point = jm.solve(jm.SolutionDiffusion(osmotic=VanTHoff()), jm.Case(feed, case.membrane, pressed))
    np.testing.assert_allclose(point.volume_flux, r.volume_flux[some], rtol=1e-6)


def test_recovery_to_forty_percent_and_brackish_feeds():
    membrane = jm.SolutionDiffusionMembrane(1e-11, 1e-7)
    salt = jnp.array([2.0, 2.0, 20.0]) / MASS
    feed = jm.Mixture.from_concentration({"Na+": salt, "Cl-": salt})
    length, velocity = jnp.array([1.0, 0.5, 1.0]), jnp.array([0.03, 0.2, 0.1])
    case = jm.Case(feed, membrane, jm.SlitPressure(15e5 * jnp.array([1.0, 1.0, 3.0]), velocity, 3e-4, length))
    r = jm.solve(jm.SlitRO(), case)
    assert float(r.recovery[0]) > 0.4
    assert float(jnp.max(jnp.abs(r.salt_closure))) < 1e-10


@pytest.mark.campaign
def test_gradients():
    def flux(x: jax.Array) -> jax.Array:
        i = ENTRIES["slit_sdm_SW"]["inputs"]
        membrane = jm.SolutionDiffusionMembrane(i["A_m_s_Pa"] * x[0], i["B_m_s"] * x[1])
        conditions = jm.SlitPressure(i["P0_Pa"] * x[2], i["ubar0_m_s"] * x[3], i["h_m"] * x[4], i["L_m"] * x[5])
        r = jm.solve(
            jm.SlitRO(elements=40, ratio=0.86, steps=30), jm.Case(nacl(32.0), membrane, conditions), throw=False
        )
        return jnp.stack([r.mean_flux * 1e6, r.permeate_concentration])

    one = jnp.ones(6)
    forward, reverse = jax.jit(jax.jacfwd(flux))(one), jax.jit(jax.jacrev(flux))(one)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10)
    f, step = jax.jit(flux), 1e-5
    difference = np.stack([(f(one.at[i].add(step)) - f(one.at[i].add(-step))) / (2 * step) for i in range(6)], axis=-1)
    np.testing.assert_allclose(forward, difference, rtol=1e-6, atol=1e-8)


def test_lanes_that_cannot_be_are_told_apart():
    narrow = {"half_height": jnp.array([5e-4, 5e-4, 1e-5]), "velocity": jnp.array([0.1, 0.1, 10.0])}
    model, case = seawater(60, 40, pressure=jnp.array([55e5, 1e4, 55e5]), **narrow)
    r = jm.solve(model, case, throw=False)
    expected = ["successful", "below_osmotic_pressure", "pressure_spent"]
    np.testing.assert_array_equal(r.status, [code(name) for name in expected])
    alone = jm.solve(*seawater(60, 40))
    np.testing.assert_allclose(r.mean_flux[0], alone.mean_flux, rtol=1e-12)


def test_a_membrane_on_one_side():
    """Balances close; near the inlet, where the layer does not feel the other wall, polarisation is that of the slit with two membranes."""
    flux, velocity, h, d = 1e-5, 0.1, 5e-4, 1.5e-9
    case = jm.Case(nacl(10.0), jm.SolutionDiffusionMembrane(4e-12, 0.0), jm.SlitFlux(flux, velocity, h, 0.2, d))
    one, two = (jm.solve(jm.SlitRO(sides=n, elements=320, ratio=0.981), case) for n in (1, 2))
    assert abs(float(one.salt_closure)) < 1e-12
    np.testing.assert_allclose(one.recovery, 0.5 * two.recovery, rtol=1e-12)
    np.testing.assert_allclose(one.bulk_concentration[-1], one.bulk_concentration[0] / (1.0 - one.recovery), rtol=1e-10)
    near = np.asarray(one.position) < 0.01
    np.testing.assert_allclose(one.wall_concentration[near], two.wall_concentration[near], rtol=2e-3)
    with pytest.raises(jm.JaxmemError, match="sides=2"):
        jm.SlitRO(sides=3)


@pytest.mark.campaign
def test_the_slit_by_finite_elements_in_the_plane():
    """Complete rejection again, with diffusion along the slit, on a graded mesh of the general finite elements: within 1e-3."""
    alpha, reach = 0.1, 0.05
    d, flux, h, velocity = 1.5e-9, 1.5e-9 / (alpha * 5e-4), 5e-4, 0.1
    length = reach * velocity * h / flux
    y = h * fem.geometric(48, 0.87)
    mesh = fem.rectangle(length * np.linspace(0.0, 1.0, 81) ** 3, y, "quadrilateral")

    def wind(place):
        eta, mean = place[1] / h, velocity - flux * place[0] / h
        return jnp.stack([1.5 * mean * (1.0 - eta**2), flux * eta * (3.0 - eta**2) / 2.0])

    form = fem.AdvectionDiffusion(wind, d, conservative=True)
    ends = {"left": fem.Dirichlet(1.0), "right": fem.Gradient(0.0), "bottom": fem.Natural(), "top": fem.TotalFlux(0.0)}
    problem = fem.Problem(fem.Space(mesh, 2), form, ends)
    u = problem.solve(linear=True)
    wall = float(u.reshape(problem.space.numbering.shape)[-1, -1])
    expected = ENTRIES[f"slit_complete_alpha{alpha:g}_X{reach:g}"]["outputs"]["cw_over_c0"]
    np.testing.assert_allclose(wall, expected, rtol=1e-3)
