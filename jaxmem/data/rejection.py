"""Measured rejections from a CSV file: ``jm.dataset(path)`` reads, checks and groups them into one batched case."""

import csv
import difflib
import itertools
import math
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import units
from .._errors import DataFileError, UnknownNameError
from ..case import Case
from ..chemistry.mixture import TOLERANCE, Mixture
from ..chemistry.species import canonical, pretty, records, species
from ..conditions import FluxDriven
from ..constants import STANDARD_TEMPERATURE
from ..membranes.pore import membrane as named_membrane
from ..membranes.pore import membrane_records

TRACE_SALTS = ("NaNO3", "NH4Cl")  # what trace_salt_mM_each stands for
SPELLINGS = {"lmh": "LMH", "l/m2/h": "LMH", "L/m2h": "LMH", "L/(m2h)": "LMH", "Lm-2h-1": "LMH", "L/m2/h": "LMH",
             "ums-1": "um/s", "-": "", "fraction": "", "mg/l": "mg/L", "g/l": "g/L", "mmol/l": "mM", "mol/l": "M",
             "molm-3": "mol/m3", "percent": "%", "pct": "%"}  # fmt: skip
_FLUX, _TEMPERATURE, _FRACTION = units._DIMENSIONS["flux"], units._DIMENSIONS["temperature"], {"": 1.0, "%": 0.01}
_MOLAR, _MASS = units._DIMENSIONS["concentration"], units._DIMENSIONS["mass concentration"]
# What a column holds: its names, and its units if it is a quantity.
ROLES: dict[str, tuple[str, dict[str, float] | None]] = {
    "solute": ("solute|ion|species", None), "membrane": ("membrane", None), "label": ("feed|feed_label", None),
    "salt": ("dominant_salt", None), "salt_amount": ("dominant_salt", _MOLAR), "trace_amount": ("trace_salt", _MOLAR),
    "flux": ("j_?[vw]|flux|(volume|permeate)_flux", _FLUX), "flux error": ("sigma_(jv|flux)|jv_read_err", _FLUX),
    "real": ("r_(real|intrinsic)", _FRACTION), "observed": ("r_obs(erved)?", _FRACTION), "sigma": ("sigma_r|r_read_err", _FRACTION),
    "temperature": ("t|temperature", _TEMPERATURE),
}  # fmt: skip
_UNITS = (*_FLUX, *_MOLAR, *_MASS, *_TEMPERATURE, "%", "percent", "pct", "ppm")
_ENDINGS = {ending: SPELLINGS.get(unit, unit) for unit in _UNITS for ending in (unit, unit.replace("/", "_"))}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_MISSING = ("", "-", "--", "nan", "na", "n/a", "null", "none")
_BRACKET = re.compile(r"(.*?)\s*[\[(]\s*(.*?)\s*[\])]")
_HIGHEST = {
    n: f.metadata["high"]
    for t in (FluxDriven, Mixture)
    for n, f in t.__dataclass_fields__.items()
    if "high" in f.metadata
}


def _spelled(unit: str) -> str:
    """A unit as the tables write it: "L m^-2 h^-1" is LMH."""
    unit = unit.translate(str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "·": "", "^": "", " ": ""}))
    return SPELLINGS.get(unit, unit)


class Dataset(eqx.Module):
    """Measured rejections of S species at N points (one feed at one flux), with the case that asks a model for them.

    ``rejection`` and ``sigma`` (standard error) are ``(N, S)`` fractions, NaN where not measured or not given. ``kind`` is
    ``"real"`` (``1 - c_p/c_m``: the feed of the case is the composition at the membrane, and there is no film) or ``"observed"``
    (``1 - c_p/c_b``). ``feed_group`` labels the feed of each point. Points of one feed are not independent: split by feed.
    """

    case: Case
    rejection: Array
    sigma: Array
    kind: str = eqx.field(static=True)
    feed_group: tuple[str, ...] = eqx.field(static=True)
    doi: str = eqx.field(static=True, default="")
    source: str = eqx.field(static=True, default="")

    @property
    def measured(self) -> Array:
        """True where a rejection was measured, ``(N, S)``."""
        return ~jnp.isnan(self.rejection)

    def __len__(self) -> int:
        return int(self.measured.sum())

    def __str__(self) -> str:
        values, sigma = (np.asarray(x)[np.asarray(self.measured)] for x in (self.rejection, self.sigma))
        flux, feeds = (
            np.asarray(self.case.conditions.volume_flux) / units.um_per_s,
            list(dict.fromkeys(self.feed_group)),
        )
        error = f"sigma {np.nanmin(sigma):.2g} to {np.nanmax(sigma):.2g}" if np.isfinite(sigma).any() else "no sigma"
        return "\n".join([
            f"Dataset, {len(self)} {self.kind} rejections at {len(self.feed_group)} points in {len(feeds)} feeds",
            f"  species    {', '.join(pretty(n) for n in self.case.feed.species.names)}",
            f"  feeds      {'; '.join(feeds[:4])}{'; ...' if len(feeds) > 4 else ''}"[:150],
            f"  flux       {flux.min():.3g} to {flux.max():.3g} um/s",
            f"  rejection  {values.min():.4g} to {values.max():.4g}, {int((values < 0).sum())} negative, {error}",
            f"  source     {self.source or 'not given'}"[:150],
        ])  # fmt: skip


def dataset(path: str | Path, membrane: Any = None) -> Dataset:
    """Read measured rejections from a CSV file, one row per value.

    Columns: ``solute``; a flux with its unit, ``Jv [LMH]`` or ``Jv_um_s``; the feed, ``c_Na [mM]`` or ``c_Na_mg_L``, one per ion;
    ``R_observed`` or ``R_real`` (also ``R_intrinsic``), a fraction, or percent with ``[%]``. Optional: ``sigma_R`` (or
    ``R_read_err``), ``T [degC]`` (25 C when absent), ``feed`` (a label), ``membrane``, ``sigma_Jv [LMH]`` (``Jv_read_err_um_s``).
    In place of ``c_`` columns: ``dominant_salt``, ``dominant_salt_mM`` and ``trace_salt_mM_each`` (of NaNO3 and of NH4Cl each).
    The rejection of a salt belongs to its cation. A unit may stand in a second header row. Lines with ``#`` are comments; those
    before the header become ``source`` and ``doi``. Other columns are ignored.

    Values of one feed at equal flux form a point. Different solutes whose fluxes agree within the flux error form one too, at
    their median flux. ``membrane``: the membrane of the case; looked up by the name in the file when None. The case has no film:
    for observed rejections, give ``case.conditions`` that of the cell.

    Raises ``DataFileError`` with file, line and column.
    """
    table = _read(Path(path))
    columns, ions = _columns(table)
    rows = [_Reader(table, line, cells, columns, ions).row() for line, cells in table.rows]
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
    case = Case(feed, _membrane(table, columns.get("membrane"), membrane), FluxDriven(flux))
    doi = re.search(r"10\.\d{4,9}/[^\s,;]+", table.comment)
    labels, numbers = tuple(p[0].feed.label for p in points), (jnp.asarray(rejection), jnp.asarray(sigma))
    return Dataset(case, *numbers, kind, labels, doi[0].rstrip(".)") if doi else "", table.comment)


# --- text to table


class _Table(NamedTuple):
    path: Path
    line: int  # of the header
    header: list[str]
    second: list[str]  # units of the second header row, "" where none
    rows: list[tuple[int, list[str]]]
    comment: str

    def error(self, line: int, column: str, text: str) -> DataFileError:
        return DataFileError(f"{self.path}, line {line}, column {column!r}: {text}")


def _text(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b"\xff").decode("utf-8-sig")  # a zero byte is no text either
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataFileError(
            f"{path}, line {line}, column unknown: this is not UTF-8 text. Save it as 'CSV UTF-8'."
        ) from None
    except OSError as error:
        wrong = "There is no file" if isinstance(error, FileNotFoundError) else f"{error.strerror}:"
        wrong = f"{wrong} {str(path)!r}; the current folder is {Path.cwd()}"
        raise DataFileError(f"{wrong}. Give the path of a CSV file from there, or a full one.") from None


def _read(path: Path) -> _Table:
    """Header, units and rows, with their line numbers. The separator is the one that the header holds most."""
    lines = re.split(r"\r\n|\r|\n", _text(path))
    note = [line.lstrip(' "').startswith("#") for line in lines]
    first = next((i for i, line in enumerate(lines) if line.strip() and not note[i]), None)
    if first is None:
        header = "solute,Jv [LMH],c_Na [mM],c_Cl [mM],R_observed"
        raise DataFileError(f"{path}, line 1, column 'solute': the file is empty. Start with a header: {header}")
    separator = max(",;\t", key=lines[first].count)
    found: list[tuple[int, list[str]]] = []
    for start, (line, is_note) in enumerate(zip(lines, note, strict=True), 1):
        try:
            cells = (
                [] if is_note else next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True), [])
            )
        except csv.Error as error:
            raise DataFileError(
                f"{path}, line {start}, column unknown: {error}. Close each quotation mark in its line."
            ) from None
        if any(cell.strip() for cell in cells):
            found.append((start, [cell.strip() for cell in cells]))
    (at, header), rows = found[0], found[1:]
    comment = " ".join(text.strip(f' "#{separator}') for text in lines[:first] if text.strip())
    table = _Table(path, at, header, [""] * len(header), rows, comment)
    for name in header:
        if name and header.count(name) > 1:
            raise table.error(at, name, "this column occurs twice. Column names must differ: rename or delete one.")
    for line_number, cells in rows:
        cells += [""] * (len(header) - len(cells))
        if any(cells[len(header) :]):
            wrong = (
                f"the row has {len(cells)} cells, the header {len(header)}. A decimal comma is not accepted: write 0.5."
            )
            raise table.error(line_number, str(len(header) + 1), wrong)
    second = rows[0][1] if rows else []
    if {_spelled(cell) for cell in second} & {*_UNITS} and not any(_NUMBER.fullmatch(cell) for cell in second):
        table = table._replace(second=second, rows=rows[1:])
    if not table.rows:
        raise table.error(at + 1, header[0], "there are no rows of numbers. Write one for each measured rejection.")
    return table


# --- header to columns


class _Column(NamedTuple):
    index: int
    name: str  # as in the file
    unit: str = ""
    factor: float = 1.0
    offset: float = 0.0


def _split(name: str, second: str) -> tuple[str, str]:
    """Name and unit of a header cell: ``Jv [LMH]``, ``Jv (LMH)``, ``Jv_LMH``, or the unit in the second row."""
    name, second = name.removesuffix("_each"), _spelled(second)
    if match := _BRACKET.fullmatch(name):
        base, unit = match[1], _spelled(match[2])
    else:  # c_K is potassium, T_K is kelvin
        ion = name[:2].lower() == "c_"
        endings = {e: u for e, u in _ENDINGS.items() if name.endswith(f"_{e}") and not (ion and u in _TEMPERATURE)}
        ending = max(endings, key=len, default="")
        base, unit = (name.removesuffix(f"_{ending}"), endings[ending]) if ending else (name, "")
    return base.strip().replace(" ", "_"), unit if not second or unit == second else f"{unit}, {second}".removeprefix(
        ", "
    )


def _with_unit(table: _Table, column: _Column, known: dict[str, float], what: str) -> _Column:
    """The column with its factor to SI; refuses a missing or unknown unit."""
    if column.unit in known:
        return column._replace(
            factor=known[column.unit], offset=273.15 if known is _TEMPERATURE and column.unit != "K" else 0.0
        )
    wrong = f"the {what} has no unit" if not column.unit else f"{column.unit!r} is not a unit of {what}"
    wrong += " (ppm is mg/kg to some and mg/L to others)" if column.unit == "ppm" else ""
    allowed = [u for u in known if u and "µ" not in u]
    line = f"Write the header as {_split(column.name, '')[0]} [{allowed[0]}]."
    raise table.error(table.line, column.name, f"{wrong}. Allowed are {', '.join(allowed)}. {line}")


def _columns(table: _Table) -> tuple[dict[str, _Column], dict[str, _Column]]:
    """Which column holds what, by role; and the columns of the ions."""
    columns: dict[str, _Column] = {}
    ions: dict[str, _Column] = {}
    for index, name in enumerate(table.header):
        base, unit = _split(name, table.second[index])
        column = _Column(index, name, unit)
        if base[:2].lower() == "c_":
            ion = _species(table, table.line, name, base[2:])
            if ion in ions:
                raise table.error(
                    table.line, name, f"{ion} has a column already, {ions[ion].name!r}. Delete one of them."
                )
            column = _with_unit(table, column, {**_MOLAR, **_MASS}, "concentration")
            ions[ion] = column._replace(factor=column.factor / (records()[ion]["molar_mass"] if unit in _MASS else 1.0))
            continue
        for role, (pattern, known) in ROLES.items():
            named = re.fullmatch(pattern, base, re.IGNORECASE) and (known is not None or not unit or name == base)
            if named and role not in columns:  # Jv_um_s and Jv_LMH: the first one counts
                columns[role] = column if known is None else _with_unit(table, column, known, role)
                break
    _complete(table, columns, bool(ions))
    rejection = columns.get("real") or columns["observed"]
    if "sigma" in columns and not columns["sigma"].unit:
        columns["sigma"] = columns["sigma"]._replace(unit=rejection.unit, factor=rejection.factor)
    return {**columns, "rejection": rejection}, ions


def _complete(table: _Table, columns: dict[str, _Column], composition: bool) -> None:
    """Refuse a table without the columns that it takes, or with two kinds of rejection."""
    needed = {
        "solute": ("solute" in columns, "solute, with Na+, Cl-, ..."),
        "Jv": ("flux" in columns, "Jv [LMH] or Jv_um_s"),
        "R_observed": ("real" in columns or "observed" in columns, "R_observed (1 - c_p/c_b) or R_real (1 - c_p/c_m)"),
        "c_<ion>": (composition or "salt" in columns, "for each ion of the feed: c_Na [mM], c_Cl [mM]"),
        "dominant_salt_mM": (
            ("salt" in columns) == ("salt_amount" in columns),
            "dominant_salt (NaCl, ...) and dominant_salt_mM",
        ),
    }
    for wanted, (there, example) in needed.items():
        if not there:
            there_are = ", ".join(table.header)
            raise table.error(
                table.line, wanted, f"this column is missing; there are {there_are}. Add a column {example}."
            )
    if "real" in columns and "observed" in columns:
        wrong = f"the rejection stands in {columns['real'].name!r} too"
        raise table.error(
            table.line, columns["observed"].name, f"{wrong}. One of the two is allowed: delete the other."
        )


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


def _species(table: _Table, line: int, column: str, name: str) -> str:
    try:
        return canonical(name)
    except UnknownNameError as error:
        raise table.error(line, column, str(error)) from None


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

    table: _Table
    line: int
    cells: list[str]
    columns: dict[str, _Column]
    ions: dict[str, _Column]

    def error(self, column: _Column, text: str) -> DataFileError:
        return self.table.error(self.line, column.name, text)

    def text(self, role: str) -> str:
        return self.cells[self.columns[role].index] if role in self.columns else ""

    def number(
        self, column: _Column, low: float = -math.inf, high: float = math.inf, hint: str = "Check the unit."
    ) -> float:
        """A cell in SI; refuses what is not a finite number within ``low`` and ``high`` (SI)."""
        text = self.cells[column.index].replace("\N{MINUS SIGN}", "-")
        if text.lower() in _MISSING:
            raise self.error(
                column, f"{text!r} is a missing value. A finite number is needed: write it, or delete the row."
            )
        if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
            comma = (
                "decimal comma is not accepted" if re.fullmatch(r"[-+]?\d*,\d+", text) else "finite number is needed"
            )
            raise self.error(column, f"{text!r} is not a number. A {comma}: write for example 0.5.")
        value = float(text) * column.factor + column.offset
        if not low <= value <= high:
            bounds = ", ".join(f"{(b - column.offset) / column.factor:g}" for b in (low, high))
            raise self.error(column, f"{text} is outside {f'({bounds}) {column.unit}'.strip()}. {hint}")
        return value

    def optional(self, role: str, low: float, absent: float) -> float:
        given = self.text(role).lower() not in _MISSING
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
        charge = {ion: records()[ion]["charge"] for ion in added}
        net, gross = (sum(f(charge[i]) * c for i, c in added.items()) for f in (int, abs))
        if abs(net) > TOLERANCE * gross:
            ion = max(self.ions, key=lambda i: (charge[i] * net < 0, added[i] * abs(charge[i])))
            needed = (added[ion] - net / charge[ion]) / self.ions[ion].factor
            wrong = f"the feed carries a net charge of {net:.6g} mol/m3 ({net / gross:.2e} of the gross charge)"
            fix = f"Write {needed:.9g} here." if needed > 0.0 else "Add the missing ion: c_<ion> [mM]."
            raise self.error(self.ions[ion], f"{wrong}. Allowed is {TOLERANCE:g}. {fix}")
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
        solute = _species(self.table, self.line, columns["solute"].name, solute)
        if solute not in present:
            wrong = f"{solute} is not in the feed, which has {', '.join(sorted(present))}"
            raise self.error(columns["solute"], f"{wrong}. Give it a column c_{solute} [mM].")
        rejection = self.number(
            columns["rejection"], high=1.0, hint="At most 1; for percent name the column R_observed [%]."
        )
        flux = self.number(
            columns["flux"], 0.0, _HIGHEST["volume_flux"], "The flux is positive towards the permeate; check its unit."
        )
        errors = self.optional("flux error", 0.0, 0.0), self.optional("sigma", 1e-300, math.nan)
        return _Row(self.line, feed, solute, flux, rejection, *errors)


# --- rows to points


def _points(table: _Table, column: str, rows: list[_Row]) -> list[list[_Row]]:
    """Rows of one feed and flux together; feeds in the order of the file, fluxes ascending."""
    feeds: dict[_Feed, list[list[_Row]]] = {row.feed: [] for row in rows}
    for row in sorted(rows, key=lambda r: r.flux):
        points = feeds[row.feed]
        if not points or not math.isclose(points[-1][-1].flux, row.flux, rel_tol=1e-9):
            points.append([])
        twin = next((r for r in points[-1] if r.solute == row.solute), None)
        if twin is None:
            points[-1].append(row)
        elif twin.rejection != row.rejection:
            wrong = f"{row.solute} has {row.rejection:g} here and {twin.rejection:g} in line {twin.line}, at one feed and flux"
            raise table.error(row.line, column, f"{wrong}. Average the two, or tell them apart in a column feed.")
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


def _membrane(table: _Table, column: _Column | None, given: Any) -> Any:
    at = {cells[column.index]: line for line, cells in reversed(table.rows)} if column else {"": table.line}
    where, name = column.name if column else "membrane", list(at)[-1]
    if len(at) > 1:
        wrong = f"there are {len(at)} membranes: {', '.join(at)}"
        raise table.error(max(at.values()), where, f"{wrong}. One is allowed: write one file for each.")
    if given is not None:
        return given
    if name not in membrane_records():
        wrong = (
            f"membrane {name!r} has no record. Known are {', '.join(membrane_records())}"
            if name
            else "no membrane is named"
        )
        raise table.error(at[name], where, f"{wrong}. Write jm.dataset(path, membrane=jm.membrane('NF270')).")
    return named_membrane(name)
