"""Ten thousand random cases: how many are solved, and how well. ``pytest -m campaign -s``."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from benchmarks.campaigns import edges, r1, r2

CAMPAIGNS = {
    "r1-ideal": (r1, "ideal"),
    "r1-davies": (r1, "davies"),
    "r2-ideal": (r2, "ideal"),
    "r2-davies": (r2, "davies"),
}


def test_solved_lanes_are_so_when_evaluated_anew() -> None:
    """At high fluxes, where the fields of a state near by may be a bad first guess. The root finder takes one step from
    them; ``residual`` settles every field from the start."""
    model, case = jm.DSPMDE(activity="ideal"), edges(4096, 7, "flux")
    result = jm.solve(model, case, throw=False)
    ok = np.asarray(result.ok)
    residual = np.asarray(jnp.max(jnp.abs(model.residual(result.state, case)), axis=-1))
    assert ok.mean() > 0.999
    assert residual[ok].max() < 1e-9


@pytest.mark.campaign
@pytest.mark.parametrize("name", CAMPAIGNS)
def test_campaign(name: str, capsys: pytest.CaptureFixture) -> None:
    sampler: Callable = CAMPAIGNS[name][0]
    model = jm.DSPMDE(activity=CAMPAIGNS[name][1])
    case = sampler(10_000, 2024)
    result = jm.solve(model, case, throw=False)
    ok = np.asarray(result.ok)
    residual = np.asarray(jnp.max(jnp.abs(model.residual(result.state, case)), axis=-1))
    with capsys.disabled():
        print(f"\n{name}: {ok.sum()} of {ok.size} solved, worst residual {residual[ok].max():.2e}, {result.messages()}")
    assert ok.mean() >= 0.999
    assert (residual[ok] <= 1e-8).all()
    for field in (
        "permeate",
        "interface",
        "observed_rejection",
        "volume_flux",
        "pressure",
        "error_estimate",
        "closure",
    ):
        assert np.isfinite(np.asarray(getattr(result, field))[ok]).all(), field
    present = np.asarray(case.feed.concentration) > 0.0
    assert (np.asarray(result.permeate)[ok][present[ok]] > 0.0).all()
    assert float(np.asarray(result.closure)[ok].max()) < 1e-12
    finest = jm.solve(jm.DSPMDE(activity=CAMPAIGNS[name][1], tolerance=1e-16), case, throw=False)
    both = ok & np.asarray(finest.ok)
    error = np.abs(np.asarray(result.observed_rejection - finest.observed_rejection))
    error, estimate = (np.where(present, x, 0.0).max(-1)[both] for x in (error, np.asarray(result.error_estimate)))
    with capsys.disabled():
        quantiles = np.quantile(error, (0.5, 0.95, 0.995, 1.0))
        print(f"  error {quantiles}, below its estimate in {np.mean(error <= estimate):.2%}")
    assert np.quantile(error, 0.95) <= 1e-6
    assert np.quantile(error, 0.995) <= 1e-4
    assert np.mean(error <= estimate) >= 0.95
