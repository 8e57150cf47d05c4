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
