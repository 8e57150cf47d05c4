"""The three parts of a current-voltage curve: ohmic, plateau, overlimiting; and how long the plateau is."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from ..._errors import JaxmemError, ShapeError
from ..._fields import float_array

_FLATTER = 1e-6  # of the steepest slope, by which a plateau is flatter than its neighbours: less is round-off


class Plateau(eqx.Module):
    """Three lines through a curve and where they meet, in the units of the curve, ``(*batch)``."""

    slopes: Array  # ohmic, plateau, overlimiting, (*batch, 3)
    offsets: Array  # current of each line at zero voltage, (*batch, 3)
    begin: Array  # voltage where ohmic and plateau lines meet
    end: Array  # voltage where plateau and overlimiting lines meet
    limiting_current: Array  # current at ``begin``
    misfit: Array  # root mean square of the weighted distances to the three lines, over the limiting current
    begin_error: Array  # standard error of ``begin`` from that of the currents
    end_error: Array
    ordered: Array  # whether the plateau is the flattest of the three and begins before it ends

    @property
    def length(self) -> Array:
        """From ``begin`` to ``end``, whichever is the higher voltage."""
        return jnp.abs(self.end - self.begin)

    @property
    def length_error(self) -> Array:
        """Standard error of the length, where those of the two intersections are independent."""
        return jnp.sqrt(self.begin_error**2 + self.end_error**2)

    def __str__(self) -> str:
        if isinstance(self.begin, Tracer) or jnp.ndim(self.begin):
            return "Plateau of several curves" if jnp.ndim(self.begin) else "Plateau (traced)"
        lines = f"plateau {float(self.length):.4g} long, from {float(self.begin):.4g} to {float(self.end):.4g}; limiting current {float(self.limiting_current):.4g}"
        order = (
            "" if bool(self.ordered) else "; slopes or intersections are not those of three parts in a row: no plateau"
        )
        if float(self.length_error) > 0.0:
            lines += f"; ends within {1.96 * float(self.begin_error):.2g} and {1.96 * float(self.end_error):.2g}"
        return f"{lines}; misfit {float(self.misfit):.1e}{order}"


def plateau(
    voltage: ArrayLike,
    current: ArrayLike,
    *,
    ohmic: tuple[float, float],
    flat: tuple[float, float],
    overlimiting: tuple[float, float],
    interval: ArrayLike | None = None,
    softness: float = 0.0,
) -> Plateau:
    """Plateau length by three straight lines, each fitted by least squares in a window of voltage; the windows are part of the value.

    ``voltage``, ``current`` ``(*batch, V)``; points that are NaN (failed lanes) are left out. Beside an anion exchanger both are negative, and so are the windows. ``softness=0`` takes the points inside each window alike. Above, points are weighted by a smooth
    window with edges ``softness`` of its width wide, which makes the lengths smooth in the voltages too; derivatives to the currents are exact either
    way. ``interval``: 95 % half widths of the currents, which give the standard errors.
    """
    v, i = (jnp.asarray(float_array(x), float) for x in (voltage, current))
    _check(ohmic, flat, overlimiting, softness)
    if v.shape[-1:] != i.shape[-1:] or v.ndim < 1:
        raise ShapeError(
            f"voltage has shape {v.shape} and current {i.shape}; the last axes must be equal. Write result.scaled_voltage, result.scaled_current."
        )
    spread = jnp.zeros_like(i) if interval is None else jnp.asarray(float_array(interval), float) / 1.96
    if spread.ndim and spread.shape[-1:] != i.shape[-1:]:
        raise ShapeError(
            f"interval has shape {spread.shape} for currents of {i.shape}. Write interval=result.scaled_current.interval."
        )
    fits = [_line(v, i, spread, window, softness) for window in (ohmic, flat, overlimiting)]
    for name, window, (*_, points) in zip(
        ("ohmic", "flat", "overlimiting"), (ohmic, flat, overlimiting), fits, strict=True
    ):
        if not isinstance(points, Tracer) and bool(np.any(np.asarray(points) < 2)):
            raise JaxmemError(
                f"Fewer than two voltages lie in the window {name}={window}. Write a wider one, or more voltages."
            )
    slopes, offsets = (jnp.stack([f[k] for f in fits], axis=-1) for k in (0, 1))
    begin, begin_error = _meet(fits[0], fits[1])
    end, end_error = _meet(fits[1], fits[2])
    limit = slopes[..., 0] * begin + offsets[..., 0]
    misfit = jnp.sqrt(sum(f[3] for f in fits) / 3.0) / jnp.abs(limit)
    level = slopes[..., 1] + _FLATTER * jnp.max(jnp.abs(slopes), axis=-1)
    rises = 1.0 if sum(ohmic) < sum(overlimiting) else -1.0  # an anion exchanger's voltages fall
    ordered = (level < slopes[..., 0]) & (level < slopes[..., 2]) & (rises * begin < rises * end)
    return Plateau(slopes, offsets, begin, end, limit, misfit, begin_error, end_error, ordered)


def _check(ohmic: Any, flat: Any, overlimiting: Any, softness: Any) -> None:
    """Windows are pairs of rising numbers, softness is none or positive."""
    for name, window in (("ohmic", ohmic), ("flat", flat), ("overlimiting", overlimiting)):
        if isinstance(window, tuple | list) and any(isinstance(x, Tracer) for x in window):
            raise JaxmemError(
                f"{name} is traced; windows are part of what a plateau is. Write {name}=(8.0, 18.0), numbers."
            )
        if not isinstance(window, tuple | list) or len(window) != 2 or not bool(window[0] < window[1]):
            raise JaxmemError(
                f"{name} = {window!r} is no window of voltages from low to high. Write {name}=(8.0, 18.0)."
            )
    if not isinstance(softness, int | float) or not 0.0 <= softness < 1.0:
        raise JaxmemError(
            f"softness = {softness!r} is no part of a window's width from 0 to 1. Write softness=0.02, or 0 for sharp ones."
        )


def _line(v: Array, i: Array, spread: Array, window: tuple[float, float], softness: float) -> tuple:
    """Slope, offset, covariance ``(..., 2, 2)`` of both, weighted mean square distance, and points that count."""
    low, high = window
    if softness > 0.0:
        edge = softness * (high - low)
        weight = jax.nn.sigmoid((v - low) / edge) * jax.nn.sigmoid((high - v) / edge)
    else:
        weight = ((v >= low - 1e-9) & (v <= high + 1e-9)).astype(i.dtype)
    there = jnp.isfinite(v) & jnp.isfinite(i)
    v, i, weight, spread = (jnp.where(there, x, 0.0) for x in (v, i, weight, jnp.broadcast_to(spread, i.shape)))
    total = jnp.sum(weight, axis=-1, keepdims=True)
    share = weight / jnp.where(total > 0.0, total, 1.0)
    centre = jnp.sum(share * v, axis=-1, keepdims=True)
    mean = jnp.sum(share * i, axis=-1, keepdims=True)
    square = jnp.sum(share * (v - centre) ** 2, axis=-1, keepdims=True)
    to_slope = share * (v - centre) / jnp.where(square > 0.0, square, 1.0)
    slope = jnp.sum(to_slope * i, axis=-1)
    offset = mean[..., 0] - slope * centre[..., 0]
    to_offset = share - to_slope * centre
    covariance = jnp.stack(
        [jnp.sum(a * b * spread**2, axis=-1) for a in (to_slope, to_offset) for b in (to_slope, to_offset)], axis=-1
    )
    distance = jnp.sum(share * (i - slope[..., None] * v - offset[..., None]) ** 2, axis=-1)
    return slope, offset, covariance, distance, jnp.sum(weight > 0.05, axis=-1)


def _meet(a: tuple, b: tuple) -> tuple[Array, Array]:
    """Where two lines meet, and its standard error."""
    steep = a[0] - b[0]
    at = (b[1] - a[1]) / jnp.where(steep != 0.0, steep, jnp.nan)

    def variance(covariance: Array) -> Array:
        return (covariance[..., 0] * at**2 + 2.0 * covariance[..., 1] * at + covariance[..., 3]) / steep**2

    return at, jnp.sqrt(variance(a[2]) + variance(b[2]))
