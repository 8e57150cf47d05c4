"""Results as aligned terminal tables."""

from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from .chemistry.species import pretty
from .units import LMH, bar


def plain_table(title: str = "", caption: str = "") -> Table:
    """The one look of all tables: a rule under the head, no boxes, fits 80 columns."""
    return Table(
        title=title, title_justify="left", title_style="bold", caption=caption, caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )  # fmt: skip


def rejection_table(result: Any, title: str = "", rows: int = 10, kind: str = "observed") -> Table:
    """Flux, pressure and rejection per species; at most ``rows`` lines, spread over the batch."""
    shape = result.case.batch_shape
    total = int(np.prod(shape, initial=1))
    s = len(result.case.feed.species)
    flux = np.broadcast_to(np.asarray(result.volume_flux), shape).reshape(-1) / LMH
    pressure = np.broadcast_to(np.asarray(result.pressure), shape).reshape(-1) / bar
    rejection = 100.0 * np.asarray(getattr(result, f"{kind}_rejection")).reshape(total, s)
    ok = np.asarray(result.ok).reshape(-1)
    present = np.asarray(result.feed).reshape(total, s).max(0) > 0.0
    shown = np.unique(np.linspace(0, total - 1, min(rows, total)).round().astype(int))
    caption = f"{kind} rejection; {result.model.title()}"
    caption += f"; {len(shown)} of {total} points" if len(shown) < total else ""
    if not bool(np.all(result.activity_in_range)):
        caption += "\nionic strength above 0.5 mol/L: beyond the range of Davies"
    table = plain_table(title, caption=caption)
    table.add_column("Jv\nLMH", justify="right", no_wrap=True)
    table.add_column("ΔP\nbar", justify="right", no_wrap=True)
    for name, here in zip(result.case.feed.species.names, present, strict=True):
        if here:
            table.add_column(f"{pretty(name)}\n%", justify="right", no_wrap=True)
    table.add_column("error\nof R", justify="right", no_wrap=True)
    error = np.asarray(result.error_estimate).reshape(total, s).max(1)
    for i in shown:
        cells = [f"{r:.2f}" if ok[i] else "-" for r, here in zip(rejection[i], present, strict=True) if here]
        table.add_row(f"{flux[i]:.1f}", f"{pressure[i]:.2f}", *cells, f"{error[i]:.0e}" if ok[i] else "failed")
    return table
