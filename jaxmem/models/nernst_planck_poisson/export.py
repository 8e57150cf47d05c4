"""Currents through a layer as an xarray dataset; failed lanes are NaN, with their status beside them."""

from typing import Any

import numpy as np

from ..export import need

CURVE = {
    "voltage": ("V", "potential of the far end over the lower one"),
    "current": ("A m-2", "current density, positive where cations go to y = 0"),
    "scaled_voltage": ("1", "voltage in RT/F"),
    "scaled_current": ("1", "current in F D c0/L"),
    "transport_number": ("1", "share of the current that counter-ions carry"),
    "space_charge_thickness": ("1", "height of space charge over L"),
    "closure": ("1", "difference of the current between faces, relative"),
}
LANE = {
    "limiting_current": ("A m-2", "limiting current of electroneutral solution"),
    "open_circuit_voltage": ("V", "voltage without current"),
}
GROUPS = ("eps", "kappa", "diffusivity_ratio", "schmidt")


def to_xarray(result: Any) -> Any:
    """Dimensions ``batch_0, ..., point, ion, cell``; a sweep has points."""
    xr = need("xarray")
    shape, ok = result.status.shape, np.asarray(result.ok)
    batch = tuple(f"batch_{i}" for i in range(len(shape)))
    points = ("point",) if result.current.ndim > len(shape) else ()

    def variable(value: Any, inner: tuple[str, ...], unit: str, text: str) -> tuple:
        full = np.asarray(value)
        full = np.broadcast_to(full, shape + full.shape[full.ndim - len(inner) :])
        return (
            (*batch, *inner),
            np.where(ok.reshape(ok.shape + (1,) * len(inner)), full, np.nan),
            {"units": unit, "long_name": text},
        )

    variables = {n: variable(getattr(result, n), points, u, t) for n, (u, t) in CURVE.items()}
    variables |= {n: variable(getattr(result, n), (), u, t) for n, (u, t) in LANE.items()}
    variables |= {n: variable(getattr(result.groups, n), (), "1", n.replace("_", " ")) for n in GROUPS}
    variables["concentration"] = variable(result.concentration, (*points, "ion", "cell"), "mol m-3", "concentration")
    variables["potential"] = variable(result.potential, (*points, "cell"), "V", "potential, zero at the lower end")
    variables["position"] = variable(result.position, ("cell",), "1", "height over L")
    variables["status"] = (batch, np.asarray(result.status), {"long_name": "0 is solved; see jaxmem.STATUS"})
    names = list(result.clean.feed.species.names)
    return xr.Dataset(variables, coords={"ion": names}, attrs={"model": result.model.title()})
