"""Models fitted to one part of measured rejections and judged on the rest: physics, physics that follows the feed, and a network."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import (
    DSPMDE,
    SDEM,
    AbsoluteRejection,
    DonnanShift,
    Free,
    Interval,
    LogInterval,
    MultivalentCharge,
    PermeanceMembrane,
    calibrate,
    fit,
    membrane,
)
from ..data.rejection import Dataset
from ..plot.style import COMMON, STYLES, pyplot
from ..progress import bar
from ..surrogate.splits import held_out
from ..tables import plain_table
from .nf_networks import MEMBERS, PlainNetwork, PublishedODE

SPLITS = {"S1": "2nd and 5th flux", "S2": "top two fluxes", "S3": "one feed"}
NOISE = AbsoluteRejection(0.05, own=False)  # readings of a figure are sharper than the experiment
STARTS = 6
NETWORK, PUBLISHED, MEAN = "network 2 x 64", "attention ODE, as published", "mean of the training points"


class Candidate(NamedTuple):
    """A model with what is free in it. The forms were fixed before any of the scores below was computed."""

    name: str
    model: Any
    membrane: Any
    free: Free


class Row(NamedTuple):
    """One model: how many numbers, error in sample, on each split, and what it said of the points of each split."""

    free: int
    sample: float
    error: dict[str, float]
    spread: dict[str, float]  # over seeds
    said: dict[str, np.ndarray]  # (N, S), NaN where not held out


def candidates(species: tuple[str, ...]) -> list[Candidate]:
    """DSPM-DE and SDEM, each with constant numbers and with a charge, or a potential, that follows the feed."""
    pore = {
        "pore_radius": LogInterval(0.36e-9, 0.9e-9), "thickness_over_porosity": LogInterval(1e-7, 1e-4),
        "charge_density": Interval(-500.0, 500.0), "pore_permittivity": Interval(20.0, 78.0),
    }  # fmt: skip
    bound = membrane("NF270", charge=MultivalentCharge(0.0, 0.0))
    follows = {name: Interval(-1000.0, 1000.0) for name in ("cation", "anion")}
    each, permeance = dict.fromkeys(species, 1e-5), LogInterval(1e-9, 1e-2)
    shift = {name: Interval(-5.0, 5.0) for name in ("cation", "anion")}
    shifted = PermeanceMembrane.of(each, law=DonnanShift(0.0, 0.0))
    return [
        Candidate("DSPM-DE", DSPMDE(), membrane("NF270"), Free(**pore)),
        Candidate("DSPM-DE, charge follows feed", DSPMDE(), bound, Free(**pore, **follows)),
        Candidate("SDEM", SDEM(), PermeanceMembrane.of(each), Free(permeance=permeance)),
        Candidate("SDEM, Donnan shift", SDEM(), shifted, Free(permeance=permeance, **shift)),
    ]


def _rmse(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))


def models_by_split(console: Any, points: Dataset, out: Path) -> dict[str, Row]:
    """A table of root mean square errors in rejection, and a parity plot; of "one feed" the root mean square over the feeds."""
    flux, seen = np.asarray(points.case.conditions.volume_flux), np.asarray(points.rejection)
    folds = {name: held_out(name, points.feed_group, flux) for name in SPLITS}
    models, rows, last = candidates(points.case.feed.species.names), {}, None
    fits = (len(models) + 3) * (1 + sum(map(len, folds.values()))) + len(folds["S1"]) * 6 + len(folds["S3"]) ** 2
    with bar(console, fits) as progress:

        def tried(name: str, free: int, predict: Any) -> Row:
            """``predict(kept) -> (members, N, S)`` from the kept points, on every fold."""
            there, error, spread, said = np.isfinite(seen), {}, {}, {}

            def step(kept: np.ndarray, what: str) -> np.ndarray:
                progress.say(f"{name}: {what}")
                found = predict(kept)
                progress.step()
                return found

            everything = step(np.ones(len(flux), bool), "all points").mean(0)
            for split, tests in folds.items():
                said[split] = np.full(seen.shape, np.nan)
                each = []
                for test in tests:
                    found, on = step(~test, SPLITS[split]), there & test[:, None]
                    said[split][test] = found.mean(0)[test]
                    each.append([_rmse((x - seen)[on]) for x in found])
                by_member = np.sqrt(np.mean(np.square(each), axis=0))
                error[split], spread[split] = float(by_member.mean()), float(by_member.std())
            return Row(free, _rmse((everything - seen)[there]), error, spread, said)

        rows[MEAN] = tried(MEAN, 1, lambda kept: np.full((1, *seen.shape), np.nanmean(seen[kept])))
        for name, made in ((NETWORK, PlainNetwork(points)), (PUBLISHED, PublishedODE(points))):
            rows[name] = tried(name, made.numbers, made)
        for one in models:

            def fitted(kept: np.ndarray, one: Candidate = one) -> np.ndarray:
                nonlocal last
                found = fit(one.model, points.on(one.membrane).only(kept), one.free, noise=NOISE, starts=STARTS)
                last = found if kept.all() else last
                return np.asarray(found.result.real_rejection)[None]

            count = len(one.free.labels(points.on(one.membrane).case))
            rows[one.name] = tried(one.name, count, fitted)
        best = models[-1]

        def refit(part: Dataset) -> Any:
            progress.say(f"{best.name}: intervals")
            found = fit(best.model, part.on(best.membrane), best.free, noise=NOISE, starts=STARTS)
            progress.step()
            return found.case.membrane

        told = [_intervals(best, points, folds, *what, refit) for what in _PROMISES]
    _print_scores(console, rows)
    _print_intervals(console, best.name, told)
    feeds = len(set(points.feed_group))
    console.print(
        f"{feeds} feeds: the unit of replication is the feed, not the point. Networks: {MEMBERS} seeds, from random weights.",
        highlight=False,
    )
    console.print(str(last), highlight=False)
    console.print(f"figure  {draw_parity(rows, seen, out)}", highlight=False)
    return rows


_PROMISES = (("S1", "point", 0.9), ("S3", "feed", 0.75))  # three feeds to learn from cannot promise more for a fourth


def _intervals(one: Candidate, points: Dataset, folds: dict, split: str, by: str, coverage: float, refit: Any) -> tuple:
    """Of the held-out values of a split: which lie inside, and the half widths."""
    inside, half = [], []
    for test in folds[split]:
        kept, asked = points.only(~test), points.only(test)
        trust = calibrate(one.model, kept, refit=refit, by=by, coverage=coverage)
        told, seen = trust.predict(asked.case), np.asarray(asked.rejection)
        there = np.isfinite(seen)
        low, high = np.asarray(told.low)[there], np.asarray(told.high)[there]
        inside.append((low <= seen[there]) & (seen[there] <= high))
        half.append(np.asarray(told.rejection)[there] - low)
    return split, coverage, np.concatenate(inside), np.concatenate(half)


def _print_scores(console: Any, rows: dict[str, Row]) -> None:
    table = plain_table("Fitted to one part, judged on the rest: RMSE in real rejection")
    for heading in ("model", "free", "in sample", *SPLITS.values()):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name, row in rows.items():
        cells = (
            f"{row.error[s]:.3f}" + (f" ± {row.spread[s]:.3f}" if name in (NETWORK, PUBLISHED) else "") for s in SPLITS
        )
        table.add_row(name, f"{row.free:,}", f"{row.sample:.3f}", *cells)
    console.print(table)


def _print_intervals(console: Any, name: str, told: list[tuple]) -> None:
    intervals = plain_table(f"Intervals of {name}, from refits to parts of the training points")
    for heading in ("held out", "promised", "inside", "values", "half width, median"):
        intervals.add_column(heading, justify="left" if heading == "held out" else "right")
    for split, promised, inside, half in told:
        width = f"{np.median(half):.2f}" if np.isfinite(half).all() else "-"
        intervals.add_row(SPLITS[split], f"{promised:.0%}", f"{inside.mean():.0%}", str(inside.size), width)
    console.print(intervals)


def draw_parity(rows: dict[str, Row], seen: np.ndarray, out: Path) -> Path:
    """Predicted against measured rejection of held-out points, a panel for each split; dashed lines are 10 % away."""
    shown = {"DSPM-DE": ("#999999", "s"), NETWORK: ("#d55e00", "^"), "SDEM, Donnan shift": ("#0072b2", "o")}
    plt = pyplot()
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, len(SPLITS), figsize=(13.0, 4.6), layout="constrained", sharey=True)
        low = 100.0 * min(np.nanmin(seen), -0.2) - 10.0
        for axis, (split, title) in zip(axes, SPLITS.items(), strict=True):
            axis.plot([low, 105], [low, 105], color="0.3", lw=1.0)
            for shift in (-10, 10):
                axis.plot([low, 105], [low + shift, 105 + shift], color="0.6", lw=0.8, ls="--")
            for name, (shade, marker) in shown.items():
                said = 100.0 * np.where(np.isfinite(seen), rows[name].said[split], np.nan)
                axis.plot(
                    100.0 * seen.reshape(-1), said.reshape(-1), marker, ms=4.5, color=shade, alpha=0.75, label=name
                )
            axis.set(title=f"Held out: {title}", xlabel="Measured real rejection (%)", xlim=(low, 105), ylim=(low, 105))
        axes[0].set_ylabel("Predicted (%)")
        axes[0].legend(loc="upper left", fontsize=9)
        path = out / "nf_parity.png"
        figure.savefig(path)
        plt.close(figure)
    return path
