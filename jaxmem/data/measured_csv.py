"""Measurements of any quantities in a CSV file: one row per experiment.

    pressure [bar], c_Na [mM], c_Cl [mM], volume_flux [LMH], sigma_volume_flux [%], observed_rejection_Na [%], sigma_observed_rejection_Na [%]

A column that bears the name of a quantity of the case is what was set; ``c_<ion>`` is the feed; every other column is an attribute of the Result (with the
ion where it is one per species), what was measured, and ``sigma_<name>`` its standard error: in the same unit, or in percent of a value that is not.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._errors import UnknownNameError
from ..case import Case, all_quantities, at_path
from ..chemistry.species import canonical, records
from ..models.electroconvection.export import MEANS
from ..models.element.export import OF_IONS, OF_SALT
from ..models.export import INSIDE, PER_LANE, PER_SPECIES
from ..models.nernst_planck_poisson.export import CURVE, LANE
from ..units import DIMENSIONS
from .table import MISSING, Column, Table, number, of_ion, read, refuse_charge, species_of, split_header, with_unit

_LANES = {**MEANS, **CURVE, **LANE, **PER_LANE, **INSIDE, **OF_SALT}
_IONS = {**OF_IONS, **PER_SPECIES}


def unit_of(name: str) -> str | None:
    """Of an attribute of a Result, or of one ion of it (``permeate.Na+``), as the units of the command line; None where it is not known."""
    path, _, ion = name.rpartition(".")
    unit, _ = _IONS.get(path, (None, "")) if ion in records() else _LANES.get(name, (None, ""))
    return None if unit is None else re.sub(r" (\w+?)-(\d)", lambda m: f"/{m[1]}{m[2].replace('1', '')}", unit)


def read_measured(path: Path, case: Case) -> tuple[Case, dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """The case with what was set, one lane per row; values and errors of what was measured; the comment of the file.

    Raises ``DataFileError`` with file, line and column.
    """
    table = read(path)
    metas = {p: m for p, _, m in all_quantities(case)}
    names = [p.rsplit(".", 1)[-1] for p in metas]
    full = {name: path for name, path in zip(names, metas, strict=True) if names.count(name) == 1} | {
        p: p for p in metas
    }
    ions: dict[str, Column] = {}
    was_set: dict[str, Column] = {}
    seen: dict[str, Column] = {}
    errors: dict[str, Column] = {}
    for index, header in enumerate(table.header):
        base, unit = split_header(header, table.second[index])
        column = Column(index, header, unit)
        if not header and not any(cells[index] for _, cells in table.rows):
            continue  # a comma at the end of every line
        if base[:2].lower() == "c_":
            name, role = species_of(table, table.line, header, base[2:]), ions
            column = of_ion(table, column, name)
        elif base in full:
            name, role = full[base], was_set
            if metas[name]["ndim"]:
                raise table.error(table.line, header, "this is one number for each ion, a column only one. Write c_<ion> [mM] for the feed.")  # fmt: skip
            column = with_unit(table, column, _units_of(metas[name]["unit"]), base)
        elif base in names:
            same = ", ".join(p for p in metas if p.endswith(f".{base}"))
            raise table.error(table.line, header, f"this stands in several places of the case. Write one of {same}.")
        elif base.startswith("sigma_"):
            name, role = _of_ion(base.removeprefix("sigma_"), case), errors
        else:
            name, role = _of_ion(base, case), seen
            column = _in_si(table, column, name, list(full))
        if name in role:
            raise table.error(
                table.line, header, f"another column, {role[name].name!r}, says this already. Delete one of them."
            )
        role[name] = column
    if not seen:
        raise table.error(table.line, table.header[-1], "nothing here was measured. Add a column such as permeate_flow [m3/h], an attribute of the Result.")  # fmt: skip
    case = _set(table, case, {path: _numbers(table, column, metas[path]) for path, column in was_set.items()}, ions)
    if unused := errors.keys() - seen:
        column = errors[min(unused)]
        raise table.error(table.line, column.name, f"{min(unused)} is no column of measurements: nothing uses its error. Delete this one.")  # fmt: skip
    return case, {name: _measured(table, name, column, errors.get(name), list(full)) for name, column in seen.items()}, table.comment  # fmt: skip


def _in_si(table: Table, column: Column, name: str, known: list[str]) -> Column:
    """The column of a measured quantity with its factor to SI, mol/m3 where it is a concentration of one ion; refuses units of another dimension."""
    unit = unit_of(name)
    if unit == "mol/m3":
        return of_ion(table, column, name.rpartition(".")[2])
    if unit is not None:
        return with_unit(table, column, _units_of(unit), name)
    if column.unit:
        raise table.error(table.line, column.name, f"this is no quantity of the case ({_closest(name, known)}), and no result whose unit is known here. Leave the unit out and give SI.")  # fmt: skip
    return column


def _closest(name: str, known: list[str]) -> str:
    return f"closest: {', '.join(difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:3])}"


def _of_ion(base: str, case: Case) -> str:
    """``observed_rejection_Na`` is ``observed_rejection.Na+``."""
    name, _, last = base.rpartition("_")
    try:
        ion = canonical(last)
    except UnknownNameError:
        return base
    return f"{name}.{ion}" if name and ion in case.feed.species.names else base


def _units_of(unit: str) -> dict[str, float]:
    """Units that a quantity in ``unit`` may be written in; none at all is right for a plain number."""
    found = {u: f for known in DIMENSIONS.values() if unit.removeprefix("1") in known for u, f in known.items()}
    return found or {unit: 1.0}


def _numbers(table: Table, column: Column, meta: Mapping[str, Any]) -> np.ndarray:
    return np.array([number(table, line, column, cells[column.index], meta["low"], meta["high"]) for line, cells in table.rows])  # fmt: skip


def _set(table: Table, case: Case, found: dict[str, np.ndarray], ions: dict[str, Column]) -> Case:
    """The case with one lane per row."""
    if ions:
        names, columns = case.feed.species.names, []
        for ion, column in ions.items():
            if ion not in names:
                raise table.error(table.line, column.name, f"{ion} is not in the feed of the case, which has {', '.join(names)}. Add it there.")  # fmt: skip
        for name in names:
            if name not in ions:
                raise table.error(table.line, table.header[0], f"{name} of the feed has no column. Add c_{name} [mM].")
            column = ions[name]
            columns.append([number(table, line, column, cells[column.index], 0.0) for line, cells in table.rows])
        for (line, _), amounts in zip(table.rows, np.transpose(columns), strict=True):
            refuse_charge(table, line, ions, dict(zip(names, amounts.tolist(), strict=True)))
        case = case.replace(**{"feed.concentration": jnp.asarray(columns).T})
    case = case.replace(**{path: jnp.asarray(value) for path, value in found.items()})
    if case.batch_shape not in ((), (len(table.rows),)):
        raise table.error(table.line, table.header[0], f"the case has lanes {case.batch_shape} of its own, the file {len(table.rows)} rows. Give a case of one lane.")  # fmt: skip
    if not case.batch_shape:  # nothing was set: the same experiment again and again
        first = next(path for path, *_ in all_quantities(case) if path.startswith("conditions."))
        value = at_path(case, first.split("."))
        case = case.replace(**{first: jnp.broadcast_to(value, (len(table.rows), *jnp.shape(value)))})
    return case


def _measured(table: Table, name: str, column: Column, error: Column | None, known: list[str]) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Values and standard errors, NaN where nothing was measured."""
    if error is None:
        raise table.error(table.line, column.name, f"this is no quantity of the case ({_closest(name, known)}), so it was measured, but how exactly? Add a column sigma_{name} [%].")  # fmt: skip
    relative = error.unit == "%" and column.unit != "%"
    if error.unit and not relative:
        error = with_unit(table, error, {column.unit: 1.0}, error.name)
    fraction = not error.unit and error.name.rstrip().endswith(("]", ")"))  # [fraction] or [-], said and not left out
    error = error._replace(factor=0.01 if relative else 1.0 if fraction else column.factor)
    value, sigma = np.full((2, len(table.rows)), np.nan)
    for i, (line, cells) in enumerate(table.rows):
        if cells[column.index].lower() not in MISSING:
            value[i] = number(table, line, column, cells[column.index])
            sigma[i] = number(table, line, error, cells[error.index]) * (abs(value[i]) if relative else 1.0)
            if not sigma[i] > 0.0:
                raise table.error(
                    line, error.name, f"{cells[error.index]} is no standard error. It must be above zero."
                )
    return value, sigma
