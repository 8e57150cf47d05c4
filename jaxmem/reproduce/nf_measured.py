"""Measured rejections: beside DSPM-DE as it comes, and models fitted to one part of them and judged on the rest."""

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
    fit,
    membrane,
    solve,
)
from ..chemistry.species import pretty
from ..data.rejection import Dataset
from ..plot.style import COMMON, STYLES, pyplot
from ..progress import Bar, bar
from ..surrogate.splits import held_out
from ..tables import plain_table
from ..units import LMH

SPLITS = {"S1": "2nd and 5th flux", "S2": "top two fluxes", "S3": "one feed"}
NOISE = AbsoluteRejection(0.05, own=False)  # readings of a figure are sharper than the experiment
STARTS = 6


class Candidate(NamedTuple):
    """A model with what is free in it. The forms were fixed before any of the scores below was computed."""

    name: str
    model: Any
    membrane: Any
    free: Free


def candidates(species: tuple[str, ...]) -> list[Candidate]:
    """DSPM-DE and SDEM, each with constant numbers and with a charge, or a potential, that follows the feed."""
    pore = {
        "pore_radius": LogInterval(0.36e-9, 0.9e-9), "thickness_over_porosity": LogInterval(1e-7, 1e-4),
        "charge_density": Interval(-500.0, 500.0), "pore_permittivity": Interval(20.0, 78.0),
    }  # fmt: skip
    nf270 = membrane("NF270")
    bound = membrane("NF270", charge=MultivalentCharge(0.0, 0.0))
    extra = {name: Interval(-1000.0, 1000.0) for name in ("cation", "anion")}
    each = {name: 1e-5 for name in species}
    permeance = LogInterval(1e-9, 1e-2)
    shift = {name: Interval(-5.0, 5.0) for name in ("cation", "anion")}
    return [
        Candidate("DSPM-DE", DSPMDE(), nf270, Free(**pore)),
        Candidate("DSPM-DE, charge follows feed", DSPMDE(), bound, Free(**pore, **extra)),
        Candidate("SDEM", SDEM(), PermeanceMembrane.of(each), Free(permeance=permeance)),
        Candidate(
            "SDEM, Donnan shift", SDEM(), PermeanceMembrane.of(each, law=DonnanShift(0.0, 0.0)), Free(permeance=permeance, **shift)
        ),
    ]  # fmt: skip


def _rmse(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))


def models_by_split(console: Any, points: Dataset) -> dict[str, dict[str, float]]:
    """Root mean square error in rejection of every candidate on each split; of "one feed" the root mean square over the feeds."""
    flux, seen = np.asarray(points.case.conditions.volume_flux), np.asarray(points.rejection)
    folds = {name: held_out(name, points.feed_group, flux) for name in SPLITS}
    there, scores, last = np.isfinite(seen), {}, None
    models = candidates(points.case.feed.species.names)
    with bar(console, len(models) * (1 + sum(map(len, folds.values())))) as progress:
        progress.say("Mean of the training points")
        scores["mean of the training points"] = {"free": 1} | {
            name: _rmse(np.array([_rmse(seen[t][there[t]] - seen[~t][there[~t]].mean()) for t in tests]))
            for name, tests in folds.items()
        }
        for one in models:
            progress.say(f"{one.name}: all points")
            data = points.on(one.membrane)
            last = fit(one.model, data, one.free, noise=NOISE, starts=STARTS)
            row = {"free": len(last.u), "all": _fit_error(last, seen, there)}
            progress.step(not bool(np.all(last.result.ok)))
            for name, tests in folds.items():
                found = []
                for test in tests:
                    progress.say(f"{one.name}: {SPLITS[name]}")
                    f = fit(one.model, data.only(~test), one.free, noise=NOISE, starts=STARTS)
                    found.append(_fit_error(f, seen, there & test[:, None]))
                    progress.step()
                row[name] = _rmse(np.array(found))
            scores[one.name] = row
    table = plain_table("Fitted to one part, judged on the rest: RMSE in real rejection")
    for heading in ("model", "free", "in sample", *SPLITS.values()):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name, row in scores.items():
        table.add_row(name, str(row["free"]), *(f"{row[k]:.3f}" if k in row else "-" for k in ("all", *SPLITS)))
    console.print(table)
    console.print(
        f"{len(set(points.feed_group))} feeds: the unit of replication is the feed, not the point.", highlight=False
    )
    console.print(str(last), highlight=False)
    return scores


def _fit_error(found: Any, seen: np.ndarray, rows: np.ndarray) -> float:
    return _rmse((np.asarray(found.result.real_rejection) - seen)[rows])


def measured(console: Any, progress: Bar, out: Path, points: Dataset) -> None:
    """Measured points beside DSPM-DE with the suggested parameters: a table and a figure."""
    console.print(str(points), highlight=False)
    result = solve(DSPMDE(), points.case, throw=False)
    progress.add(result)
    names = points.case.feed.species.names
    ours, seen = np.asarray(result.real_rejection), np.asarray(points.rejection)
    table = plain_table("Measured against DSPM-DE with suggested parameters (no fit), real rejection")
    for name in ("feed", "species", "points", "measured %", "jaxmem %", "RMSE %"):
        table.add_column(name, justify="left" if name in ("feed", "species") else "right")
    groups = list(dict.fromkeys(points.feed_group))
    for group in groups:
        rows = np.array([g == group for g in points.feed_group])
        for i, name in enumerate(names):
            have = rows & np.isfinite(seen[:, i])
            if have.any():
                rmse = 100 * np.sqrt(np.mean((ours[have, i] - seen[have, i]) ** 2))
                spans = [f"{100 * x[have, i].min():.0f} to {100 * x[have, i].max():.0f}" for x in (seen, ours)]
                table.add_row(group, pretty(name), str(int(have.sum())), *spans, f"{rmse:.1f}")
    console.print(table)
    console.print(
        "Large differences are expected: one constant charge does not describe four salts; fit before use.",
        highlight=False,
    )
    console.print(f"figure  {draw_measured(result, points, groups, out)}", highlight=False)


def draw_measured(result: Any, points: Any, groups: list[str], out: Path) -> Path:
    """Measured symbols on the computed curves, one panel per feed."""
    from ..plot.style import colour

    plt = pyplot()
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(
            lines, columns, figsize=(5.6 * columns, 3.7 * lines), layout="constrained", squeeze=False
        )
        flux, seen, ours = (
            np.asarray(result.volume_flux) / LMH,
            100 * np.asarray(points.rejection),
            100 * np.asarray(result.real_rejection),
        )
        for axis, group in zip(axes.flat, groups, strict=False):
            rows = np.array([g == group for g in points.feed_group])
            order = np.flatnonzero(rows)[np.argsort(flux[rows])]
            for i, name in enumerate(points.case.feed.species.names):
                have = np.isfinite(seen[order, i])
                if have.any():
                    dashes = (3 * i, (5, 1.5 * i)) if i else "-"  # curves of several ions lie on one another
                    axis.plot(flux[order], ours[order, i], color=colour(name, i), lw=1.6, ls=dashes)
                    axis.plot(
                        flux[order][have], seen[order, i][have], "o", ms=5, color=colour(name, i), label=pretty(name)
                    )
            axis.set(title=group, xlabel="Volume flux $J_v$ (L m$^{-2}$ h$^{-1}$)", ylabel="Real rejection (%)")
            axis.legend(fontsize=9, title="points measured, lines DSPM-DE", title_fontsize=9)
        path = out / "nf_measured.png"
        figure.savefig(path)
        plt.close(figure)
    return path
