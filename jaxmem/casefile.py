"""Case files for the command line: TOML with units as people write them.

model = "DSPMDE"                      # or "SDEM", the model of permeances; may be left out
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

Elements and vessels of reverse osmosis: see ``casefile_vessel.py``; currents through ion-exchange membranes: ``casefile_electric.py``.
"""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from . import casefile_electric, casefile_vessel
from ._amounts import amount, span
from ._errors import DataFileError, ElectroneutralityError, JaxmemError, PhysicalRangeError, unknown
from ._fields import example, outside, quantities
from .case import Case
from .chemistry.mixture import Mixture, feed, solution_density
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
        told = re.sub(r"write Mixture\(\.\.\., balance='([^']+)'\)", r'write balance = "\1" under [feed]', str(error))
        raise type(error)(f"{path}{_where(text, told + ' [feed]')}: {told}") from error
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
    if key := re.match(r"'?(?:\w+\.)?([^\s'=]+)'? (?:= |has a Stokes)|.*?\[(feed)\]", message, re.DOTALL):
        entry = r"\s*\[feed\]" if key[2] else rf"\s*[\"']?{re.escape(key[1])}[\"']?\s*=\s*"
        for number, line in enumerate(text.splitlines(), start=1):
            if there := re.match(entry, line):
                return f", line {number}, column {1 if key[2] else there.end() + 1}"
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
    for kind in (casefile_vessel, casefile_electric):
        if kind.is_asked(record):
            mixture = _feed(_table(record, "feed", None))
            model, wall, conditions = kind.question(record)
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
    usual = "SDEM" if isinstance(wall, PermeanceMembrane) else "DSPMDE"
    options = record.get("model", usual)
    if not isinstance(options, str | dict):
        raise JaxmemError(
            f'\'model\' is {options!r}. Write model = "DSPMDE", or model = {{ name = "DSPMDE", activity = "ideal" }}.'
        )
    options = {"name": options} if isinstance(options, str) else dict(options)
    name, title = options.pop("name", usual), _title(record, path)
    known = {"DSPMDE": DSPMDE, "SDEM": SDEM}
    if "film" in options:
        raise JaxmemError(f"'film' stands under [conditions]. Write film = \"{options['film']}\" there.")
    if not isinstance(name, str) or name not in known:
        raise unknown("Model", name, known, 'Write model = "DSPMDE".')
    _check_kinds(name, wall, mixture)
    try:
        model = known[name](film=style, **options)
    except TypeError as error:
        raise JaxmemError(
            f'model options {options} are not known to {name}. Write model = {{ name = "DSPMDE", activity = "ideal" }}.'
        ) from error
    return Question(model, Case(mixture, wall, conditions), title, path)


def _check_kinds(model: str, wall: Any, mixture: Mixture) -> None:
    """Refuse a membrane that the model has no use for, in the words of a case file."""
    if (model == "SDEM") != isinstance(wall, PermeanceMembrane):
        what = ("a permeance for each ion", "a pore") if model == "SDEM" else ("a pore", "permeances")
        line = 'name = "NF270-SDEM"' if model == "SDEM" else 'name = "NF270", or leave the line with the model out'
        raise JaxmemError(f"'model' is {model!r}, which needs {what[0]}; [membrane] gives {what[1]}. Write {line}.")
    if isinstance(wall, PermeanceMembrane):
        for name in mixture.species.names:
            if name not in wall.names:
                raise JaxmemError(
                    f"'{name}' is in the feed, but the membrane has no permeance for it, only for {', '.join(wall.names)}. Write permeance = "
                    f'{{ "{name}" = "10 um/s", ... }} under [membrane].'
                )


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
    density = amount("density", part.pop("density"), "mass concentration")[0] if "density" in part else None
    if not part:
        raise JaxmemError('the feed holds no species. Write "Na+" = "460 mg/L".')
    amounts: dict[str, tuple[float, str]] = {}
    for key, text in part.items():
        name = canonical(key)
        if name in amounts:
            raise JaxmemError(f"{key!r} is {name}, which this feed already has. Write it once, with the sum.")
        amounts[name] = amount(key, text, "mass concentration", "concentration", "mass fraction")
        if not 0.0 <= amounts[name][0] < np.inf:
            raise PhysicalRangeError(f"'{key}' = {text!r} is no amount. Write it from zero on, such as \"460 mg/L\".")
    if density is None:  # as Mixture.from_mass_fraction has it
        share = sum(value for value, kind in amounts.values() if kind == "mass fraction")
        if share >= 1.0:
            raise PhysicalRangeError(
                f'the feed is {share:.3g} kg of solutes per kg of solution. Write "Na+" = "460 mg/kg".'
            )
        density = float(solution_density(jnp.asarray(share), jnp.asarray(temperature)))
    per = {"concentration": 1.0, "mass concentration": 1.0, "mass fraction": density}
    molar = {
        name: value * per[kind] / (1.0 if kind == "concentration" else species(name).molar_mass[0])
        for name, (value, kind) in amounts.items()
    }
    for key in part:
        if not molar[canonical(key)] <= quantities(Mixture)["concentration"]["high"]:
            raise PhysicalRangeError(
                f'\'{key}\' = {part[key]!r} is {molar[canonical(key)]:.4g} mol/m3, more than dissolves. Write "{key}" = "460 mg/L".'
            )
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
    if name is not None and isinstance(found := membrane(name), PermeanceMembrane):
        for key in part:
            if key != "water_permeance":
                raise unknown(f"Entry of [membrane] beside {name}", key, ("water_permeance",), "")
        return replace(found, **{key: amount(key, value, "permeance")[0] for key, value in part.items()})
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
