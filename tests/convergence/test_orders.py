"""Discretisation: observed orders, and an error estimate that bounds the error."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from benchmarks.campaigns import r1, r2
from tests.helpers import IDEAL, batch, ion, lane

MODERATE = batch([lane(ion("Na+", 20.0), ion("Mg+2", 10.0), ion("Cl-", 24.0), ion("SO4-2", 8.0), J=2e-6, X=-10.0)])


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    return np.asarray(
        jm.solve(jm.DSPMDE(activity="ideal", tolerance=1e-12), MODERATE, throw=False).observed_rejection[0]
    )


@pytest.mark.campaign
def test_midpoint_cells_are_second_order(exact: np.ndarray) -> None:
    cells = (4, 8, 16)
    error = [
        np.abs(np.asarray(jm.solve(jm.DSPMDE(activity="ideal", cells=n), MODERATE).observed_rejection[0]) - exact).max()
        for n in cells
    ]
    order = np.log2(np.array(error[:-1]) / np.array(error[1:]))
    print("midpoint errors", error, "orders", order)
    assert error[-1] > 1e-7  # above round-off and above the error of the reference
    assert order == pytest.approx(2.0, abs=0.1)


def test_first_grids_are_accurate(exact: np.ndarray) -> None:
    """Extrapolated exponential segments without refinement, on a moderate case."""
    coarse = jm.solve(jm.DSPMDE(activity="ideal", refine=False), MODERATE).observed_rejection[0]
    off = float(jnp.max(jnp.abs(coarse - exact)))
    print("unrefined error", off)
    assert off < 1e-6


@pytest.mark.parametrize(
    ("campaign", "n"), [(r2, 1024), pytest.param(r1, 1024, marks=pytest.mark.campaign)], ids=["r2", "r1"]
)
def test_error_estimate_is_a_bound(campaign, n: int) -> None:
    """Against the finest grids: 95 % of the errors are below their estimate, and all are small."""
    case = campaign(n, 11)
    ours = jm.solve(IDEAL, case, throw=False)
    best = jm.solve(jm.DSPMDE(activity="ideal", tolerance=1e-16), case, throw=False)
    good = np.asarray(ours.ok & best.ok)
    assert good.mean() > 0.998
    present = np.asarray(case.feed.concentration) > 0.0
    true = np.where(present, np.abs(np.asarray(ours.observed_rejection - best.observed_rejection)), 0.0).max(-1)[good]
    estimate = np.where(present, np.asarray(ours.error_estimate), 0.0).max(-1)[good]
    print("error", np.quantile(true, (0.5, 0.95, 0.995, 1.0)), "below estimate", np.mean(true <= estimate))
    assert np.mean(true <= estimate) >= 0.95
    assert np.quantile(true, 0.95) < 1e-7
    assert np.quantile(true, 0.995) < 1e-6
    assert true.max() < 1e-4
