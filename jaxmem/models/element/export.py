"""Element results as an xarray dataset; failed lanes are NaN, with their status beside them."""

from typing import Any

import numpy as np

from ..export import need

PER_LANE = {
    "recovery": ("1", "permeate flow over feed flow"),
    "feed_flow": ("m3 s-1", "feed flow of a vessel"),
    "feed_concentration": ("kg m-3", "salts in the feed"),
    "feed_pressure": ("Pa", "feed pressure, absolute"),
    "pressure_drop": ("Pa", "feed less concentrate"),
    "mean_flux": ("m s-1", "permeate flow over area"),
    "permeate_flow": ("m3 s-1", "permeate flow of a vessel"),
    "permeate_concentration": ("kg m-3", "salts in the permeate"),
    "observed_rejection": ("1", "1 - c_p/c_f"),
    "concentrate_concentration": ("kg m-3", "salts in the concentrate"),
    "specific_energy": ("J m-3", "energy per volume of permeate"),
    "minimum_energy": ("J m-3", "thermodynamic minimum"),
    "salt_closure": ("1", "salt balance, relative"),
    "water_closure": ("1", "mass balance, relative"),
    "error_estimate": ("1", "estimated discretisation error of the recovery"),
}
UNITS = {
    "flow": "m3 s-1", "concentration": "kg m-3", "pressure": "Pa", "drop": "Pa", "flux": "m s-1", "mass": "kg s-1", "recovery": "1", "modulus": "1"
}  # fmt: skip


def to_xarray(result: Any) -> Any:
    """Dimensions ``batch_0, ..., element``."""
    xr = need("xarray")
    shape, ok = result.case.batch_shape, np.asarray(result.ok)
    dims = tuple(f"batch_{i}" for i in range(len(shape)))

    def masked(value: Any, extra: int) -> np.ndarray:
        full = np.broadcast_to(np.asarray(value), shape + np.shape(value)[np.ndim(value) - extra :])
        return np.where(ok.reshape(ok.shape + (1,) * extra), full, np.nan)

    variables = {
        n: (dims, masked(getattr(result, n), 0), {"units": u, "long_name": d}) for n, (u, d) in PER_LANE.items()
    }
    for name, value in result.elements.items():
        unit = UNITS[name.rsplit("_", 1)[-1]]
        variables[f"element_{name}"] = (
            (*dims, "element"),
            masked(value, 1),
            {"units": unit, "long_name": name.replace("_", " ")},
        )
    variables["status"] = (dims, np.asarray(result.status), {"long_name": "0 is solved; see jaxmem.STATUS"})
    count = result.state.nodes.stream.water.shape[-2]
    return xr.Dataset(variables, coords={"element": np.arange(1, count + 1)}, attrs={"model": result.model.title()})
