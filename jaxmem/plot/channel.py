"""Pictures of layers of solution and of slits."""

from typing import Any

import numpy as np

from ..units import LMH
from .style import COMMON, STYLES, new_axes, pyplot

BLUE, RED = "#0072B2", "#D55E00"


class LayerPlots:
    """``.profile()``: salt through a layer."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def picture(self) -> Any:
        """The profile of the first lane."""
        return self.profile((0,) * len(self._result.case.batch_shape))

    def profile(self, lane: Any = (), axes: Any = None) -> Any:
        """Concentration from the bulk on; returns matplotlib Axes. Failed lanes are not drawn."""
        axes = new_axes() if axes is None else axes
        lane = lane if isinstance(lane, tuple) else (lane,)
        ok = np.asarray(self._result.ok)[lane]
        x, c = (np.asarray(v)[lane] for v in (self._result.position, self._result.concentration))
        x, c = x.reshape(-1, x.shape[-1]), np.where(ok[..., None], c, np.nan).reshape(-1, x.shape[-1])
        unit, factor = ("\u00b5m", 1e6) if x.max() < 1e-3 else ("mm", 1e3) if x.max() < 1.0 else ("m", 1.0)
        axes.plot(factor * x.T, c.T, color=BLUE, alpha=1.0 if len(c) == 1 else 0.5)
        axes.set(xlabel=f"Distance from the bulk ({unit})", ylabel="Salt (mol m$^{-3}$)")
        return axes


class SlitPlots:
    """``.profiles()``: what happens along a slit."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def picture(self) -> Any:
        """The profiles of the first lane; one of their Axes."""
        return self.profiles((0,) * len(self._result.case.batch_shape))[0]

    def profiles(self, lane: Any = ()) -> Any:
        """Flux, salt in the bulk and at the membrane, and the Sherwood number along the slit; returns three matplotlib Axes."""
        plt, r = pyplot(), self._result
        lane = lane if isinstance(lane, tuple) else (lane,)
        at = lambda value: np.asarray(value)[lane]
        x, sherwood = at(r.position), at(r.sherwood)
        with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
            _, axes = plt.subplots(1, 3, figsize=(11.0, 3.3), layout="constrained")
            axes[0].plot(x, at(r.volume_flux) / LMH, color=BLUE)
            axes[0].set(ylabel="Water flux (L m$^{-2}$ h$^{-1}$)", ylim=(0.0, None))
            axes[1].plot(x, at(r.bulk_concentration), color=BLUE, label="bulk")
            axes[1].plot(x, at(r.wall_concentration), color=RED, label="at the membrane")
            axes[1].set(ylabel="Salt (kg m$^{-3}$)")
            axes[1].legend()
            seen = np.isfinite(sherwood)
            axes[2].loglog(x[seen], sherwood[seen], color=BLUE)
            axes[2].set(ylabel="Sherwood number")
            for axis in axes:
                axis.set_xlabel("Along the slit (m)")
        return axes
