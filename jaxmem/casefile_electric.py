"""Case files of currents through ion-exchange membranes:

[feed]
"Na+" = "10 mM"
"Cl-" = "10 mM"
[membrane]
exchanges = "cations"                 # an ideal surface, with an enrichment = 2.0 if you like; or one with an inside:
                                      # charge_density = "1 M", thickness = "100 um", diffusion = 0.1 (over that in solution)
[conditions]
voltage = ["20 mV", "1.2 V", 40]      # one value, or from, to, how many: a curve; or current = ["1 A/m2", "9 A/m2", 9]
thickness = "100 um"                  # of the layer from the membrane to the stirred bulk
"""

from typing import Any

from ._amounts import amount, span
from ._errors import JaxmemError, unknown
from .conditions import CurrentDriven, Voltage
from .membranes.ion_exchange import FixedChargeMembrane, IonExchangeMembrane
from .models.nernst_planck_poisson.model import NernstPlanckPoisson

_INSIDE = {"charge_density": "concentration", "thickness": "length", "diffusion": "fraction"}
_SURFACE = {"enrichment": "fraction"}
_IMPOSED = {"voltage": (Voltage, "voltage"), "current": (CurrentDriven, "current density")}


def is_asked(record: dict) -> bool:
    """Whether a file asks for a current: its membrane says which ions it exchanges."""
    part = record.get("membrane")
    return isinstance(part, dict) and "exchanges" in part


def question(record: dict) -> tuple[NernstPlanckPoisson, Any, Any]:
    """Model, membrane and conditions of a file."""
    if record.get("model", "NernstPlanckPoisson") != "NernstPlanckPoisson":
        raise JaxmemError(f"'model' is {record['model']!r}, but this membrane exchanges ions. Leave the line out.")
    part = record.get("conditions")
    if not isinstance(part, dict):
        raise JaxmemError("the table [conditions] is missing. Write [conditions] with a voltage and a thickness.")
    return NernstPlanckPoisson(), _membrane(dict(record["membrane"])), _conditions(part)


def _membrane(part: dict) -> IonExchangeMembrane | FixedChargeMembrane:
    kind = part.pop("exchanges")
    known = _INSIDE if set(part) & set(_INSIDE) else _SURFACE
    if known is _INSIDE and "enrichment" in part:
        raise JaxmemError(
            f"'enrichment' belongs to an ideal surface, {next(k for k in part if k in _INSIDE)!r} to a membrane with an inside. Leave one of them out."
        )
    for key in part:
        if key not in known:
            raise unknown("Entry of [membrane] beside exchanges", key, tuple({**_SURFACE, **_INSIDE}), "")
    numbers = {key: amount(key, value, known[key])[0] for key, value in part.items()}
    return FixedChargeMembrane(kind, **numbers) if known is _INSIDE else IonExchangeMembrane(kind, **numbers)


def _conditions(part: dict) -> Voltage | CurrentDriven:
    for key in part:
        if key not in (*_IMPOSED, "thickness"):
            raise unknown("Entry of [conditions]", key, (*_IMPOSED, "thickness"), "")
    given = [key for key in _IMPOSED if key in part]
    if len(given) != 1 or "thickness" not in part:
        raise JaxmemError(
            '[conditions] of an ion-exchange membrane needs a thickness and one of voltage and current. Write thickness = "100 um" and '
            'voltage = ["20 mV", "1.2 V", 40].'
        )
    kind, dimension = _IMPOSED[given[0]]
    return kind(span(given[0], part[given[0]], dimension), amount("thickness", part["thickness"], "length")[0])
