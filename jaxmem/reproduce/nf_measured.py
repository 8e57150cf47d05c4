"""Measured rejections beside DSPM-DE as it comes."""

from pathlib import Path
from typing import Any

import numpy as np

from .. import DSPMDE, solve
from ..chemistry.species import pretty
from ..data.rejection import Dataset
from ..plot.style import COMMON, STYLES, pyplot
from ..progress import Bar
from ..tables import plain_table
from ..units import LMH


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
