"""Case files of elements and vessels:

[feed]
"Na+" = "12.6 g/L"
"Cl-" = "19.4 g/L"
balance = "Cl-"
[membrane]
element = "SW30HRLE-400"              # a record; or area, length, water_permeance and salt_permeability; or area, length and name = "NF270"
elements = 6                          # in series; 1 without
[conditions]
pressure = "60 bar"                   # absolute; or recovery = "45 %", or flux = "15 LMH"; one value or [from, to, how many]
flow = "9 m3/h"                       # of the feed of one vessel
permeate_pressure = "1.01325 bar"     # optional, as are pump_efficiency = "88 %" and energy_recovery = "95 %"
"""

from typing import Any

from ._amounts import amount, span
from ._errors import JaxmemError, unknown
from .conditions import FeedPressure, MeanFlux, Pump, Recovery
from .membranes.element import SpiralElement, Vessel, element
from .membranes.pore import membrane as pore_membrane
from .membranes.solution_diffusion import SolutionDiffusionMembrane
from .models.base import AbstractModel
from .models.element.ions import SpiralWoundIons
from .models.element.model import SpiralWound

_GEOMETRY = {"area": "area", "length": "length", "spacer_height": "length", "porosity": "fraction"}
_MEMBRANE = {"water_permeance": "permeance", "salt_permeability": "flux"}
_IMPOSED = {"pressure": (FeedPressure, "pressure"), "recovery": (Recovery, "fraction"), "flux": (MeanFlux, "flux")}
_OTHERS = ("flow", "permeate_pressure", "pump_efficiency", "energy_recovery")


def is_asked(record: dict) -> bool:
    """Whether a file asks about an element: it names one, or says how large it is."""
    part = record.get("membrane")
    return isinstance(part, dict) and bool({"element", "area"} & set(part))


def question(record: dict) -> tuple[AbstractModel, Any, Any]:
    """Model, vessel and conditions of a file. Membranes with a name tell ions apart."""
    ions = "name" in record["membrane"]
    name = "SpiralWoundIons" if ions else "SpiralWound"
    if record.get("model", name) != name:
        raise JaxmemError(
            f'model = {record["model"]!r} is not for this element. Write model = "{name}", or leave the line out.'
        )
    part = record.get("conditions")
    if not isinstance(part, dict):
        raise JaxmemError("the table [conditions] is missing. Write [conditions] with a pressure and a flow.")
    model = SpiralWoundIons() if ions else SpiralWound()
    return model, _vessel(dict(record["membrane"])), _conditions(part)


def salt_membrane(part: dict) -> SolutionDiffusionMembrane:
    """A membrane that is A and B."""
    for key in part:
        if key not in _MEMBRANE:
            raise unknown("Entry of [membrane] beside salt_permeability", key, tuple(_MEMBRANE), "")
    if len(part) < 2:
        raise JaxmemError("A membrane needs water_permeance and salt_permeability together. Write both.")
    return SolutionDiffusionMembrane(**{k: amount(k, v, _MEMBRANE[k])[0] for k, v in part.items()})


def _vessel(part: dict) -> Vessel:
    count, name, pore = part.pop("elements", 1), part.pop("element", None), part.pop("name", None)
    for key in part:
        if key not in (*_GEOMETRY, *_MEMBRANE):
            raise unknown("Entry of [membrane]", key, ("element", "elements", "name", *_GEOMETRY, *_MEMBRANE), "")
    geometry = {k: amount(k, v, _GEOMETRY[k])[0] for k, v in part.items() if k in _GEOMETRY}
    numbers = {k: v for k, v in part.items() if k in _MEMBRANE}
    if pore is not None and numbers:
        raise JaxmemError("[membrane] has a name and permeances: two membranes. Leave one of them out.")
    membrane = {"membrane": salt_membrane(numbers)} if numbers else {}
    if pore is not None:
        membrane = {"membrane": pore_membrane(pore)}
    if name is not None:
        return Vessel(element(name, **membrane, **geometry), count)
    for key in ("area", "length", *(() if pore is not None else _MEMBRANE)):
        if key not in part:
            raise JaxmemError(f'[membrane] has neither an element nor a {key}. Write element = "SW30HRLE-400".')
    return Vessel(SpiralElement(**membrane, **geometry), count)


def _conditions(part: dict) -> FeedPressure | Recovery | MeanFlux:
    for key in part:
        if key not in (*_IMPOSED, *_OTHERS):
            raise unknown("Entry of [conditions]", key, (*_IMPOSED, *_OTHERS), "")
    given = [key for key in _IMPOSED if key in part]
    if len(given) != 1 or "flow" not in part:
        raise JaxmemError(
            '[conditions] of an element needs a flow and one of pressure, recovery and flux. Write flow = "9 m3/h" and '
            'pressure = "60 bar".'
        )
    pump = Pump(**{k: amount(k, part[k], "fraction")[0] for k in ("pump_efficiency", "energy_recovery") if k in part})
    permeate = {k: amount(k, part[k], "pressure")[0] for k in ("permeate_pressure",) if k in part}
    kind, dimension = _IMPOSED[given[0]]
    return kind(span(given[0], part[given[0]], dimension), span("flow", part["flow"], "flow"), **permeate, pump=pump)
