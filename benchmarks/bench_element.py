"""``python -m benchmarks.bench_element [--quick] [--out FILE]``: vessels of elements, warm, beside ``solve_ivp`` with ``brentq``.

Rival and jaxmem take turns in the same process; every row carries its difference to the rival and its failures.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from jaxmem.units import bar, m3_per_h

from .rivals import scipy_vessel
from .timing import measure, row, warm

SALT = 32.0 / 0.05844
AREA, A, B, LENGTH = 37.0, 3.9e-12, 1.5e-8, 0.956


def vessel_rows(quick: bool) -> list[dict[str, Any]]:
    """Six-element vessels: pressure given, recovery given, gradient; against ``solve_ivp`` with ``brentq``."""
    lanes, random = (2000 if quick else 10_000), np.random.default_rng(1)
    pressure, flow = random.uniform(45.0, 75.0, lanes) * bar, random.uniform(7.0, 14.0, lanes) * m3_per_h
    feed = jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})

    def vessel(a: Any) -> jm.Vessel:
        return jm.Vessel(jm.SpiralElement(jm.SolutionDiffusionMembrane(a, B), AREA, LENGTH), 6)

    def at_pressure(a: Any) -> Any:
        return jm.solve(jm.SpiralWound(), jm.Case(feed, vessel(a), jm.FeedPressure(pressure, flow)), throw=False)

    first, run, result = warm(lambda: at_pressure(A), 5)
    salt = float(result.feed_concentration[0])
    some = range(20)
    begin = time.perf_counter()
    rival = [scipy_vessel.recovery(A, B, AREA, 6, pressure[i], flow[i], salt) for i in some]
    rival_us = 1e6 * (time.perf_counter() - begin) / len(rival)
    error = float(np.abs(np.asarray(result.recovery)[: len(rival)] - rival).max())
    ok = lambda r: float(np.mean(r.ok))
    rows = [row("vessel of six, pressure given", lanes, first, run, rival_us=rival_us, ratio=rival_us * lanes / run / 1e6, ok=ok(result), error=error)]  # fmt: skip
    target = np.clip(np.asarray(result.recovery), 0.05, 0.6)
    at_recovery = lambda: jm.solve(jm.SpiralWound(), jm.Case(feed, vessel(A), jm.Recovery(target, flow)), throw=False)
    first, run, found = warm(at_recovery, 3)
    error = float(np.abs(np.asarray(found.feed_pressure) / pressure - 1.0)[np.asarray(result.recovery) < 0.6].max())
    rows.append(row("vessel of six, recovery given", lanes, first, run, ok=ok(found), error=error))
    gradient = jax.jit(jax.grad(lambda a: jnp.sum(at_pressure(a).recovery)))
    value = rows[0]["us_per_lane"]
    first, run, _ = warm(lambda: gradient(jnp.full(lanes, A)), 3)
    rows.append(row("vessel of six, gradient to A", lanes, first, run, ok=ok(result), note=f"{1e6 * run / lanes / value:.2f} times the value"))  # fmt: skip
    return rows


def ion_rows(quick: bool) -> list[dict[str, Any]]:
    """Three NF270 elements in series, each ion by DSPM-DE at 39 positions: pressure given, and the gradient to the pore radius."""
    lanes, random = (64 if quick else 1024), np.random.default_rng(2)
    pressure, flow = random.uniform(4.0, 9.0, lanes) * bar, random.uniform(7.0, 12.0, lanes) * m3_per_h
    feed, model = jm.feed("brackish8"), jm.SpiralWoundIons()

    def ask(radius: Any) -> Any:
        pore = jm.membrane("NF270", pore_radius=radius)
        module = jm.Vessel(jm.SpiralElement(pore, AREA, LENGTH), 3)
        return jm.solve(model, jm.Case(feed, module, jm.FeedPressure(pressure, flow)), throw=False)

    radius = jnp.full(lanes, 0.43e-9)
    first, run, result = warm(lambda: ask(radius), 3)
    ok = float(np.mean(result.ok))
    rows = [row("three NF elements, 8 ions", lanes, first, run, ok=ok, error=float(np.max(result.error_estimate)))]
    gradient = jax.jit(jax.grad(lambda r: jnp.sum(ask(r).observed_rejection[..., 2])))
    first, g_run, _ = warm(lambda: gradient(radius), 3)
    note = f"{g_run / run:.2f} times the value"
    rows.append(row("three NF elements, 8 ions, gradient to r_p", lanes, first, g_run, ok=ok, note=note))
    return rows


def main(argv: list[str] | None = None) -> None:
    """Measure, print, write."""
    measure(__doc__, "element", lambda quick: vessel_rows(quick) + ion_rows(quick), argv)


if __name__ == "__main__":
    main()
