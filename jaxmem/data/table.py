"""A CSV file of measurements as a table whose columns are known by role and unit."""

import csv
import math
import re
from pathlib import Path
from typing import NamedTuple

from .._errors import DataFileError, JaxmemError, UnknownNameError
from ..chemistry.mixture import TOLERANCE
from ..chemistry.species import canonical, records
from ..units import DIMENSIONS, spelled

_FLUX, _TEMPERATURE, _FRACTION = DIMENSIONS["flux"], DIMENSIONS["temperature"], {"": 1.0, "%": 0.01}
_MOLAR, _MASS = DIMENSIONS["concentration"], DIMENSIONS["mass concentration"]
# What a column holds: its names, and its units if it is a quantity.
ROLES: dict[str, tuple[str, dict[str, float] | None]] = {
    "solute": ("solute|ion|species", None), "membrane": ("membrane", None), "label": ("feed|feed_label", None),
    "salt": ("dominant_salt", None), "salt_amount": ("dominant_salt", _MOLAR), "trace_amount": ("trace_salt", _MOLAR),
    "flux": ("j_?[vw]|flux|(volume|permeate)_flux", _FLUX), "flux error": ("sigma_(jv|flux)|jv_read_err", _FLUX),
    "real": ("r_(real|intrinsic)", _FRACTION), "observed": ("r_obs(erved)?", _FRACTION), "sigma": ("sigma_r|r_read_err", _FRACTION),
    "temperature": ("t|temperature", _TEMPERATURE),
}  # fmt: skip
_UNITS = (*_FLUX, *_MOLAR, *_MASS, *_TEMPERATURE, "%", "percent", "pct", "ppm")
_ENDINGS = {ending: spelled(unit) for unit in _UNITS for ending in (unit, unit.replace("/", "_"))}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
MISSING = ("", "-", "--", "nan", "na", "n/a", "null", "none")
_BRACKET = re.compile(r"(.*?)\s*[\[(]\s*(.*?)\s*[\])]")


def _spelled(unit: str) -> str:
    """A unit of a header, as the tables write it; a fraction has none."""
    return "" if unit.strip() in ("-", "fraction") else spelled(unit)


# --- text to table


class Table(NamedTuple):
    """A CSV as text, with the lines that its rows came from."""

    path: Path
    line: int  # of the header
    header: list[str]
    second: list[str]  # units of the second header row, "" where none
    rows: list[tuple[int, list[str]]]
    comment: str

    def error(self, line: int, column: str, text: str) -> DataFileError:
        """What is wrong, and where in the file."""
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


def read(path: Path) -> Table:
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
    table = Table(path, at, header, [""] * len(header), rows, comment)
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
    if {_spelled(cell) for cell in second} & {*_UNITS} and not any(NUMBER.fullmatch(cell) for cell in second):
        table = table._replace(second=second, rows=rows[1:])
    if not table.rows:
        raise table.error(at + 1, header[0], "there are no rows of numbers. Write one for each measured rejection.")
    return table


# --- header to columns


class Column(NamedTuple):
    """A column that is read, and how its numbers become SI: ``factor x + offset``."""

    index: int
    name: str  # as in the file
    unit: str = ""
    factor: float = 1.0
    offset: float = 0.0


def split_header(name: str, second: str) -> tuple[str, str]:
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


def number(table: Table, line: int, column: Column, text: str, low: float = -math.inf, high: float = math.inf, hint: str = "Check the unit.") -> float:  # fmt: skip
    """A cell in SI; refuses what is not a finite number within ``low`` and ``high`` (SI)."""
    text = text.replace("\N{MINUS SIGN}", "-")
    if text.lower() in MISSING:
        raise table.error(line, column.name, f"{text!r} is a missing value. A finite number is needed: write it, or delete the row.")  # fmt: skip
    if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        comma = "decimal comma is not accepted" if re.fullmatch(r"[-+]?\d*,\d+", text) else "finite number is needed"
        raise table.error(line, column.name, f"{text!r} is not a number. A {comma}: write for example 0.5.")
    value = float(text) * column.factor + column.offset
    if not low <= value <= high:
        bounds = ", ".join(f"{(b - column.offset) / column.factor:g}" for b in (low, high))
        raise table.error(line, column.name, f"{text} is outside {f'({bounds}) {column.unit}'.strip()}. {hint}")
    return value


def with_unit(table: Table, column: Column, known: dict[str, float], what: str) -> Column:
    """The column with its factor to SI; refuses a missing or unknown unit."""
    if column.unit in known:
        return column._replace(
            factor=known[column.unit], offset=273.15 if column.unit in _TEMPERATURE and column.unit != "K" else 0.0
        )
    wrong = f"the {what} has no unit" if not column.unit else f"{column.unit!r} is not a unit of {what}"
    wrong += " (ppm is mg/kg to some and mg/L to others)" if column.unit == "ppm" else ""
    allowed = [u for u in known if u and "µ" not in u]
    line = f"Write the header as {split_header(column.name, '')[0]} [{allowed[0]}]."
    raise table.error(table.line, column.name, f"{wrong}. Allowed are {', '.join(allowed)}. {line}")


def of_ion(table: Table, column: Column, ion: str) -> Column:
    """The column of a concentration of one ion, mol/m3 also where it is written as a mass."""
    column = with_unit(table, column, {**_MOLAR, **_MASS}, "concentration")
    return column._replace(factor=column.factor / (records()[ion]["molar_mass"] if column.unit in _MASS else 1.0))


def evened(table: Table, line: int, amounts: dict[str, float], ion: str) -> dict[str, float]:
    """The feed with so much of one ion, by its table name, that it is neutral."""
    charge = {name: records()[name]["charge"] for name in (*amounts, ion)}
    if charge[ion] == 0:
        raise JaxmemError(f'balance = {ion!r} has no charge and cannot balance anything. Write balance="Cl-".')
    needed = amounts.get(ion, 0.0) - sum(charge[i] * c for i, c in amounts.items()) / charge[ion]
    if needed < 0.0:
        sign = "an anion" if charge[ion] > 0 else "a cation"
        raise table.error(
            line, table.header[0], f"balance = {ion!r} would need {needed:.6g} mol/m3 of it. Balance with {sign}."
        )
    return {**amounts, ion: needed}


def refuse_charge(table: Table, line: int, ions: dict[str, Column], amounts: dict[str, float], other: str = "") -> None:
    """Refuse a feed, mol/m3 of every ion, that is not neutral; the message says which of the columns ``ions`` would make it so."""
    charge = {ion: records()[ion]["charge"] for ion in amounts}
    net, gross = (sum(f(charge[i]) * c for i, c in amounts.items()) for f in (int, abs))
    if abs(net) <= TOLERANCE * gross:
        return
    ion = max(ions, key=lambda i: (charge[i] * net < 0, amounts[i] * abs(charge[i])))
    needed = (amounts[ion] - net / charge[ion]) / ions[ion].factor
    wrong = f"the feed carries a net charge of {net:.6g} mol/m3 ({net / gross:.2e} of the gross charge)"
    fix = f"Write {needed:.9g} here{other.format(ion=ion)}." if needed > 0.0 else "Add the missing ion: c_<ion> [mM]."
    raise table.error(line, ions[ion].name, f"{wrong}. Allowed is {TOLERANCE:g}. {fix}")


def assigned(table: Table) -> tuple[dict[str, Column], dict[str, Column]]:
    """Which column holds what, by role; and the columns of the ions."""
    columns: dict[str, Column] = {}
    ions: dict[str, Column] = {}
    for index, name in enumerate(table.header):
        base, unit = split_header(name, table.second[index])
        column = Column(index, name, unit)
        if base[:2].lower() == "c_":
            ion = species_of(table, table.line, name, base[2:])
            if ion in ions:
                raise table.error(
                    table.line, name, f"{ion} has a column already, {ions[ion].name!r}. Delete one of them."
                )
            ions[ion] = of_ion(table, column, ion)
            continue
        for role, (pattern, known) in ROLES.items():
            named = re.fullmatch(pattern, base, re.IGNORECASE) and (known is not None or not unit or name == base)
            if named and role not in columns:  # Jv_um_s and Jv_LMH: the first one counts
                columns[role] = column if known is None else with_unit(table, column, known, role)
                break
    _complete(table, columns, bool(ions))
    rejection = columns.get("real") or columns["observed"]
    if "sigma" in columns and not columns["sigma"].unit:
        columns["sigma"] = columns["sigma"]._replace(unit=rejection.unit, factor=rejection.factor)
    return {**columns, "rejection": rejection}, ions


def _complete(table: Table, columns: dict[str, Column], composition: bool) -> None:
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


def species_of(table: Table, line: int, column: str, name: str) -> str:
    """The table's name of an ion, or where in the file an unknown one stands."""
    try:
        return canonical(name)
    except UnknownNameError as error:
        raise table.error(line, column, str(error)) from None
