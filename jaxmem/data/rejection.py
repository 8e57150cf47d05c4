"""Measured rejections from a CSV file: ``jm.dataset(path)`` reads, checks and groups them into one batched case."""

import csv
import difflib
import math
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import units
from .._errors import DataFileError, UnknownNameError
from .._fields import quantities
from ..case import Case
from ..chemistry.mixture import TOLERANCE, Mixture
from ..chemistry.species import canonical, pretty, records, species
from ..conditions import FluxDriven, MassTransfer
from ..constants import STANDARD_TEMPERATURE
from ..membranes.pore import membrane as named_membrane
from ..membranes.pore import membrane_records

TRACE_SALTS = ("NaNO3", "NH4Cl")  # what trace_salt_mM_each stands for
SPELLINGS = {"lmh": "LMH", "l/m2/h": "LMH", "L/m2h": "LMH", "L/(m2h)": "LMH", "Lm-2h-1": "LMH", "L/m2/h": "LMH", "ums-1": "um/s", "-": "", "fraction": "",
             "mg/l": "mg/L", "g/l": "g/L", "mmol/l": "mM", "mol/l": "M", "molm-3": "mol/m3", "percent": "%", "pct": "%"}  # fmt: skip
_FLUX, _TEMPERATURE, _FRACTION = units._DIMENSIONS["flux"], units._DIMENSIONS["temperature"], {"": 1.0, "%": 0.01}
_MOLAR, _MASS = units._DIMENSIONS["concentration"], units._DIMENSIONS["mass concentration"]
# What a column holds: its names, and its units if it is a quantity.
ROLES: dict[str, tuple[str, dict[str, float] | None]] = {
    "solute": ("solute|ion|species", None), "membrane": ("membrane", None), "label": ("feed|feed_label", None), "salt": ("dominant_salt", None),
    "flux": ("j_?[vw]|flux|(volume|permeate)_flux", _FLUX), "flux error": ("sigma_(jv|flux)|jv_read_err", _FLUX),
    "real": ("r_(real|intrinsic)", _FRACTION), "observed": ("r_obs(erved)?", _FRACTION), "sigma": ("sigma_r|r_read_err", _FRACTION),
    "salt_amount": ("dominant_salt", _MOLAR), "trace_amount": ("trace_salt", _MOLAR), "temperature": ("t|temperature", _TEMPERATURE),
}  # fmt: skip
_ENDINGS = {e: SPELLINGS.get(u, u) for u in (*_FLUX, *_MOLAR, *_MASS, *_TEMPERATURE, "%", "percent", "pct", "ppm") for e in (u, u.replace("/", "_"))}
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_MISSING = ("", "-", "--", "nan", "na", "n/a", "null", "none")
_BRACKET = re.compile(r"(.*?)\s*[\[(]\s*(.*?)\s*[\])]")
_HIGHEST = {"flux": quantities(FluxDriven)["volume_flux"]["high"], "amount": quantities(Mixture)["concentration"]["high"]}


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
        flux, feeds = np.asarray(self.case.conditions.volume_flux) / units.um_per_s, list(dict.fromkeys(self.feed_group))
        error = f"sigma {np.nanmin(sigma):.2g} to {np.nanmax(sigma):.2g}" if np.isfinite(sigma).any() else "no sigma"
        return "\n".join([
            f"Dataset, {len(self)} {self.kind} rejections at {len(self.feed_group)} points in {len(feeds)} feeds",
            f"  species    {', '.join(pretty(n) for n in self.case.feed.species.names)}",
            f"  feeds      {'; '.join(feeds[:4])}{'; ...' if len(feeds) > 4 else ''}"[:150],
            f"  flux       {flux.min():.3g} to {flux.max():.3g} um/s",
            f"  rejection  {values.min():.4g} to {values.max():.4g}, {int((values < 0).sum())} negative, {error}",
            f"  source     {self.source or 'not given'}"[:150],
        ])  # fmt: skip


def dataset(path: str | Path, membrane: Any = None, *, mass_transfer: MassTransfer | None = None, balance: str | None = None) -> Dataset:
    """Read measured rejections from a CSV file, one row per value.

    Columns: ``solute``; a flux with its unit, ``Jv [LMH]`` or ``Jv_um_s``; the feed, ``c_Na [mM]`` or ``c_Na_mg_L``, one per ion;
    ``R_observed`` or ``R_real`` (also ``R_intrinsic``), a fraction, or percent with ``[%]``. Optional: ``sigma_R`` (or
    ``R_read_err``), ``T [degC]`` (25 C when absent), ``feed`` (a label), ``membrane``, ``sigma_Jv [LMH]`` (or ``Jv_read_err_um_s``).
    In place of ``c_`` columns: ``dominant_salt``, ``dominant_salt_mM`` and ``trace_salt_mM_each`` (of NaNO3 and of NH4Cl each).
    The rejection of a salt belongs to its cation. A unit may stand in a second header row. Lines with ``#`` are comments; those
    before the header become ``source`` and ``doi``. Other columns are ignored.

    Values of one feed at equal flux form a point. Different solutes whose fluxes agree within the flux error form one too, at
    their median flux. ``membrane``: the membrane of the case; looked up by the name in the file when None. ``mass_transfer``: the
    film of observed rejections; none when None, so that bulk and membrane meet. ``balance="Cl-"`` makes every feed neutral by that ion.

    Raises ``DataFileError`` with file, line and column.
    """
    table = _read(Path(path))
    layout = _layout(table)
    rows = [_row(table, layout, line, cells, balance) for line, cells in table.rows]
    points = _points(table, layout, rows)
    if layout.kind == "real" and mass_transfer is not None:
        raise table.error(table.line, layout.rejection.name, "real rejections have the film taken out already. Leave mass_transfer=None.")
    names = list(dict.fromkeys(name for row in rows for name, _ in row.feed.amounts))
    shape = (len(points), len(names))
    concentration, rejection, sigma = np.zeros(shape), np.full(shape, np.nan), np.full(shape, np.nan)
    for n, point in enumerate(points):
        for name, amount in point[0].feed.amounts:
            concentration[n, names.index(name)] = amount
        for row in point:
            rejection[n, names.index(row.solute)], sigma[n, names.index(row.solute)] = row.rejection, row.sigma
    feed = Mixture(species(*names), jnp.asarray(concentration), jnp.asarray([p[0].feed.temperature for p in points]))
    flux = jnp.asarray([float(np.median([row.flux for row in p])) for p in points])
    case = Case(feed, _membrane(table, layout, membrane), FluxDriven(flux, mass_transfer))
    doi = re.search(r"10\.\d{4,9}/[^\s,;]+", table.comment)
    return Dataset(case, jnp.asarray(rejection), jnp.asarray(sigma), layout.kind, tuple(p[0].feed.label for p in points),
                   doi[0].rstrip(".)") if doi else "", table.comment)  # fmt: skip


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
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataFileError(f"There is no file {str(path)!r}; the current folder is {Path.cwd()}. Give a path from there, or a full one.") from None
    except OSError as error:
        raise DataFileError(f"{path} cannot be read: {error.strerror}. Give the path of a CSV file: jm.dataset('rejection.csv').") from None
    try:
        if b"\0" in data:
            raise UnicodeDecodeError("utf-8", data, data.index(b"\0"), data.index(b"\0") + 1, "zero byte")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataFileError(f"{path}, line {line}, column unknown: this is not UTF-8 text. Save the table as 'CSV UTF-8'.") from None


def _read(path: Path) -> _Table:
    """Header, units and rows, with their line numbers. Separators: comma, semicolon or tab, whichever the header holds most."""
    lines = re.split(r"\r\n|\r|\n", _text(path))
    note = [line.lstrip(' "').startswith("#") for line in lines]
    first = next((i for i, line in enumerate(lines) if line.strip() and not note[i]), None)
    if first is None:
        raise DataFileError(f"{path}, line 1, column 'solute': the file is empty. Start with a header: solute,Jv [LMH],c_Na [mM],c_Cl [mM],R_observed")
    separator = max(",;\t", key=lines[first].count)
    reader = csv.reader(["\n" if n else line + "\n" for n, line in zip(note, lines, strict=True)], delimiter=separator, skipinitialspace=True, strict=True)
    found: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((start, [cell.strip() for cell in cells]))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataFileError(f"{path}, line {start}, column unknown: {error}. Close every quotation mark on its own line.") from None
    (line, header), rows = found[0], found[1:]
    comment = " ".join(text.strip(f' "#{separator}') for text in lines[:first] if text.strip())
    table = _Table(path, line, header, [""] * len(header), [], comment)
    for at, cells in rows:
        cells += [""] * (len(header) - len(cells))
        if any(cells[len(header) :]):
            raise table.error(at, str(len(header) + 1), f"the row has {len(cells)} cells, the header {len(header)}. A decimal comma is not accepted: write 0.5.")
    for name in header:
        if name and header.count(name) > 1:
            raise table.error(line, name, "this column occurs twice. Column names must differ: rename or delete one.")
    if rows and not any(_NUMBER.fullmatch(cell) for cell in rows[0][1]) and (len(rows) > 1 or set(rows[0][1]) & {"-", *_FLUX}):
        table, rows = table._replace(second=["" if c == "-" else c for c in rows[0][1]]), rows[1:]
    if not rows:
        raise table.error(line + 1, header[0], "there are no rows of numbers below the header. Write one row for each measured rejection.")
    return table._replace(rows=rows)


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
        endings = {e: u for e, u in _ENDINGS.items() if name.endswith(f"_{e}") and not (name[:2].lower() == "c_" and u in _TEMPERATURE)}
        ending = max(endings, key=len, default="")
        base, unit = (name.removesuffix(f"_{ending}"), endings[ending]) if ending else (name, "")
    return base.strip().replace(" ", "_"), unit if not second or unit == second else f"{unit}, {second}".removeprefix(", ")


def _with_unit(table: _Table, column: _Column, known: dict[str, float], what: str) -> _Column:
    """The column with its factor to SI; refuses a missing or unknown unit."""
    if column.unit in known:
        return column._replace(factor=known[column.unit], offset=273.15 if known is _TEMPERATURE and column.unit != "K" else 0.0)
    wrong = f"the {what} has no unit" if not column.unit else f"{column.unit!r} is not a unit of {what}"
    wrong += " (ppm is mg/kg to some and mg/L to others)" if column.unit == "ppm" else ""
    allowed = [u for u in known if u and "µ" not in u]
    name = _split(column.name, "")[0]
    raise table.error(table.line, column.name, f"{wrong}. Allowed are {', '.join(allowed)}. Write the header as {name} [{allowed[0]}].")


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
                raise table.error(table.line, name, f"{ion} has a column already, {ions[ion].name!r}. Give each ion one column: delete one.")
            column = _with_unit(table, column, {**_MOLAR, **_MASS}, "concentration")
            ions[ion] = column._replace(factor=column.factor / (records()[ion]["molar_mass"] if unit in _MASS else 1.0))
            continue
        fits = [r for r, (pattern, known) in ROLES.items() if re.fullmatch(pattern, base, re.IGNORECASE) and (known is not None or not unit)]
        if fits and fits[0] not in columns:  # Jv_um_s and Jv_LMH: the first one counts
            known = ROLES[fits[0]][1]
            columns[fits[0]] = column if known is None else _with_unit(table, column, known, fits[0])
    _complete(table, columns, bool(ions))
    rejection = columns.get("real") or columns["observed"]
    if "sigma" in columns and not columns["sigma"].unit:
        columns["sigma"] = columns["sigma"]._replace(unit=rejection.unit, factor=rejection.factor)
    return {**columns, "rejection": rejection}, ions


def _complete(table: _Table, columns: dict[str, _Column], composition: bool) -> None:
    """Refuse a table without the columns that it takes."""
    needed = {
        "solute": ("solute" in columns, "solute, with Na+, Cl-, ..."),
        "Jv": ("flux" in columns, "Jv [LMH] or Jv_um_s"),
        "R_observed": (bool({"real", "observed"} & set(columns)), "R_observed (1 - c_p/c_b) or R_real (1 - c_p/c_m)"),
        "c_<ion>": (composition or "salt" in columns, "for each ion of the feed: c_Na [mM], c_Cl [mM]"),
        "dominant_salt_mM": ("salt" not in columns or "salt_amount" in columns, "dominant_salt_mM"),
    }
    for wanted, (there, example) in needed.items():
        if not there:
            close = difflib.get_close_matches(wanted, table.header, n=1, cutoff=0.4)
            near = f"The closest one is {close[0]!r}." if close else f"There are {', '.join(table.header)}."
            raise table.error(table.line, wanted, f"this column is missing. {near} Add a column {example}.")
    if {"real", "observed"} <= set(columns):
        both = columns["real"].name, columns["observed"].name
        raise table.error(table.line, both[1], f"the rejection stands in {both[0]!r} too. One of the two is allowed: delete the other.")


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
    flux_error: float
    rejection: float
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
    for cation in (n for n, z in charge.items() if z > 0):
        for anion in (n for n, z in charge.items() if z < 0):
            common = math.gcd(charge[cation], -charge[anion])
            counts = {cation: -charge[anion] // common, anion: charge[cation] // common}
            found["".join(part(*item) for item in counts.items())] = counts
    return found


def _number(table: _Table, line: int, cells: list[str], column: _Column, low: float | None = None, high: float | None = None, hint: str = "") -> float:
    """A cell in SI; refuses what is not a finite number within ``low`` and ``high`` (SI)."""
    text = cells[column.index].replace("−", "-")
    if text.lower() in _MISSING:
        raise table.error(line, column.name, f"{text!r} is a missing value. A finite number is needed: fill it in, or delete the row. {hint}".strip())
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        comma = "A decimal comma is not accepted" if re.fullmatch(r"[-+]?\d*,\d+", text) else "A finite number with a decimal point is needed"
        raise table.error(line, column.name, f"{text!r} is not a number. {comma}: write {text.replace(',', '.') if 'comma' in comma else '0.5'}.")
    value = float(text) * column.factor + column.offset
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = [f"{(b - column.offset) / column.factor:g}" if b is not None else "any" for b in (low, high)]
        raise table.error(line, column.name, f"{text} is outside ({bounds[0]}, {bounds[1]}) {column.unit}.".replace(" .", ".") + f" {hint or 'Check the value and the unit in the header.'}")
    return value


def _amounts(table: _Table, layout: _Layout, line: int, cells: list[str]) -> dict[str, float]:
    """Feed composition of a row, mol/m3: the salts split into ions, plus the ``c_`` columns."""
    amounts: dict[str, float] = {}
    for which, key in ((None, "dominant_salt_amount"), (TRACE_SALTS, "trace_salt_amount")):
        if key not in layout.others or (which is None and "dominant_salt" not in layout.others):
            continue
        amount = _number(table, line, cells, layout.others[key], 0.0, _RANGE["amount"]["high"])
        for salt in which or (cells[layout.others["dominant_salt"].index],):
            if salt not in salts():
                close = difflib.get_close_matches(salt, salts(), n=3, cutoff=0.4)
                raise table.error(line, layout.others["dominant_salt"].name, f"salt {salt!r} is not known. Closest: {', '.join(close)}. Write for example MgCl2.")
            for ion, count in salts()[salt].items():
                amounts[ion] = amounts.get(ion, 0.0) + count * amount
    for ion, column in layout.ions.items():
        amounts[ion] = amounts.get(ion, 0.0) + _number(table, line, cells, column, 0.0, _RANGE["amount"]["high"], "Write 0 for an ion that is absent.")
    return amounts


def _neutral(table: _Table, layout: _Layout, line: int, amounts: dict[str, float], balance: str | None) -> dict[str, float]:
    """The feed, refused when it carries a charge, or made neutral by one ion when asked."""
    charge = {ion: records()[ion]["charge"] for ion in amounts}
    net, gross = sum(charge[i] * c for i, c in amounts.items()), sum(abs(charge[i]) * c for i, c in amounts.items())
    if abs(net) <= TOLERANCE * gross and balance is None:
        return amounts
    columns = {ion: column.name for ion, column in layout.ions.items()}
    ion = canonical(balance) if balance else max((i for i in amounts if charge[i] * net < 0), key=amounts.__getitem__, default=next(iter(amounts)))
    column = columns.get(ion, next(iter(columns.values()), "dominant_salt"))
    needed = amounts.get(ion, 0.0) - net / charge[ion] if charge.get(ion) else -1.0
    if balance and needed < 0.0:
        raise table.error(line, column, f"balance={balance!r} cannot make this feed neutral; it needs an ion of the feed with enough of it. Name another ion.")
    if balance:
        return {**amounts, ion: needed}
    fix = f"Write {needed / layout.ions[ion].factor:.9g} in {column!r}, or " if needed >= 0.0 and ion in layout.ions else "Or "
    raise table.error(line, column, f"the feed carries a net charge of {net:.6g} mol/m3 ({net / gross:.2e} of the gross charge). Allowed is {TOLERANCE:g}. "
                      f"{fix}jm.dataset(path, balance={ion!r}).")  # fmt: skip


def _row(table: _Table, layout: _Layout, line: int, cells: list[str], balance: str | None) -> _Row:
    others, t = layout.others, _RANGE["temperature"]
    amounts = _neutral(table, layout, line, _amounts(table, layout, line, cells), balance)
    temperature = _number(table, line, cells, others["temperature"], t["low"], t["high"]) if "temperature" in others else STANDARD_TEMPERATURE
    salt = cells[others["dominant_salt"].index] if "dominant_salt" in others else ""
    label = cells[others["feed"].index] if "feed" in others else ""
    label = label or (f"{salt} {cells[others['dominant_salt_amount'].index]} {others['dominant_salt_amount'].unit}" if salt else "")
    label = label or ", ".join(f"{ion} {amount:.4g}" for ion, amount in amounts.items() if amount > 0.0) + " mM"
    solute = cells[layout.solute.index]
    present = {ion for ion, amount in amounts.items() if amount > 0.0}
    if solute in salts() and (solute == salt or set(salts()[solute]) == present):
        solute = next(iter(salts()[solute]))
    solute = _species(table, line, layout.solute.name, solute)
    if solute not in present:
        raise table.error(line, layout.solute.name, f"{solute} is not in the feed, which holds {', '.join(present)}. Give its concentration in c_{solute} [mM].")
    hint = "Rejection cannot exceed 1." + (" For percent write the header as R_observed [%]." if layout.rejection.factor == 1.0 else "")
    rejection = _number(table, line, cells, layout.rejection, None, 1.0, hint)
    given = {k: k in others and cells[others[k].index].lower() not in _MISSING for k in ("sigma_r", "sigma_jv")}
    sigma = _number(table, line, cells, others["sigma_r"], 1e-300, None, "Leave it empty when unknown.") if given["sigma_r"] else math.nan
    flux = _number(table, line, cells, layout.flux, 0.0, _RANGE["flux"]["high"], "The flux is positive towards the permeate; check its unit.")
    flux_error = _number(table, line, cells, others["sigma_jv"], 0.0) if given["sigma_jv"] else 0.0
    return _Row(line, _Feed(label, temperature, tuple(amounts.items())), solute, flux, flux_error, rejection, sigma)


# --- rows to points


def _points(table: _Table, layout: _Layout, rows: list[_Row]) -> list[list[_Row]]:
    """Rows of one feed and flux together; feeds in the order of the file, fluxes ascending."""
    feeds: dict[_Feed, list[list[_Row]]] = {}
    for row in sorted(rows, key=lambda r: r.flux):
        points = feeds.setdefault(row.feed, [])
        if not points or not math.isclose(points[-1][-1].flux, row.flux, rel_tol=1e-9):
            points.append([])
        twin = next((r for r in points[-1] if r.solute == row.solute), None)
        if twin is None:
            points[-1].append(row)
        elif twin.rejection != row.rejection:
            raise table.error(row.line, layout.rejection.name, f"{row.solute} has {row.rejection:g} here and {twin.rejection:g} in line {twin.line}, "
                              "at the same feed and flux. One value is allowed: average the two, or tell them apart in a column feed.")  # fmt: skip
    return [point for feed in dict.fromkeys(row.feed for row in rows) for point in _merged(feeds[feed])]


def _merged(points: list[list[_Row]]) -> list[list[_Row]]:
    """Neighbouring points of different solutes whose fluxes agree within their errors, joined, the closest first."""
    while True:
        gaps = {}
        for i, (low, high) in enumerate(zip(points, points[1:], strict=False)):
            gap = high[0].flux - low[-1].flux
            if gap <= high[0].flux_error + low[-1].flux_error and not {r.solute for r in low} & {r.solute for r in high}:
                gaps[i] = gap
        if not gaps:
            return points
        i = min(gaps, key=gaps.__getitem__)
        points = [*points[:i], points[i] + points[i + 1], *points[i + 2 :]]


def _membrane(table: _Table, layout: _Layout, given: Any) -> Any:
    column = layout.others.get("membrane")
    names = dict.fromkeys((cells[column.index] for _, cells in table.rows) if column else ())
    at = next((line for line, cells in table.rows if column and cells[column.index] != next(iter(names))), table.line)
    where = column.name if column else "membrane"
    if len(names) > 1:
        raise table.error(at, where, f"there are {len(names)} membranes: {', '.join(names)}. One per file is allowed: write one file for each.")
    if given is not None:
        return given
    name = next(iter(names), "")
    if name not in membrane_records():
        wrong = f"membrane {name!r} has no record (known: {', '.join(membrane_records())})" if name else "no membrane is named"
        raise table.error(table.rows[0][0] if name else table.line, where, f"{wrong}. Write jm.dataset(path, membrane=jm.membrane('NF270')).")
    return named_membrane(name)
