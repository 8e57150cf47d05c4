"""Case files for the command line: TOML with units as people write them.

model = "DSPMDE"                      # or "SDEM"
[feed]
"Na+" = "460 mg/L"                    # or "20 mM", "20 mol/m3", "1.1 g/kg"
"Cl-" = "709 mg/L"
balance = "Cl-"
temperature = "25 degC"
[membrane]
name = "NF270"                        # a record, or the four numbers:
pore_radius = "0.45 nm"               # they override the record
[conditions]
flux = ["5 LMH", "100 LMH", 40]       # from, to, how many; or one value; or pressure = "8 bar"
mass_transfer = "40 um/s"             # optional: k of Na+, others by D^(2/3)
"""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp

from . import units
from ._errors import DataFileError, JaxmemError, unknown
from .case import Case
from .chemistry.mixture import Mixture, feed
from .chemistry.species import canonical, species
from .conditions import FluxDriven, PressureDriven, film
from .membranes.permeance import PermeanceMembrane
from .membranes.pore import PoreMembrane, membrane
from .models.dspmde.model import DSPMDE
from .models.sdem import SDEM
from .models.solve import solve

_PORE = {
    "pore_radius": "length",
    "thickness_over_porosity": "length",
    "charge_density": "concentration",
    "pore_permittivity": "permittivity",
}


class Question(NamedTuple):
    """A model and a case, as a file stated them."""

    model: Any
    case: Case
    title: str

    def solve(self) -> Any:
        """Answer it; failures are statuses."""
        return solve(self.model, self.case, throw=False)


def read(path: Path) -> Question:
    """Read a case file; every mistake names the file, and the line and column where there is one."""
    if not path.exists():
        raise DataFileError(f"{path}: no such file. Write the path of a case file, for example: jaxmem solve case.toml")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        record = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataFileError(f'{path}: {error}. A line reads like: pore_radius = "0.45 nm"') from error
    try:
        return _question(record, path.stem)
    except DataFileError:
        raise
    except JaxmemError as error:
        raise type(error)(f"{path}{_where(text, str(error))}: {error}") from error


def _where(text: str, message: str) -> str:
    """`` line N, column M`` of the first quoted word of the message, if the file holds it."""
    for quote in ("'", '"'):
        for word in message.split(quote)[1::2]:
            for number, line in enumerate(text.splitlines(), start=1):
                if word and word in line:
                    return f", line {number}, column {line.index(word) + 1}"
    return ""


def _table(record: dict, name: str, allowed: tuple[str, ...] | None) -> dict:
    part = record.get(name)
    if not isinstance(part, dict):
        raise JaxmemError(
            f"the table [{name}] is missing. A case file has [feed], [membrane] and [conditions]. Write [{name}]."
        )
    if allowed is not None:
        for key in part:
            if key not in allowed:
                raise unknown(f"Entry of [{name}]", key, allowed, "")
    return part


def _question(record: dict, title: str) -> Question:
    for key in record:
        if key not in ("model", "title", "feed", "membrane", "conditions"):
            raise unknown("Entry of the case file", key, ("model", "title", "feed", "membrane", "conditions"), "")
    mixture, conditions = (
        _feed(_table(record, "feed", None)),
        _conditions(_table(record, "conditions", ("flux", "pressure", "mass_transfer", "film"))),
    )
    wall = _membrane(_table(record, "membrane", None))
    style = record["conditions"].get("film", "nernst_planck")
    options = record.get("model", "DSPMDE")
    options = {"name": options} if isinstance(options, str) else dict(options)
    name = options.pop("name", "DSPMDE")
    known = {"DSPMDE": DSPMDE, "SDEM": SDEM}
    if name not in known:
        raise unknown("Model", name, known, 'Write model = "DSPMDE".')
    try:
        model = known[name](film=style, **options)
    except TypeError as error:
        raise JaxmemError(
            f'model options {options} are not known to {name}. Write model = {{ name = "DSPMDE", activity = "ideal" }}.'
        ) from error
    return Question(model, Case(mixture, wall, conditions), record.get("title", title))


def _feed(part: dict) -> Mixture:
    part = dict(part)
    if "name" in part:
        return feed(part["name"])
    temperature = units.parse(part.pop("temperature", "25 degC"), "temperature")
    balance = part.pop("balance", None)
    density = units.parse(part.pop("density"), "mass concentration") if "density" in part else None
    if not part:
        raise JaxmemError('the feed holds no species. Write "Na+" = "460 mg/L".')
    molar: dict[str, Any] = {}
    for name, amount in part.items():
        name = canonical(name)
        kind = next((k for k in ("concentration", "mass concentration", "mass fraction") if _has_unit(amount, k)), None)
        if kind is None:
            units.parse(amount, "mass concentration")
        value = units.parse(amount, kind or "concentration")
        mass = species(name).molar_mass[0]
        molar[name] = (
            value
            if kind == "concentration"
            else (value / mass if kind == "mass concentration" else value * (density or 1000.0) / mass)
        )
    return Mixture.from_concentration(molar, temperature=temperature, balance=balance)


def _has_unit(text: Any, dimension: str) -> bool:
    try:
        units.parse(text, dimension)
    except JaxmemError:
        return False
    return True


def _membrane(part: dict) -> PoreMembrane | PermeanceMembrane:
    part = dict(part)
    if "permeance" in part:
        return PermeanceMembrane.of({k: units.parse(v, "flux") for k, v in part["permeance"].items()})
    name = part.pop("name", None)
    for key in part:
        if key not in _PORE:
            raise unknown("Entry of [membrane]", key, ("name", "permeance", *_PORE), "")
    numbers = {key: units.parse(value, _PORE[key]) for key, value in part.items()}
    if name is not None:
        return membrane(name, **numbers)
    for key in ("pore_radius", "thickness_over_porosity"):
        if key not in numbers:
            raise JaxmemError(f'[membrane] has neither a name nor a {key}. Write name = "NF270".')
    return PoreMembrane(**numbers)


def _conditions(part: dict) -> FluxDriven | PressureDriven:
    if ("flux" in part) == ("pressure" in part):
        raise JaxmemError(
            '[conditions] needs either a flux or a pressure. Write flux = "20 LMH" or pressure = "8 bar".'
        )
    name = "flux" if "flux" in part else "pressure"
    value = part[name]
    if isinstance(value, list):
        if len(value) != 3 or not isinstance(value[2], int) or value[2] < 2:
            raise JaxmemError(
                f'{name} = {value} is not a range. Write {name} = ["5 LMH", "100 LMH", 40]: from, to, how many.'
            )
        amount = jnp.linspace(units.parse(value[0], name), units.parse(value[1], name), value[2])
    else:
        amount = units.parse(value, name)
    transfer = film("D^(2/3)", units.parse(part["mass_transfer"], "flux")) if "mass_transfer" in part else None
    return FluxDriven(amount, transfer) if name == "flux" else PressureDriven(amount, transfer)


def write(result: Any, *, csv: Path | None, netcdf: Path | None, png: Path | None) -> list[str]:
    """Write the files asked for; returns one line each."""
    lines = []
    if csv is not None:
        result.to_dataframe().to_csv(csv, index=False)
        lines.append(f"table   {csv}")
    if netcdf is not None:
        result.to_xarray().to_netcdf(netcdf, engine="h5netcdf")
        lines.append(f"netCDF  {netcdf}")
    if png is not None:
        axes = result.plot.rejection() if len(result.case.batch_shape) == 1 else result.plot.profiles()
        axes.figure.savefig(png, bbox_inches="tight")
        lines.append(f"figure  {png}")
    return lines
