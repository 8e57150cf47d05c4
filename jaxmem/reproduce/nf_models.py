"""Models fitted to one part of measured rejections and judged on the rest: physics, physics that follows the feed, and networks."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import calibrate
from ..chemistry.species import pretty
from ..data.rejection import Dataset
from ..plot.style import COMMON, STYLES, pyplot
from ..progress import Bar, bar
from ..surrogate.splits import held_out
from ..tables import plain_table
from .nf_networks import MEMBERS
from .nf_trials import COMBINED, NETWORK, SHIFTED, TREES, TUNED, Physics, Trial, trials

SPLITS = {"S1": "2nd and 5th flux", "S2": "top two fluxes", "S3": "one feed", "S4": "one ion"}


class Row(NamedTuple):
    """One model: how many numbers, error in sample, on each split, and what it said of the points of each split."""

    free: int
    sample: float
    error: dict[str, float]
    spread: dict[str, float]  # over seeds
    said: dict[str, np.ndarray]  # (N, S), NaN where not held out


def _rmse(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))


def folds_of(points: Dataset) -> dict[str, list[np.ndarray]]:
    """Test masks ``(N, S)`` of each split; of ions, those that leave another of their charge to learn from."""
    flux, there = np.asarray(points.case.conditions.volume_flux), np.isfinite(np.asarray(points.rejection))
    ions, shape = points.case.feed.species, there.shape
    charge, measured = np.asarray(ions.charge).reshape(-1, shape[1])[0], np.asarray(there.any(axis=0))
    full = lambda test: np.broadcast_to(test[:, None], shape) if test.ndim == 1 else test
    found = {name: [full(test) for test in held_out(name, points.feed_group, flux, ions.names)] for name in SPLITS}
    shared = [int(np.sum(measured & (charge == z))) > 1 for z in charge]
    found["S4"] = [test for i, test in enumerate(found["S4"]) if measured[i] and shared[i]]
    both = lambda test: (there & test).any() and (there & ~test).any()  # something to ask, and something to learn from
    return {name: [test for test in tests if both(test)] for name, tests in found.items()}


def judged(one: Trial, points: Dataset, folds: dict[str, list[np.ndarray]], progress: Bar) -> Row:
    """A trial on every fold."""
    seen = np.asarray(points.rejection)
    there, error, spread, said = np.isfinite(seen), {}, {}, {}

    def step(kept: np.ndarray, what: str) -> np.ndarray:
        progress.say(f"{one.name}: {what}")
        found = one.predict(kept)
        progress.step()
        return found

    everything = step(np.ones(seen.shape, bool), "all points").mean(0)
    for split, tests in folds.items():
        said[split], each = np.full(seen.shape, np.nan), []
        for test in tests if one.any_ion or split != "S4" else ():
            found, on = step(~test, SPLITS[split]), there & test
            said[split][test] = found.mean(0)[test]
            each.append([_rmse((x - seen)[on]) for x in found])
        by_member = np.sqrt(np.mean(np.square(each), axis=0)) if each else np.array([np.nan])
        error[split], spread[split] = float(by_member.mean()), float(by_member.std())
    return Row(one.free, _rmse((everything - seen)[there]), error, spread, said)


def models_by_split(console: Any, points: Dataset, out: Path) -> dict[str, Row]:
    """Tables of root mean square errors in rejection, and a parity plot; of feeds and of ions the root mean square over the folds."""
    folds = folds_of(points)
    tried, best = trials(points)
    asked = {"each flux in turn": _each_flux(points), "each feed in turn": folds["S3"]}
    fits = (
        len(tried) * (1 + sum(map(len, folds.values()))) + len(asked["each flux in turn"]) * 6 + len(folds["S3"]) ** 2
    )
    with bar(console, fits) as progress:
        rows = {one.name: judged(one, points, folds, progress) for one in tried}

        def refit(part: Dataset) -> Any:
            progress.say(f"{best.one.name}: intervals")
            found = best.fitted(part)
            progress.step()
            return found.case.membrane

        told = [
            _intervals(best, what, asked[what], *promise, refit) for what, promise in _PROMISES.items() if asked[what]
        ]
    _print_scores(console, rows)
    _print_unseen(console, rows, points, folds["S4"])
    _print_intervals(console, best.one.name, told)
    feeds = len(set(points.feed_group))
    console.print(
        f"{feeds} feeds: the unit of replication is the feed, not the point. Networks and trees: {MEMBERS} seeds, networks from random weights."
        + ("" if TREES in rows else " Boosted trees: pip install 'jaxmem[trees]'."),
        highlight=False,
    )
    console.print(str(best.of(np.ones(np.asarray(points.rejection).shape, bool))), highlight=False)
    console.print(f"figure  {draw_parity(rows, np.asarray(points.rejection), out)}", highlight=False)
    return rows


_PROMISES = {
    "each flux in turn": ("point", 0.9),
    "each feed in turn": ("feed", 0.75),  # three feeds to learn from cannot promise more for a fourth
}


def _each_flux(points: Dataset) -> list[np.ndarray]:
    """The lowest flux of each feed, then the second of each, and so on: test masks ``(N, S)``."""
    flux, label = np.asarray(points.case.conditions.volume_flux), np.asarray(points.feed_group)
    there = np.isfinite(np.asarray(points.rejection))
    rank = np.asarray([np.sum((label == g) & (flux < f)) for g, f in zip(label, flux, strict=True)])
    tests = [np.broadcast_to((rank == k)[:, None], there.shape) for k in np.unique(rank)]
    return [test for test in tests if (there & test).any() and (there & ~test).any()]


def _intervals(
    one: Physics, what: str, folds: list[np.ndarray], by: str, coverage: float, refit: Any
) -> tuple[str, float, np.ndarray, np.ndarray]:
    """Of held-out values: which lie inside, and the half widths."""
    inside, half = [], []
    for test in folds:
        kept, asked = one.points.only(~test), one.points.only(test)
        trust = calibrate(one.one.model, kept, refit=refit, by=by, coverage=coverage)
        told, seen = trust.predict(asked.case), np.asarray(asked.rejection)
        there = np.isfinite(seen)
        low, high = np.asarray(told.low)[there], np.asarray(told.high)[there]
        inside.append((low <= seen[there]) & (seen[there] <= high))
        half.append(np.asarray(told.rejection)[there] - low)
    return what, coverage, np.concatenate(inside), np.concatenate(half)


def _print_scores(console: Any, rows: dict[str, Row]) -> None:
    table = plain_table("Fitted to one part, judged on the rest: RMSE in real rejection")
    table.add_column("model", min_width=14)
    for heading in ("free", "in sample", *SPLITS.values()):
        table.add_column(heading.replace(" flux", "\nflux"), justify="right")  # 80 columns hold it
    for name, row in rows.items():
        cells = (
            "-"
            if np.isnan(row.error[s])
            else f"{row.error[s]:.3f}" + f"\n± {row.spread[s]:.3f}" * (row.spread[s] > 0.0)
            for s in SPLITS
        )
        table.add_row(name, f"{row.free:,}", f"{row.sample:.3f}", *cells)
    console.print(table)
    console.print(
        f"{COMBINED}: the mean of {SHIFTED} and {TUNED}, weighted by how well each foretells fluxes that are held back from its training points. "
        "No fold looks at its test; that these two were joined was decided with the scores of each alone in sight.",
        highlight=False,
    )


def _print_unseen(console: Any, rows: dict[str, Row], points: Dataset, folds: list[np.ndarray]) -> None:
    """Of each ion that was held out as a whole: error, and how many rejections have the right sign."""
    seen, names = np.asarray(points.rejection), points.case.feed.species.names
    ions = [int(np.flatnonzero(test.all(0))[0]) for test in folds]
    table = plain_table("An ion that was never measured: RMSE in real rejection, share of right signs")
    table.add_column("model", justify="left")
    for i in ions:
        table.add_column(pretty(names[i]), justify="right")
    for name, row in rows.items():
        cells = []
        for i in ions:
            on = np.isfinite(seen[:, i]) & np.isfinite(row.said["S4"][:, i])
            told, true = row.said["S4"][on, i], seen[on, i]
            right = np.mean(np.sign(told) == np.sign(true)) if on.any() else 0.0
            cells.append(f"{_rmse(told - true):.3f}  {right:4.0%}" if on.any() else "-")
        table.add_row(name, *cells)
    console.print(table)
    console.print(
        "SDEM borrows a permeance that the other ions leave open from one of the same charge; DSPM-DE and the others read what the ion is.",
        highlight=False,
    )


def _print_intervals(console: Any, name: str, told: list[tuple]) -> None:
    intervals = plain_table(f"Intervals of {name}, from refits to parts of the training points")
    for heading in ("held out", "promised", "inside", "values", "half width, median"):
        intervals.add_column(heading, justify="left" if heading == "held out" else "right")
    for what, promised, inside, half in told:
        width = f"{np.median(half):.2f}" if np.isfinite(half).all() else "-"
        intervals.add_row(what, f"{promised:.0%}", f"{inside.mean():.0%}", str(inside.size), width)
    console.print(intervals)


def draw_parity(rows: dict[str, Row], seen: np.ndarray, out: Path) -> Path:
    """Predicted against measured rejection of held-out points, a panel for each split; dashed lines are 10 % away."""
    shown = {"DSPM-DE": ("#999999", "s"), NETWORK: ("#d55e00", "^"), COMBINED: ("#0072b2", "o")}
    plt = pyplot()
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, len(SPLITS), figsize=(16.0, 4.4), layout="constrained", sharey=True)
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
