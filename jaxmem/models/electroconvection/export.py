"""Electroconvection as an xarray dataset; failed lanes are NaN, with their status beside them."""

from typing import Any

import numpy as np

from ..export import need

MEANS = {
    "voltage": ("V", "potential of the far end over y = 0, at the end"),
    "current": ("A m-2", "mean current density"),
    "current_interval": ("A m-2", "half width of its 95 % interval"),
    "vortex_diameter": ("1", "d1 over L: twice the height of the extremum of the stream function"),
    "vortex_height": ("1", "d2 over L: where the rms normal velocity is half of its peak"),
    "vortex_pairs": ("1", "pairs of the strongest mode half way up"),
    "space_charge_thickness": ("1", "height of space charge over L"),
    "kind": ("1", "0 quiescent, 1 steady, 2 slow drift, 3 unsteady"),
    "potential_residual": ("1", "largest residual of the potential in the window, over the charge"),
    "charge_closure": ("1", "largest defect of the charge balance of a step"),
    "current_spread": ("1", "current through the lower wall less that through the upper one, over 1 + |i|"),
    "min_concentration": ("1", "smallest concentration of an ion, over c0"),
    "salt_closure": ("1", "largest defect of the salt balance of a step"),
}
SERIES = {
    "current": "mean current, F D c0/L",
    "speed_u": "largest velocity along the membrane, D/L",
    "speed_v": "largest normal velocity, D/L",
}


def to_xarray(result: Any) -> Any:
    """Dimensions ``batch_0, ..., point, sample, row, column``; a sweep has points. Fields are scaled."""
    xr = need("xarray")
    shape, ok = result.status.shape, np.asarray(result.ok)
    batch = tuple(f"batch_{i}" for i in range(len(shape)))
    points = ("point",) if result.scaled_voltage.ndim > len(shape) else ()

    def variable(value: Any, inner: tuple[str, ...], unit: str, text: str) -> tuple:
        full = np.asarray(value)
        masked = np.where(ok.reshape(ok.shape + (1,) * (full.ndim - len(shape))), full, np.nan)
        return (*batch, *points, *inner), masked, {"units": unit, "long_name": text}

    variables = {name: variable(getattr(result, name), (), unit, text) for name, (unit, text) in MEANS.items()}
    seen = result.state.seen
    variables |= {f"series_{n}": variable(getattr(seen, n), ("sample",), "1", text) for n, text in SERIES.items()}
    variables["scaled_voltage"] = variable(result.scaled_voltage, (), "1", "at the end, in RT/F")
    faces = np.broadcast_to(np.asarray(result.state.faces), (*shape, result.state.faces.shape[-1]))
    variables["row_face"] = (*batch, "corner"), faces, {"units": "1", "long_name": "faces of the rows, over L"}
    variables["time"] = variable(seen.time, ("sample",), "1", "end of the sample, L^2/D")
    variables["concentration"] = variable(result.state.c, ("ion", "row", "column"), "1", "counter-ions first, over c0")
    variables["potential"] = variable(result.state.phi, ("row", "column"), "1", "in RT/F")
    variables["stream_function"] = variable(result.state.psi, ("corner", "column"), "1", "at corners, D")
    if result.state.frames is not None:
        names = (("ion", "row", "column"), ("row", "column"), ("corner", "column"))
        for what, value, inner in zip(
            ("concentration", "potential", "stream_function"), result.state.frames, names, strict=True
        ):
            variables[f"series_{what}"] = variable(value, ("sample", *inner), "1", f"{what} of every sample")
    variables["status"] = (batch, np.asarray(result.status), {"long_name": "0 is solved; see jaxmem.STATUS"})
    return xr.Dataset(variables, attrs={"model": result.model.title()})
