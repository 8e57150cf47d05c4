"""Currents and electroconvection: every mistake is refused with the value, what is allowed and the line to type."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem._status import code
from jaxmem.units import mV, um

SALT = jm.Mixture.from_concentration({"Na+": 0.1, "Cl-": 0.1})
CEM, AEM = jm.IonExchangeMembrane(), jm.IonExchangeMembrane("anions")
LINE, PLANE = jm.NernstPlanckPoisson(), jm.Electroconvection(8, 16, samples=4)
VOLTS = jm.Voltage(0.5, 20 * um)


def ask(model=LINE, feed=SALT, membrane=CEM, conditions=VOLTS):
    return jm.solve(model, jm.Case(feed, membrane, conditions), throw=False)


REFUSED = {
    "another membrane": (lambda: ask(membrane=jm.membrane("NF270")), "not an ion-exchange membrane"),
    "another condition": (lambda: ask(conditions=jm.FluxDriven(1e-5)), "jm.Voltage(0.5"),
    "three ions": (lambda: ask(feed=jm.feed("seawater")), "one cation and one anion"),
    "no salt": (lambda: ask(feed=jm.Mixture.from_concentration({"Na+": 0.0, "Cl-": 0.0})), "no salt"),
    "unknown salt": (lambda: jm.Mixture.from_concentration({"Xx+": 1.0, "Cl-": 1.0}), "'Xx+' is not known"),
    "charged reservoir": (lambda: jm.Mixture.from_concentration({"Na+": 1.0, "Cl-": 1.2}), "net charge"),
    "channel at rest": (lambda: ask(membrane=jm.MembranePair(CEM, AEM)), "only depletes"),
    "inside of a membrane in the plane": (
        lambda: ask(PLANE, membrane=jm.FixedChargeMembrane()),
        "IonExchangeMembrane('cations')",
    ),
    "growth at a membrane with an inside": (
        lambda: jm.onset(LINE, jm.Groups(1e-2).case(jm.FixedChargeMembrane(), voltage=20.0)),
        "Currents at rest",
    ),
    "wrong kind with an inside": (lambda: jm.FixedChargeMembrane("protons"), "jm.FixedChargeMembrane('cations')"),
    "charge with its sign": (lambda: jm.FixedChargeMembrane("cations", -500.0), "charge_density = -500"),
    "thickness in micrometres": (lambda: jm.FixedChargeMembrane("cations", 500.0, 100.0), "100 * jm.units.um"),
    "no membrane in a pair": (lambda: jm.MembranePair(CEM, jm.membrane("NF270")), "MembranePair.high"),
    "wrong kind": (lambda: jm.IonExchangeMembrane("protons"), "cations or anions"),
    "volts for millivolts": (lambda: jm.Voltage(500.0, 20 * um), "500 * jm.units.mV"),
    "odd cells": (lambda: jm.NernstPlanckPoisson(63), "cells=128"),
    "two Debye ratios": (lambda: jm.debye(eps=1e-3, nu_D=1e-3), "jm.debye(eps=1e-3)"),
    "nothing imposed": (lambda: jm.Groups(1e-3).case(CEM), "Impose one of voltage, sweep, current"),
    "eps out of range": (lambda: jm.Groups(2.0), "eps = 2"),
    "plane without a period": (lambda: ask(PLANE), "length=2e-4"),
    "short box": (lambda: ask(PLANE, conditions=jm.Voltage(0.5, 20 * um, 2 * um)), "no vortex pair fits"),
    "current in the plane": (lambda: ask(PLANE, conditions=jm.CurrentDriven(1.0, 20 * um)), "length=2e-4"),
    "current through a channel": (
        lambda: ask(
            PLANE, membrane=jm.MembranePair(CEM, AEM), conditions=jm.CurrentDriven(1.0, 20 * um, 80 * um, 1e-4)
        ),
        "A channel takes one voltage",
    ),
    "a ramp that stands still": (
        lambda: ask(jm.Electroconvection(8, 16, samples=4, steady=4), conditions=jm.VoltageRamp(0.0, 1.0, 2e-5, 4e-5)),
        "leave steady=None",
    ),
    "third order": (lambda: jm.Electroconvection(order=3), "order=1 or order=2"),
    "order as a truth": (lambda: jm.Electroconvection(order=True), "order=1 or order=2"),
    "inertia as a word": (lambda: jm.Electroconvection(inertia="no"), "inertia=True"),
    "more pairs than columns": (lambda: jm.Electroconvection(8, 16, pairs=5), "pairs=1"),
    "no steps to stand still": (lambda: jm.Electroconvection(steady=0), "steady=100"),
    "ramp at rest": (lambda: ask(conditions=jm.VoltageRamp(0.0, 1.0, 20 * um)), "jm.VoltageSweep("),
    "channel without flow": (
        lambda: ask(PLANE, membrane=jm.MembranePair(CEM, AEM), conditions=jm.Voltage(0.5, 20 * um, 80 * um)),
        "velocity=1e-4",
    ),
    "odd columns": (lambda: jm.Electroconvection(33, 64), "columns=64"),
    "steps and samples": (lambda: jm.Electroconvection(steps=101), "multiple of samples"),
    "courant above one": (lambda: jm.Electroconvection(courant=3.0), "courant = 3"),
    "unknown flux": (lambda: jm.Electroconvection(x_flux="upwind"), "x_flux='scharfetter_gummel'"),
    "several cases for a growth rate": (
        lambda: jm.onset(LINE, jm.Groups(1e-2).case(CEM, voltage=jnp.ones(2))),
        "one case at one voltage",
    ),
    "growth of another model": (
        lambda: jm.growth_rate(PLANE, jm.Groups(1e-2).case(CEM, voltage=20.0), 1.0),
        "jm.NernstPlanckPoisson()",
    ),
    "wavenumber zero": (lambda: jm.growth_rate(LINE, jm.Groups(1e-2).case(CEM, voltage=20.0), 0.0), "positive, in 1/m"),
    "empty window": (
        lambda: jm.plateau(np.arange(9.0), np.arange(9.0), ohmic=(0.1, 0.2), flat=(2.0, 4.0), overlimiting=(6.0, 8.0)),
        "ohmic=(0.1, 0.2)",
    ),
    "unlike lengths": (
        lambda: jm.plateau(np.arange(9.0), np.arange(8.0), ohmic=(0.0, 2.0), flat=(2.0, 4.0), overlimiting=(6.0, 8.0)),
        "last axes must be equal",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, untyped):
    call, words = REFUSED[name]
    with pytest.raises((jm.JaxmemError, jm.PhysicalRangeError)) as caught:
        call()
    assert words in str(caught.value)


def test_lanes_that_cannot_be_say_why():
    """An unresolved double layer, a voltage that is no number; the sound lane keeps its answer, and what runs backwards is told."""
    coarse = jm.NernstPlanckPoisson(8)
    membrane = jm.IonExchangeMembrane()
    thin = jm.solve(coarse, jm.Groups(1e-4).case(membrane, voltage=10.0), throw=False)
    assert int(thin.status) == code("debye_layer_unresolved")
    some = ask(conditions=jm.Voltage(jnp.asarray([jnp.nan, 0.3, 5 * mV]), 20 * um))
    assert list(np.asarray(some.status)) == [code("outside_model"), 0, 0]
    np.testing.assert_allclose(some.current[1], ask(conditions=jm.Voltage(0.3, 20 * um)).current, rtol=1e-10)
    assert any("runs backwards" in text for text in some.warnings())
    assert "2/3 solved" in str(some)
    table = some.to_dataframe()
    assert bool(table["current"].isna()[0])
    assert "eps" in some.to_xarray()


def test_pictures(tmp_path):
    swept = ask(conditions=jm.VoltageSweep(jnp.linspace(0.0, 0.8, 9), 20 * um))
    swept.plot.curve().figure.savefig(tmp_path / "curve.png")
    swept.plot.profiles(point=3).figure.savefig(tmp_path / "profiles.png")
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_a_box_with_unsound_inputs_is_not_marched():
    """A status at once, no step, and the neighbour keeps its numbers."""
    model = jm.Electroconvection(8, 24, duration=0.01, samples=4)
    good = jm.Groups(2e-2, 0.5).case(CEM, voltage=8.0, box=1.7)
    both = good.replace(velocity=jnp.asarray([0.0, jnp.nan]))
    result, alone = jm.solve(model, both, throw=False), jm.solve(model, good)
    assert result.status.tolist() == [0, code("outside_model")]
    assert int(result.state.seen.steps[1].sum()) == 0
    np.testing.assert_allclose(result.current_series[0], alone.current_series, rtol=1e-12)
