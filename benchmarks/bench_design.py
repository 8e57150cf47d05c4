"""Designs by exact gradients against derivative-free searches from the same start: ``python -m benchmarks.bench_design [--out FILE]``.

Counted is what a search asks of the model, a solve (or a solve with gradients), until it is feasible and within 1e-4 of the best
objective, relative to what the objective changes across the bounds. The augmented Lagrangian (optimistix' BFGS, all starts in one program) counts
batches of eight starts, and its ratio is to the batches that SLSQP in lockstep asks for.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.optimize as so
from rich.console import Console

import jaxmem as jm
from jaxmem.design.augmented import augmented
from jaxmem.design.lockstep import Look, kkt, minimise
from jaxmem.design.optimise import ENOUGH, Optimum, Problem, starts_of
from jaxmem.tables import plain_table
from jaxmem.units import bar, m3_per_h

from .report import RESULTS, environment

NEAR, MOST = 1e-4, 3000
LAGRANGIAN = ("seawater vessel", "NF270 vessel")  # of the others its program compiles for minutes


def lithium() -> tuple[Any, ...]:
    """A nanofiltration membrane that keeps magnesium and lets lithium pass."""
    feed = jm.Mixture.from_concentration({"Li+": 40.0, "Mg+2": 60.0, "Cl-": 160.0})
    case = jm.Case(feed, jm.membrane("NF270"), jm.PressureDriven(10e5, jm.film("D^(2/3)", 4e-5)))
    free = jm.Free(charge_density=jm.Interval(-200.0, 300.0), pore_radius=jm.LogInterval(0.4e-9, 0.9e-9))
    least = jm.at_least(lambda r: r.volume_flux * 3.6e6, 40.0, "flux, LMH")
    most = jm.at_most(lambda r: r.observed_rejection[..., 0], 0.3, "lithium rejection")
    return jm.DSPMDE(), case, free, lambda r: jnp.log(r.passage[..., 1] / r.passage[..., 0]), [least, most]


def seawater() -> tuple[Any, ...]:
    """A reverse-osmosis vessel that gives 3.5 m3/h for the least energy."""
    salt = 32.0 / 0.05844
    feed = jm.Mixture.from_concentration({"Na+": salt, "Cl-": salt})
    vessel = jm.Vessel(jm.element("SW30HRLE-400"), 6)
    case = jm.Case(feed, vessel, jm.Recovery(0.45, 9.0 * m3_per_h, pump=jm.Pump(0.88, 0.95)))
    flow = jm.LogInterval(3.0 * m3_per_h, 16.0 * m3_per_h)
    free = jm.Free(recovery=jm.Interval(0.2, 0.6), flow=flow, spacer_height=jm.LogInterval(0.5e-3, 1.2e-3))
    given = jm.at_least(lambda r: r.permeate_flow * 3600.0, 3.5, "permeate flow, m3/h")
    salty = jm.at_most(lambda r: r.permeate_concentration, 0.2, "permeate salt, kg/m3")
    return jm.SpiralWound(), case, free, lambda r: r.specific_energy / 3.6e6, [given, salty]


def profile() -> tuple[Any, ...]:
    """The same membrane with a charge of its own in each of six slices of its pore, at a given flux."""
    feed = jm.Mixture.from_concentration({"Li+": 40.0, "Mg+2": 60.0, "Cl-": 160.0})
    pore = jm.PoreMembrane(0.5e-9, 1.2e-6, 20.0, 45.0)
    membrane = jm.LayeredMembrane.graded(pore, charge_density=jnp.full(6, 20.0))
    case = jm.Case(feed, membrane, jm.FluxDriven(1.1e-5, jm.film("D^(2/3)", 4e-5)))
    free = jm.Free({f"membrane.layers.{i}.charge_density": jm.Interval(-200.0, 300.0) for i in range(6)})
    most = jm.at_most(lambda r: r.observed_rejection[..., 0], 0.3, "lithium rejection")
    return jm.DSPMDE(), case, free, lambda r: jnp.log(r.passage[..., 1] / r.passage[..., 0]), [most]


def operating_point() -> tuple[Any, ...]:
    """An ion-exchange membrane beyond its limiting current, by networks: voltage and cross-flow for the least energy."""
    case = jm.Groups(4e-3, 0.5, peclet=10.0).case(jm.IonExchangeMembrane(), voltage=26.0, box=1.5)
    unit, speed = float(case.conditions.voltage) / 26.0, float(case.conditions.velocity) / 10.0
    free = jm.Free(
        {
            "conditions.voltage": jm.Interval(18 * unit, 34 * unit),
            "conditions.velocity": jm.LogInterval(1.0 * speed, 30 * speed),
        }
    )
    least = jm.at_least(lambda r: r.scaled_current.value, 3.4, "current, F D c0/L")
    return jm.vortex_networks(), case, free, lambda r: r.case.conditions.voltage * 96485.33 / 3.6e6, [least]


def softening() -> tuple[Any, ...]:
    """A nanofiltration vessel of NF270, ion by ion: pressure and flow for the least energy."""
    feed = jm.Mixture.from_concentration({"Na+": 30.0, "Mg+2": 10.0, "Cl-": 50.0})
    vessel = jm.Vessel(jm.SpiralElement(jm.membrane("NF270-SDEM"), area=37.0, length=0.96), 4)
    case = jm.Case(feed, vessel, jm.FeedPressure(6 * bar, 12 * m3_per_h, pump=jm.Pump(0.8)))
    free = jm.Free(pressure=jm.Interval(2 * bar, 20 * bar), flow=jm.LogInterval(6 * m3_per_h, 16 * m3_per_h))
    least = jm.at_least(lambda r: r.permeate_flow * 3600.0, 4.0, "permeate flow, m3/h")
    soft = jm.at_least(lambda r: r.observed_rejection[..., 1], 0.45, "magnesium rejection")
    return jm.SpiralWoundIons(jm.SDEM()), case, free, lambda r: r.specific_energy / 3.6e6, [least, soft]


class Reached(Exception):
    """The search is there."""


def without_gradients(problem: Problem, x: np.ndarray, goal: float, search: Callable) -> int | None:
    """Solves that ``search`` takes to the goal; None when it stops before."""
    seen: dict[bytes, np.ndarray] = {}  # objective and constraints of a point are one solve

    def ask(x: np.ndarray) -> np.ndarray:
        x = np.clip(x, 0.0, 1.0)
        if x.tobytes() not in seen:
            value = problem.scaled(x[None]).value[0]
            seen[x.tobytes()] = np.where(np.isfinite(value), value, np.r_[1e3, -np.ones(len(value) - 1)])
        value = seen[x.tobytes()]
        if value[1:].min() > -ENOUGH and value[0] < goal + NEAR:
            raise Reached
        if len(seen) >= MOST:
            raise StopIteration
        return value

    try:
        search(ask, x)
    except Reached:
        return len(seen)
    except StopIteration:
        pass
    return None


def cobyla(ask: Callable, x: np.ndarray) -> None:
    """Powell's linear models."""
    within = [{"type": "ineq", "fun": lambda x: ask(x)[1:]}, {"type": "ineq", "fun": lambda x: np.r_[x, 1.0 - x]}]
    options = {"rhobeg": 0.2, "maxiter": MOST, "tol": 1e-8}
    so.minimize(lambda x: ask(x)[0], x, method="COBYLA", constraints=within, options=options)


def evolution(ask: Callable, x: np.ndarray) -> None:
    """Differential evolution with a penalty."""

    def penalised(x: np.ndarray) -> float:
        value = ask(x)
        return float(value[0] + 10.0 * np.maximum(-value[1:], 0.0).sum())

    so.differential_evolution(penalised, [(0.0, 1.0)] * len(x), x0=x, seed=0, tol=0.0, polish=False)


def with_gradients(problem: Problem, x: np.ndarray, goal: float) -> int | None:
    """The same for ``jm.optimise`` from one start."""
    count, there = 0, None

    def looked(x: np.ndarray) -> Any:
        nonlocal count, there
        look = problem.scaled(x)
        count += 1
        if there is None and look.value[0, 1:].min() > -ENOUGH and look.value[0, 0] < goal + NEAR:
            there = count
        return look

    minimise(looked, x[None], problem.equality, 100, ENOUGH)
    return there


def lagrangian(name: str, problem: Problem, case: jm.Case, free: jm.Free) -> dict[str, Any]:
    """Eight starts by each of the two ways to constrain them: batches of solves with gradients, and seconds (of the augmented Lagrangian with its compilation)."""
    x, before = starts_of(case, free, 8, 0), problem.calls
    minimise(problem.scaled, x, problem.equality, 100, ENOUGH)
    between, begin = problem.calls, time.perf_counter()
    minimise(problem.scaled, x, problem.equality, 100, ENOUGH)
    ours, batches = time.perf_counter() - begin, between - before
    begin = time.perf_counter()
    share, taken = augmented(problem, x)
    seconds, look = time.perf_counter() - begin, problem.scaled(share)
    left = np.asarray([kkt(a, Look(v, s), problem.equality).residual for a, v, s in zip(share, *look, strict=True)])
    return {
        "problem": name, "search": "augmented Lagrangian", "asked": taken, "ratio": taken / batches, "kkt": float(left.min()),
        "seconds": seconds, "seconds_ours": ours, "batches_ours": batches, "optimal": int((left < ENOUGH).sum()),
    }  # fmt: skip


def compare(name: str, design: Callable) -> list[dict[str, Any]]:
    """One problem: all searches from the case as it is."""
    begin = time.perf_counter()
    best: Optimum = jm.optimise(*design())
    whole = time.perf_counter() - begin
    model, case, free, objective, constraints = design()
    problem = Problem(model, case, free, objective, constraints)
    x = np.asarray(free.shares(case))
    problem.set_scale(problem.raw(x[None]))
    goal = float(problem.scaled(best.share[None]).value[0, 0])
    ours = with_gradients(problem, x, goal)
    rows = [
        {
            "problem": name,
            "search": "jm.optimise",
            "asked": ours,
            "ratio": 1.0,
            "kkt": best.kkt,
            "agree": best.agreeing,
            "seconds": whole,
        }
    ]
    if name in LAGRANGIAN:
        rows.append(lagrangian(name, problem, case, free))
    for label, search in (("COBYLA", cobyla), ("differential evolution", evolution)):
        asked = without_gradients(problem, x, goal, search)
        rows.append(
            {"problem": name, "search": label, "asked": asked, "ratio": asked / ours if asked and ours else None}
        )
    return rows


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "design" / f"cpu-{time.strftime('%Y-%m-%d')}.json")
    given = parser.parse_args()
    rows = [
        row
        for name, design in (
            ("Li/Mg membrane", lithium),
            ("Li/Mg charge profile", profile),
            ("seawater vessel", seawater),
            ("electromembrane", operating_point),
            ("NF270 vessel", softening),
        )
        for row in compare(name, design)
    ]
    show = lambda x, form: "-" if x is None else format(x, form)
    cells = [
        [
            r["problem"],
            r["search"],
            show(r["asked"], "d"),
            show(r["ratio"], ".1f"),
            show(r.get("kkt"), ".1e"),
            show(r.get("seconds"), ".1f"),
        ]
        for r in rows
    ]
    heads = ["problem", "search", "solves asked for", "ratio", "KKT residual", "s, 8 starts, compiled"]
    shown = plain_table()
    for i, head in enumerate(heads):
        shown.add_column(head, justify="left" if i < 2 else "right")
    for row in cells:
        shown.add_row(*row)
    Console().print(shown)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(
        json.dumps({"environment": environment(), "near": NEAR, "most": MOST, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
