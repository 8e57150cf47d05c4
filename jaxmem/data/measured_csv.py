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
from ..chemistry.mixture import TOLERANCE, Mixture
from ..chemistry.species import canonical, records
from ..units import DIMENSIONS
from .table import MISSING, Column, Table, number, read, species_of, split_header, with_unit

_CONCENTRATION = {**DIMENSIONS["concentration"], **DIMENSIONS["mass concentration"]}
# Units that a measured quantity may have, by what its name holds; the first that fits
_MEASURED = (("scaled", None), ("rejection|recovery|passage", "fraction"), ("flux", "flux"), ("flow", "flow"), ("pressure", "pressure"),
             ("current", "current density"), ("voltage", "voltage"), ("concentration|permeate|concentrate|interface|feed", "mass concentration"))  # fmt: skip


def read_measured(path: Path, case: Case) -> tuple[Case, dict[str, tuple[np.ndarray, np.ndarray]], str]:
    """The case with what was set, one lane per row; values and errors of what was measured; the comment of the file.

    Raises ``DataFileError`` with file, line and column.
    """
    table = read(path)
    metas = {p: m for p, _, m in all_quantities(case)}
    names = [p.rsplit(".", 1)[-1] for p in metas]
    short = {name: p for name, p in zip(names, metas, strict=True) if names.count(name) == 1}
    ions: dict[str, Column] = {}
    was_set: dict[str, Column] = {}
    seen: dict[str, Column] = {}
    errors: dict[str, Column] = {}
    for index, header in enumerate(table.header):
        base, unit = split_header(header, table.second[index])
        column = Column(index, header, unit)
        if base[:2].lower() == "c_":
            ion = species_of(table, table.line, header, base[2:])
            _once(table, header, ion in ions)
            ions[ion] = with_unit(table, column, _CONCENTRATION, "concentration")
        elif base in names and base not in short:
            same = ", ".join(p for p in metas if p.endswith(f".{base}"))
            raise table.error(table.line, header, f"this stands in several places of the case. Write one of {same}.")
        elif (where := base if base in metas else short.get(base)) is not None:
            _once(table, header, where in was_set)
            if metas[where]["ndim"]:
                raise table.error(table.line, header, "this is one number for each ion, a column only one. Write c_<ion> [mM] for the feed.")  # fmt: skip
            was_set[where] = with_unit(table, column, _units_of(metas[where]["unit"]), base)
        elif base.startswith("sigma_"):
            errors[_of_ion(base.removeprefix("sigma_"), case)] = column
        else:
            seen[_of_ion(base, case)] = _in_si(table, column, _of_ion(base, case), short)
    if not seen:
        raise table.error(table.line, table.header[-1], "nothing here was measured. Add a column such as permeate_flow [m3/h], an attribute of the Result.")  # fmt: skip
    case = _set(table, case, {path: _numbers(table, column, metas[path]) for path, column in was_set.items()}, ions)
    return case, {name: _measured(table, name, column, errors, short) for name, column in seen.items()}, table.comment


def _once(table: Table, header: str, again: bool) -> None:
    if again:
        raise table.error(table.line, header, "another column says this already. Delete one of them.")


def _in_si(table: Table, column: Column, name: str, short: dict[str, str]) -> Column:
    """The column of a measured quantity with its factor to SI, mol/m3 where it is of one ion; refuses units of another dimension."""
    path, _, ion = name.rpartition(".")
    of_ion = ion in records()
    dimension = next((d for words, d in _MEASURED if re.search(words, path if of_ion else name)), None)
    if dimension is None:
        if not column.unit:
            return column
        close = ", ".join(difflib.get_close_matches(name, short, n=3, cutoff=0.3) or list(short)[-3:])
        raise table.error(table.line, column.name, f"this is no quantity of the case (closest: {close}), and the unit of such a result is not known here. Leave the unit out and give SI.")  # fmt: skip
    if dimension == "mass concentration" and of_ion:
        found = with_unit(table, column, _CONCENTRATION, "concentration")
        mass = column.unit in DIMENSIONS["mass concentration"]
        return found._replace(factor=found.factor / (records()[ion]["molar_mass"] if mass else 1.0))
    return with_unit(table, column, DIMENSIONS[dimension], dimension)


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
            mass = column.unit in DIMENSIONS["mass concentration"]
            per_mole = 1.0 / records()[name]["molar_mass"] if mass else 1.0
            columns.append([per_mole * number(table, line, column, cells[column.index], 0.0) for line, cells in table.rows])  # fmt: skip
        charges = np.asarray(case.feed.species.charge)
        for (line, _), amounts in zip(table.rows, np.transpose(columns), strict=True):
            net, gross = charges @ amounts, np.abs(charges) @ amounts
            if abs(net) > TOLERANCE * gross:
                raise table.error(line, next(iter(ions.values())).name, f"the feed carries a net charge of {net:.6g} mol/m3 ({net / gross:.2e} of the gross charge). Allowed is {TOLERANCE:g}: balance one of the ions.")  # fmt: skip
        mixture = Mixture(case.feed.species, jnp.asarray(columns).T, case.feed.temperature)
        case = Case(mixture, case.membrane, case.conditions)
    case = case.replace(**{path: jnp.asarray(value) for path, value in found.items()})
    if case.batch_shape not in ((), (len(table.rows),)):
        raise table.error(table.line, table.header[0], f"the case has lanes {case.batch_shape} of its own, the file {len(table.rows)} rows. Give a case of one lane.")  # fmt: skip
    if not case.batch_shape:  # nothing was set: the same experiment again and again
        first = next(path for path, *_ in all_quantities(case) if path.startswith("conditions."))
        value = at_path(case, first.split("."))
        case = case.replace(**{first: jnp.broadcast_to(value, (len(table.rows), *jnp.shape(value)))})
    return case


def _measured(table: Table, name: str, column: Column, errors: dict[str, Column], short: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Values and standard errors, NaN where nothing was measured."""
    if name not in errors:
        close = ", ".join(difflib.get_close_matches(name, short, n=3, cutoff=0.3) or list(short)[-3:])
        raise table.error(table.line, column.name, f"this is no quantity of the case (closest: {close}), so it was measured, but how exactly? Add a column sigma_{name} [%].")  # fmt: skip
    error = errors[name]
    relative = error.unit == "%" and column.unit != "%"
    error = error._replace(factor=0.01) if relative else with_unit(table, error, {column.unit: column.factor}, error.name) if error.unit else error._replace(factor=column.factor, unit=column.unit)  # fmt: skip
    value, sigma = np.full((2, len(table.rows)), np.nan)
    for i, (line, cells) in enumerate(table.rows):
        if cells[column.index].lower() in MISSING:
            continue
        value[i] = number(table, line, column, cells[column.index])
        sigma[i] = number(table, line, error, cells[error.index], 1e-300, hint="It must be above zero.") * (abs(value[i]) if relative else 1.0)  # fmt: skip
    return value, sigma
