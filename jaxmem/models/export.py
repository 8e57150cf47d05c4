"""Results as xarray datasets and pandas frames; failed lanes are NaN, with their status beside them."""

from typing import Any

import numpy as np

from .._errors import JaxmemError
from .result import PointResult

PER_SPECIES = {
    "observed_rejection": ("1", "1 - c_p/c_b"),
    "real_rejection": ("1", "1 - c_p/c_m"),
    "feed": ("mol m-3", "bulk concentration"),
    "interface": ("mol m-3", "concentration at the membrane, solution side"),
    "permeate": ("mol m-3", "permeate concentration"),
    "solute_flux": ("mol m-2 s-1", "solute flux"),
    "error_estimate": ("1", "estimated error of the observed rejection, of discretisation and round-off"),
}
PER_LANE = {
    "volume_flux": ("m s-1", "superficial volume flux"),
    "pressure": ("Pa", "transmembrane pressure difference"),
    "osmotic_difference": ("Pa", "osmotic pressure difference, interface minus permeate"),
    "residual": ("1", "largest scaled residual"),
    "closure": ("1", "largest relative charge left anywhere"),
}
INSIDE = {
    "donnan_feed": ("V", "psi(pore entrance) - psi(interface)"),
    "donnan_permeate": ("V", "psi(pore exit) - psi(permeate)"),
    "pore_drop": ("V", "psi(pore exit) - psi(pore entrance)"),
    "membrane_potential": ("V", "psi(permeate) - psi(interface)"),
}


def need(package: str) -> Any:
    """A package of an extra, or the line that installs it."""
    try:
        return __import__(package)
    except ImportError as error:
        raise JaxmemError(f"{package} is not installed. Type: pip install 'jaxmem[data]'") from error


def _masked(result: PointResult, name: str, species: bool) -> np.ndarray:
    value = np.array(
        np.broadcast_to(
            np.asarray(getattr(result, name)),
            result.case.batch_shape + ((len(result.case.feed.species),) if species else ()),
        )
    )
    return np.where((np.asarray(result.ok)[..., None] if species else np.asarray(result.ok)), value, np.nan)


def to_xarray(result: PointResult, potentials: bool = True) -> Any:
    """Dimensions ``batch_0, batch_1, ..., species``; attributes carry unit and meaning."""
    xr = need("xarray")
    dims = tuple(f"batch_{i}" for i in range(len(result.case.batch_shape)))
    has_pore = potentials and hasattr(result.model, "core")
    variables = {
        n: ((*dims, "species"), _masked(result, n, True), {"units": u, "long_name": d})
        for n, (u, d) in PER_SPECIES.items()
    }
    for name, (unit, doc) in {**PER_LANE, **(INSIDE if has_pore else {})}.items():
        variables[name] = (dims, _masked(result, name, False), {"units": unit, "long_name": doc})
    if has_pore:
        variables["peclet"] = (
            (*dims, "species"),
            _masked(result, "peclet", True),
            {"units": "1", "long_name": "pore Peclet number"},
        )
    if result.learned:
        told = {"long_name": "1: beyond what the networks have learned from"}
        variables["outside"] = (dims, np.asarray(result.outside).astype(np.int8), told)
    variables["status"] = (dims, np.asarray(result.status), {"long_name": "0 is solved; see jaxmem.STATUS"})
    variables["steps"] = (dims, np.asarray(result.steps), {"long_name": "Newton and chord steps"})
    names = list(result.case.feed.species.names)
    return xr.Dataset(variables, coords={"species": names}, attrs={"model": result.model.title()})


def to_dataframe(result: PointResult) -> Any:
    """One row per lane and species."""
    need("pandas")
    return to_xarray(result, potentials=False).to_dataframe().reset_index()
