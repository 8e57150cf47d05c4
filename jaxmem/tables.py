"""Results as aligned terminal tables."""

from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from .chemistry.species import pretty
from .conditions import FluxDriven
from .models.element.ions_result import IonElementResult
from .models.nernst_planck_poisson.result import CurrentResult
from .units import LMH, bar, m3_per_h


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
    present = np.nanmax(np.asarray(result.feed).reshape(total, s), 0) > 0.0
    shown = np.unique(np.linspace(0, total - 1, min(rows, total)).round().astype(int))
    caption = f"{kind} rejection; {result.title()}"
    caption += f"; {len(shown)} of {total} points" if len(shown) < total else ""
    for text, count in result.warnings().items():
        caption += f"\n{count} {text}"
    table = plain_table(title, caption=caption)
    table.add_column("Jv\nLMH", justify="right", no_wrap=True)
    table.add_column("ΔP\nbar", justify="right", no_wrap=True)
    for name, here in zip(result.case.feed.species.names, present, strict=True):
        if here:
            table.add_column(f"{pretty(name)}\n%", justify="right", no_wrap=True)
    table.add_column("error\nof R", justify="right", no_wrap=True)
    error = np.asarray(result.error_estimate).reshape(total, s).max(1)
    imposed = isinstance(result.case.conditions, FluxDriven)
    for i in shown:
        cells = [
            f"{r:.2f}".replace("-0.00", "0.00") if ok[i] else "-"
            for r, here in zip(rejection[i], present, strict=True)
            if here
        ]
        given = [f"{flux[i]:.1f}" if ok[i] or imposed else "-", f"{pressure[i]:.2f}" if ok[i] or not imposed else "-"]
        table.add_row(*given, *cells, (f"{error[i]:.0e}" if np.isfinite(error[i]) else "?") if ok[i] else "failed")
    return table


_ELEMENT = (  # column, heading, unit, digits
    ("feed_flow", "feed\nm3/h", m3_per_h, 2),
    ("feed_concentration", "feed\ng/L", 1.0, 2),
    ("feed_pressure", "P\nbar", bar, 2),
    ("pressure_drop", "drop\nbar", bar, 3),
    ("net_driving_pressure", "NDP\nbar", bar, 1),
    ("flux", "flux\nLMH", LMH, 2),
    ("recovery", "rec.\n%", 1e-2, 2),
    ("polarisation_modulus", "c_m/c_b\ninlet", 1.0, 3),
    ("permeate_concentration", "perm.\nmg/L", 1e-3, 0),
    ("concentrate_flow", "conc.\nm3/h", m3_per_h, 2),
    ("concentrate_concentration", "conc.\ng/L", 1.0, 2),
)


def element_table(result: Any, title: str = "", lane: tuple[int, ...] = ()) -> Table:
    """One row for every element of a vessel."""
    table = plain_table(title, caption=result.model.title())
    table.add_column("", justify="right")
    for _, heading, *_ in _ELEMENT:
        table.add_column(heading, justify="right", no_wrap=True)
    columns = [np.asarray(result.elements[name])[lane] / unit for name, _, unit, _ in _ELEMENT]
    for i in range(columns[0].shape[0]):
        solved = bool(np.asarray(result.ok)[lane])
        numbers = zip(columns, _ELEMENT, strict=True)
        cells = (f"{column[i]:.{digits}f}" if solved else "-" for column, (*_, digits) in numbers)
        table.add_row(str(i + 1), *cells)
    return table


def vessel_table(result: Any, title: str = "", rows: int = 10) -> Table:
    """One row for every lane; at most ``rows``, spread over the batch."""
    table = plain_table(title, caption=result.model.title())
    shown = (
        ("P_f\nbar", result.feed_pressure / bar, 2),
        ("feed\nm3/h", result.feed_flow / m3_per_h, 3),
        ("recovery\n%", result.recovery * 100.0, 2),
        ("flux\nLMH", result.mean_flux / LMH, 2),
        ("permeate\nmg/L", result.permeate_concentration * 1e3, 1),
        ("conc.\ng/L", result.concentrate_concentration, 2),
        ("drop\nbar", result.pressure_drop / bar, 3),
        ("energy\nkWh/m3", result.specific_energy / 3.6e6, 3),
    )
    for heading, *_ in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    ok = np.asarray(result.ok).reshape(-1)
    for i in np.unique(np.linspace(0, ok.size - 1, min(rows, ok.size)).round().astype(int)):
        cells = (f"{np.asarray(value).reshape(-1)[i]:.{digits}f}" if ok[i] else "failed" for _, value, digits in shown)
        table.add_row(*cells)
    return table


def ion_table(result: Any, title: str = "", rows: int = 10) -> Table:
    """Flow, flux, pressure and rejection of each ion: a row for every element of one vessel, or for every one of many vessels."""
    table = plain_table(title, caption=result.model.title())
    batch, species = bool(result.case.batch_shape), result.case.feed.species.names
    e = result.elements
    parts = (
        ("feed\nm3/h", (result.feed_flow if batch else e["feed_flow"]) / m3_per_h, 2),
        ("P\nbar", (result.feed_pressure if batch else e["feed_pressure"]) / bar, 2),
        ("flux\nLMH", (result.mean_flux if batch else e["flux"]) / LMH, 1),
        ("rec.\n%", (result.recovery if batch else e["recovery"]) * 100.0, 1),
    )
    flat = [np.asarray(value).reshape(-1) for _, value, _ in parts]
    rejection = 100.0 * np.asarray(result.observed_rejection if batch else e["rejection"]).reshape(-1, len(species))
    if not batch:
        table.add_column("", justify="right")
    for heading in (*(h for h, *_ in parts), *(f"{pretty(n)}\n%" for n in species)):
        table.add_column(heading, justify="right", no_wrap=True)
    ok = np.broadcast_to(np.asarray(result.ok).reshape(-1), flat[0].shape)
    for i in np.unique(np.linspace(0, ok.size - 1, min(rows, ok.size)).round().astype(int)):
        cells = [f"{x[i]:.{digits}f}" for x, (*_, digits) in zip(flat, parts, strict=True)]
        cells += [f"{r:.2f}" for r in rejection[i]]
        table.add_row(*([] if batch else [str(i + 1)]), *(cells if ok[i] else ["failed"] * len(cells)))
    return table


def current_table(result: Any, title: str = "", rows: int = 10) -> Table:
    """Voltage, current and what share counter-ions carry; at most ``rows`` lines, spread over the batch."""
    warned = "".join(f"\n{count} {text}" for text, count in result.warnings().items())
    table = plain_table(title, caption=result.model.title() + warned)
    ok, shape = np.asarray(result.ok), np.shape(result.current)
    inner = (1,) * (len(shape) - ok.ndim)
    wide = lambda x: np.broadcast_to(np.reshape(x, (*ok.shape, *inner)), shape).reshape(-1)
    limit, good = wide(result.limiting_current), wide(ok)
    shown = (
        ("V\nV", np.asarray(result.voltage).reshape(-1), ".4f"),
        ("i\nA/m2", np.asarray(result.current).reshape(-1), ".4g"),
        ("i/i_lim\n", np.asarray(result.current).reshape(-1) / limit, ".4f"),
        ("transport\nnumber", np.asarray(result.transport_number).reshape(-1), ".4f"),
    )
    for heading, *_ in shown:
        table.add_column(heading, justify="right", no_wrap=True)
    for i in np.unique(np.linspace(0, good.size - 1, min(rows, good.size)).round().astype(int)):
        table.add_row(*(f"{value[i]:{form}}" if good[i] else "failed" for _, value, form in shown))
    return table


def result_table(result: Any, title: str = "") -> Table:
    """The table that suits a result: rejections of a point, a current-voltage curve, elements of a vessel, or one row for each of many vessels."""
    if isinstance(result, CurrentResult):
        return current_table(result, title=title)
    if isinstance(result, IonElementResult):
        return ion_table(result, title=title)
    if not hasattr(result, "elements"):
        return rejection_table(result, title=title)
    return vessel_table(result, title=title) if result.case.batch_shape else element_table(result, title=title)
