"""A fit from 16 starts against SciPy's least squares: ``python -m benchmarks.bench_fit [--quick] [--out FILE]``.

DSPM-DE (ideal, and with Davies activity) behind a film, three ions at 36 points, 108 rejections with 1 % of noise on what passes, four numbers free. The
rival is ``scipy.optimize.least_squares`` (trust region, differences for the Jacobian) from the same starts, one after another, on the same residuals, each
answered by one compiled batch: what a fit costs without gradients and without starts as lanes.
"""

import time
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.optimize as so

import jaxmem as jm

from .timing import measure, row

FEEDS = np.array([[20.0, 5.0, 30.0], [5.0, 10.0, 25.0], [50.0, 1.0, 52.0], [1.0, 15.0, 31.0]])  # Na+, Mg2+, Cl-, mol/m3


def question(activity: str, seed: int) -> tuple[Any, jm.Dataset, jm.Free, Any]:
    """Model, measurements on a membrane that is not theirs, what is free, and the noise."""
    random, model = np.random.default_rng(seed), jm.DSPMDE(activity=activity)
    feed = jm.Mixture(jm.species("Na+", "Mg+2", "Cl-"), np.repeat(FEEDS, 9, 0))
    flux = jm.FluxDriven(jnp.tile(jnp.linspace(3e-6, 4e-5, 9), len(FEEDS)), jm.film("D^(2/3)", 4e-5))
    case = jm.Case(feed, jm.PoreMembrane(0.5e-9, 1.2e-6, -40.0, 42.0), flux)
    passed = 1.0 - jm.solve(model, case).observed_rejection
    seen = 1.0 - passed * jnp.exp(0.01 * random.standard_normal(passed.shape))
    data = jm.Dataset(case, seen, jnp.full(seen.shape, jnp.nan), "observed", ("feed",) * 36)
    free = jm.Free(
        pore_radius=jm.LogInterval(0.36e-9, 0.9e-9),
        thickness_over_porosity=jm.LogInterval(2e-7, 1e-5),
        charge_density=jm.Interval(-150.0, 50.0),
        pore_permittivity=jm.Interval(32.0, 70.0),
    )
    return model, data.on(jm.PoreMembrane(0.6e-9, 1e-6, -10.0, 45.0)), free, jm.LogTransmission(0.01, 0.001)


def rows(quick: bool) -> list[dict[str, Any]]:
    """Both activities."""
    found = []
    for activity in ("ideal", "davies"):
        model, data, free, noise = question(activity, 0)
        times, fits = [], []
        for seed in range(4):  # the first one compiles
            begin = time.perf_counter()
            fits.append(jm.fit(model, data, free, noise=noise, starts=16, seed=seed))
            times.append(time.perf_counter() - begin)
        best, run = fits[0], float(np.median(times[1:]))

        @eqx.filter_jit
        def rows_at(u: jnp.ndarray) -> jnp.ndarray:
            return data.residual(jm.solve(model, free.apply(data.case, u), throw=False), noise)  # noqa: B023

        def residual(u: np.ndarray) -> np.ndarray:
            r = np.asarray(rows_at(jnp.asarray(u)))
            return np.where(np.isfinite(r), r, 1e3)

        starts, costs = np.asarray(free.draw(data.case, 2 if quick else 16)), []
        residual(starts[0])
        begin = time.perf_counter()
        for u in starts:
            costs.append(so.least_squares(residual, u).cost)
        rival = (time.perf_counter() - begin) * 16 / len(starts)
        apart = min(costs) / best.minima.cost.min() - 1.0
        note = f"{best.minima.steps} steps, {best.agreeing} of 16 starts agree; SciPy's best cost {apart:+.1e} relative"
        found.append(row(f"fit of 4 numbers, 108 points, {activity}", 16, times[0], run, rival_us=1e6 * rival / 16, ratio=rival / run, ok=float(np.isfinite(best.minima.cost).mean()), note=note))  # fmt: skip
    return found


if __name__ == "__main__":
    measure(__doc__, "fit", rows, None)
