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


def variable(result: Any, value: Any, inner: tuple[str, ...], unit: str, text: str) -> tuple:
    """Dimensions, numbers and attributes of one quantity of every lane; those of failed lanes are NaN."""
    ok, full = np.asarray(result.ok), np.asarray(value)
    full = np.broadcast_to(full, ok.shape + full.shape[full.ndim - len(inner) :])
    shown = np.where(ok.reshape(ok.shape + (1,) * len(inner)), full, np.nan)
    return ((*_batch(result), *inner), shown, {"units": unit, "long_name": text})


def variables(result: Any, curve: dict[str, tuple[str, str]], lane: dict[str, tuple[str, str]]) -> dict[str, tuple]:
    """Of a curve and of a lane, the criteria, and the status."""
    points = ("point",) * result.points
    found = {n: variable(result, getattr(result, n), points, u, t) for n, (u, t) in curve.items()}
    found |= {n: variable(result, getattr(result, n), (), u, t) for n, (u, t) in lane.items()}
    found |= {n: variable(result, getattr(result.groups, n), (), "1", n.replace("_", " ")) for n in GROUPS}
    return found | {
        "status": (_batch(result), np.asarray(result.status), {"long_name": "0 is solved; see jaxmem.STATUS"})
    }


def rows(dataset: Any) -> Any:
    """A ``pandas.DataFrame`` with a row for every entry of a dataset, and one of a dataset without axes."""
    return (dataset if dataset.dims else dataset.expand_dims("row")).to_dataframe().reset_index(drop=not dataset.dims)


def _batch(result: Any) -> tuple[str, ...]:
    return tuple(f"batch_{i}" for i in range(result.status.ndim))


def to_xarray(result: Any) -> Any:
    """Dimensions ``batch_0, ..., point, ion, cell``; a sweep has points."""
    xr, found, points = need("xarray"), variables(result, CURVE, LANE), ("point",) * result.points
    inside = {
        "concentration": (result.concentration, (*points, "ion", "cell"), "mol m-3", "concentration"),
        "potential": (result.potential, (*points, "cell"), "V", "potential, zero at the lower end"),
        "position": (result.position, ("cell",), "1", "height over L"),
    }
    found |= {n: variable(result, *what) for n, what in inside.items()}
    names = list(result.clean.feed.species.names)
    return xr.Dataset(found, coords={"ion": names}, attrs={"model": result.model.title()})
