"""The species table, the properties of water, and the ways to write a solution."""

import tomllib
from importlib.resources import files

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.chemistry.activity import Davies, debye_factor
from jaxmem.chemistry.mixture import imbalance
from jaxmem.chemistry.properties import diffusivity_at, water_density, water_permittivity, water_viscosity
from jaxmem.chemistry.species import canonical, records
from jaxmem.constants import AVOGADRO, BOLTZMANN, FARADAY, GAS

ROOM = jnp.asarray(298.15)
RECORDS = records()
FEEDS = tomllib.loads((files("jaxmem") / "data/feeds.toml").read_text(encoding="utf-8"))


def stokes_einstein(diffusivity: float) -> float:
    return BOLTZMANN * 298.15 / (6.0 * np.pi * 0.89e-3 * diffusivity)


@pytest.mark.parametrize("name", RECORDS)
def test_stokes_radius_follows_from_diffusivity(name: str) -> None:
    record = RECORDS[name]
    allowed = 0.01 if record["charge"] else 0.03
    assert record["stokes_radius"] == pytest.approx(stokes_einstein(record["diffusivity"]), rel=allowed)


def test_table_is_wide_and_sourced() -> None:
    ions = [n for n, r in RECORDS.items() if r["charge"]]
    assert len(ions) >= 20
    assert len(RECORDS) - len(ions) >= 3
    for name, record in RECORDS.items():
        for key in ("molar_mass", "diffusivity", "stokes_radius", "born_radius"):
            assert len(record["source"][key]) > 5, (name, key)


@pytest.mark.parametrize("name", RECORDS)
def test_aliases(name: str) -> None:
    for alias in (name, *RECORDS[name]["aliases"]):
        assert canonical(alias) == name
    assert jm.species(name).names == (name,)


def test_no_alias_names_two_species() -> None:
    every = [a for n, r in RECORDS.items() for a in (n, *r["aliases"])]
    assert len(every) == len(set(every))


def test_charges_agree_with_names() -> None:
    for name, record in RECORDS.items():
        if name[-1] in "+-":
            assert record["charge"] == {"+": 1, "-": -1}[name[-1]]
        elif name[-2:-1] in ("+", "-"):
            assert record["charge"] == int(name[-2:])
        else:
            assert record["charge"] == 0


def test_three_ways_to_write_a_solution() -> None:
    mass = {"Na+": 0.0229897693, "Mg+2": RECORDS["Mg+2"]["molar_mass"], "Cl-": RECORDS["Cl-"]["molar_mass"]}
    c = {"Na+": 30.0, "Mg+2": 10.0, "Cl-": 50.0}
    molar = jm.Mixture.from_concentration(c)
    massic = jm.Mixture.from_mass_concentration({n: c[n] * mass[n] for n in c})
    fraction = jm.Mixture.from_mass_fraction({n: c[n] * mass[n] / 1003.0 for n in c}, density=1003.0)
    assert np.allclose(molar.concentration, massic.concentration, rtol=1e-14)
    assert np.allclose(molar.concentration, fraction.concentration, rtol=1e-14)
    assert np.allclose(massic.mass_concentration, [c[n] * mass[n] for n in c], rtol=1e-14)
    mg_per_l = jm.Mixture.from_mass_concentration({n: c[n] * mass[n] * 1e3 * jm.units.mg_per_L for n in c})
    assert np.allclose(molar.concentration, mg_per_l.concentration, rtol=1e-14)


def test_density_of_a_mass_fraction_feed() -> None:
    """Sea water of 35 g/kg has about 1023.3 kg/m3 at 25 C."""
    c = jm.feed("seawater")
    w = {n: float(m) / 1023.3 for n, m in zip(c.species.names, c.mass_concentration, strict=True)}
    again = jm.Mixture.from_mass_fraction(w, balance="Cl-")
    assert np.allclose(again.concentration, c.concentration, rtol=2e-3)


def test_balance() -> None:
    water = jm.Mixture.from_concentration({"Na+": 20.0, "Mg+2": 5.0, "Cl-": 1.0}, balance="chloride")
    assert float(water["Cl-"]) == pytest.approx(30.0, rel=1e-14)
    assert abs(float(imbalance(water.species.charge, water.concentration))) < 1e-15


def test_osmotic_pressure_and_strength() -> None:
    water = jm.Mixture.from_concentration({"Na+": 20.0, "Mg+2": 10.0, "Cl-": 20.0, "SO4-2": 10.0})
    assert float(water.osmotic_pressure) == pytest.approx(8.31446261815324 * 298.15 * 60.0, rel=1e-10)
    assert float(water.ionic_strength) == pytest.approx(0.5 * (20 + 40 + 20 + 40), rel=1e-14)
    with_glucose = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0, "glucose": 5.0})
    assert float(with_glucose.osmotic_pressure) == pytest.approx(GAS * 298.15 * 45.0, rel=1e-12)


def test_constants() -> None:
    assert pytest.approx(GAS, rel=1e-10) == AVOGADRO * BOLTZMANN
    assert pytest.approx(96485.33212, rel=1e-9) == FARADAY


def test_water_at_room_temperature() -> None:
    assert float(water_viscosity(ROOM)) == pytest.approx(0.890e-3, rel=1e-3)
    assert float(water_permittivity(ROOM)) == pytest.approx(78.36, rel=1e-12)
    assert float(water_density(ROOM)) == pytest.approx(997.05, abs=0.01)


def test_water_at_other_temperatures() -> None:
    """IAPWS viscosity (20, 50, 90 C), Malmberg and Maryott's permittivity (0, 100 C), Kell's density (4, 60 C)."""
    assert np.allclose(
        water_viscosity(jnp.asarray([293.15, 323.15, 363.15])) * 1e3, [1.0016, 0.5465, 0.3142], rtol=3e-3
    )
    assert np.allclose(water_permittivity(jnp.asarray([273.15, 373.15])), [87.74, 55.65], rtol=2e-3)
    assert np.allclose(water_density(jnp.asarray([277.15, 333.15])), [999.97, 983.20], atol=0.02)


def test_diffusivity_follows_temperature() -> None:
    """``D mu/T`` is constant; about 2 % per kelvin near room temperature."""
    t = jnp.asarray([278.15, 298.15, 318.15])
    d = diffusivity_at(jnp.asarray(1e-9), t)
    assert np.allclose(d * water_viscosity(t) / t, 1e-9 * water_viscosity(ROOM) / ROOM, rtol=1e-13)
    assert float(d[1]) == pytest.approx(1e-9, rel=1e-14)
    per_kelvin = float(diffusivity_at(jnp.asarray(1.0), ROOM + 1.0)) - 1.0
    assert 0.02 < per_kelvin < 0.03
    warm = jm.Mixture.from_concentration({"Na+": 1.0, "Cl-": 1.0}, temperature=308.15)
    assert np.allclose(warm.diffusivity, diffusivity_at(warm.species.diffusivity, jnp.asarray(308.15)), rtol=1e-14)


def test_debye_factor() -> None:
    assert float(debye_factor(jnp.asarray(78.36), ROOM)) == pytest.approx(0.51100388, abs=5e-9)
    at_water = float(debye_factor(jnp.asarray(78.36), ROOM, 997.05)) / float(debye_factor(jnp.asarray(78.36), ROOM))
    assert at_water == pytest.approx(np.sqrt(0.99705), rel=1e-12)  # sqrt(rho): once forgotten elsewhere


def test_davies() -> None:
    """log10, z squared, 1 at infinite dilution; 0.1 mol/L gives gamma 0.7813 for z = 1 with b = 0.3 and A = 0.511."""
    law, z = Davies(), jnp.asarray([1.0, -2.0, 0.0])
    value = law.log_gamma(z, jnp.asarray([0.1]), jnp.asarray([78.36]), jnp.asarray([298.15]))
    root = 0.1**0.5
    expected = 10 ** (-0.51100388 * (root / (1 + root) - 0.03))
    assert float(jnp.exp(value[0])) == pytest.approx(expected, rel=1e-8)
    assert float(value[1]) == pytest.approx(4.0 * float(value[0]), rel=1e-14)
    assert float(value[2]) == 0.0
    assert np.allclose(
        law.log_gamma(z, jnp.asarray([0.0]), jnp.asarray([78.36]), jnp.asarray([298.15])), 0.0, atol=1e-12
    )


@pytest.mark.parametrize("name", FEEDS)
def test_feeds_are_neutral(name: str) -> None:
    water = jm.feed(name)
    assert abs(float(imbalance(water.species.charge, water.concentration))) < 1e-9
    assert len(FEEDS[name]["source"]) > 5
