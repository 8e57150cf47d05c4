"""Fits of random membranes to what DSPM-DE makes of them, with 1 % of noise: intervals hold the truth, and the verdict is that of the profiles."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm

FREE = jm.Free(
    pore_radius=jm.LogInterval(0.3e-9, 0.9e-9),
    thickness_over_porosity=jm.LogInterval(0.3e-6, 2e-5),
    charge_density=jm.Interval(-300.0, 100.0),
    pore_permittivity=jm.Interval(15.0, 78.0),
)
FLUX = jnp.asarray([3e-6, 8e-6, 1.5e-5, 3e-5])
MODEL = jm.DSPMDE(activity="ideal")
FEEDS = np.asarray([[20.0, 1.0, 22.0], [2.0, 10.0, 22.0], [60.0, 5.0, 70.0]])  # Na+, Mg+2, Cl-, mol/m3


def measured(random: np.random.Generator) -> tuple[jm.Dataset, np.ndarray]:
    """Three feeds at four fluxes, 36 rejections, and the numbers behind them."""
    truth = np.asarray(
        [
            np.exp(random.uniform(np.log(0.38e-9), np.log(0.7e-9))),
            np.exp(random.uniform(np.log(1e-6), np.log(8e-6))),
            random.uniform(-100.0, 30.0),
            random.uniform(28.0, 65.0),
        ]
    )
    feed = jm.Mixture(jm.species("Na+", "Mg+2", "Cl-"), jnp.asarray(np.repeat(FEEDS, 4, axis=0)))
    case = jm.Case(feed, jm.PoreMembrane(*map(float, truth)), jm.FluxDriven(jnp.tile(FLUX, 3)))
    passed = (1.0 - jm.solve(MODEL, case).real_rejection) * np.exp(0.01 * random.standard_normal((12, 3)))
    start = jm.PoreMembrane(0.5e-9, 2.5e-6, -20.0, 42.0)
    blank = jnp.full_like(passed, jnp.nan)
    return jm.Dataset(jm.Case(feed, start, case.conditions), 1.0 - passed, blank, "real", ("x",) * 12), truth


@pytest.mark.campaign
@pytest.mark.parametrize(("membranes", "profiles"), [(100, 100)])
def test_intervals_and_verdicts(membranes: int, profiles: int) -> None:
    random, inside, settled, right, judged = np.random.default_rng(0), 0, 0, 0, 0
    noise = jm.LogTransmission(0.01, limit=1e-4)
    for k in range(membranes):
        data, truth = measured(random)
        found = jm.fit(MODEL, data, FREE, noise=noise, starts=8)
        loose = " ".join(found.loose())
        for i, label in enumerate(found.labels):
            verdict = label not in loose
            if verdict:
                low, high = found.interval(label)
                inside, settled = inside + (low <= truth[i] <= high), settled + 1
            if k < profiles:
                right, judged = right + (bool(np.isfinite(found.profile(label).interval).all()) == verdict), judged + 1
        print(f"{k + 1} membranes: {inside} of {settled} inside, verdict right in {right} of {judged}", flush=True)
    assert 0.90 <= inside / settled <= 0.99
    assert right / max(judged, 1) >= 0.95
