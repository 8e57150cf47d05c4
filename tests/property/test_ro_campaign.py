"""Random vessels over what can be built: solved, or told why not; never a number that is not one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem._status import code
from jaxmem.units import bar, m3_per_h

INFEASIBLE = ("below_osmotic_pressure", "pressure_spent", "recovery_out_of_reach", "channel_runs_dry")


def vessels(n: int, seed: int, imposed: str) -> jm.Case:
    """Feeds of 0 to 70 kg/m3, 5 to 80 bar, 5 to 45 degC, six 8-inch elements of any membrane, 3 to 16 m3/h."""
    random = np.random.default_rng(seed)
    log = lambda low, high: np.exp(random.uniform(np.log(low), np.log(high), n))
    salt = random.uniform(0.0, 70.0, n) / 0.05844
    salt[: n // 20] = 0.0
    feed = jm.Mixture.from_concentration({"Na+": salt, "Cl-": salt}, temperature=random.uniform(278.15, 318.15, n))
    membrane = jm.SolutionDiffusionMembrane(log(1e-12, 1.5e-11), log(5e-9, 1e-6), random.uniform(0.97, 1.0, n))
    element = jm.SpiralElement(membrane, random.uniform(20.0, 45.0, n), 0.956, random.uniform(0.5e-3, 0.9e-3, n), 0.89)
    flow = random.uniform(3.0, 16.0, n) * m3_per_h
    if imposed == "pressure":
        conditions = jm.FeedPressure(random.uniform(5.0, 80.0, n) * bar, flow)
    else:
        conditions = jm.Recovery(random.uniform(0.05, 0.7, n), flow)
    return jm.Case(feed, jm.Vessel(element, 6), conditions)


LONG = pytest.mark.campaign


@pytest.mark.parametrize(
    ("n", "imposed"),
    [
        (128, "pressure"),
        *(pytest.param(*x, marks=LONG) for x in ((128, "recovery"), (10_000, "pressure"), (10_000, "recovery"))),
    ],
)
def test_vessels(n, imposed):
    case = vessels(n, 1, imposed)
    r = jm.solve(jm.SpiralWound(), case, throw=False)
    status, ok = np.asarray(r.status), np.asarray(r.ok)
    told = np.isin(status, [code(name) for name in INFEASIBLE])
    print(f"{imposed}: {ok.sum()} of {n} solved, {told.sum()} not feasible; {r.messages()}")
    print(f"  estimated error {np.quantile(np.asarray(r.error_estimate)[ok], [0.5, 0.99, 1.0])}")
    assert (ok | told).mean() >= 0.9999
    for value in (r.recovery, r.feed_pressure, r.permeate_concentration, r.pressure_drop, r.specific_energy):
        assert np.isfinite(np.asarray(value)[ok]).all()
    assert all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(r.state))
    assert float(jnp.max(jnp.abs(r.salt_closure[ok]))) < 1e-10
    assert float(jnp.max(jnp.abs(r.water_closure[ok]))) < 1e-10
    assert bool(np.all(np.asarray(r.permeate_concentration)[ok] <= np.asarray(r.concentrate_concentration)[ok] + 1e-9))
    if imposed == "recovery":
        np.testing.assert_allclose(np.asarray(r.recovery)[ok], np.asarray(case.conditions.recovery)[ok], rtol=1e-8)
    else:
        feed = np.sum(np.asarray(case.feed.mass_concentration), axis=-1)
        osmotic = np.asarray(r.brine.osmotic_pressure(jnp.asarray(feed), case.feed.temperature))
        weak = (
            np.asarray(case.conditions.pressure) - 101325.0
            <= np.asarray(case.membrane.element.membrane.reflection) * osmotic
        )
        assert (status[weak] == code("below_osmotic_pressure")).all()
