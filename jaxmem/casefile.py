"""Case files for the command line: TOML with units as people write them.

model = "DSPMDE"                      # or "SDEM"
[feed]
"Na+" = "460 mg/L"                    # or "20 mM", "20 mol/m3", "1.1 g/kg"
"Cl-" = "709 mg/L"
balance = "Cl-"
temperature = "25 degC"
[membrane]
name = "NF270"                        # a record; or all four numbers without a name; beside a name they override it
pore_radius = "0.45 nm"               # also thickness_over_porosity, charge_density = "-27 mol/m3", pore_permittivity = 41.3
                                      # or water_permeance = "3 LMH/bar" and salt_permeability = "0.1 um/s": a coupon of reverse osmosis
[conditions]
flux = ["5 LMH", "100 LMH", 40]       # from, to, how many; or one value; or pressure = "8 bar"
mass_transfer = "40 um/s"             # optional: k of Na+, others by D^(2/3)

Elements and vessels of reverse osmosis: see ``casefile_vessel.py``.
"""

import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import casefile_vessel
from ._amounts import amount, span
from ._errors import DataFileError, ElectroneutralityError, JaxmemError, PhysicalRangeError, unknown
from ._fields import example, outside, quantities
from .case import Case
from .chemistry.mixture import Mixture, feed
from .chemistry.species import canonical, species
from .conditions import FluxDriven, MassTransfer, PressureDriven, film
from .membranes.permeance import PermeanceMembrane
from .membranes.pore import PoreMembrane, membrane
from .membranes.solution_diffusion import SolutionDiffusionMembrane
from .models.dspmde.model import DSPMDE
from .models.sdem import SDEM
from .models.solution_diffusion import SolutionDiffusion
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
    path: Path

    def solve(self) -> Any:
        """Answer it; failures are statuses."""
        try:
            return solve(self.model, self.case, throw=False)
        except JaxmemError as error:
            text = self.path.read_text(encoding="utf-8-sig", errors="replace")
            raise type(error)(_placed(self.path, text, error)) from error


def read(path: Path) -> Question:
    """Read a case file; every mistake names the file, and the line and column where there is one."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataFileError(f"{path}: {what}. Write the path of a case file, for example: jaxmem solve case.toml")
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        record = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataFileError(f'{path}: {error}. A line reads like: pore_radius = "0.45 nm"') from error
    try:
        return _question(record, path)
    except ElectroneutralityError as error:
        raise type(error)(f'{path}: {error} In a case file that is balance = "Cl-" under [feed].') from error
    except JaxmemError as error:
        raise type(error)(_placed(path, text, error)) from error


_TOML = (  # how the library says it, and how a case file does
    (r"(\w+)=(-?[\d.eE+-]+) \* jm\.units\.(\w+)", r'\1 = "\2 \3"'),
    (r"as in (\w+)=(-?[\d.eE+-]+) \(([^)]+)\)", r'as in \1 = "\2 \3"'),
    (r"as in (\w+)=(-?[\d.eE+-]+)\.", r"as in \1 = \2."),
    (r"jm\.Vessel\(element, (\d+)\)", r"elements = \1"),
    (r"jm\.element\((\"[^\"]+\")\)", r"element = \1"),
    (r"^count =", "elements ="),
    (r"to cross two axes write .*", "give both as many values, or one of them a single one."),
    (r"(-?[\d.eE+-]+) \* jm\.units\.(\w+)", r'"\1 \2"'),
    (r"jm\.(?:membrane|feed)\((\"[^\"]+\")\)", r"name = \1"),
    (r"jm\.DSPMDE\((film)=(\"[^\"]+\")\)", r"\1 = \2 under [conditions]"),
    (r"jm\.(\w+)\((\w+)=([^()]+)\)", r'model = { name = "\1", \2 = \3 }'),
    (r"\b(\w+)=True\b", r"\1 = true"),
    (r"\b(\w+)=False\b", r"\1 = false"),
    (r"jaxmem is SI: for", "For"),
)


def _in_toml(message: str) -> str:
    """What the library tells to type, as a line of the file."""
    for python, toml in _TOML:
        message = re.sub(python, toml, message)
    return re.sub(r'"[^"]*"', lambda quoted: quoted[0].replace("_per_", "/"), message)


def _checked(kind: type, name: str, key: str, value: Any, text: Any) -> Any:
    """``value`` if it is in the range of the field ``name``, every lane of it: what is written down is meant."""
    meta = quantities(kind)[name]
    bad = outside(np.asarray(value), meta)
    if bad.any():
        worst, allowed = float(np.asarray(value)[bad].flat[0]), f"{meta['low']:g} to {meta['high']:g} {meta['unit']}"
        raise PhysicalRangeError(
            f"'{key}' = {text!r} is {worst:g} {meta['unit']}; allowed is {allowed}{example(key, meta)}."
        )
    return value


def _placed(path: Path, text: str, error: JaxmemError) -> str:
    """The message as it stands in a case file, with file, line and column."""
    message = _in_toml(str(error))
    return f"{path}{_where(text, message)}: {message}"


def _where(text: str, message: str) -> str:
    """``, line N, column M`` of the entry that a message begins with, or of its first quoted word, if the file holds it."""
    if key := re.match(r"'?(?:\w+\.)?(\w+)'? = ", message):
        for number, line in enumerate(text.splitlines(), start=1):
            if there := re.match(rf"\s*{key[1]}\s*=\s*", line):
                return f", line {number}, column {there.end() + 1}"
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


def _question(record: dict, path: Path) -> Question:
    for key in record:
        if key not in ("model", "title", "feed", "membrane", "conditions"):
            raise unknown("Entry of the case file", key, ("model", "title", "feed", "membrane", "conditions"), "")
    if casefile_vessel.is_vessel(record):
        mixture = _feed(_table(record, "feed", None))
        model, wall, conditions = casefile_vessel.question(record)
        return Question(model, Case(mixture, wall, conditions), _title(record, path), path)
    mixture, conditions = (
        _feed(_table(record, "feed", None)),
        _conditions(_table(record, "conditions", ("flux", "pressure", "mass_transfer", "film"))),
    )
    wall = _membrane(_table(record, "membrane", None))
    if isinstance(wall, SolutionDiffusionMembrane):
        if "film" in record["conditions"]:
            raise JaxmemError(
                "'film' is for ions; behind A and B the film law is that of the salt. Leave the line out."
            )
        if record.get("model", "SolutionDiffusion") != "SolutionDiffusion":
            raise JaxmemError(f"'model' is {record['model']!r}, but A and B belong to solution-diffusion. Leave the line out.")  # fmt: skip
        return Question(SolutionDiffusion(), Case(mixture, wall, conditions), _title(record, path), path)
    style = record["conditions"].get("film", "nernst_planck")
    options = record.get("model", "DSPMDE")
    if not isinstance(options, str | dict):
        raise JaxmemError(
            f'\'model\' is {options!r}. Write model = "DSPMDE", or model = {{ name = "DSPMDE", activity = "ideal" }}.'
        )
    options = {"name": options} if isinstance(options, str) else dict(options)
    name, title = options.pop("name", "DSPMDE"), _title(record, path)
    known = {"DSPMDE": DSPMDE, "SDEM": SDEM}
    if "film" in options:
        raise JaxmemError(f"'film' stands under [conditions]. Write film = \"{options['film']}\" there.")
    if not isinstance(name, str) or name not in known:
        raise unknown("Model", name, known, 'Write model = "DSPMDE".')
    try:
        model = known[name](film=style, **options)
    except TypeError as error:
        raise JaxmemError(
            f'model options {options} are not known to {name}. Write model = {{ name = "DSPMDE", activity = "ideal" }}.'
        ) from error
    return Question(model, Case(mixture, wall, conditions), title, path)


def _title(record: dict, path: Path) -> str:
    title = record.get("title", path.stem)
    if not isinstance(title, str):
        raise JaxmemError(f"'title' is {title!r}. Write it in quotes: title = \"{title}\".")
    return title


def _feed(part: dict) -> Mixture:
    part = dict(part)
    warm = part.pop("temperature", "25 degC")
    temperature = _checked(Mixture, "temperature", "temperature", amount("temperature", warm, "temperature")[0], warm)
    if "name" in part:
        mixture = feed(part.pop("name"))
        for key in part:
            raise JaxmemError(
                f"'{key}' cannot stand beside the name of a feed, which fixes the composition. Leave one of them out; only "
                "temperature may be added."
            )
        return Mixture(mixture.species, mixture.concentration, temperature)
    balance = part.pop("balance", None)
    density = amount("density", part.pop("density"), "mass concentration")[0] if "density" in part else 1000.0
    if not part:
        raise JaxmemError('the feed holds no species. Write "Na+" = "460 mg/L".')
    molar: dict[str, Any] = {}
    for key, text in part.items():
        name = canonical(key)
        if name in molar:
            raise JaxmemError(f"{key!r} is {name}, which this feed already has. Write it once, with the sum.")
        value, kind = amount(key, text, "mass concentration", "concentration", "mass fraction")
        per_mole = {"concentration": 1.0, "mass concentration": 1.0, "mass fraction": density}[kind]
        molar[name] = value * per_mole / (1.0 if kind == "concentration" else species(name).molar_mass[0])
    return Mixture.from_concentration(molar, temperature=temperature, balance=balance)


def _membrane(part: dict) -> PoreMembrane | PermeanceMembrane | SolutionDiffusionMembrane:
    part = dict(part)
    if "salt_permeability" in part or set(part) == {"water_permeance"}:
        return casefile_vessel.salt_membrane(part)
    if "permeance" in part:
        permeance = _table(part, "permeance", None)
        for key in part:
            if key not in ("permeance", "water_permeance"):
                raise unknown("Entry of [membrane] beside permeance", key, ("water_permeance",), "")
        water = {key: amount(key, v, "permeance")[0] for key, v in part.items() if key == "water_permeance"}
        return PermeanceMembrane.of({k: amount(k, v, "flux")[0] for k, v in permeance.items()}, **water)
    name = part.pop("name", None)
    for key in part:
        if key not in _PORE:
            raise unknown("Entry of [membrane]", key, ("name", "permeance", *_PORE), "")
    numbers = {
        key: _checked(PoreMembrane, key, key, amount(key, value, _PORE[key])[0], value) for key, value in part.items()
    }
    if name is not None:
        return membrane(name, **numbers)
    for key in _PORE:
        if key not in numbers:
            raise JaxmemError(
                f'[membrane] has neither a name nor a {key}. Write name = "NF270", or all of {", ".join(_PORE)}.'
            )
    return PoreMembrane(**numbers)


def _conditions(part: dict) -> FluxDriven | PressureDriven:
    if ("flux" in part) == ("pressure" in part):
        raise JaxmemError(
            '[conditions] needs either a flux or a pressure. Write flux = "20 LMH" or pressure = "8 bar".'
        )
    name = "flux" if "flux" in part else "pressure"
    value = span(name, part[name], name)
    transfer = None
    if "mass_transfer" in part:
        k = amount("mass_transfer", part["mass_transfer"], "flux")[0]
        k = _checked(MassTransfer, "coefficient", "mass_transfer", k, part["mass_transfer"])
        transfer = film("D^(2/3)", k)
    kind, field = (FluxDriven, "volume_flux") if name == "flux" else (PressureDriven, "pressure")
    return kind(_checked(kind, field, name, value, part[name]), transfer)


def check_outputs(*, csv: Path | None, netcdf: Path | None, png: Path | None) -> None:
    """Before the solve: can the files be written?"""
    for path in (csv, netcdf, png):
        if path is not None and (path.is_dir() or not path.parent.is_dir()):
            raise DataFileError(f"{path} cannot be written: it is a folder, or its folder does not exist. Name a file.")
    if png is not None and png.suffix not in (".png", ".svg", ".pdf"):
        name = png.with_suffix(".png").name
        raise DataFileError(
            f"{png}: figures of kind {png.suffix!r} are not known. Write {name}; .svg and .pdf also do."
        )


def write(result: Any, *, csv: Path | None, netcdf: Path | None, png: Path | None) -> list[str]:
    """Write the files asked for; returns one line each."""
    lines = []
    if csv is not None:
        frame = result.to_dataframe()
        dataset = result.to_xarray(potentials=False) if hasattr(result, "profiles") else result.to_xarray()
        unit = {n: v.attrs.get("units", "1") for n, v in dataset.items()}
        frame.columns = [n if unit.get(n, "1") == "1" else f"{n} [{unit[n]}]" for n in frame.columns]
        frame.to_csv(csv, index=False)
        lines.append(f"table   {csv}")
    if netcdf is not None:
        result.to_xarray().to_netcdf(netcdf, engine="h5netcdf")
        lines.append(f"netCDF  {netcdf}")
    if png is not None:
        axes = result.plot.picture()
        axes.figure.savefig(png, bbox_inches="tight")
        lines.append(f"figure  {png}")
    return lines
