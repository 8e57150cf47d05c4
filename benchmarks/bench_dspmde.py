"""``python -m benchmarks.bench_dspmde [--quick] [--out FILE]``: DSPM-DE timed warm, next to its error and its failures.

Columns: ``benchmarks/README.md``. Rivals and jaxmem alternate in the same process.
"""

import argparse
import dataclasses
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import jaxmem as jm

from . import campaigns
from .report import RESULTS, environment, table
from .rivals import numpy_newton, scipy_bvp
from .rivals.problem import Problem

BATCHES = (1, 16, 256, 4096, 10_000, 100_000)
CHECKED = 4096  # lanes whose error is measured
TIGHTEST = 1e-16  # never met: the reference puts every lane on the finest grids
SEED, RIVAL_CASES, BLOCK = 2, 40, 5


@dataclasses.dataclass(frozen=True)
class Task:
    """One row to measure. ``sample`` draws the cases; the reference is the same model at the tightest tolerance."""

    problem: str
    sample: Callable[[int], jm.Case]
    model: jm.DSPMDE
    reference: jm.DSPMDE
    batch: int
    gradient: bool = False
    note: str = ""


@dataclasses.dataclass
class Row:
    """One line of the table. None where there is nothing to say; ``note`` holds the error of a row that failed."""

    problem: str
    batch: int
    solver: str = "jaxmem"
    precision: str = "float64"
    gradient: str = "no"
    compile_s: float | None = None
    compile_cpu_s: float | None = None
    run_s: float | None = None
    cpu_s: float | None = None
    us_per_solve: float | None = None
    solves_per_s: float | None = None
    ok: float | None = None
    error_median: float | None = None
    error_p95: float | None = None
    steps_mean: float | None = None
    steps_max: int | None = None
    peak_mb: float | None = None
    ratio: float | None = None
    note: str = ""


# -------------------------------------------------------------------------------------------------- measuring


def stopwatch(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """Wall and CPU seconds of one call, and what it returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    out = jax.block_until_ready(call())
    return time.perf_counter() - wall, time.process_time() - cpu, out


def measure(call: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds to compile (first call less a warm one) and to run (median of warm calls), wall and CPU; the output."""
    first = stopwatch(call)
    guess = stopwatch(call)[0]
    timed = [stopwatch(call) for _ in range(int(np.clip(3.0 / guess, 3, 51)))]
    wall, cpu = (float(np.median([t[i] for t in timed])) for i in (0, 1))
    compiling = {"compile_s": max(first[0] - wall, 0.0), "compile_cpu_s": max(first[1] - cpu, 0.0)}
    return {**compiling, "run_s": wall, "cpu_s": cpu}, first[2]


def peak_mb() -> float:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def present(case: jm.Case) -> np.ndarray:
    """Ions with a concentration above zero, ``(n, S)``."""
    return np.broadcast_to(np.asarray(case.feed.concentration) > 0.0, (*case.batch_shape, len(case.feed.species)))


def lane_error(rejection: np.ndarray, exact: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Largest error of a rejection over the ions of each lane that has an answer on both sides."""
    error = np.where(where, np.abs(rejection - exact), 0.0).max(axis=-1)
    return error[np.isfinite(error)]


@cache
def reference(sample: Callable[[int], jm.Case], model: jm.DSPMDE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rejections of the first lanes (NaN: none), which ions are present, and concentrations."""
    case = sample(CHECKED)
    result = jm.solve(model, case, throw=False)
    exact = np.where(np.asarray(result.ok)[:, None], np.asarray(result.observed_rejection), np.nan)
    return exact, present(case), np.asarray(case.feed.concentration)


@eqx.filter_jit
def value_and_gradient(model: jm.DSPMDE, case: jm.Case) -> Any:
    """Sum of the rejections and its gradient to every float of the case; the result's own numbers ride along."""

    @eqx.filter_value_and_grad(has_aux=True)
    def total(case: jm.Case) -> Any:
        r = jm.solve(model, case, throw=False)
        return jnp.sum(r.observed_rejection), (r.ok, r.observed_rejection, r.steps)

    return total(case)


def forward(model: jm.DSPMDE, case: jm.Case) -> Any:
    """What ``value_and_gradient`` carries along, by a plain ``jm.solve``."""
    result = jm.solve(model, case, throw=False)
    return (None, (result.ok, result.observed_rejection, result.steps)), None


def outcome(task: Task, out: Any) -> dict[str, Any]:
    """Ok fraction, errors, steps, and gradients that are not finite."""
    (_, (ok, rejection, steps)), gradient = out
    exact, where, _ = reference(task.sample, task.reference)
    n = min(len(exact), task.batch)
    answer = np.where(np.asarray(ok)[:n, None], np.asarray(rejection)[:n], np.nan)
    error = lane_error(answer, exact[:n], where[:n])
    broken = sum(int((~np.isfinite(np.asarray(x))).sum()) for x in jax.tree.leaves(eqx.filter(gradient, eqx.is_array)))
    return {
        "ok": float(np.mean(ok)),
        "error_median": float(np.median(error)) if error.size else None,
        "error_p95": float(np.quantile(error, 0.95)) if error.size else None,
        "steps_mean": float(np.mean(steps)),
        "steps_max": int(np.max(steps)),
        "note": f"{broken} gradient entries not finite" if broken else task.note,
    }


def run(task: Task) -> Row:
    """Measure one row. Whatever goes wrong becomes the row."""
    row = Row(task.problem, task.batch, precision=task.model.precision, gradient="yes" if task.gradient else "no")
    try:
        case = task.sample(max(task.batch, CHECKED))[: task.batch]
        call = value_and_gradient if task.gradient else forward
        seconds, out = measure(lambda: call(task.model, case))
        wall = seconds["run_s"]
        each = {"us_per_solve": 1e6 * wall / task.batch, "solves_per_s": task.batch / wall}
        row = dataclasses.replace(row, **seconds, **each, **outcome(task, out), peak_mb=peak_mb())
        if seconds["cpu_s"] < 0.9 * wall and jax.default_backend() == "cpu":
            row.note = f"{row.note} disturbed: {seconds['cpu_s'] / wall:.0%} of a core".strip()
        return row
    except Exception as error:  # a failure is a row
        return dataclasses.replace(
            row, note=f"{type(error).__name__}: {str(error).splitlines()[0][:80]}", peak_mb=peak_mb()
        )


# -------------------------------------------------------------------------------------------------- rows


def sample_r1(n: int) -> jm.Case:
    return campaigns.r1(n, SEED)


def sample_r2(n: int) -> jm.Case:
    return campaigns.r2(max(n, BATCHES[-1]), SEED)[:n]  # one draw: smaller batches are its first lanes


def sample_few(name: str, ions: int) -> Callable[[int], jm.Case]:
    sampler = {"R1": campaigns.r1_few, "R2": campaigns.r2_few}[name]
    return lambda n: sampler(max(n, 10_000), SEED, ions)[:n]  # one draw: smaller batches are its first lanes


def sample_curve(n: int) -> jm.Case:
    """Curves of 32 fluxes, 1e-6 to 4e-5 m/s, over the membranes and feeds of R2; the first points are one curve."""
    curves, flux = -(-n // 32), np.geomspace(1e-6, 4e-5, 32)
    case = campaigns.r2(BATCHES[-1], SEED)[:curves]
    return jax.tree.map(lambda x: jnp.repeat(x, 32, axis=0), case).replace(volume_flux=np.tile(flux, curves))[:n]


def tasks(quick: bool) -> Iterator[Task]:
    """All rows of jaxmem."""
    ideal, davies = jm.DSPMDE(activity="ideal"), jm.DSPMDE(activity="davies")
    exact, exact_davies = (dataclasses.replace(m, tolerance=TIGHTEST) for m in (ideal, davies))
    for batch in (b for b in BATCHES if b <= 4096 or not quick):
        for gradient in (False, True):
            yield Task("R2: 2-8 ions, film, ideal", sample_r2, ideal, exact, batch, gradient)
    yield Task("R2: 2-8 ions, film, davies", sample_r2, davies, exact_davies, CHECKED)
    yield Task("R1: 2-8 ions, film, ideal", sample_r1, ideal, exact, CHECKED)
    yield Task("R1: 2-8 ions, film, davies", sample_r1, davies, exact_davies, CHECKED)
    for name in ("R2", "R1"):
        for ions in (2, 3, 4):
            batch = CHECKED if quick else 10_000
            yield Task(f"{name}: {ions} ions, film, ideal", sample_few(name, ions), ideal, exact, batch)
    single = dataclasses.replace(ideal, precision="float32")
    yield Task("R2: 2-8 ions, film, ideal", sample_r2, single, exact, CHECKED)
    one = dataclasses.replace(ideal, cells=1)
    yield Task("R2, one midpoint cell", sample_r2, one, exact, CHECKED, note="errors are those of the scheme")
    yield Task(
        "R2, curve of 32 points",
        sample_curve,
        ideal,
        exact,
        32,
        note="ratio: a point of one call for 32 / a call for one point",
    )


def with_curve_ratio(rows: list[Row]) -> list[Row]:
    """Cost of a point on the curve over that of a solve at batch 1."""
    alone = next((r.us_per_solve for r in rows if r.batch == 1 and r.gradient == "no"), None)
    found = [r for r in rows if "curve" in r.problem and r.us_per_solve and alone]
    return [dataclasses.replace(r, ratio=r.us_per_solve / alone) if r in found else r for r in rows]


# -------------------------------------------------------------------------------------------------- rivals


def problems(case: jm.Case) -> list[Problem]:
    """The lanes of a case for the rivals, which drop absent ions themselves."""
    full = case.broadcast()
    feed, membrane, k = full.feed, full.membrane, full.conditions.mass_transfer.of(full.feed)
    ratio = feed.species.stokes_radius / membrane.pore_radius[:, None]
    kd, kc = membrane.hindrance(ratio)
    pore, bulk, warm = (x[:, None] for x in (membrane.pore_permittivity, feed.water_permittivity, feed.temperature))
    partition = jnp.exp(membrane.exclusion(ratio, feed.species.charge, feed.species.born_radius, pore, bulk, warm))
    per_ion = (feed.species.charge, feed.diffusivity, kd, kc, partition, feed.concentration)
    scalars = (full.conditions.volume_flux, membrane.thickness_over_porosity, membrane.wall_charge(feed))
    ions, lanes, k = [np.asarray(x) for x in per_ion], [np.asarray(x) for x in scalars], np.asarray(k)
    return [
        Problem(*(x[i] for x in ions), *(float(x[i]) for x in lanes), mass_transfer=k[i], film="nernst_planck")
        for i in range(case.batch_shape[0])
    ]


RIVALS: dict[str, Callable[[Problem], tuple[np.ndarray, bool]]] = {
    "solve_bvp tol 1e-10": lambda p: scipy_bvp.solve(p, tol=1e-10),
    "solve_bvp tol 1e-7": lambda p: scipy_bvp.solve(p, tol=1e-7),  # about as accurate as jaxmem by default
    "numpy newton, 30 cells": lambda p: numpy_newton.solve(p, cells=30),
}


def rival_rows(quick: bool) -> list[Row]:
    """Rivals case by case, jaxmem after every block of cases; ratio = median rival time / jaxmem time per solve."""
    batch, model = (4096 if quick else 10_000), jm.DSPMDE(activity="ideal")
    big, given = sample_r2(batch), problems(sample_r2(RIVAL_CASES))
    exact, where, feed = (x[:RIVAL_CASES] for x in reference(sample_r2, dataclasses.replace(model, tolerance=TIGHTEST)))
    jax.block_until_ready(jm.solve(model, big, throw=False).passage)
    ours: list[float] = []
    times: dict[str, list[float]] = {name: [] for name in RIVALS}
    found: dict[str, list[np.ndarray]] = {name: [] for name in RIVALS}
    for i, problem in enumerate(given):
        for name, solve in RIVALS.items():
            wall, _, (permeate, ok) = stopwatch(lambda p=problem, s=solve: s(p))
            times[name].append(wall)
            found[name].append(permeate if ok else np.full_like(permeate, np.nan))
        if i % BLOCK == BLOCK - 1:
            ours.append(stopwatch(lambda: forward(model, big))[0] / batch)
    rows = []
    for name in RIVALS:
        with np.errstate(all="ignore"):
            error = lane_error(1.0 - np.asarray(found[name]) / feed, exact, where)
        mean, median = (float(f(times[name])) for f in (np.mean, np.median))
        row = Row("R2: 2-8 ions, film, ideal", len(given), solver=name, ok=error.size / len(given), peak_mb=peak_mb())
        row.run_s, row.us_per_solve, row.solves_per_s = float(np.sum(times[name])), 1e6 * median, 1.0 / mean
        row.error_median, row.error_p95 = (float(np.quantile(error, q)) if error.size else None for q in (0.5, 0.95))
        row.ratio, row.note = median / float(np.median(ours)), f"ratio to jaxmem at batch {batch}; us: median"
        rows.append(row)
    return rows


# -------------------------------------------------------------------------------------------------- output


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="batches up to 4096")
    parser.add_argument("--out", type=Path, help="JSON file; benchmarks/results/<device>-<date>.json when left out")
    options = parser.parse_args(arguments)
    about, rows = environment(), []
    for task in tasks(options.quick):
        rows.append(run(task))
        print(f"{len(rows):3d}  " + table([dataclasses.asdict(rows[-1])]).splitlines()[-1], file=sys.stderr, flush=True)
    rows = with_curve_ratio(rows)
    print("     rivals", file=sys.stderr, flush=True)
    rows += rival_rows(options.quick)
    found = [dataclasses.asdict(row) for row in rows]
    print(table(found))
    out = options.out or RESULTS / f"{about['device']}-{about['date']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"environment": about, "rows": found}, indent=1) + "\n")
    print(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
