"""``python -m benchmarks.bench_ro [--quick] [--out FILE]``: layers and vessels of reverse osmosis, warm, beside SciPy loops.

Rivals and jaxmem alternate in the same process; every row carries its difference to the rival and its failures.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from jaxmem.units import bar, m3_per_h

from .report import RESULTS, environment, text_table
from .rivals import scipy_layer, scipy_vessel

SALT = 32.0 / 0.05844
AREA, A, B, LENGTH = 37.0, 3.9e-12, 1.5e-8, 0.956


def warm(call: Callable[[], Any], repeats: int = 7) -> tuple[float, float, Any]:
    """Seconds of the first call, median of warm ones, and the output."""
    begin = time.perf_counter()
    out = jax.block_until_ready(call())
    first, times = time.perf_counter() - begin, []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return first, float(np.median(times)), out


def row(problem: str, lanes: int, first: float, run: float, **others: Any) -> dict[str, Any]:
    """One line of the table."""
    given = {"problem": problem, "lanes": lanes, "compile_s": first - run, "us_per_lane": 1e6 * run / lanes}
    return {**given, "lanes_per_s": lanes / run, "rival_us": None, "ratio": None, "ok": None, "error": None, **others}


def layer_rows(quick: bool) -> list[dict[str, Any]]:
    """Steady ADM in one dimension, C(L) = 0, against assembly and ``solve_banded`` in a Python loop."""
    rows, feed = [], jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})
    for elements, lanes in ((100, 10_000), (1000, 1000 if quick else 10_000)):
        velocity = jnp.linspace(1e-6, 2e-5, lanes)
        model, length, d = jm.ADM(elements=elements), 1e-4, 1e-9

        def ask(velocity: jax.Array, model=model, length=length, d=d) -> Any:
            return jm.solve(
                model, jm.Case(feed, None, jm.Layer(length, velocity, d, jm.fem.Dirichlet(0.0))), throw=False
            )

        def total(velocity: jax.Array, ask=ask) -> jax.Array:
            return jnp.sum(ask(velocity).concentration)

        first, run, result = warm(lambda ask=ask, v=velocity: ask(v))
        gradient = jax.jit(jax.grad(total))
        g_first, g_run, _ = warm(lambda gradient=gradient, v=velocity: gradient(v))
        x, shown = np.linspace(0.0, length, elements + 1), np.arange(0, lanes, max(lanes // 500, 1))
        begin = time.perf_counter()
        rival = np.array([scipy_layer.profile(x, float(velocity[i]), d) for i in shown])
        rival_us = 1e6 * (time.perf_counter() - begin) / len(shown)
        error = float(np.abs(np.asarray(result.concentration)[shown] / SALT - rival).max())
        us = 1e6 * run / lanes
        rows.append(row(f"layer, {elements} elements", lanes, first, run, rival_us=rival_us, ratio=rival_us / us, ok=float(np.mean(result.ok)), error=error))  # fmt: skip
        rows.append(row(f"layer, {elements} elements, gradient", lanes, g_first, g_run, ratio=None, ok=float(np.mean(result.ok)), note=f"{g_run / run:.2f} times the value"))  # fmt: skip
    return rows


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


def main(argv: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    about = environment()
    rows = layer_rows(options.quick) + vessel_rows(options.quick)
    print(text_table(rows))
    out = options.out or RESULTS / "ro" / f"{about['device']}-{about['date']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"environment": about, "rows": rows}, indent=1) + "\n")
    print(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
