"""Fields that a march goes on from: the last ones of another march, on its cells or others."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._errors import JaxmemError, ShapeError
from ..._fields import is_concrete
from .domain import Domain
from .flow import Inert, amplitudes
from .step import Fields

_NAMES = {
    "row_face": ("corner",),
    "concentration": ("ion", "row", "column"),
    "potential": ("row", "column"),
    "stream_function": ("corner", "column"),
    "scaled_voltage": (),
}


class Start(NamedTuple):
    """Scaled, behind the axes of a batch, if any."""

    faces: Array  # of the rows, (Ny + 1,)
    c: Array  # counter-ions first, (2, Ny, Nx)
    phi: Array  # (Ny, Nx)
    psi: Array  # at corners, (Ny + 1, Nx)
    voltage: Array

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Leading axes."""
        return self.phi.shape[:-2]

    def over(self, shape: tuple[int, ...]) -> "Start":
        """One for each lane; refused where lanes are others."""
        if self.batch_shape not in ((), shape):
            raise ShapeError(
                f"The fields to go on from have lanes of shape {self.batch_shape}, the case of {shape}. Write model.after(result) with the "
                "result of one lane, or of as many (in jm.sweep: of one, or with chunk= as many)."
            )
        n = len(self.batch_shape)
        return jax.tree.map(lambda x: jnp.broadcast_to(x, shape + x.shape[n:]), self)


def last_fields(of: Any) -> Start:
    """Of a ``PlaneResult``, or of its ``to_xarray()``; of a sweep those of the last voltage."""
    if hasattr(of, "data_vars"):
        return _stored(of)
    if not hasattr(of, "state") or not hasattr(of.state, "psi"):
        raise JaxmemError(
            f"A {type(of).__name__} holds no fields of a plane. Write model.after(jm.solve(jm.Electroconvection(...), case)), or "
            "model.after(xarray.open_zarr(...)) of its to_xarray()."
        )
    if is_concrete(of.ok) and not np.any(np.asarray(of.ok)):
        raise JaxmemError(
            f"There is nothing to go on from: {next(iter(of.messages()), 'no lane is solved.')} Write model.after(result) with one that is ok."
        )
    n = len(of.status.shape)
    take = lambda x, own: x[..., -1, *(slice(None),) * own] if x.ndim > n + own else x
    x = of.state
    start = _wide(Start(x.faces, take(x.c, 3), take(x.phi, 2), take(x.psi, 2), take(of.scaled_voltage, 0)))
    sound = lambda a: jnp.where(of.ok.reshape(of.ok.shape + (1,) * (a.ndim - n)), a, jnp.nan)  # as in a dataset
    return jax.tree.map(sound, start)


def _stored(data: Any) -> Start:
    missing = [name for name in _NAMES if name not in data]
    if missing:
        raise JaxmemError(
            f"The dataset has no {missing[0]}. Write result.to_xarray().to_zarr(path) of an Electroconvection result, and read that."
        )
    last = data.isel(point=-1) if "point" in data.dims else data
    batch = last["status"].dims
    return _wide(Start(*(np.asarray(last[name].transpose(*batch, *own)) for name, own in _NAMES.items())))


def _wide(start: Start) -> Start:
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), start)


def resumed(start: Start, d: Domain, columns: int, flow: Any) -> Fields:
    """Of one lane on the cells of ``d``, linearly between those of ``start``; along the membrane in parts of the box. The flow goes on, if it has inertia."""
    known = start.phi.shape[-1]

    def moved(x: Array, old: Array, new: Array, right: float) -> Array:
        along = lambda row: jnp.interp(_columns(columns, right), _columns(known, right), row, period=1.0)
        across = lambda column: jnp.interp(new, old, column)
        return jax.vmap(across, in_axes=1, out_axes=1)(jax.vmap(along)(x))

    old, new = 0.5 * (start.faces[:-1] + start.faces[1:]), d.grid.centres
    phi = moved(start.phi, old, new, 0.5)
    c = jax.vmap(lambda x: moved(x, old, new, 0.5))(start.c)
    psi = moved(start.psi, start.faces, d.grid.faces, 1.0)
    return Fields(
        c, phi, jnp.zeros_like(phi), start.voltage, amplitudes(flow, psi) if isinstance(flow, Inert) else None
    )


def _columns(n: int, right: float) -> Array:
    return jnp.asarray((np.arange(n) + right) / n)
