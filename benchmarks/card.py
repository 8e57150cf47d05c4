"""``python -m benchmarks [--quick] [--out FILE]``: every physics at fixed sizes on one device, one table to compare devices and releases by.

A line is one warm public call: problem, precision, lanes, compile, run, time per lane, share solved, error reached, ratio to a rival.
Errors: rejections and recoveries absolute, the rest relative; against a finer run or a rival, named in the note.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from jaxmem.units import bar, m3_per_h

from . import campaigns
from .rivals import scipy_bvp, scipy_current, scipy_vessel
from .timing import measure, row, warm

SEED, WALL = 2, jm.IonExchangeMembrane()
Line = dict[str, Any]


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Of one call, and what it gave."""
    begin = time.perf_counter()
    found = call()
    return time.perf_counter() - begin, found


def solved(result: Any) -> float:
    """Share of lanes."""
    return float(np.mean(np.asarray(result.ok)))


def pores(sizes: tuple[int, ...], precision: str, rival: bool = False) -> Iterator[Line]:
    """DSPM-DE on the campaign of ordinary nanofiltration, 2 to 8 ions behind a film."""
    from .bench_dspmde import problems

    model = jm.DSPMDE(activity="ideal", precision=precision)
    few = campaigns.r2(max(sizes), SEED)[:1024]
    exact = jm.solve(jm.DSPMDE(activity="ideal", tolerance=1e-16), few, throw=False)
    for lanes in sizes:
        case = campaigns.r2(max(sizes), SEED)[:lanes]
        first, run, result = warm(lambda case=case: jm.solve(model, case, throw=False), 3)
        n = min(lanes, 1024)
        good = np.asarray(result.ok)[:n] & np.asarray(exact.ok)[:n]
        gap = np.abs(np.asarray(result.observed_rejection)[:n] - np.asarray(exact.observed_rejection)[:n])[good]
        error = float(np.quantile(np.nan_to_num(gap).max(axis=-1), 0.95))
        line = row("DSPM-DE, 2-8 ions, film", lanes, first, run, ok=solved(result), error=error, precision=precision, note="error: 95th percentile")  # fmt: skip
        if rival and lanes == max(sizes):
            times = [seconds(lambda p=p: scipy_bvp.solve(p, tol=1e-10))[0] for p in problems(few[:12])]
            line["rival_us"] = 1e6 * float(np.median(times))
            line["ratio"] = line["rival_us"] / line["us_per_lane"]
        yield line


def pores_gradient(lanes: int) -> Iterator[Line]:
    """Value and gradient of a scalar to every float of the case."""
    from .bench_dspmde import value_and_gradient

    model, case = jm.DSPMDE(activity="ideal"), campaigns.r2(lanes, SEED)
    first, run, out = warm(lambda: value_and_gradient(model, case), 3)
    yield row("DSPM-DE, value and gradient", lanes, first, run, ok=float(np.mean(np.asarray(out[0][1][0]))))


def permeances(lanes: int) -> Iterator[Line]:
    """SDEM of the same feeds."""
    base = campaigns.r2(lanes, SEED)
    membrane = jm.PermeanceMembrane.of({ion: 1e-6 * 2.0**i for i, ion in enumerate(base.feed.species.names)})
    case = jm.Case(base.feed, membrane, base.conditions)
    first, run, result = warm(lambda: jm.solve(jm.SDEM(), case, throw=False), 3)
    yield row("SDEM, 2-8 ions, film", lanes, first, run, ok=solved(result))


def vessels(lanes: int, rival: bool = True) -> Iterator[Line]:
    """Pressure vessels of six elements, and their gradient to the water permeance."""
    random, salt = np.random.default_rng(1), 32.0 / 0.05844
    pressure, flow = random.uniform(45.0, 75.0, lanes) * bar, random.uniform(7.0, 14.0, lanes) * m3_per_h
    feed = jm.Mixture.from_concentration({"Na+": salt, "Cl-": salt})

    def ask(a: Any) -> Any:
        element = jm.SpiralElement(jm.SolutionDiffusionMembrane(a, 2.8e-8), 37.2, 0.965)
        return jm.solve(jm.SpiralWound(), jm.Case(feed, jm.Vessel(element, 6), jm.FeedPressure(pressure, flow)), throw=False)  # fmt: skip

    a = jnp.full(lanes, 2.9e-12)
    first, run, result = warm(lambda: ask(a), 3)
    line = row("RO vessel of six elements", lanes, first, run, ok=solved(result))
    if rival:
        bulk = float(result.feed_concentration[0])
        took, found = seconds(lambda: [scipy_vessel.recovery(2.9e-12, 2.8e-8, 37.2, 6, pressure[i], flow[i], bulk) for i in range(12)])  # fmt: skip
        line["rival_us"] = 1e6 * took / 12
        line["ratio"] = line["rival_us"] / line["us_per_lane"]
        line["error"] = float(np.abs(np.asarray(result.recovery)[:12] - found).max())
    yield line
    gradient = jax.jit(jax.grad(lambda a: jnp.sum(ask(a).recovery)))
    first, run, _ = warm(lambda: gradient(a), 3)
    yield row("RO vessel, gradient to A", lanes, first, run, ok=solved(result))


def layers(lanes: int) -> Iterator[Line]:
    """Finite elements of a layer of solution, one direction, 1000 elements."""
    feed = jm.Mixture.from_concentration({"Na+": 547.6, "Cl-": 547.6})
    case = jm.Case(feed, None, jm.Layer(1e-4, jnp.linspace(1e-6, 2e-5, lanes), 1e-9, jm.fem.Dirichlet(0.0)))
    first, run, result = warm(lambda: jm.solve(jm.ADM(elements=1000), case, throw=False), 3)
    x, v = np.asarray(result.position), np.linspace(1e-6, 2e-5, lanes)
    peclet = v[:, None] * 1e-4 / 1e-9
    exact = 1.0 - np.expm1(peclet * x / 1e-4) / np.expm1(peclet)
    error = float(np.abs(np.asarray(result.concentration) / 547.6 - exact).max())
    yield row(
        "FEM layer, 1000 elements", lanes, first, run, ok=solved(result), error=error, note="against the closed form"
    )


def currents(lanes: int, rival: bool = True) -> Iterator[Line]:
    """Current-voltage curves of 61 voltages at rest, and one point each of many layers."""
    line, volts = jm.NernstPlanckPoisson(), np.arange(61.0)
    eps = 1e-3 * jnp.linspace(0.8, 1.2, lanes)
    case = jm.Groups(eps).case(WALL, sweep=jnp.broadcast_to(volts, (lanes, 61)))
    first, run, result = warm(lambda: jm.solve(line, case, throw=False), 3)
    found = row("current-voltage curve, 61 points", 61 * lanes, first, run, ok=solved(result))
    if rival:
        took, other = seconds(lambda: scipy_current.curve(1e-3, volts))
        ours = np.asarray(jm.solve(line, jm.Groups(1e-3).case(WALL, sweep=volts)).state.current)
        known = np.isfinite(other) & (volts > 1.0)
        found["rival_us"] = 1e6 * took / known.sum()
        found["ratio"] = found["rival_us"] / found["us_per_lane"]
        found["error"] = float(np.abs(ours[known] / other[known] - 1.0).max())
    yield found
    many = 16 * lanes
    points = jm.Groups(1e-3 * jnp.linspace(0.8, 1.2, many)).case(WALL, voltage=jnp.linspace(1.0, 60.0, many))
    first, run, result = warm(lambda: jm.solve(line, points, throw=False), 3)
    yield row("current at one voltage", many, first, run, ok=solved(result))


def vortices(lanes: int, columns: int, cells: int, precision: str) -> Iterator[Line]:
    """Steps of electroconvection in so many boxes; a lane is a step of a box."""
    model = jm.Electroconvection(columns, cells, duration=0.02, longest=1e-4, samples=4, precision=precision)
    volts = jnp.linspace(25.0, 35.0, lanes) if lanes > 1 else 30.0
    case = jm.Groups(1e-3, 0.5).case(WALL, voltage=volts, box=1.32)
    first, run, result = warm(lambda: jm.solve(model, case, throw=False), 2)
    steps = int(np.sum(np.asarray(result.state.seen.steps)))
    longest = int(np.max(np.sum(np.atleast_2d(np.asarray(result.state.seen.steps)), axis=-1)))
    note = f"{1e3 * run / longest:.2f} ms a step of all boxes"
    yield row(f"electroconvection {columns} x {cells}, {lanes} boxes", steps, first, run, ok=solved(result), precision=precision, note=note)  # fmt: skip


def rows(quick: bool) -> Iterator[Line]:
    """All of them; an accelerator gets more lanes too."""
    large = jax.default_backend() != "cpu"
    work = [
        lambda: pores((1, 10_000), "float64", rival=not quick),
        *[lambda: pores((100_000, 1_000_000), "float64")] * large,
        lambda: pores((10_000,), "float32"),
        lambda: pores_gradient(100_000 if large else 10_000),
        lambda: permeances(10_000),
        lambda: vessels(10_000, not quick),
        lambda: layers(10_000),
        lambda: currents(256, not quick),
        *[lambda: currents(4096, False)] * large,
        lambda: vortices(1, 64, 96, "float32"),
        lambda: vortices(1, 64, 96, "float64"),
        *[lambda: vortices(256, 64, 96, "float32")] * large,
        *[lambda: pores((1_000_000,), "float32")] * large,
    ]
    for some in work:
        try:
            for line in some():
                print(f"{line['problem']}: {line['lanes_per_s']:,.0f} lanes/s {line.get('note', '')}", flush=True)
                yield {"precision": "float64", **line}
        except Exception as error:  # a failure is a line
            note = f"{type(error).__name__}: {str(error)[:200]}"
            print(note, flush=True)
            yield {**row("failed", 1, 0.0, 1.0), "ok": 0.0, "note": note}


def main(argv: list[str] | None = None) -> None:
    """Measure, print, write."""
    measure(__doc__, "card", rows, argv)


if __name__ == "__main__":
    main()
