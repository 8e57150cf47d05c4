"""What ``jaxmem fit`` does: measurements, bounds as people write them, one fit, its table.

``jaxmem fit rejections.csv`` fits a nanofiltration membrane to rejections; ``jaxmem fit tests.csv --case case.toml`` what is free in a case file to
measurements of any of its results.
"""

import csv
import math
from pathlib import Path
from typing import Any

from ._errors import DataFileError, JaxmemError, unknown
from .casefile import read
from .data.measured import Measured, measured
from .data.rejection import Dataset
from .data.rejection_csv import dataset
from .fit.fit import fit
from .fit.fitted import Fit
from .free import Free
from .freetext import free_of
from .membranes.permeance import PermeanceMembrane
from .membranes.pore import membrane
from .models.dspmde.model import DSPMDE
from .models.sdem import SDEM
from .progress import bar
from .tables import plain_table

MODELS = {"dspmde": DSPMDE, "sdem": SDEM}
_FREE = {
    "dspmde": "pore_radius, thickness_over_porosity, charge_density, pore_permittivity",
    "sdem": "permeance=1e-8..1e-2 m/s",
}
_TYPE = "Type: jaxmem fit rejections.csv --membrane NF270 --free 'pore_radius=0.35..0.8 nm, charge_density'"


def question(path: Path, model: str, name: str | None) -> tuple[Any, Dataset]:
    """The model, and the measurements on the membrane to start from."""
    if model.lower() not in MODELS:
        raise unknown("Model", model, MODELS, "Type: jaxmem fit rejections.csv --model dspmde")
    if model.lower() == "dspmde":
        return DSPMDE(), dataset(path, None if name is None else membrane(name))
    if name is not None:
        raise JaxmemError(f"SDEM has no membrane {name!r}: its permeances are what is fitted. Leave --membrane out.")
    data = dataset(path, membrane("NF270"))
    return SDEM(), data.on(PermeanceMembrane.of(dict.fromkeys(data.case.feed.species.names, 1e-5)))


def _of_case(path: Path, case: Path, other: str | None, free: str | None) -> tuple[Any, Measured, Free]:
    """The model of a case file, measurements of its results, and what is free."""
    if other is not None:
        raise JaxmemError(f"{case} says which model and membrane: {other!r} stands beside it. Leave --model and --membrane out.")  # fmt: skip
    if not free:
        raise JaxmemError(f"Nothing is free. Type: jaxmem fit {path} --case {case} --free 'water_permeance, salt_permeability'")  # fmt: skip
    asked = read(case)
    data = measured(asked.case, path)
    return asked.model, data, free_of(free, data.case, f"Type: jaxmem fit {path} --case {case} --free 'water_permeance=0.5..5 LMH/bar'")  # fmt: skip


def report(
    console: Any,
    path: Path,
    case: Path | None,
    model: str | None,
    name: str | None,
    free: str | None,
    starts: int,
    out: Path | None,
    page: Path | None,
) -> Fit:
    """Fit and print; ``out`` takes the numbers as CSV, ``page`` the report."""
    for file in (out, page):
        if file is not None and not file.parent.is_dir():
            raise DataFileError(f"{file}: there is no folder {file.parent}. Type: mkdir -p {file.parent}")
    if page is not None and page.suffix not in (".json", ".html"):
        raise DataFileError(f"{page}: reports end in .json or .html. Type: --report {page.with_suffix('.html')}")
    if case is None:
        which, data = question(path, model or "dspmde", name)
        may = free_of(free or _FREE[(model or "dspmde").lower()], data.case, _TYPE)
    else:
        which, data, may = _of_case(path, case, model or name, free)
    console.print(str(data), highlight=False, markup=False)
    if isinstance(data, Dataset) and data.kind == "observed":
        console.print(
            "These are observed rejections, fitted without a film: what polarisation does goes into the numbers. In Python, give the conditions a film.",
            style="yellow",
        )
    with bar(console, total=60) as shown:
        shown.say("compiling")

        def told(step: int, cost: float, done: int) -> None:
            misfit = math.sqrt(2.0 * cost / max(len(data), 1))
            shown.say(f"misfit {misfit:.3g}, {done} of {starts} starts done")
            shown.step()

        found = fit(which, data, may, starts=starts, told=told)
    console.print(_table(found))
    if not found.converged:
        console.print(
            f"No minimum yet after {found.minima.steps} steps: numbers and errors are preliminary. Type: --starts {2 * starts}",
            style="yellow",
        )
    for words in found.at_bounds():
        console.print(f"At its bound: {words}; its error means nothing", style="yellow", highlight=False)
    for words in found.loose():
        console.print(f"Not determined by these data: {words}", style="yellow", highlight=False)
    if out is not None:
        with out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["quantity", "value", "standard_error", "unit"])
            writer.writerows(zip(found.labels, found.value, found.error, found.units, strict=True))
        console.print(f"numbers: {out}", highlight=False)
    if page is not None:
        console.print(f"report: {found.save(page)}", highlight=False)
    return found


def _table(found: Fit) -> Any:
    caption = f"{found.points} measurements, misfit {found.misfit:.3g} standard deviations, {found.agreeing} of {len(found.minima.cost)} starts agree"
    if found.scatter_known:
        caption += "; too few to tell their scatter, errors are those of the noise model"
    table = plain_table(f"Fit of {found.model.title()}", caption)
    for head, side in (("quantity", "left"), ("value", "right"), ("standard error", "right"), ("unit", "left")):
        table.add_column(head, justify=side)  # type: ignore[arg-type]
    for label, value, error, unit in zip(found.labels, found.value, found.error, found.units, strict=True):
        table.add_row(label, f"{value:.4g}", f"{error:.2g}", "" if unit == "1" else unit)
    return table
