"""Figures of a fit: measured against computed, and what is left over."""

from typing import Any

import numpy as np

from .._errors import unknown
from .style import colour, new_axes


class FitPlots:
    """``found.plot.parity()``, ``found.plot.residuals()``; where several quantities were measured, of the one that is named."""

    def __init__(self, found: Any) -> None:
        self._found = found

    def _traces(self, quantity: str | None) -> tuple[list[Any], tuple[str, str]]:
        """Points of one quantity, and the words of both axes."""
        found, data = self._found, self._found.data
        quantity = data.quantities[0] if quantity is None else quantity
        if quantity not in data.quantities:
            raise unknown("Measured quantity", quantity, data.quantities, f"Write {data.quantities[0]!r}.")
        left = found.minima.residual[int(np.argmin(found.minima.cost))][: data.size]
        return list(data.traces(quantity, found.result, left)), data.words(quantity)

    def parity(self, quantity: str | None = None, axes: Any = None, style: str = "screen") -> Any:
        """Computed against measured values, with the data's own errors."""
        axes = new_axes(style) if axes is None else axes
        traces, (words, _) = self._traces(quantity)
        for i, t in enumerate(traces):
            bars = t.sigma if np.isfinite(t.sigma).all() else None
            axes.errorbar(t.measured, t.computed, xerr=bars, fmt="o", ms=4.5, lw=0.8, color=colour(t.name, i), label=t.label)  # fmt: skip
        every = np.concatenate([np.r_[t.measured, t.computed] for t in traces])
        least, most = min(every.min(), 0.0), max(every.max(), 0.0)
        ends = [least - 0.03 * (most - least), most + 0.03 * (most - least)]
        axes.plot(ends, ends, color="0.4", lw=0.8, zorder=0)
        axes.set(xlim=ends, ylim=ends, aspect="equal", xlabel=f"Measured {words}", ylabel=f"Computed {words}")
        axes.legend(frameon=False)
        return axes

    def residuals(self, quantity: str | None = None, axes: Any = None, style: str = "screen") -> Any:
        """Residuals in standard deviations of the noise model, against what was varied."""
        axes = new_axes(style) if axes is None else axes
        traces, (_, along) = self._traces(quantity)
        for i, t in enumerate(traces):
            axes.plot(t.along, t.left, "o", ms=4.5, color=colour(t.name, i), label=t.label)
        axes.axhspan(-1.96, 1.96, color="0.9", zorder=0)
        axes.axhline(0.0, color="0.4", lw=0.8)
        axes.set(xlabel=along[0].upper() + along[1:], ylabel="Residual (standard deviations)")
        axes.legend(frameon=False)
        return axes
