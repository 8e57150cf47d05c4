"""``python -m benchmarks.bench_electroconvection [--quick] [--out FILE]``: curves at rest beside ``solve_bvp``, onset, steps of the plane, gradients.

A row of the plane counts steps of one box; a row of curves counts voltages. Every row carries its difference to a rival or to a finer run.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxmem as jm

from .rivals import scipy_current
from .timing import measure, row, warm

WALL = jm.IonExchangeMembrane()
VOLTS = np.arange(61.0)


def at_rest(quick: bool) -> list[dict[str, Any]]:
    """Curves of 61 voltages; points of one voltage each; value and gradient."""
    rows, line = [], jm.NernstPlanckPoisson()
    for eps in (1e-2, 1e-3):
        begin = time.perf_counter()
        rival = scipy_current.curve(eps, VOLTS[:21] if quick else VOLTS)
        rival_us = 1e6 * (time.perf_counter() - begin) / np.isfinite(rival).sum()
        case = jm.Groups(eps).case(WALL, sweep=VOLTS)
        first, run, result = warm(lambda case=case: jm.solve(line, case).state)
        known = np.isfinite(rival) & (VOLTS[: len(rival)] > 1.0)
        error = np.max(np.abs(np.asarray(result.current)[: len(rival)][known] / rival[known] - 1.0))
        us = 1e6 * run / len(VOLTS)
        rows.append(row(f"curve of 61 voltages, eps {eps:g}", len(VOLTS), first, run, rival_us=rival_us, ratio=rival_us / us, ok=float(result.arrived.mean()), error=error))  # fmt: skip
    lanes = 64 if quick else 256
    eps, enrichment = 1e-3 * jnp.linspace(0.8, 1.2, lanes), jnp.linspace(1.5, 4.0, lanes)

    def curves(enrichment: jax.Array) -> Any:
        case = jm.Groups(eps).case(
            jm.IonExchangeMembrane(enrichment=enrichment), sweep=jnp.broadcast_to(VOLTS, (lanes, 61))
        )
        return jm.solve(line, case, throw=False).state

    first, run, result = warm(lambda: curves(enrichment))
    rows.append(
        row(
            "curves of 61 voltages, eps 1e-3",
            61 * lanes,
            first,
            run,
            ok=float(result.arrived.mean()),
            error=float(result.spread.max()),
        )
    )
    gradient = jax.jit(jax.grad(lambda e: jnp.sum(curves(e).current)))
    first, back, _ = warm(lambda: gradient(enrichment), 3)
    rows.append(
        row(
            "curves of 61 voltages, gradient", 61 * lanes, first, back, ok=1.0, note=f"{back / run:.2f} times the value"
        )
    )
    many = 8 * lanes
    points = jm.Groups(1e-3 * jnp.linspace(0.8, 1.2, many)).case(WALL, voltage=jnp.linspace(1.0, 60.0, many))
    first, run, result = warm(lambda: jm.solve(line, points, throw=False).state)
    rows.append(
        row(
            "single voltages to 60, eps 1e-3",
            many,
            first,
            run,
            ok=float(result.arrived.mean()),
            error=float(result.spread.max()),
        )
    )
    return rows


def stability() -> list[dict[str, Any]]:
    """Onset and one growth rate."""
    model, case = jm.NernstPlanckPoisson(), jm.Groups(1e-3, 0.5).case(WALL, voltage=25.0)
    first, run, found = warm(lambda: jm.onset(model, case).voltage, 3)
    fine = jm.onset(jm.NernstPlanckPoisson(256), case).voltage
    rows = [
        row("onset, 128 cells", 1, first, run, ok=1.0, error=abs(float(found / fine) - 1.0), note="against 256 cells")
    ]
    k = jnp.linspace(2.0, 20.0, 10) / case.conditions.thickness
    first, run, _ = warm(lambda: jm.growth_rate(model, case, k).rate, 3)
    return [*rows, row("growth rates, 128 cells", 10, first, run, ok=1.0)]


def plane(quick: bool) -> list[dict[str, Any]]:
    """Steps of one box; a whole point of a curve; reverse mode over the value."""
    rows = []
    for columns, cells, eps, precision in (
        (64, 64, 1e-2, "float64"),
        (128, 96, 1e-3, "float64"),
        (128, 96, 1e-3, "float32"),
    ):
        model = jm.Electroconvection(
            columns, cells, duration=0.02 if quick else 0.06, precision=precision, samples=4, longest=1e-4
        )
        case = jm.Groups(eps, 0.5).case(WALL, voltage=30.0, box=1.73 if eps == 1e-2 else 2.64)
        first, run, result = warm(lambda model=model, case=case: jm.solve(model, case, throw=False).state, 3)
        steps = int(result.seen.steps.sum())
        rows.append(
            row(
                f"step {columns} x {cells}, {precision}",
                steps,
                first,
                run,
                ok=float(result.alive.mean()),
                error=float(result.seen.unsolved.max()),
            )
        )
    model = jm.Electroconvection(64, 96, duration=0.36, precision="float32", window=0.2)
    case = jm.Groups(1e-3, 0.5).case(WALL, voltage=30.0, box=1.32)
    first, run, result = warm(lambda: jm.solve(model, case, throw=False).state, 1)
    error = abs(float(result.seen.current[-20:].mean()) / 4.42 - 1.0)
    rows.append(
        row(
            "one pair of vortices, 64 x 96, to rest",
            1,
            first,
            run,
            ok=float(result.alive.mean()),
            error=error,
            note="against a second method",
        )
    )
    window = jm.Electroconvection(32, 48, duration=0.02, samples=4, steps=40)

    def last(voltage: jax.Array) -> jax.Array:
        return jm.solve(window, jm.Groups(1e-2, 0.5).case(WALL, voltage=voltage, box=1.73), throw=False).current_series[
            -1
        ]

    v = jnp.asarray(30.0)
    value, gradient = jax.jit(last), jax.jit(jax.grad(last))
    _, run, _ = warm(lambda: value(v))
    first, back, g = warm(lambda: gradient(v))
    error = abs(float((value(v + 1e-2) - value(v - 1e-2)) / 2e-2 / g) - 1.0)
    rows.append(
        row(
            "gradient of 40 steps, 32 x 48",
            40,
            first,
            back,
            ok=1.0,
            error=error,
            note=f"{back / run:.1f} times the value",
        )
    )
    return rows


def rows(quick: bool) -> list[dict[str, Any]]:
    """All of them."""
    return at_rest(quick) + stability() + plane(quick)


def main(argv: list[str] | None = None) -> None:
    """Measure, print, write."""
    measure(__doc__, "electric", rows, argv)


if __name__ == "__main__":
    main()
