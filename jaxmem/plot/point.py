"""Plots of a membrane point: rejection curves and concentration profiles."""

from typing import Any

import numpy as np

from .._errors import JaxmemError, unknown
from ..case import all_quantities
from ..chemistry.species import pretty
from ..units import LMH, bar
from .style import colour, new_axes, spread


class PointPlots:
    """``result.plot``: each method returns matplotlib Axes."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def picture(self) -> Any:
        """The curve of a batch along one axis, else the profiles of a point."""
        return self.rejection() if len(self.result.case.batch_shape) == 1 else self.profiles()

    def rejection(
        self, axes: Any = None, *, against: str = "flux", kind: str = "observed", style: str = "screen"
    ) -> Any:
        """Rejection in percent of every present species along the batch axis.

        ``against``: ``"flux"`` (LMH), ``"pressure"`` (bar) or the name of a quantity of the case; ``kind``: observed or real.
        """
        result = self.result
        if len(result.case.batch_shape) != 1:
            raise JaxmemError(
                f"A rejection curve needs one batch axis; this result has shape {result.case.batch_shape}. Write for example "
                "jm.FluxDriven(jnp.linspace(1, 100, 64) * jm.units.LMH), or plot a slice: jm.solve(model, case[0])."
            )
        ok = np.asarray(result.ok)
        if kind not in ("observed", "real"):
            raise unknown("Rejection", kind, ("observed", "real"), 'Write kind="real" for 1 - c_p/c_m.')
        if not ok.any():
            raise JaxmemError("Every lane failed: there is nothing to draw. Look at result.messages().")
        x, label = self._abscissa(against)
        axes = new_axes(style) if axes is None else axes
        rejection = 100.0 * np.where(ok[:, None], np.asarray(getattr(result, f"{kind}_rejection")), np.nan)
        present = np.asarray(result.feed)[ok].max(0) > 0.0
        names = [n for n, p in zip(result.case.feed.species.names, present, strict=True) if p]
        curves = rejection[:, present]
        beyond = ok & np.asarray(result.outside) if result.learned else ~ok
        for i, name in enumerate(names):
            if np.any(ok & beyond):
                axes.plot(x, curves[:, i], color=colour(name, i), lw=1.2, ls=":")
            axes.plot(x, np.where(beyond, np.nan, curves[:, i]), color=colour(name, i), lw=1.8)
        if np.any(ok & beyond):
            axes.set_title("dotted: beyond what was learned from", fontsize="small")
        low, high = min(0.0, np.nanmin(curves)), max(100.0, np.nanmax(curves))
        margin = 0.03 * (high - low)
        axes.set(
            xlabel=label,
            ylabel=f"{kind.capitalize()} rejection (%)",
            xlim=(x[ok].min(), x[ok].max()) if ok.sum() > 1 else None,
            ylim=(low - margin, high + margin),
        )
        if low < 0.0:
            axes.axhline(0.0, color="0.4", lw=0.8)
        last = int(np.flatnonzero(ok)[-1])
        inside = lambda y: (y - low + margin) / (high - low + 2 * margin)
        for i, y in enumerate(spread([float(v) for v in curves[last]], 0.052 * (high - low))):
            end, shade = inside(float(curves[last, i])), colour(names[i], i)
            leader = {"color": shade, "lw": 0.9, "clip_on": False, "transform": axes.transAxes}
            axes.plot([1.0, 1.012, 1.03], [end, end, inside(y)], **leader)
            axes.annotate(
                pretty(names[i]), xy=(1.035, inside(y)), xycoords="axes fraction", color=shade, va="center", annotation_clip=False,
            )  # fmt: skip
        return axes

    def _abscissa(self, against: str) -> tuple[np.ndarray, str]:
        result = self.result
        if against == "flux":
            return np.asarray(result.volume_flux) / LMH, "Volume flux $J_v$ (L m$^{-2}$ h$^{-1}$)"
        if against == "pressure":
            return np.asarray(result.pressure) / bar, "Transmembrane pressure (bar)"
        varying = {
            path: (np.asarray(value), f"{meta['doc'].capitalize()} {meta['symbol']} ({meta['unit']})")
            for path, value, meta in all_quantities(result.case)
            if np.ndim(value) == 1 and meta["ndim"] == 0
        }
        found = [path for path in varying if against in (path, path.rsplit(".", 1)[-1])]
        if len(found) != 1:
            raise JaxmemError(
                f"against={against!r} is not one number for each lane that varies along this batch. Write against='flux', 'pressure'"
                f"{''.join(f', {path!r}' for path in varying)}."
            )
        return varying[found[0]]

    def attention(self, lane: int = 0, axes: Any = None, *, style: str = "screen") -> Any:
        """What each ion attends to in one lane of a network, as a map; absent ions are left out."""
        result = self.result
        weights = np.asarray(result.attention).reshape(-1, *result.attention.shape[-2:])[lane]
        present = np.asarray(result.feed).reshape(-1, weights.shape[-1])[lane] > 0.0
        names = [pretty(n) for n, p in zip(result.case.feed.species.names, present, strict=True) if p]
        axes = new_axes(style) if axes is None else axes
        image = axes.imshow(weights[np.ix_(present, present)], cmap="viridis", vmin=0.0)
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="attended to", ylabel="ion")
        axes.figure.colorbar(image, ax=axes, label="Attention weight")
        return axes

    def profiles(self, lane: int = 0, axes: Any = None, *, style: str = "screen") -> Any:
        """Concentrations through film, pore and permeate of one lane, with the jumps at the faces (logarithmic)."""
        result = self.result
        axes = new_axes(style) if axes is None else axes
        values = result.profiles(96)
        pick = lambda a, extra: np.asarray(a).reshape(-1, *a.shape[a.ndim - extra :])[lane]
        x, pore, film, permeate = (
            pick(values.position, 1),
            pick(values.pore, 2),
            pick(values.film, 2),
            pick(values.permeate, 1),
        )
        film_x = np.asarray(values.film_position) * 0.6
        for i, name in enumerate(result.case.feed.species.names):
            if film[0, i] <= 0.0:
                continue
            shade = colour(name, i)
            axes.semilogy(film_x, film[:, i], color=shade, lw=1.8, label=pretty(name))
            axes.semilogy(x, pore[:, i], color=shade, lw=1.8)
            axes.semilogy([1.0, 1.35], [permeate[i]] * 2, color=shade, lw=1.8)
            axes.semilogy([0.0, 0.0], [film[-1, i], pore[0, i]], color=shade, lw=0.9, ls=":")
            axes.semilogy([1.0, 1.0], [pore[-1, i], permeate[i]], color=shade, lw=0.9, ls=":")
        axes.axvspan(0.0, 1.0, color="0.93", zorder=0)
        bottom = max(1e-12, axes.get_ylim()[0])
        axes.set(xlabel="", ylabel="Concentration (mol m$^{-3}$)", xlim=(-0.6, 1.35), ylim=(bottom, None))
        axes.set_xticks([-0.3, 0.5, 1.18], ["film", "pore", "permeate"])
        axes.tick_params(axis="x", length=0)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
        return axes
