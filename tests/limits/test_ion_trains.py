"""Trains whose membranes tell ions apart: what they must equal, a recycle by hand, balances, derivatives, and lanes that fail."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from jaxmem.units import bar, m3_per_h

FEED = jm.Mixture.from_concentration({"Na+": 12.0, "Mg+2": 4.0, "Cl-": 20.0})
PERMEANCE = jm.PermeanceMembrane.of({"Na+": 2e-5, "Mg+2": 4e-6, "Cl-": 6e-6})
SDEM = jm.SpiralWoundIons(jm.SDEM(), cells=1)
FLOW = 9.0 * m3_per_h
SALT = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
KEDEM = jm.SpiralWoundIons(jm.SpieglerKedem(), cells=1)  # compiles in a fifth of the time
LEAKY = jm.SpieglerKedemMembrane(0.9, 3e-6, water_permeance=1.5e-11)


def vessel(count: int, membrane=PERMEANCE) -> jm.Vessel:
    return jm.Vessel(jm.SpiralElement(membrane, area=37.0, length=0.96), count)


def ask(train: jm.Train, conditions, vessel: jm.SpiralWoundIons = SDEM):
    return jm.solve(jm.ReverseOsmosisTrain(vessel), jm.Case(FEED, train, conditions), throw=False)


def test_stages_in_line_are_one_vessel():
    """Two stages of DSPM-DE, of one element and of two, are a vessel of three."""
    model, pores = jm.SpiralWoundIons(jm.DSPMDE(activity="ideal"), cells=1), jm.membrane("NF270")
    conditions = jm.FeedPressure(jnp.array([5.0, 7.0]) * bar, FLOW, pump=jm.Pump(0.8, 0.9))
    whole = jm.solve(model, jm.Case(FEED, vessel(3, pores), conditions))
    parts = ask(jm.Train((jm.Stage(vessel(1, pores)), jm.Stage(vessel(2, pores)))), conditions, model)
    assert parts.ok.all()
    for name in ("recovery", "observed_rejection", "specific_energy"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-9)
    np.testing.assert_allclose(parts.permeate_concentration, whole.permeate, rtol=1e-9)
    rows = [stage.elements["flux"] for stage in parts.stages]
    np.testing.assert_allclose(np.concatenate(rows, axis=-1), whole.elements["flux"], rtol=1e-9)
    assert float(jnp.max(parts.closure)) < 1e-12


def test_vessels_boosters_and_exports():
    """Parallel vessels share the feed, a booster lifts, ions and volume are kept; and what is written of it."""
    train = jm.Train((jm.Stage(vessel(2), 4.0), jm.Stage(vessel(2), 2.0, booster=2.0 * bar)))
    r = ask(train, jm.FeedPressure(10.0 * bar, 4.0 * FLOW, pump=jm.Pump(0.8, 0.0)))
    first = jm.solve(SDEM, jm.Case(FEED, vessel(2), jm.FeedPressure(10.0 * bar, FLOW)))
    np.testing.assert_allclose(r.stages[0].recovery, first.recovery, rtol=1e-10)
    np.testing.assert_allclose(r.stages[1].feed_concentration, first.concentrate, rtol=1e-10)
    np.testing.assert_allclose(r.stages[1].feed_flow, 2.0 * first.concentrate_flow, rtol=1e-10)
    np.testing.assert_allclose(r.stages[1].feed_pressure, first.concentrate_pressure + 2.0 * bar, rtol=1e-12)
    assert float(r.salt_closure) < 1e-10
    assert abs(float(r.water_closure)) < 1e-10
    work = (10.0 - 1.01325) * bar * 4.0 * FLOW + 2.0 * bar * 4.0 * first.concentrate_flow
    np.testing.assert_allclose(r.specific_energy, work / 0.8 / r.permeate_flow, rtol=1e-10)
    table = r.to_xarray()
    np.testing.assert_allclose(table.stage_recovery[0], first.recovery, rtol=1e-10)
    np.testing.assert_allclose(table.observed_rejection.sel(species="Mg+2"), r.observed_rejection[1], rtol=1e-12)
    assert table.permeate_concentration.attrs["units"] == "mol m-3"
    assert len(r.to_dataframe()) == 2 * 2 * 3
    assert r.plot.profiles().shape == (2, 3)
    assert "R Mg²⁺" in str(r)


def test_recycle_and_recovery():
    """A recycle is what repeated marches with a mixed feed settle to; asked for that recovery, the train finds the pressure again."""
    share, train, model = 0.4, jm.Train((jm.Stage(vessel(2, LEAKY)),), recycle=0.4), jm.ReverseOsmosisTrain(KEDEM)
    found = jm.solve(model, jm.Case(SALT, train, jm.FeedPressure(10.0 * bar, FLOW)))
    raw = FLOW * np.array([20.0, 20.0, 1.0])

    @jax.jit
    def once(mixed):
        feed = jm.Mixture(SALT.species, mixed[:2] / mixed[2])
        r = jm.solve(KEDEM, jm.Case(feed, vessel(2, LEAKY), jm.FeedPressure(10.0 * bar, mixed[2])), throw=False)
        return raw + share * r.concentrate_flow * jnp.append(r.concentrate, 1.0)

    mixed = raw
    for _ in range(40):
        mixed = once(mixed)
    stream = found.stages[0]
    np.testing.assert_allclose(stream.feed_flow * np.append(stream.feed_concentration, 1.0), mixed, rtol=1e-8)
    assert float(found.salt_closure) < 1e-10
    back = jm.solve(model, jm.Case(SALT, train, jm.Recovery(found.recovery, FLOW)))
    np.testing.assert_allclose(back.feed_pressure, 10.0 * bar, rtol=1e-8)


def test_derivatives_and_a_lane_that_fails():
    """Of recovery and rejection along vessels, booster and pressure; too little pressure in one lane leaves the others alone."""

    def answer(s):
        stages = (jm.Stage(vessel(2), 2.0 - s), jm.Stage(vessel(2), 1.0, booster=3.0 * bar * (1.0 + s)))
        r = ask(jm.Train(stages), jm.FeedPressure(10.0 * bar * (1.0 + 0.5 * s), 2.0 * FLOW))
        return jnp.append(r.observed_rejection, r.recovery)

    low, high = jax.vmap(answer)(jnp.array([-1e-5, 1e-5]))
    np.testing.assert_allclose(jax.jvp(answer, (0.0,), (1.0,))[1], (high - low) / 2e-5, rtol=1e-6)
    pressure = jnp.array([1.0, 10.0]) * bar
    r = ask(jm.Train((jm.Stage(vessel(2)),)), jm.FeedPressure(pressure, FLOW))
    alone = ask(jm.Train((jm.Stage(vessel(2)),)), jm.FeedPressure(pressure[1:], FLOW))
    assert r.ok.tolist() == [False, True]
    np.testing.assert_allclose(r.observed_rejection[1], alone.observed_rejection[0], rtol=1e-12)
    assert np.isnan(r.to_xarray().recovery.values[0])
