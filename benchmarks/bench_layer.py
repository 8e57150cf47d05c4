"""``python -m benchmarks.bench_layer [--quick] [--out FILE]``: layers of solution at a membrane, warm, beside SciPy loops.

Rival and jaxmem take turns in the same process; every row carries its difference to the rival and its failures.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxmem as jm

from .rivals import scipy_layer
from .timing import measure, row, warm

SALT = 32.0 / 0.05844


def layer_rows(quick: bool) -> list[dict[str, Any]]:
    """Steady ADM in one dimension, C(L) = 0, against assembly and ``solve_banded`` in a Python loop."""
    rows, feed = [], jm.Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})
    for elements, lanes in ((100, 10_000), (1000, 1000 if quick else 10_000), (10_000, 100)):
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


def main(argv: list[str] | None = None) -> None:
    """Measure, print, write."""
    measure(__doc__, "layer", layer_rows, argv)


if __name__ == "__main__":
    main()
