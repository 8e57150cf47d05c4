"""Measured rejections from a CSV file: ``jm.dataset(path)`` reads, checks and groups them into one batched case."""

import difflib
import itertools
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .._errors import DataFileError
from .._fields import quantities
from ..case import Case
from ..chemistry.mixture import Mixture
from ..chemistry.species import canonical, records, species
from ..conditions import FluxDriven
from ..constants import STANDARD_TEMPERATURE
from ..membranes.pore import PoreMembrane, membrane_records
from ..membranes.pore import membrane as named_membrane
from ..membranes.provenance import Provenance
from .rejection import Dataset
from .table import MISSING, Column, Table, assigned, evened, number, read, refuse_charge, species_of

TRACE_SALTS = ("NaNO3", "NH4Cl")  # what trace_salt_mM_each stands for
_HIGHEST = {
    n: f.metadata["high"]
    for t in (FluxDriven, Mixture)
    for n, f in t.__dataclass_fields__.items()
    if "high" in f.metadata
}


def dataset(path: str | Path, membrane: Any = None, balance: str | None = None) -> Dataset:
    """Read measured rejections from a CSV file, one row per value.

    Columns: ``solute``; a flux with its unit, ``Jv [LMH]`` or ``Jv_um_s``; the feed, ``c_Na [mM]`` or ``c_Na_mg_L``, one per ion;
    ``R_observed`` or ``R_real`` (also ``R_intrinsic``), a fraction, or percent with ``[%]``. Optional: ``sigma_R`` (or
    ``R_read_err``), ``T [degC]`` (25 C when absent), ``feed`` (a label), ``membrane``, ``sigma_Jv [LMH]`` (``Jv_read_err_um_s``).
    In place of ``c_`` columns: ``dominant_salt``, ``dominant_salt_mM`` and ``trace_salt_mM_each`` (of NaNO3 and of NH4Cl each).
    The rejection of a salt belongs to its cation. A unit may stand in a second header row. Lines with ``#`` are comments; those
    before the header become ``source`` and ``doi``. Other columns are ignored.

    Values of one feed at equal flux form a point. Different solutes whose fluxes agree within the flux error form one too, at
    their median flux. ``membrane``: the membrane of the case; looked up by the name in the file when None. Where the file names several, each point is asked of its own
    pore, from the records or from a mapping, ``membrane={"NF90": jm.PoreMembrane(...)}``. The case has no film:
    for observed rejections, give ``case.conditions`` that of the cell. ``balance="Cl-"`` adjusts that ion of every feed until it is neutral;
    without, a feed that carries a charge is refused.

    Raises ``DataFileError`` with file, line and column.
    """
    table = read(Path(path))
    columns, ions = assigned(table)
    ion = None if balance is None else canonical(balance)
    rows = [_Reader(table, line, cells, columns, ions, ion).row() for line, cells in table.rows]
    points = _points(table, columns["rejection"].name, rows)
    kind = "real" if "real" in columns else "observed"
    names = list(dict.fromkeys(name for row in rows for name, _ in row.feed.amounts))
    concentration = np.zeros((len(points), len(names)))
    rejection, sigma = np.full((2, len(points), len(names)), np.nan)
    for n, point in enumerate(points):
        for name, amount in point[0].feed.amounts:
            concentration[n, names.index(name)] = amount
        for row in point:
            rejection[n, names.index(row.solute)], sigma[n, names.index(row.solute)] = row.rejection, row.sigma
    temperature: Any = jnp.asarray([p[0].feed.temperature for p in points])
    feed = Mixture(species(*names), concentration, temperature)
    flux = jnp.asarray([float(np.median([row.flux for row in p])) for p in points])
    of = tuple(p[0].membrane for p in points)
    case = Case(feed, _membrane(table, columns.get("membrane"), membrane, of), FluxDriven(flux))
    doi = re.search(r"10\.\d{4,9}/[^\s,;]+", table.comment)
    labels, numbers = tuple(p[0].feed.label for p in points), (jnp.asarray(rejection), jnp.asarray(sigma))
    several = of if len(set(of)) > 1 else ()
    return Dataset(case, *numbers, kind, labels, doi[0].rstrip(".)") if doi else "", table.comment, several)


# --- cells to rows


class _Feed(NamedTuple):
    label: str
    temperature: float
    amounts: tuple[tuple[str, float], ...]  # mol/m3


class _Row(NamedTuple):
    line: int
    feed: _Feed
    solute: str
    flux: float
    rejection: float
    flux_error: float
    sigma: float
    membrane: str


@lru_cache
def salts() -> dict[str, dict[str, int]]:
    """Ions of every salt that the species table can form, ``{"MgCl2": {"Mg+2": 1, "Cl-": 2}, ...}``, by charge balance."""

    def part(name: str, count: int) -> str:
        formula = re.sub(r"[+-]\d*$", "", name)
        several = len(re.findall(r"[A-Z]|\d", formula)) > 1
        return formula if count == 1 else f"({formula}){count}" if several else f"{formula}{count}"

    charge = {name: int(record["charge"]) for name, record in records().items()}
    found = {}
    for cation, anion in itertools.product(
        (n for n, z in charge.items() if z > 0), (n for n, z in charge.items() if z < 0)
    ):
        common = math.gcd(charge[cation], -charge[anion])
        counts = {cation: -charge[anion] // common, anion: charge[cation] // common}
        found["".join(part(*item) for item in counts.items())] = counts
    return found


class _Reader(NamedTuple):
    """The cells of one row, with what is needed to name the place of a mistake."""

    table: Table
    line: int
    cells: list[str]
    columns: dict[str, Column]
    ions: dict[str, Column]
    balance: str | None

    def error(self, column: Column, text: str) -> DataFileError:
        return self.table.error(self.line, column.name, text)

    def text(self, role: str) -> str:
        return self.cells[self.columns[role].index] if role in self.columns else ""

    def number(
        self, column: Column, low: float = -math.inf, high: float = math.inf, hint: str = "Check the unit."
    ) -> float:
        """A cell in SI; refuses what is not a finite number within ``low`` and ``high`` (SI)."""
        return number(self.table, self.line, column, self.cells[column.index], low, high, hint)

    def optional(self, role: str, low: float, absent: float) -> float:
        given = self.text(role).lower() not in MISSING
        return self.number(self.columns[role], low, hint="Leave it empty when unknown.") if given else absent

    def amounts(self) -> dict[str, float]:
        """Feed composition, mol/m3: the salts split into ions, plus the ``c_`` columns; refused when it carries a charge."""
        added: dict[str, float] = {}
        for role, names in (("salt_amount", (self.text("salt"),)), ("trace_amount", TRACE_SALTS)):
            amount = self.number(self.columns[role], 0.0, _HIGHEST["concentration"]) if role in self.columns else 0.0
            for salt in names if amount else ():
                if salt not in salts():
                    close = ", ".join(difflib.get_close_matches(salt, salts(), n=3, cutoff=0.4)) or "NaCl, MgSO4"
                    raise self.error(
                        self.columns["salt"], f"{salt!r} is not known. Closest: {close}. Write for example MgCl2."
                    )
                for ion, count in salts()[salt].items():
                    added[ion] = added.get(ion, 0.0) + count * amount
        for ion, column in self.ions.items():
            added[ion] = added.get(ion, 0.0) + self.number(
                column, 0.0, _HIGHEST["concentration"], "Write 0 for an ion that is absent."
            )
        if self.balance is not None:
            added = evened(self.table, self.line, added, self.balance)
        refuse_charge(self.table, self.line, self.ions, added, ", or read with jm.dataset(path, balance='{ion}')")
        return added

    def row(self) -> _Row:
        columns, solute, amounts = self.columns, self.text("solute"), self.amounts()
        temperature = (
            self.number(columns["temperature"], 253.0, 400.0) if "temperature" in columns else STANDARD_TEMPERATURE
        )
        composition = ", ".join(f"{ion} {amount:.4g}" for ion, amount in amounts.items() if amount > 0.0) + " mM"
        salt = (
            f"{self.text('salt')} {self.text('salt_amount')} {columns['salt_amount'].unit}"
            if self.text("salt")
            else composition
        )
        feed = _Feed(self.text("label") or salt, temperature, tuple(amounts.items()))
        present = {ion for ion, amount in feed.amounts if amount > 0.0}
        if solute in salts() and (solute == self.text("salt") or set(salts()[solute]) == present):
            solute = next(iter(salts()[solute]))
        solute = species_of(self.table, self.line, columns["solute"].name, solute)
        if solute not in present:
            wrong = f"{solute} is not in the feed, which has {', '.join(sorted(present))}"
            raise self.error(columns["solute"], f"{wrong}. Give it a column c_{solute} [mM].")
        percent = columns["rejection"].unit == "%"
        most = (
            "Nothing is rejected by more than 100 %."
            if percent
            else "At most 1; for percent name the column R_observed [%]."
        )
        rejection = self.number(columns["rejection"], high=1.0, hint=most)
        flux = self.number(
            columns["flux"], 0.0, _HIGHEST["volume_flux"], "The flux is positive towards the permeate; check its unit."
        )
        errors = self.optional("flux error", 0.0, 0.0), self.optional("sigma", 1e-300, math.nan)
        return _Row(self.line, feed, solute, flux, rejection, *errors, self.text("membrane"))


# --- rows to points


def _points(table: Table, column: str, rows: list[_Row]) -> list[list[_Row]]:
    """Rows of one membrane, feed and flux together; feeds in the order of the file, fluxes ascending."""
    feeds: dict[Any, list[list[_Row]]] = {(row.membrane, row.feed): [] for row in rows}
    for row in sorted(rows, key=lambda r: r.flux):
        points = feeds[row.membrane, row.feed]
        if not points or not math.isclose(points[-1][-1].flux, row.flux, rel_tol=1e-9):
            points.append([])
        twin = next((r for r in points[-1] if r.solute == row.solute), None)
        if twin is None:
            points[-1].append(row)
        elif twin.rejection != row.rejection or not (twin.sigma == row.sigma or math.isnan(twin.sigma + row.sigma)):
            what = [f"{r.rejection:g}" + ("" if math.isnan(r.sigma) else f" +- {r.sigma:g}") for r in (row, twin)]
            wrong = f"{row.solute} has {what[0]} here and {what[1]} in line {twin.line}, at one feed and flux"
            raise table.error(row.line, column, f"{wrong}. Average the two, or tell them apart in a column feed.")
        elif math.isnan(twin.sigma):  # the same reading, with its error
            points[-1] = [row if r is twin else r for r in points[-1]]
    return [point for points in feeds.values() for point in _merged(points)]


def _merged(points: list[list[_Row]]) -> list[list[_Row]]:
    """Neighbouring points of different solutes whose fluxes agree within their errors, joined, the closest first."""
    while True:
        gaps = {}
        for i, (low, high) in enumerate(itertools.pairwise(points)):
            gap = high[0].flux - low[-1].flux
            if gap <= high[0].flux_error + low[-1].flux_error and not {r.solute for r in low} & {
                r.solute for r in high
            }:
                gaps[i] = gap
        if not gaps:
            return points
        i = min(gaps, key=gaps.__getitem__)
        points = [*points[:i], points[i] + points[i + 1], *points[i + 2 :]]


def _membrane(table: Table, column: Column | None, given: Any, of: tuple[str, ...]) -> Any:
    """That of the case; of several, pores with a number for each point."""
    at = {cells[column.index]: line for line, cells in reversed(table.rows)} if column else {"": table.line}
    where, own = column.name if column else "membrane", given if isinstance(given, Mapping) else {}
    names = f"there are {len(at)} membranes: {', '.join(at)}"
    if given is not None and not own:
        if len(at) > 1:
            raise table.error(
                max(at.values()), where, f"{names}, and membrane= is one for all of them. Write membrane={{name: ...}}."
            )
        return given
    for name, line in at.items():
        if name not in own and name not in membrane_records():
            known = f"membrane {name!r} has no record. Known are {', '.join(membrane_records())}"
            dictionary = f"{{{name!r}: jm.PoreMembrane(...)}}" if len(at) > 1 else "jm.membrane('NF270')"
            raise table.error(
                line,
                where,
                f"{known if name else 'no membrane is named'}. Write jm.dataset(path, membrane={dictionary}).",
            )
    walls = {name: own[name] if name in own else named_membrane(name) for name in at}
    if len(at) == 1:
        return next(iter(walls.values()))
    odd = next((name for name, wall in walls.items() if not isinstance(wall, PoreMembrane)), None)
    if odd is not None:
        raise table.error(max(at.values()), where, f"{names}, and {odd!r} is no pore. Write one file for each.")
    numbers = {name: jnp.stack([getattr(walls[m], name) for m in of]) for name in quantities(PoreMembrane)}
    source = "; ".join(f"{name}: {wall.provenance.source}" for name, wall in walls.items())
    return PoreMembrane(**numbers, provenance=Provenance(", ".join(walls), source))
