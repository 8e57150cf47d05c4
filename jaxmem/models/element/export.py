"""Element results as an xarray dataset; failed lanes are NaN, with their status beside them."""

from typing import Any

import numpy as np

from ..export import need

_ANY = {
    "recovery": ("1", "permeate flow over feed flow"),
    "feed_flow": ("m3 s-1", "feed flow of a vessel"),
    "feed_pressure": ("Pa", "feed pressure, absolute"),
    "pressure_drop": ("Pa", "feed less concentrate"),
    "mean_flux": ("m s-1", "permeate flow over area"),
    "permeate_flow": ("m3 s-1", "permeate flow of a vessel"),
    "specific_energy": ("J m-3", "energy per volume of permeate"),
    "error_estimate": ("1", "estimated discretisation error of what leaves"),
}
OF_SALT = {
    **_ANY,
    "feed_concentration": ("kg m-3", "salts in the feed"),
    "permeate_concentration": ("kg m-3", "salts in the permeate"),
    "concentrate_concentration": ("kg m-3", "salts in the concentrate"),
    "observed_rejection": ("1", "1 - c_p/c_f"),
    "minimum_energy": ("J m-3", "thermodynamic minimum"),
    "salt_closure": ("1", "salt balance, relative"),
    "water_closure": ("1", "mass balance, relative"),
}
OF_IONS = {
    **_ANY,
    "feed_concentration": ("mol m-3", "in the feed"),
    "permeate": ("mol m-3", "in the permeate"),
    "concentrate": ("mol m-3", "in the concentrate"),
    "observed_rejection": ("1", "1 - c_p/c_f"),
    "closure": ("1", "charge left in permeate or concentrate, relative"),
}
UNITS = {
    "flow": "m3 s-1", "concentration": "kg m-3", "pressure": "Pa", "drop": "Pa", "flux": "m s-1", "mass": "kg s-1", "recovery": "1", "modulus": "1",
    "rejection": "1",
}  # fmt: skip


def to_xarray(result: Any, columns: dict[str, tuple[str, str]], species: tuple[str, ...] = ()) -> Any:
    """``columns`` of a result and its table of elements; dimensions ``batch_0, ..., element, species``."""
    xr = need("xarray")
    shape, ok, elements = result.case.batch_shape, np.asarray(result.ok), result.elements
    count = elements["flux"].shape[-1]
    batch = tuple(f"batch_{i}" for i in range(len(shape)))

    def variable(value: Any, inner: tuple[str, ...], unit: str, text: str) -> tuple:
        own = np.shape(value)[np.ndim(value) - len(inner) :]
        full = np.broadcast_to(np.asarray(value), shape + own)
        masked = np.where(ok.reshape(ok.shape + (1,) * len(inner)), full, np.nan)
        return (*batch, *inner), masked, {"units": unit, "long_name": text}

    def of(value: Any, inner: tuple[str, ...]) -> tuple[str, ...]:
        """Values of species have one more axis."""
        return (*inner, "species") if np.ndim(value) > len(shape) + len(inner) else inner

    variables = {n: variable(v := getattr(result, n), of(v, ()), u, text) for n, (u, text) in columns.items()}
    for name, value in elements.items():
        inner, unit = of(value, ("element",)), UNITS[name.rsplit("_", 1)[-1]]
        unit = "mol m-3" if unit == "kg m-3" and "species" in inner else unit
        variables[f"element_{name}"] = variable(value, inner, unit, name.replace("_", " "))
    variables["status"] = (batch, np.asarray(result.status), {"long_name": "0 is solved; see jaxmem.STATUS"})
    places = {"element": np.arange(1, count + 1)} | ({"species": list(species)} if species else {})
    return xr.Dataset(variables, coords=places, attrs={"model": result.model.title()})


OF_TRAIN = {
    "recovery": ("1", "permeate flow over feed flow"),
    "feed_flow": ("m3 s-1", "feed of the train, before the recycle joins"),
    "permeate_flow": ("m3 s-1", "permeate of all stages"),
    "discharge_flow": ("m3 s-1", "concentrate that leaves the train"),
    "feed_pressure": ("Pa", "feed pressure, absolute, before the first booster"),
    "specific_energy": ("J m-3", "energy per volume of permeate"),
    "observed_rejection": ("1", "1 - c_p/c_f of the train"),
    "feed_concentration": ("{c}", "in the feed"),
    "permeate_concentration": ("{c}", "in the permeate"),
    "discharge_concentration": ("{c}", "in what leaves"),
    "salt_closure": ("1", "balance of what is dissolved, relative"),
    "water_closure": ("1", "balance of water, relative"),
}


def train_to_xarray(result: Any) -> Any:
    """The columns of a train, and of its stages along ``stage`` with names that begin with ``stage_``."""
    xr = need("xarray")
    stages = [stage.to_xarray().drop_vars("status") for stage in result.stages]
    found = xr.concat(stages, dim="stage", join="outer").assign_coords(stage=np.arange(1, len(stages) + 1))
    found = found.rename({str(name): f"stage_{name}" for name in found.data_vars})
    shape, ok = result.case.batch_shape, np.asarray(result.ok)
    batch, of_ions = tuple(f"batch_{i}" for i in range(len(shape))), "species" in found.dims
    for name, (unit, text) in OF_TRAIN.items():
        value = np.asarray(getattr(result, name))
        inner = ("species",) if of_ions and value.ndim > len(shape) else ()
        full = np.broadcast_to(value, shape + value.shape[value.ndim - len(inner) :])
        masked = np.where(ok.reshape(ok.shape + (1,) * len(inner)), full, np.nan)
        about = {"units": unit.format(c="mol m-3" if of_ions else "kg m-3"), "long_name": text}
        found[name] = ((*batch, *inner), masked, about)
    found["status"] = (batch, np.asarray(result.status), {"long_name": "0 is solved; see jaxmem.STATUS"})
    return found.assign_attrs(model=result.model.title())
