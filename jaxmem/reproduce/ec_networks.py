"""Networks of Kazakovtseva et al. 2026 on our own experiments: vortex diameter and plateau length from similarity criteria, and a design by gradient."""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.optimize import minimize

from .. import Electroconvection, Groups, IonExchangeMembrane, save, solve
from ..plot.style import SPARE, new_axes
from ..progress import Bar
from ..surrogate.baselines import GaussianProcess, PowerLaw
from ..surrogate.ensemble import train_networks
from ..surrogate.splits import Split, scores
from ..surrogate.vortices import Trained, VortexNetworks, train_vortices
from ..tables import plain_table
from .ec_data import RANGES, SHIPPED, curves, generate, shipped

LABELS = {"diameter": "vortex diameter d1 (L)", "height": "vortex height d2 (L)", "plateau": "plateau length (RT/F)", "excess": "excess current"}  # fmt: skip
STEPS = 4 + 1 + 2 + 1  # of the progress bar
_SHIFT = 5.0  # added to Pe, which a power law cannot take at zero
_OUTSIDE = 1.0  # far above any worth
_DESIGN = {"eps": 4e-3, "kappa": 0.5, "box": 1.5}  # of the design


def networks(
    console: Any, progress: Bar, out: Path, experiments: int, physics: Electroconvection, points: int
) -> Trained:
    """Experiments, training, scores on held-out groups, parity, design."""
    if experiments:
        progress.say(f"{experiments} experiments")
        study = generate(out / f"ec_{experiments}.zarr", experiments, told=progress.lanes)
    else:
        study = shipped()
    data = curves(study)
    trained = train_vortices(
        data, steps=2000, members=6, told=lambda target: (progress.say(f"Network for {target}"), progress.step())
    )
    progress.say("Baselines")
    accuracy(console, trained, len(data.criteria), bool(experiments))
    parity(trained, out)
    progress.step()
    progress.say("Networks beyond their training")
    extrapolation(console, trained, progress)
    progress.say("Design by gradient, then by the physics")
    design(console, trained.model, physics, points)
    progress.step()
    return trained


def accuracy(console: Any, trained: Trained, count: int, fresh: bool) -> None:
    """Scores beside those of a power law and of a Gaussian process on the same rows."""
    source = "marched now" if fresh else "that come with the package"
    table = plain_table(
        f"Networks on held-out curves, of {count} {source}",
        caption="MAE: mean absolute error, and over that of a power law and a Gaussian process (GP); error: median; cover: inside the 90 % interval",
    )
    for heading in (
        "target",
        "held\nout",
        "R2",
        "R2\nlaw",
        "R2\nGP",
        "MAE",
        "MAE\n/law",
        "MAE\n/GP",
        "error\n%",
        "cover\n%",
    ):
        table.add_column(heading, justify="left" if heading == "target" else "right", no_wrap=True)
    for target in ("diameter", "height", "plateau", "excess"):
        rows, split, s = trained.rows[target], trained.splits[target], trained.scores[target]
        known, asked = split.train | split.stop | split.calibrate, jnp.asarray(rows.x[split.test])
        process = scores(rows.y[split.test], np.asarray(GaussianProcess.of(rows.x[known], rows.y[known])(asked)[0]))
        law = None
        if target != "excess":  # which is zero below the onset
            positive = _positive(rows.x)
            law = scores(rows.y[split.test], np.asarray(PowerLaw.of(positive[known], rows.y[known])(jnp.asarray(positive[split.test]))))  # fmt: skip
        over = lambda other, s=s: "-" if other is None else f"{s.mae / other.mae:.2f}"
        table.add_row(
            target, str(int(split.test.sum())), f"{s.r2:.3f}", "-" if law is None else f"{law.r2:.3f}", f"{process.r2:.3f}", f"{s.mae:.2g}", over(law),
            over(process), f"{100.0 * s.median_relative:.1f}", f"{100.0 * s.coverage:.0f}",
        )  # fmt: skip
    console.print(table)


def extrapolation(console: Any, trained: Trained, progress: Bar) -> None:
    """Networks trained without the curves of the smallest eps and the fastest flow, asked about them: reported, and no promise."""
    table = plain_table(
        "Beyond the training: curves of the smallest eps and of the fastest flow (a tenth each), never seen",
        caption="flagged: said to lie outside by the network itself; MAE inside: on curves held out of the rest",
    )
    for heading in ("target", "asked", "R2", "MAE", "MAE\ninside", "cover\n%", "flagged\n%", "MAE\nlaw", "MAE\nGP"):
        table.add_column(heading, justify="left" if heading == "target" else "right", no_wrap=True)
    for target in ("diameter", "plateau"):
        rows = trained.rows[target]
        small, fast = np.quantile(rows.x[:, 0], 0.1), np.quantile(rows.x[:, 2], 0.9)
        beyond = (rows.x[:, 0] < small) | (rows.x[:, 2] > fast)
        split = Split(*(part & ~beyond for part in trained.splits[target]))
        net = train_networks(rows.x, rows.y, rows.group, split, steps=2000, members=4)
        known, positive = split.train | split.stop | split.calibrate, _positive(rows.x)
        ask = lambda where, net=net, rows=rows: net(jnp.asarray(rows.x[where]))
        p, inside = ask(beyond), ask(split.test)
        s = scores(rows.y[beyond], np.asarray(p.value), np.asarray(p.interval))
        law = PowerLaw.of(positive[known], rows.y[known])(jnp.asarray(positive[beyond]))
        process = GaussianProcess.of(rows.x[known], rows.y[known])(jnp.asarray(rows.x[beyond]))[0]
        errors = [
            f"{np.abs(np.asarray(value) - rows.y[where]).mean():.2g}"
            for value, where in ((inside.value, split.test), (law, beyond), (process, beyond))
        ]
        table.add_row(
            target, str(int(beyond.sum())), f"{s.r2:.3f}", f"{s.mae:.2g}", errors[0], f"{100.0 * s.coverage:.0f}",
            f"{100.0 * float(jnp.mean(p.outside)):.0f}", *errors[1:],
        )  # fmt: skip
        progress.step()
    console.print(table)


def _positive(x: np.ndarray) -> np.ndarray:
    """Inputs of the networks as positive numbers."""
    out = np.array(x)
    out[:, [0, 1, 3]] = np.exp(x[:, [0, 1, 3]])
    out[:, 2] += _SHIFT
    return out


def parity(trained: Trained, out: Path) -> None:
    """Predicted against marched, with intervals."""
    for target in ("diameter", "plateau"):
        rows, test = trained.rows[target], trained.splits[target].test
        p = getattr(trained.model, target)(jnp.asarray(rows.x[test]))
        y, value = rows.y[test], np.asarray(p.value)
        axes = new_axes()
        ends = [min(y.min(), value.min()), max(y.max(), value.max())]
        axes.plot(ends, ends, color="0.5", lw=0.9)
        axes.errorbar(y, value, np.asarray(p.interval), fmt="o", ms=3, lw=0.6, color=SPARE[0], ecolor="0.75")
        axes.set(xlabel=f"{LABELS[target]}, marched", ylabel=f"{LABELS[target]}, network", title="held-out curves")
        axes.text(0.05, 0.92, f"R² = {trained.scores[target].r2:.3f}", transform=axes.transAxes)
        axes.figure.savefig(out / f"ec_network_{target}.png")


def worth(model: VortexNetworks, voltage: Array, peclet: Array) -> tuple[Array, Array, Array]:
    """Current that vortices add, per electric power, ``(i - i_rest)/(i V)``; the current; whether the answer lies beyond the training."""
    groups = Groups(_DESIGN["eps"], _DESIGN["kappa"], peclet=peclet)
    result = solve(model, groups.case(IonExchangeMembrane(), voltage=voltage, box=_DESIGN["box"]), throw=False)
    i = result.scaled_current.value
    return (i - result.state.at_rest) / (i * voltage), i, result.outside


def design(console: Any, model: VortexNetworks, physics: Electroconvection, points: int) -> None:
    """Which voltage and which flow give the most overlimiting current per power; four starts, the best marched again, over ``points`` voltages."""
    bounds = ((17.0, 35.0), RANGES["peclet"])

    def cost(u: Array) -> Array:
        value, _, outside = worth(model, u[0], u[1])
        return jnp.where(outside, _OUTSIDE, 0.0) - value  # no optimum where the networks were not trained

    loss = jax.jit(jax.value_and_grad(cost))
    ask = lambda u: tuple(np.asarray(x) for x in loss(jnp.asarray(u)))
    found = [
        minimize(ask, start, jac=True, method="L-BFGS-B", bounds=bounds)
        for start in itertools.product((20.0, 30.0), (5.0, 25.0))
    ]
    best = min(found, key=lambda f: f.fun).x
    value, i, outside = worth(model, *jnp.asarray(best))
    groups, voltage = Groups(_DESIGN["eps"], _DESIGN["kappa"], peclet=best[1]), float(best[0])
    sweep = voltage + np.linspace(10.0, 0.0, points)
    again = solve(physics, groups.case(IonExchangeMembrane(), sweep=sweep, box=_DESIGN["box"]), throw=False)
    rest = solve(model.rest, groups.case(IonExchangeMembrane(), voltage=voltage)).scaled_current
    j = float(again.scaled_current.value[-1])
    marched = (j - float(rest)) / (j * voltage)
    flag = ", beyond the training" if bool(outside) else ""
    console.print(
        f"Design (eps {_DESIGN['eps']:g}, kappa {_DESIGN['kappa']:g}, box {_DESIGN['box']:g}): most overlimiting current per power at V = {voltage:.1f} "
        f"RT/F, Pe = {float(best[1]):.1f}. Networks: current {float(i):.3f}, added per power {float(value):.5f}{flag}; "
        f"marched there: {j:.3f} and {marched:.5f}.\n",
        highlight=False,
    )


def main() -> None:
    """Train the networks that come with the package, and write their file."""
    trained = train_vortices(curves(shipped()), members=5, told=print)
    for target, found in trained.scores.items():
        print(target, found)
    notes = {
        "experiments": "512, jaxmem/data/electroconvection.npz",
        "made by": "jaxmem.reproduce.ec_networks.main()",
        "seed": 0,
    }
    notes["held out"] = {
        target: {"R2": s.r2, "MAE": s.mae, "coverage": s.coverage} for target, s in trained.scores.items()
    }
    save(trained.model, SHIPPED.with_name("vortices.jaxmem"), notes)
