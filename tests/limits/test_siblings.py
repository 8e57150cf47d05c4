"""SDEM and Spiegler-Kedem against their closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from tests.helpers import S, batch, ion, lane

MODEL = jm.SDEM(tolerance=1e-10)
FLUX = [0.0, 1e-9, 1e-7, 1e-6, 5e-6, 2e-5]
SALTS = {  # z and P of the cation, z and P of the anion, m/s
    "NaCl": (1, 7.5e-4, -1, 4.6e-6),
    "MgCl2": (2, 2e-6, -1, 1.3e-5),
    "Na2SO4": (1, 8e-6, -2, 5e-7),
}
TRACES = {"cation": (1, 3e-6), "anion": (-1, 2e-6), "divalent": (-2, 1e-6)}


def salt_permeance(salt: str) -> float:
    z1, p1, z2, p2 = SALTS[salt]
    return (z1 - z2) * p1 * p2 / (z1 * p1 - z2 * p2)


def closed_trace(salt: str, trace: str, flux: float) -> float:
    """``c_w/c_p`` of a trace ion."""
    z1, p1, z2, p2 = SALTS[salt]
    z, p = TRACES[trace]
    p_s = salt_permeance(salt)
    f, b = 1.0 + flux / p_s, z * (p1 - p2) / (z1 * p1 - z2 * p2)
    if abs(b - 1.0) < 1e-12:
        return f + p_s / p * f * np.log(f)
    return f**b + p_s / p * (f - f**b) / (1.0 - b)


@pytest.fixture(scope="module")
def points() -> tuple[list, jm.models.result.PointResult]:
    keys, lanes, permeance = [], [], []
    for salt, (z1, p1, z2, p2) in SALTS.items():
        for flux in FLUX[: 5 if salt == "NaCl" else 3] + [2e-5]:
            for trace in ("cation", "divalent") if len(keys) % 2 else ("anion", "divalent"):
                if len(keys) < 32:
                    z, p = TRACES[trace]
                    c = 10.0
                    ions = (
                        ion("Na+", c / z1, z=z1),
                        ion("Cl-", -c / z2, z=z2),
                        ion("NO3-", 0.0, z=z),
                        ion("glucose", 1.0),
                    )
                    keys.append((salt, trace, flux))
                    lanes.append(lane(*ions, J=flux))
                    permeance.append([p1, p2, p, 4e-6])
    assert {k[0] for k in keys} == set(SALTS)
    permeance += [permeance[-1]] * (32 - len(permeance))
    case = batch(lanes)
    wall = jm.PermeanceMembrane(tuple(f"ion {i}" for i in range(S)), jnp.asarray(permeance))
    return keys, jm.solve(MODEL, jm.Case(case.feed, wall, case.conditions))


def test_single_salt(points: tuple) -> None:
    keys, r = points
    f = 1.0 / np.asarray(r.passage)
    for i, (salt, _, flux) in enumerate(keys):
        expected = 1.0 + flux / salt_permeance(salt)
        assert f[i, :2] == pytest.approx(expected, rel=1e-8), keys[i]


def test_trace_ion(points: tuple) -> None:
    keys, r = points
    worst = max(abs(float(r.passage[i, 2]) * closed_trace(*k) - 1.0) for i, k in enumerate(keys))
    assert worst < 1e-8


def test_neutral_solute(points: tuple) -> None:
    keys, r = points
    for i, (_, _, flux) in enumerate(keys):
        assert float(r.passage[i, 3]) == pytest.approx(1.0 / (1.0 + flux / 4e-6), rel=1e-10)


def test_zero_flux(points: tuple) -> None:
    keys, r = points
    still = [i for i, k in enumerate(keys) if k[2] == 0.0]
    assert still
    assert float(jnp.max(jnp.abs(r.observed_rejection[jnp.asarray(still)]))) < 1e-12


def test_some_rejections_are_negative(points: tuple) -> None:
    keys, r = points
    assert float(jnp.min(r.observed_rejection[: len(keys), 2])) < -0.01


SK = jm.SpieglerKedem()


def salt_case(sigma: object, permeability: object, conditions: object) -> jm.Case:
    water = jm.Mixture.from_concentration({"Na+": 50.0, "Cl-": 50.0})
    return jm.Case(water, jm.SpieglerKedemMembrane(sigma, permeability, 2e-11), conditions)


def test_spiegler_kedem_closed_form() -> None:
    flux, sigma, p = np.array([0.0, 1e-8, 1e-6, 1e-5, 1e-4]), 0.93, 2e-6
    r = jm.solve(SK, salt_case(sigma, p, jm.FluxDriven(flux)))
    f = np.exp(-flux * (1 - sigma) / p)
    assert np.allclose(r.observed_rejection[:, 0], sigma * (1 - f) / (1 - sigma * f), rtol=1e-12, atol=1e-14)
    assert np.allclose(r.observed_rejection[:, 0], r.observed_rejection[:, 1])


def test_large_flux_gives_the_reflection_coefficient() -> None:
    r = jm.solve(SK, salt_case(0.8, 1e-7, jm.FluxDriven(1e-3)))
    assert np.allclose(r.observed_rejection, 0.8, atol=1e-12)


def test_film_theory() -> None:
    flux, k = np.geomspace(1e-6, 5e-5, 6), 2e-5
    r = jm.solve(SK, salt_case(0.93, 2e-6, jm.FluxDriven(flux, jm.film("same", k))))
    lifted = (r.interface - r.permeate) / (r.feed - r.permeate)
    assert np.allclose(lifted, np.exp(flux / k)[:, None], rtol=1e-12)
    bare = jm.solve(SK, salt_case(0.93, 2e-6, jm.FluxDriven(flux)))
    assert np.allclose(r.real_rejection, bare.observed_rejection, rtol=1e-12)


@pytest.mark.parametrize("k", [None, 2e-5])
def test_pressure_driven(k: float | None) -> None:
    """``J = A (dP - sigma dPi)`` at the returned point, and the same point as by flux."""
    transfer = None if k is None else jm.film("same", k)
    pressure = np.array([1e4, 5e4, 5e5, 2e6])
    r = jm.solve(SK, salt_case(0.93, 2e-6, jm.PressureDriven(pressure, transfer)))
    expected = 2e-11 * (pressure - 0.93 * np.asarray(r.osmotic_difference))
    assert np.allclose(r.volume_flux, expected, rtol=1e-9, atol=1e-20)
    assert (np.asarray(r.volume_flux) > 0.0).all()
    again = jm.solve(SK, salt_case(0.93, 2e-6, jm.FluxDriven(r.volume_flux, transfer)))
    assert np.allclose(again.pressure, pressure, rtol=1e-9)
    assert np.allclose(again.permeate, r.permeate, rtol=1e-12)


def test_sigma_to_one_is_solution_diffusion() -> None:
    flux, p = 1e-5, 2e-6
    sigma = np.array([[1 - 1e-5], [1 - 1e-7], [1 - 0.99e-9], [1 - 1e-11], [1.0]])
    r = np.asarray(jm.solve(SK, salt_case(sigma, p, jm.FluxDriven(flux))).observed_rejection)[:, 0]
    limit = (flux / p) / (1 + flux / p)
    assert abs(r[-1] - limit) < 1e-14
    assert (np.abs(r - limit) <= 10.0 * (1.0 - sigma[:, 0]) + 1e-14).all()


def test_spiegler_kedem_pressure_of_unlike_reflections() -> None:
    """Ions and a neutral solute with sigmas of their own: flux to pressure and back."""
    feed = jm.Mixture.from_concentration({"Na+": 200.0, "Cl-": 200.0, "glucose": 500.0})
    membrane, film = jm.SpieglerKedemMembrane([0.5, 0.5, 0.95], [1e-6, 1e-6, 1e-7]), jm.film("same", 4e-5)
    given = jm.solve(jm.SpieglerKedem(), jm.Case(feed, membrane, jm.FluxDriven(1e-5, film)))
    back = jm.solve(jm.SpieglerKedem(), jm.Case(feed, membrane, jm.PressureDriven(given.pressure, film)))
    assert float(back.volume_flux) == pytest.approx(1e-5, rel=1e-9)
    assert float(back.pressure) == pytest.approx(float(given.pressure), rel=1e-9)


def test_spiegler_kedem_has_no_inside() -> None:
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    result = jm.solve(jm.SpieglerKedem(), jm.Case(feed, jm.SpieglerKedemMembrane(0.9, 1e-6), jm.FluxDriven(1e-5)))
    for ask in (lambda: result.peclet, lambda: result.profiles(), lambda: result.plot.profiles()):
        with pytest.raises(jm.JaxmemError, match="has no inside"):
            ask()
