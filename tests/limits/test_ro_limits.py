"""Reverse osmosis where the answer is known: closed forms, limits, and data sheets."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.chemistry.osmotic import VanTHoff
from jaxmem.membranes.element import element_records
from jaxmem.membranes.polarisation import ConstantDrop, ConstantModulus
from jaxmem.membranes.solution_diffusion import NoTemperature
from jaxmem.units import bar, day, m3_per_h

SALT = 547.57


def nacl(mol=SALT, temperature=298.15) -> jm.Mixture:
    return jm.Mixture.from_concentration({"Na+": mol, "Cl-": mol}, temperature=temperature)


def point(a, b, pressure=55 * bar, k=None):
    transfer = None if k is None else jm.film("same", k)
    membrane = jm.SolutionDiffusionMembrane(a, b)
    return jm.solve(jm.SolutionDiffusion(), jm.Case(nacl(), membrane, jm.PressureDriven(pressure, transfer)))


def test_rejection_without_film_is_j_over_j_plus_b():
    r = point(4e-12, jnp.array([1e-9, 1e-8, 1e-7, 1e-6]))
    expected = r.volume_flux / (r.volume_flux + r.case.membrane.salt_permeability)
    np.testing.assert_allclose(r.observed_rejection[:, 0], expected, rtol=1e-12)
    np.testing.assert_allclose(point(4e-12, 0.0).permeate, 0.0, atol=1e-12)
    far = point(4e-12, 7e-8, k=1.0)
    np.testing.assert_allclose(far.volume_flux, point(4e-12, 7e-8).volume_flux, rtol=1e-4)


def test_a_very_open_membrane_leaves_no_driving_pressure():
    r = point(jnp.array([1e-11, 1e-10, 1e-9]), 0.0, k=3e-5)
    driving = r.volume_flux / r.case.membrane.water_permeance
    assert bool(jnp.all(jnp.diff(driving) < 0.0))
    assert float(driving[-1]) < 0.02 * 55 * bar


def test_layer_on_its_membrane_is_film_theory():
    thickness, d = jnp.array([10e-6, 40e-6, 80e-6]), 1.5e-9
    membrane = jm.SolutionDiffusionMembrane(4e-12, 7e-8)
    ours = jm.solve(jm.ADMSDM(), jm.Case(nacl(), membrane, jm.PressedLayer(55 * bar, thickness, d)))
    film = point(4e-12, 7e-8, k=d / thickness)
    np.testing.assert_allclose(ours.volume_flux, film.volume_flux, rtol=1e-12)
    np.testing.assert_allclose(ours.polarisation_modulus, film.polarisation_modulus[:, 0], rtol=1e-12)
    assert ours.ok.all()


def test_eps_mtu_closed_form():
    """No polarisation, no friction, full rejection, pi proportional to c: MTU = RR + SR ln[(1 - SR)/(1 - SR - RR)]."""
    mass = float(jm.species("Na+", "Cl-").molar_mass.sum())

    class Linear(jm.NaClBrine):
        """A brine of water's density, for the closed form."""

        def density(self, w, temperature):
            return 1000.0 / (1.0 - w)  # volume is that of the water alone

        def mass_fraction(self, concentration, temperature):
            return concentration / (1000.0 + concentration)

    brine = Linear(osmotic=VanTHoff(molar_mass=mass))
    model = jm.SpiralWound(brine=brine, cells=20)
    plain = {"mass_transfer": ConstantModulus(1.0), "friction": ConstantDrop(0.0)}
    feed, pressure = nacl(100.0), None
    osmotic = 2.0 * 100.0 * 8.31446261815324 * 298.15
    expected = {(0.5, 0.1): 0.21157178, (0.5, 0.2): 0.45541281, (0.5, 0.4): 1.20471896, (0.3, 0.1): 0.14624520, (0.3, 0.2): 0.30094167, (0.3, 0.4): 0.65418936}  # fmt: skip
    for (share, recovery), mtu in expected.items():
        pressure, area, a = osmotic / share, 10.0, 3e-12
        element = jm.SpiralElement(jm.SolutionDiffusionMembrane(a, 0.0), area, 1.0, **plain)
        flow = a * area * pressure / mtu
        r = jm.solve(model, jm.Case(feed, element, jm.FeedPressure(pressure + 101325.0, flow)))
        np.testing.assert_allclose(r.recovery, recovery, atol=2e-8)


@pytest.mark.parametrize("name", list(element_records()))
def test_library_meets_its_sheets(name):
    sheet, element = element_records()[name]["sheet"], jm.element(name)
    salt = sheet["concentration"] / 0.05844
    flow = sheet["permeate_flow"] / day / sheet["recovery"]
    r = jm.solve(jm.SpiralWound(), jm.Case(nacl(salt), element, jm.FeedPressure(sheet["pressure"], flow)))
    np.testing.assert_allclose(r.permeate_flow * day, sheet["permeate_flow"], rtol=1e-4)
    np.testing.assert_allclose(r.observed_rejection, sheet["rejection"], atol=2e-5)


def vessel_case(**conditions) -> jm.Case:
    vessel = jm.Vessel(jm.element("SW30HRLE-400"), 6, interconnector_loss=0.02 * bar)
    return jm.Case(nacl(), vessel, jm.FeedPressure(**{"pressure": 60 * bar, "flow": 9 * m3_per_h, **conditions}))


@pytest.mark.campaign
def test_imposed_recovery_and_flux_find_the_pressure_that_gives_them():
    given = jm.solve(jm.SpiralWound(), vessel_case())
    case = vessel_case()
    again = jm.solve(jm.SpiralWound(), jm.Case(case.feed, case.membrane, jm.Recovery(given.recovery, 9 * m3_per_h)))
    np.testing.assert_allclose(again.feed_pressure, 60 * bar, rtol=1e-9)
    flux = jm.MeanFlux(given.mean_flux, 9 * m3_per_h)
    np.testing.assert_allclose(jm.solve(jm.SpiralWound(), jm.Case(case.feed, case.membrane, flux)).feed_pressure, 60 * bar, rtol=1e-9)  # fmt: skip


def test_balances_and_refinement():
    r, fine = (
        jm.solve(jm.SpiralWound(cells=n), vessel_case(pressure=jnp.array([45, 60, 80.0]) * bar)) for n in (6, 40)
    )
    assert float(jnp.max(jnp.abs(r.salt_closure))) < 1e-10
    assert float(jnp.max(jnp.abs(r.water_closure))) < 1e-10
    error = jnp.abs(r.recovery - fine.recovery)
    assert bool(jnp.all(error <= r.error_estimate))
    assert float(jnp.max(error)) < 1e-6
    table = r.to_xarray()
    assert table["element_flux"].shape == (3, 6)
    assert r.to_dataframe().shape[0] == 18
    assert "solved" in str(r)


def test_warmer_water_passes_more_of_both():
    cold, warm = (jm.solve(jm.SpiralWound(), jm.Case(nacl(temperature=t), *_parts())) for t in (288.15, 308.15))
    assert warm.recovery > cold.recovery
    assert warm.permeate_concentration > cold.permeate_concentration
    fixed = jm.SolutionDiffusionMembrane(4e-12, 2e-8, temperature=NoTemperature())
    element = jm.SpiralElement(fixed, 37.0, 0.956)
    r = jm.solve(jm.SpiralWound(), jm.Case(nacl(temperature=308.15), element, jm.FeedPressure(60 * bar, 9 * m3_per_h)))
    assert r.ok


def _parts():
    return jm.element("SW30HRLE-400"), jm.FeedPressure(60 * bar, 9 * m3_per_h)


def test_seawater_takes_its_own_brine():
    r = jm.solve(jm.SpiralWound(), jm.Case(jm.feed("seawater"), *_parts()))
    assert r.brine.name == "sea salt"
    ratio = r.permeate / r.case.feed.concentration
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
