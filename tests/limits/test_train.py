"""Trains of stages: what they must equal, balances, a recycle by hand, gradients, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.units import bar, m3_per_h

FEED = jm.Mixture.from_concentration({"Na+": 60.0, "Cl-": 60.0})
MEMBRANE = jm.SolutionDiffusionMembrane(4e-12, 2e-8)
ELEMENT = jm.SpiralElement(MEMBRANE, 37.0, 0.956)
FLOW = 9.0 * m3_per_h


def vessel(count: int) -> jm.Vessel:
    return jm.Vessel(ELEMENT, count, 0.05 * bar)


def ask(train: jm.Train, conditions) -> jm.models.element.train_result.TrainResult:
    return jm.solve(jm.ReverseOsmosisTrain(), jm.Case(FEED, train, conditions))


def test_stages_in_line_are_one_vessel():
    """Two stages of one vessel each, of two and of four elements, are a vessel of six."""
    plain = lambda n: jm.Vessel(ELEMENT, n)
    conditions = jm.FeedPressure(jnp.array([18.0, 24.0]) * bar, FLOW, pump=jm.Pump(0.8, 0.9))
    whole = jm.solve(jm.SpiralWound(), jm.Case(FEED, plain(6), conditions))
    parts = ask(jm.Train((jm.Stage(plain(2)), jm.Stage(plain(4)))), conditions)
    for name in ("recovery", "permeate_concentration", "specific_energy", "observed_rejection"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-10)
    rows = [stage.elements["flux"] for stage in parts.stages]
    np.testing.assert_allclose(np.concatenate(rows, axis=-1), whole.elements["flux"], rtol=1e-10)
    assert [stage.elements["flux"].shape[-1] for stage in parts.stages] == [2, 4]
    assert len(parts.to_dataframe()) == 12


@pytest.mark.campaign
def test_parallel_vessels_share_the_feed():
    conditions = jm.FeedPressure(20.0 * bar, 4.0 * FLOW)
    train = ask(jm.Train((jm.Stage(vessel(3), 4.0), jm.Stage(vessel(3), 2.0, booster=2.0 * bar))), conditions)
    first = jm.solve(jm.SpiralWound(), jm.Case(FEED, vessel(3), jm.FeedPressure(20.0 * bar, FLOW)))
    np.testing.assert_allclose(train.stages[0].recovery, first.recovery, rtol=1e-10)
    np.testing.assert_allclose(train.stages[1].feed_pressure, first.concentrate_pressure + 2.0 * bar, rtol=1e-12)
    np.testing.assert_allclose(train.stages[1].feed_flow, 2.0 * first.concentrate_flow, rtol=1e-10)
    assert abs(float(train.salt_closure)) < 1e-10
    assert abs(float(train.water_closure)) < 1e-10


@pytest.mark.campaign
def test_recycle():
    """A recycle is what repeated marches of a vessel with a mixed feed settle to."""
    share, pressure = 0.4, 20.0 * bar
    train = jm.Train((jm.Stage(vessel(3)),), recycle=share)
    found = ask(train, jm.FeedPressure(pressure, FLOW))
    brine, warm = jm.NaClBrine(), jnp.asarray(298.15)
    density = lambda c: float(brine.density(brine.mass_fraction(jnp.asarray(c), warm), warm))
    kilograms = float(jm.species("Na+", "Cl-").molar_mass.sum())
    raw = np.array([FLOW * density(60.0 * kilograms), FLOW * 60.0 * kilograms])  # mass, salt
    mixed, model = raw, jm.SpiralWound()
    for _ in range(60):
        w = mixed[1] / mixed[0]
        rho = float(brine.density(jnp.asarray(w), warm))
        c = w * rho / kilograms
        feed = jm.Mixture.from_concentration({"Na+": c, "Cl-": c})
        r = jm.solve(model, jm.Case(feed, vessel(3), jm.FeedPressure(pressure, mixed[0] / rho)))
        out = np.array([float(r.state.outlet.water + r.state.outlet.salt), float(r.state.outlet.salt)])
        mixed = raw + share * out
    np.testing.assert_allclose(found.stages[0].recovery, r.recovery, rtol=1e-8)
    np.testing.assert_allclose(found.stages[0].feed_concentration, r.feed_concentration, rtol=1e-8)
    assert abs(float(found.salt_closure)) < 1e-10


def ask_scaled(x):
    """Recovery and energy of two stages with a recycle, by number of vessels, booster, recycle and pressure."""
    stages = (jm.Stage(vessel(2), 2.0 * x[0]), jm.Stage(vessel(2), 1.0, booster=3.0 * bar * x[1]))
    conditions = jm.FeedPressure(20.0 * bar * x[3], 2.0 * FLOW, pump=jm.Pump(0.8, 0.9))
    case = jm.Case(FEED, jm.Train(stages, 0.3 * x[2]), conditions)
    r = jm.solve(jm.ReverseOsmosisTrain(jm.SpiralWound(cells=2)), case, throw=False)
    return jnp.stack([r.recovery, r.specific_energy / 1e6])


def differences(x):
    step = 1e-5 * jnp.eye(4)
    batch = jax.vmap(ask_scaled)(jnp.concatenate([x + step, x - step]))
    return (batch[:4] - batch[4:]).T / 2e-5


def test_gradients():
    """Of recovery along one direction of vessels, booster and pressure, no recycle."""

    def recovery(s):
        stages = (jm.Stage(vessel(2), 2.0 - s), jm.Stage(vessel(2), 1.0, booster=3.0 * bar * (1.0 + s)))
        case = jm.Case(FEED, jm.Train(stages), jm.FeedPressure(20.0 * bar * (1.0 + 0.5 * s), 2.0 * FLOW))
        return jm.solve(jm.ReverseOsmosisTrain(jm.SpiralWound(cells=2)), case, throw=False).recovery

    low, high = jax.vmap(recovery)(jnp.array([-1e-5, 1e-5]))
    np.testing.assert_allclose(jax.jvp(recovery, (0.0,), (1.0,))[1], (high - low) / 2e-5, rtol=1e-6)


@pytest.mark.campaign
def test_recovery_with_a_recycle():
    train = jm.Train((jm.Stage(vessel(3)),), recycle=0.4)
    found = ask(train, jm.FeedPressure(20.0 * bar, FLOW))
    back = ask(train, jm.Recovery(found.recovery, FLOW))
    np.testing.assert_allclose(back.feed_pressure, 20.0 * bar, rtol=1e-8)


@pytest.mark.campaign
def test_gradients_with_a_recycle():
    x = jnp.ones(4)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(ask_scaled))(x), differences(x), rtol=1e-6)


@pytest.mark.campaign
def test_gradients_in_reverse():
    """The compilation takes minutes."""
    x = jnp.ones(4)
    np.testing.assert_allclose(jax.jit(jax.jacrev(ask_scaled))(x), jax.jit(jax.jacfwd(ask_scaled))(x), rtol=1e-10)


REFUSED = {
    "vessel for a train": (lambda: jm.solve(jm.ReverseOsmosisTrain(), jm.Case(FEED, vessel(2), jm.FeedPressure(20e5, FLOW))), "jm.Train"),
    "train for a vessel": (lambda: jm.solve(jm.SpiralWound(), jm.Case(FEED, jm.Train((jm.Stage(vessel(2)),)), jm.FeedPressure(20e5, FLOW))), "element or a vessel"),
    "no stages": (lambda: jm.Train(()), "jm.Stage"),
    "a vessel as a stage": (lambda: jm.Train((vessel(2),)), "jm.Stage"),
    "an element as a vessel": (lambda: jm.Stage(ELEMENT), "jm.Vessel"),
    "all recycled": (lambda: jm.Train((jm.Stage(vessel(2)),), 1.0), "recycle"),
    "no vessels": (lambda: jm.Stage(vessel(2), 0.0), "vessels"),
    "booster that takes": (lambda: jm.Stage(vessel(2), 1.0, booster=-1e5), "booster"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, word = REFUSED[name]
    with pytest.raises(jm.JaxmemError, match=word):
        make()


def test_out_of_reach():
    """Too little pressure in one lane says so and leaves the other alone."""
    r = jm.solve(jm.ReverseOsmosisTrain(), jm.Case(FEED, jm.Train((jm.Stage(vessel(3)),)), jm.FeedPressure(jnp.array([2.0, 20.0]) * bar, FLOW)), throw=False)  # fmt: skip
    assert r.ok.tolist() == [False, True]
    assert any("osmotic" in text for text in r.messages())
    assert "1/2 solved" in str(r)
