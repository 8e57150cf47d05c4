"""Every mistake is refused with the value, what is allowed and the line to type; bad lanes of a batch get a status."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem._status import code
from tests.helpers import IDEAL, N, batch, ion, lane, nacl

GOOD = lane(*nacl(), ion("Mg+2", 5.0), ion("SO4-2", 5.0))


def case(**changes: object) -> jm.Case:
    water = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    parts = {"feed": water, "membrane": jm.membrane("default"), "conditions": jm.FluxDriven(1e-5)}
    return jm.Case(**{**parts, **changes})


CONSTRUCTION = {
    "charge imbalance": (
        lambda: jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 15.0}),
        jm.ElectroneutralityError,
        ("5", "1e-06", "balance='Cl-'"),
    ),
    "balance of the wrong sign": (
        lambda: jm.Mixture.from_concentration({"Na+": 20.0, "K+": 1.0, "Cl-": 15.0}, balance="K+"),
        jm.ElectroneutralityError,
        ("-5", "must not be negative", "ion of the other sign"),
    ),
    "balance by a neutral": (
        lambda: jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 15.0, "urea": 1.0}, balance="urea"),
        jm.ElectroneutralityError,
        ("urea", "no charge", "Name an ion"),
    ),
    "unknown ion": (lambda: jm.species("Nax+"), jm.UnknownNameError, ("'Nax+'", "Closest: ", "Na+", "jm.species(")),
    "ion not in the mixture": (lambda: jm.feed("mix4")["K+"], jm.UnknownNameError, ("'K+'", "Na+, Mg+2, Cl-, SO4-2")),
    "no species": (lambda: jm.species(), jm.ShapeError, ("no names", 'jm.species("Na+", "Cl-")')),
    "unknown membrane": (lambda: jm.membrane("NF27"), jm.UnknownNameError, ("'NF27'", "NF270", 'jm.membrane("NF270")')),
    "unknown feed": (lambda: jm.feed("seawater6"), jm.UnknownNameError, ("'seawater6'", "seawater5", "jm.feed(")),
    "radius in nm": (
        lambda: jm.membrane("NF270", pore_radius=0.5),
        jm.PhysicalRangeError,
        ("pore_radius = 0.5", "(1e-11, 1e-07) m", "0.5 * jm.units.nm"),
    ),
    "flux in LMH": (lambda: jm.FluxDriven(20.0), jm.PhysicalRangeError, ("20", "(0, 0.01) m/s", "20 * jm.units.LMH")),
    "pressure in bar": (
        lambda: jm.PressureDriven(8.0),
        jm.PhysicalRangeError,
        ("8", "(1000, 1e+09) Pa", "8 * jm.units.bar"),
    ),
    "temperature in C": (
        lambda: jm.Mixture.from_concentration({"Na+": 1.0, "Cl-": 1.0}, temperature=25.0),
        jm.PhysicalRangeError,
        ("temperature = 25", "(253, 400) K", "25 + 273.15"),
    ),
    "negative concentration": (
        lambda: jm.Mixture.from_concentration({"Na+": -20.0, "Cl-": -20.0}),
        jm.PhysicalRangeError,
        ("concentration = -20", "(0, 20000) mol/m3", "inside the range"),
    ),
    "NaN concentration": (
        lambda: jm.Mixture.from_concentration({"Na+": float("nan"), "Cl-": 20.0}),
        jm.PhysicalRangeError,
        ("concentration = nan", "(0, 20000) mol/m3", "Replace the missing value"),
    ),
    "negative flux": (
        lambda: jm.FluxDriven(-1e-5),
        jm.PhysicalRangeError,
        ("volume_flux = -1e-05", "(0, 0.01) m/s", "inside the range"),
    ),
    "porosity in percent": (
        lambda: jm.PoreMembrane.from_thickness(0.5e-9, 1e-7, 5.0),
        jm.PhysicalRangeError,
        ("5", "(0, 1]", "write 0.05"),
    ),
    "text for a number": (lambda: jm.FluxDriven("20 LMH"), jm.JaxmemError, ("20 LMH", "not a number", "Pass a float")),
    "amounts of unlike shape": (
        lambda: jm.Mixture.from_concentration({"Na+": jnp.ones(3), "Cl-": jnp.ones(4)}),
        jm.ShapeError,
        ("one shape", "arrays of one shape"),
    ),
    "species axis": (
        lambda: jm.Mixture(jm.species("Na+", "Cl-"), jnp.ones(3)),
        jm.ShapeError,
        ("(3,)", "2 species", "must be 2"),
    ),
    "clash of batch axes": (
        lambda: case(
            conditions=jm.FluxDriven(jnp.full(3, 1e-5)), membrane=jm.membrane("default", pore_radius=jnp.full(4, 5e-10))
        ),
        jm.ShapeError,
        ("(3,)", "(4,)", "Equal lengths or 1", "x[:, None]"),
    ),
    "feed is a dict": (lambda: case(feed={"Na+": 20.0}), jm.JaxmemError, ("dict", "must be a Mixture", "jm.feed(")),
    "unknown film option": (
        lambda: jm.DSPMDE(film="none"),
        jm.UnknownNameError,
        ("'none'", "nernst_planck", "jm.DSPMDE(film="),
    ),
    "unknown activity": (
        lambda: jm.DSPMDE(activity="pitzer"),
        jm.UnknownNameError,
        ("'pitzer'", "davies", "jm.DSPMDE(activity="),
    ),
    "grams per mole": (
        lambda: jm.Species(
            ("Na+", "Cl-"), [1.0, -1.0], [1.33e-9, 2.03e-9], [1.84e-10, 1.21e-10], [1.84e-10, 1.21e-10], [22.99, 35.45]
        ),
        jm.PhysicalRangeError,
        ("molar_mass = 22.99 kg/mol", "22.99e-3"),
    ),
    "milligrams per litre": (
        lambda: jm.Mixture.from_mass_concentration({"Na+": 460.0, "Cl-": 709.0}, balance="Cl-"),
        jm.PhysicalRangeError,
        ("Cl- = 709", "709 * jm.units.mg_per_L"),
    ),
    "a charge for each ion": (
        lambda: jm.solve(jm.DSPMDE(), case(membrane=jm.membrane("NF270", charge=lambda x, feed: feed.concentration))),
        jm.ShapeError,
        ("gave shape (2,) for lanes ()", "axis=-1"),
    ),
    "no charge": (
        lambda: jm.solve(jm.DSPMDE(), case(membrane=jm.membrane("NF270", charge=lambda x, feed: None))),
        jm.ShapeError,
        ("gave None", "one charge for each lane"),
    ),
    "profiles of a fraction": (
        lambda: jm.solve(jm.DSPMDE(), case()).profiles(2.5),
        jm.JaxmemError,
        ("points = 2.5", "result.profiles(64)"),
    ),
    "profiles of nothing": (
        lambda: jm.solve(jm.DSPMDE(), case()).profiles(0),
        jm.JaxmemError,
        ("points = 0", "result.profiles(64)"),
    ),
    "zero cells": (lambda: jm.DSPMDE(cells=0), jm.JaxmemError, ("cells = 0", "jm.DSPMDE()")),
    "unknown scaling": (lambda: jm.film("D^2", 4e-5), jm.UnknownNameError, ("'D^2'", "D^(2/3)", "jm.film(")),
    "unknown field": (
        lambda: case().replace(pore_radus=5e-10),
        jm.UnknownNameError,
        ("'pore_radus'", "pore_radius", "case.replace("),
    ),
    "solute larger than the pore": (
        lambda: jm.solve(IDEAL, case(membrane=jm.membrane("default", pore_radius=0.15e-9))),
        jm.PhysicalRangeError,
        ("Na+", "0.184 nm", "0.15 nm", "must be smaller", "pore_radius=0.23 * jm.units.nm"),
    ),
    "float32 concentration": (
        lambda: jm.solve(IDEAL, case(feed=jm.Mixture(jm.species("Na+", "Cl-"), jnp.full(2, 20.0, jnp.float32)))),
        jm.PrecisionError,
        ("feed.concentration is float32", "jnp.float64", "precision='float32'"),
    ),
    "class for a model": (
        lambda: jm.solve(jm.DSPMDE, case()),
        jm.JaxmemError,
        ("not a model", "jm.solve(jm.DSPMDE(), case)"),
    ),
    "feed for a case": (
        lambda: jm.solve(IDEAL, jm.feed("mix4")),
        jm.JaxmemError,
        ("Mixture is not a Case", "jm.Case(feed, membrane, conditions)"),
    ),
    "membrane of another model": (
        lambda: jm.solve(jm.SDEM(), case()),
        jm.JaxmemError,
        ("needs a PermeanceMembrane", "PoreMembrane", "jm.PermeanceMembrane.of("),
    ),
    "conditions of another kind": (
        lambda: jm.solve(IDEAL, case(conditions=1e-5)),
        jm.JaxmemError,
        ("conditions is a float", "jm.FluxDriven("),
    ),
    "permeance missing": (
        lambda: jm.solve(jm.SDEM(), case(membrane=jm.PermeanceMembrane.of({"Na+": 1e-5}))),
        jm.UnknownNameError,
        ("'Cl-'", "Na+", "PermeanceMembrane.of("),
    ),
    "reflection differs between ions": (
        lambda: jm.solve(jm.SpieglerKedem(), case(membrane=jm.SpieglerKedemMembrane([0.9, 0.8], 1e-6))),
        jm.ElectroneutralityError,
        ("reflection differs", "equal for all ions", "jm.SDEM()"),
    ),
    "Davies strength": (lambda: jm.Davies(strength="Molal"), jm.UnknownNameError, ("'Molal'", "molar", "jm.Davies(")),
    "Davies b": (lambda: jm.Davies(b="x"), jm.JaxmemError, ("b = 'x'", "jm.Davies(b=0.3)")),
    "tolerance": (lambda: jm.DSPMDE(tolerance=float("nan")), jm.JaxmemError, ("tolerance = nan", "tolerance=2e-7")),
    "cells as text": (lambda: jm.DSPMDE(cells="1"), jm.JaxmemError, ("cells = '1'", "jm.DSPMDE()")),
    "no lanes": (lambda: case(conditions=jm.FluxDriven(jnp.zeros(0))), jm.ShapeError, ("(0,)", "at least one value")),
    "film is a number": (lambda: jm.FluxDriven(1e-6, 4e-5), jm.JaxmemError, ("4e-05", "jm.film(")),
    "film of other species": (
        lambda: jm.solve(IDEAL, case(conditions=jm.FluxDriven(1e-6, jm.film("each", jnp.full(3, 4e-5))))),
        jm.ShapeError,
        ("(3,)", "2 species", "must be 2"),
    ),
    "no flux given": (lambda: jm.FluxDriven(None), jm.PhysicalRangeError, ("volume_flux is None", "m/s")),
    "temperature as text": (
        lambda: jm.Mixture.from_concentration({"Na+": 1.0, "Cl-": 1.0}, temperature="25 C"),
        jm.ShapeError,
        ("25 C", "not a number"),
    ),
    "ragged": (lambda: jm.FluxDriven([[1e-6, 2e-6], [3e-6]]), jm.ShapeError, ("ragged", "one length")),
    "mg/L for kg/m3": (
        lambda: jm.Mixture.from_mass_concentration({"Na+": 10500.0, "Cl-": 19000.0}, balance="Cl-"),
        jm.PhysicalRangeError,
        ("Na+ = 10500", "10500 * jm.units.mg_per_L"),
    ),
    "mg/kg for kg/kg": (
        lambda: jm.Mixture.from_mass_fraction({"Na+": 11122.0}),
        jm.PhysicalRangeError,
        ("Na+ = 11122", "11122e-6"),
    ),
    "one ion": (
        lambda: jm.Mixture.from_concentration({"Na+": 20.0}),
        jm.ElectroneutralityError,
        ("ion of the other sign",),
    ),
    "lane out of range": (lambda: case(conditions=jm.FluxDriven([1e-6] * 3))[7], IndexError, ("Lane 7 of 3", "0 to 2")),
    "float16": (
        lambda: jm.solve(IDEAL, case(conditions=jm.FluxDriven(jnp.asarray(1e-5, jnp.float16)))),
        jm.PrecisionError,
        ("float16", "jnp.float64"),
    ),
    "friction that is not symmetric": (
        lambda: jm.solve(
            jm.DSPMDE(), case(membrane=jm.membrane("NF270", friction=lambda feed: jnp.triu(jnp.ones((2, 2)))))
        ),
        jm.JaxmemError,
        ("not symmetric", "jnp.swapaxes"),
    ),
    "friction below zero": (
        lambda: jm.solve(
            jm.DSPMDE(), case(membrane=jm.membrane("NF270", friction=lambda feed: -1e9 * jnp.ones((2, 2))))
        ),
        jm.PhysicalRangeError,
        ("-1e+09 s/m2", "jm.PairFriction"),
    ),
    "friction that is no number": (
        lambda: jm.solve(
            jm.DSPMDE(), case(membrane=jm.membrane("NF270", friction=lambda feed: jnp.nan * jnp.ones((2, 2))))
        ),
        jm.PhysicalRangeError,
        ("nan s/m2", "not negative"),
    ),
    "friction of another shape": (
        lambda: jm.solve(jm.DSPMDE(), case(membrane=jm.membrane("NF270", friction=lambda feed: jnp.ones(2)))),
        jm.ShapeError,
        ("(2,) for 2 solutes", "symmetric"),
    ),
    "unknown precision": (
        lambda: jm.solve(jm.DSPMDE(precision="double"), case()),
        jm.JaxmemError,
        ("'double'", "precision='float64'"),
    ),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("name", CONSTRUCTION)
def test_refused(name: str) -> None:
    make, kind, words = CONSTRUCTION[name]
    promotion = "standard" if "float" in name else "strict"  # float32 input mixes dtypes before it is refused
    with jax.numpy_dtype_promotion(promotion), pytest.raises(kind) as caught:
        make()
    for word in words:
        assert word in str(caught.value), f"{word!r} is missing in: {caught.value}"


def test_user_errors_are_value_errors() -> None:
    assert issubclass(jm.JaxmemError, ValueError)
    assert not issubclass(jm.ConvergenceError, ValueError)


BAD = {1: "outside_model", 3: "solute_fills_pore", 4: "outside_model", 6: "charge_imbalance"}


@pytest.fixture(scope="module")
def mixed() -> tuple[jm.Case, jm.Case]:
    """A good batch, and the same with NaN, a tight pore, a negative concentration and a charge in lanes 1, 3, 4 and 6."""
    clean = batch([dict(GOOD, J=j) for j in np.linspace(1e-6, 4e-5, N)])
    c = clean.feed.concentration
    c = c.at[1, 0].set(jnp.nan).at[4, 0].set(-3.0).at[6, 0].set(25.0)
    radius = clean.membrane.pore_radius.at[3].set(0.3e-9)
    return clean, clean.replace(concentration=c, pore_radius=radius)


def test_bad_lanes_get_a_status_and_disturb_nobody(mixed: tuple[jm.Case, jm.Case]) -> None:
    clean, bad = mixed
    r, good = jm.solve(IDEAL, bad, throw=False), jm.solve(IDEAL, clean)
    for i in range(N):
        assert int(r.status[i]) == code(BAD.get(i, "successful")), i
        assert bool(r.ok[i]) == (i not in BAD)
    rest = np.array([i for i in range(N) if i not in BAD])
    for name in ("permeate", "interface", "observed_rejection", "pressure"):
        ours, theirs = np.asarray(getattr(r, name))[rest], np.asarray(getattr(good, name))[rest]
        assert np.allclose(ours, theirs, rtol=1e-12, atol=0.0), name
    sentences = r.messages()
    assert sum(sentences.values()) == N
    assert any("balance=" in text for text in sentences)
    assert any("larger pore_radius" in text for text in sentences)
    assert any("negative or non-finite" in text for text in sentences)


def test_failed_lanes_raise_and_are_named(mixed: tuple[jm.Case, jm.Case]) -> None:
    with pytest.raises(jm.ConvergenceError) as caught:
        jm.solve(IDEAL, mixed[1])
    text = str(caught.value)
    assert f"4 of {N} lanes failed" in text
    for word in ("lane (1,)", "lane (3,)", "lane (4,)", "1 more", "throw=False", "pore_radius=3.e-10", "nan"):
        assert word in text, word


def test_failed_lanes_are_missing_in_exports(mixed: tuple[jm.Case, jm.Case]) -> None:
    table = jm.solve(IDEAL, mixed[1], throw=False).to_xarray(potentials=False)
    missing = np.isnan(np.asarray(table["observed_rejection"])).all(axis=-1)
    assert set(np.flatnonzero(missing)) == set(BAD)


def test_errors_leave_tracing_alone() -> None:
    """Inside jit nothing can be refused by value: the status says it."""
    water = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    status = jax.jit(lambda c: jm.models.inputs.input_status(case(feed=jm.Mixture(water.species, c))))(
        jnp.asarray([20.0, 15.0])
    )
    assert int(status) == code("charge_imbalance")


class Offset(eqx.Module):
    """A user's charge law with numbers of its own."""

    weights: jax.Array

    def __call__(self, charge_density: jax.Array, feed: jm.Mixture) -> jax.Array:
        """X, mol/m3."""
        return charge_density + jnp.sum(self.weights)


def test_a_lane_keeps_the_closures_of_its_batch() -> None:
    flux = jnp.linspace(1e-6, 2e-5, 5)
    whole = case(membrane=jm.membrane("NF270", charge=Offset(jnp.arange(6.0))), conditions=jm.FluxDriven(flux))
    batch_, one = jm.solve(IDEAL, whole), jm.solve(IDEAL, whole[2])
    assert np.array_equal(whole[2].membrane.charge.weights, np.arange(6.0))
    assert np.allclose(one.observed_rejection, batch_.observed_rejection[2], rtol=1e-12)


def test_a_charge_law_without_ions_is_reported() -> None:
    """The law decides, not the charge density: X of 15 with nothing to balance it; Freundlich adsorbs nothing."""
    sugar = jm.Mixture.from_concentration({"glucose": 5.0})
    flux = jm.FluxDriven([1e-5])
    blocked = jm.solve(
        IDEAL,
        case(
            feed=sugar,
            membrane=jm.membrane("NF270", charge_density=0.0, charge=Offset(jnp.arange(6.0))),
            conditions=flux,
        ),
        throw=False,
    )
    assert int(blocked.status[0]) == code("charge_without_ions")
    free = jm.solve(
        IDEAL, case(feed=sugar, membrane=jm.membrane("NF270", charge=jm.FreundlichCharge()), conditions=flux)
    )
    assert bool(free.ok.all())


def test_pure_water_is_reported() -> None:
    water = jm.Mixture(jm.species("Na+", "Cl-"), jnp.zeros((2, 2)).at[1].set(20.0))
    result = jm.solve(IDEAL, case(feed=water, membrane=jm.membrane("NF270", charge_density=0.0)), throw=False)
    assert [int(x) for x in result.status] == [code("no_solute"), code("successful")]


def test_residual_belongs_to_the_case() -> None:
    """The state of one membrane does not solve the equations of another."""
    ours = case(conditions=jm.FluxDriven([1e-5, 2e-5]))
    state = jm.solve(IDEAL, ours).state
    assert float(jnp.abs(IDEAL.residual(state, ours)).max()) < 1e-10
    assert float(jnp.abs(IDEAL.residual(state, ours.replace(charge_density=-60.0))).max()) > 1e-2


def test_checks_under_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """``JAXMEM_CHECK=1`` turns ranges into runtime errors inside jit."""
    make = lambda r: jm.PoreMembrane(r, 1e-6, -30.0, 40.0).pore_radius
    assert float(jax.jit(make)(0.5)) == 0.5
    monkeypatch.setenv("JAXMEM_CHECK", "1")
    with pytest.raises(Exception, match="pore radius is outside"):
        jax.block_until_ready(jax.jit(lambda r: make(r))(0.5))
    assert float(jax.jit(lambda r: make(r))(5e-10)) == 5e-10


def test_plots_refuse_by_name() -> None:
    good = jm.solve(IDEAL, case(conditions=jm.FluxDriven([1e-5, 2e-5])))
    with pytest.raises(jm.UnknownNameError, match="'intrinsic'"):
        good.plot.rejection(kind="intrinsic")
    with pytest.raises(jm.JaxmemError, match="against='concentration' is not one number"):
        good.plot.rejection(against="concentration")
    failed = jm.solve(
        IDEAL,
        case(
            conditions=jm.FluxDriven([1e-5, 2e-5]),
            membrane=jm.membrane("NF270", charge_density=-30.0, pore_radius=[4e-10, 5e-10]),
            feed=jm.Mixture(jm.species("glucose"), jnp.full((2, 1), 5.0)),
        ),
        throw=False,
    )
    with pytest.raises(jm.JaxmemError, match="Every lane failed"):
        failed.plot.rejection()
