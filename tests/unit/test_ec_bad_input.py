"""Currents and electroconvection: every mistake is refused with the value, what is allowed and the line to type."""

import jax
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


def plateau(**changed):
    volts = jnp.linspace(0.0, 30.0, 31)
    given = {"current": volts, "ohmic": (0.0, 3.0), "flat": (8.0, 18.0), "overlimiting": (20.0, 28.0)} | changed
    return jm.plateau(volts, **given)


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
    "Debye ratio in words": (lambda: jm.debye(eps="thin"), "not a number"),
    "negative Debye ratio": (lambda: jm.debye(eps=-1e-3), "eps = -0.001 is outside"),
    "squared Debye ratio": (lambda: jm.debye(eps_U=9.0), "as in eps_U=2e-06"),
    "half charges": (lambda: jm.Groups(1e-3, charges=(1.5, -1)), "charges=(2, -1)"),
    "anion first": (lambda: jm.Groups(1e-3, charges=(-1, 1)), "charges=(2, -1)"),
    "a salt too strong": (lambda: jm.Groups(1e-7).case(CEM, voltage=20.0), "eps = 1e-07"),
    "scaled voltage too high": (lambda: jm.Groups(1e-3).case(CEM, voltage=500.0), "voltage = 500 with eps"),
    "kappa of no fluid": (lambda: jm.Groups(1e-3, 1e-5), "Groups.kappa = 1e-05"),
    "no voltages": (lambda: jm.Groups(1e-3).case(CEM, sweep=[]), "nothing is in it"),
    "progress in words": (lambda: jm.Electroconvection(progress=5), "progress=True"),
    "wavenumber in words": (
        lambda: jm.growth_rate(LINE, jm.Groups(1e-2).case(CEM, voltage=30.0), "short"),
        "not a number",
    ),
    "plateau of words": (lambda: plateau(current="flat"), "not a number"),
    "window upside down": (lambda: plateau(flat=(18.0, 8.0)), "flat=(8.0, 18.0)"),
    "window of one number": (lambda: plateau(flat=8.0), "flat=(8.0, 18.0)"),
    "negative softness": (lambda: plateau(softness=-1.0), "softness=0.02"),
    "interval of another curve": (lambda: plateau(interval=jnp.ones(3)), "interval has shape (3,)"),
    "growth in a flow": (
        lambda: jm.growth_rate(LINE, jm.Groups(1e-2, peclet=9.0).case(CEM, voltage=30.0), 3e4),
        "without flow along the membrane",
    ),
    "table of wavenumbers": (
        lambda: jm.growth_rate(LINE, jm.Groups(1e-2).case(CEM, voltage=30.0), jnp.ones((2, 2))),
        "one axis of wavenumbers",
    ),
    "several durations": (lambda: jm.Electroconvection(duration=jnp.ones(2)), "duration has shape (2,)"),
    "window of truth": (lambda: jm.Electroconvection(window=True), "window=0.5"),
    "criteria of two batches": (lambda: jm.Groups(jnp.ones(3) * 1e-3, jnp.ones(2)), "kappa (2,)"),
    "no thickness": (lambda: jm.Groups(1e-3).case(CEM, voltage=1.0, thickness=0.0), "thickness = 0 is no length"),
    "traced window": (lambda: jax.jit(lambda a: plateau(flat=(a, 18.0)).length)(8.0), "windows are part of"),
    "plateau of a result": (lambda: plateau(current=ask()), "A CurrentResult is not a number"),
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


def test_an_anion_exchanger_takes_negative_voltages():
    """The mirror image; positive voltages drive its counter-ions away, and it says so."""
    anions, cations = (jm.solve(LINE, jm.Groups(1e-3).case(m, voltage=v)) for m, v in ((AEM, -20.0), (CEM, 20.0)))
    np.testing.assert_allclose(anions.scaled_current, -cations.scaled_current, rtol=1e-10)
    assert not anions.warnings()
    wrong = jm.solve(LINE, jm.Groups(1e-3).case(AEM, voltage=8.0))
    assert any("takes negative ones" in text for text in wrong.warnings())


def test_a_march_shows_a_bar(capsys):
    """Time, voltage, current and Courant number of the last sample; as many samples as all lanes and voltages have."""
    model = jm.Electroconvection(8, 24, duration=0.01, samples=4, progress=True)
    result = jm.solve(model, jm.Groups(jnp.asarray([1e-2, 2e-2])).case(CEM, sweep=[8.0, 6.0], box=1.7))
    jax.effects_barrier()
    shown = capsys.readouterr().out
    assert "16/16" in shown
    assert "t 0.01/0.01" in shown
    assert "0 failed" in shown
    assert float(jnp.max(result.state.seen.courant)) <= 0.5 * 1.2


def test_energy_of_the_modes_is_that_of_the_flow():
    """Parseval, and the pictures of growth and spectrum."""
    model = jm.Electroconvection(16, 24, duration=0.05, samples=4, amplitude=0.1)
    r = jm.solve(model, jm.Groups(1e-2).case(CEM, sweep=[35.0, 30.0], box=1.73))
    faces, psi = np.asarray(r.state.faces), np.asarray(r.state.psi)[1]
    w, dx = np.diff(faces), 1.73 / 16
    u, v = np.diff(psi, axis=0) / w[:, None], (np.roll(psi, 1, axis=1) - psi)[1:-1] / dx
    gaps = 0.5 * (w[1:] + w[:-1])
    whole = 0.5 * ((w[:, None] * u**2).mean(1).sum() + (gaps[:, None] * v**2).mean(1).sum())
    np.testing.assert_allclose(r.energy_spectrum[1].sum(), whole, rtol=1e-12)
    assert r.energy_spectrum.shape == (2, 9)
    labels = [line.get_label() for line in r.plot.growth(rate=29.0).get_lines()]
    assert labels == ["largest normal velocity", "growth rate 29 D/L²"]
    assert r.plot.spectrum().get_xlabel() == "vortex pairs in the box"


def test_rates_of_unresolved_layers_are_refused():
    case = jm.Groups(1e-4).case(CEM, voltage=30.0)
    for ask_ in (
        lambda: jm.growth_rate(jm.NernstPlanckPoisson(16), case, 1.2e5),
        lambda: jm.onset(jm.NernstPlanckPoisson(16), case),
    ):
        with pytest.raises(jm.ConvergenceError, match=r"Write jm.NernstPlanckPoisson\(64\)"):
            ask_()


def test_reverse_mode_through_adaptive_steps_says_what_to_write():
    model = jm.Electroconvection(8, 24, duration=0.01, samples=4)
    current = lambda k: jm.solve(model, jm.Groups(1e-2, k).case(CEM, voltage=30.0, box=1.73)).scaled_current.value
    with pytest.raises(Exception, match=r"Write jm.Electroconvection\(steps=200"):
        jax.grad(current)(0.5)
    assert float(jax.jvp(current, (0.5,), (1.0,))[1]) > 0.0


def test_what_still_grows_is_not_steady():
    """Above its onset a disturbance grows, which the current does not show yet; Newton that falls back to rest says so; below onset rest is right."""
    early = jm.solve(
        jm.Electroconvection(16, 32, duration=0.05, samples=20), jm.Groups(1e-2).case(CEM, voltage=30.0, box=1.73)
    )
    assert int(early.kind) == 2
    assert any("still grow or fade" in text for text in early.warnings())
    lost = jm.Electroconvection(16, 24, duration=0.05, samples=10, steady=50)
    ask_ = lambda volts: jm.solve(lost, jm.Groups(1e-2).case(CEM, voltage=volts, box=1.73), throw=False)
    assert int(ask_(30.0).status) == code("not_steady")
    below = ask_(15.0)
    assert int(below.status) == 0
    assert int(below.kind) == 0
    assert not below.warnings()
    assert float(below.charge_closure) < 1e-14
    assert float(below.current_spread) < 1e-8
    assert 0.0 <= float(below.min_concentration) < 0.1


def test_plateau_of_falling_voltages_smooth_windows_and_gaps():
    """An anion exchanger's curve is the mirror image; derivatives to voltages behind sharp soft windows; a point that is not there."""
    v = jnp.linspace(0.5, 36.0, 60)
    i = jnp.interp(v, jnp.asarray([0.0, 2.0, 16.0, 40.0]), jnp.asarray([0.0, 2.0, 2.1, 5.0]))
    up = {"ohmic": (0.5, 1.5), "flat": (8.0, 18.0), "overlimiting": (24.0, 36.0)}
    down = {name: (-high, -low) for name, (low, high) in up.items()}
    one, other = jm.plateau(v, i, **up, interval=0.01 * i), jm.plateau(-v, -i, **down)
    np.testing.assert_allclose(one.length, other.length, rtol=1e-12)
    assert bool(one.ordered)
    assert bool(other.ordered)
    assert "ends within" in str(one)
    length = lambda s: jm.plateau(s * v, i, **up, softness=0.02).length
    np.testing.assert_allclose(jax.grad(length)(1.0), (length(1.0 + 1e-6) - length(1.0 - 1e-6)) / 2e-6, rtol=1e-6)
    gap = jm.plateau(v, i.at[3].set(jnp.nan), **up)
    np.testing.assert_allclose(gap.length, one.length, rtol=1e-2)


def test_pictures_name_what_they_have():
    r = jm.solve(
        jm.Electroconvection(8, 24, duration=0.01, samples=4), jm.Groups(1e-2).case(CEM, voltage=20.0, box=1.7)
    )
    with pytest.raises(jm.UnknownNameError, match="charge, potential, salt"):
        r.plot.fields("velocity")
    with pytest.raises(jm.JaxmemError, match="lane = 7"):
        r.plot.fields(lane=7)
