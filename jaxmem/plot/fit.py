"""Figures of a fit: measured against computed, and what is left over."""

from typing import Any

import numpy as np

from ..chemistry.species import pretty
from .style import colour, new_axes


class FitPlots:
    """``found.plot.parity()``, ``found.plot.residuals()``."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def _points(self) -> Any:
        """``(name, index, measured, computed, residual, sigma)`` of each species that was measured."""
        found, data = self._found, self._found.data
        computed = np.asarray(getattr(found.result, f"{data.kind}_rejection"))
        left = found.minima.residual[int(np.argmin(found.minima.cost))][: computed.size].reshape(computed.shape)
        for i, name in enumerate(data.case.feed.species.names):
            kept = np.asarray(data.measured)[:, i]
            if kept.any():
                yield name, i, *(np.asarray(x)[kept, i] for x in (data.rejection, computed, left, data.sigma))

    def parity(self, axes: Any = None, style: str = "screen") -> Any:
        """Computed against measured rejection in percent, with the data's own errors."""
        axes = new_axes(style) if axes is None else axes
        least = 100.0
        for name, i, measured, computed, _, sigma in self._points():
            bars = 100 * sigma if np.isfinite(sigma).all() else None
            axes.errorbar(100 * measured, 100 * computed, xerr=bars, fmt="o", ms=4.5, lw=0.8, color=colour(name, i), label=pretty(name))  # fmt: skip
            least = min(least, 100 * measured.min(), 100 * computed.min())
        ends = [min(least, 0.0) - 3.0, 103.0]
        axes.plot(ends, ends, color="0.4", lw=0.8, zorder=0)
        axes.set(xlim=ends, ylim=ends, aspect="equal", xlabel=f"Measured {self._found.data.kind} rejection (%)")
        axes.set_ylabel("Computed (%)")
        axes.legend(frameon=False)
        return axes

    def residuals(self, axes: Any = None, style: str = "screen") -> Any:
        """Residuals in standard deviations of the noise model against the volume flux."""
        axes = new_axes(style) if axes is None else axes
        case = self._found.data.case
        flux = np.broadcast_to(np.asarray(self._found.result.volume_flux), case.batch_shape) * 3.6e6
        for name, i, _, _, left, _ in self._points():
            kept = np.asarray(self._found.data.measured)[:, i]
            axes.plot(flux[kept], left, "o", ms=4.5, color=colour(name, i), label=pretty(name))
        axes.axhspan(-1.96, 1.96, color="0.9", zorder=0)
        axes.axhline(0.0, color="0.4", lw=0.8)
        axes.set(xlabel="Volume flux (LMH)", ylabel="Residual (standard deviations)")
        axes.legend(frameon=False)
        return axes
