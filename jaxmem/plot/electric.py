"""Pictures of currents through a layer: the curve, and what stands between the walls."""

from typing import Any

import numpy as np

from ..chemistry.species import pretty
from .style import SPARE, colour, new_axes


class CurrentPlots:
    """``result.plot`` of a ``CurrentResult``."""

    def __init__(self, result: Any) -> None:
        self._r = result

    def picture(self) -> Any:
        """The curve."""
        return self.curve()

    def curve(
        self, axes: Any = None, style: str = "screen", label: str = "Nernst-Planck-Poisson", parts: Any = None
    ) -> Any:
        """Current against voltage, in SI, with the limiting current; lanes of a batch are curves or points. ``parts``: what ``jm.plateau`` says of
        ``result.voltage`` and ``result.current`` of one curve, drawn as its three lines."""
        axes = axes or new_axes(style)
        r, ok = self._r, np.asarray(self._r.ok)
        swept = r.current.ndim > ok.ndim
        v, i = (
            np.asarray(x).reshape(ok.size, -1) if swept else np.asarray(x).reshape(1, -1)
            for x in (r.voltage, r.current)
        )
        keep = ok.reshape(-1) if swept else np.ones(1, bool)
        for n, (x, y) in enumerate(zip(v[keep], i[keep], strict=True)):
            order = np.argsort(x)
            axes.plot(
                x[order],
                y[order],
                color=SPARE[n % len(SPARE)],
                marker="" if len(x) > 30 else "o",
                ms=3,
                label=None if n else label,
            )
        limits = np.unique(np.asarray(r.limiting_current)[ok] if ok.ndim else np.asarray(r.limiting_current))
        if limits.size == 1:
            sign = np.sign(np.nanmax(i[keep]) + np.nanmin(i[keep])) or 1.0
            axes.axhline(sign * limits[0], color="0.5", lw=0.9, ls="--", label="limiting current")
        if parts is not None:
            ends = (float(v.min()), float(parts.begin), float(parts.end), float(v.max()))
            for k, name in enumerate(("ohmic", "plateau", "overlimiting")):
                x = np.asarray(ends[k : k + 2])
                y = float(parts.slopes[k]) * x + float(parts.offsets[k])
                axes.plot(x, y, "--", lw=1.2, color=("#009E73", "#D55E00", "#CC79A7")[k], label=name)
        axes.set(xlabel="Voltage (V)", ylabel="Current density (A/m²)")
        axes.legend(loc="lower right")
        return axes

    def profiles(self, lane: int | tuple = (), point: int = -1, axes: Any = None, style: str = "screen") -> Any:
        """Both ions and the potential between the walls, of one lane and one voltage of a sweep; a membrane with an inside is shaded."""
        axes = axes or new_axes(style)
        r = self._r
        lane = (lane,) if isinstance(lane, int) else lane or (0,) * r.status.ndim
        c, phi, y = np.asarray(r.concentration)[lane], np.asarray(r.potential)[lane], np.asarray(r.position)[lane]
        if phi.ndim == 2:
            c, phi = c[point], phi[point]
        through = y[0] < 0.0
        for k, name in enumerate(r.clean.feed.species.names):
            (axes.semilogy if through else axes.semilogx)(y, c[k], color=colour(name, k), label=pretty(name))
        axes.set(xlabel="Distance from the membrane over the thickness", ylabel="Concentration (mol/m³)")
        if through:
            body = np.asarray(r.clean.membrane.thickness / r.clean.conditions.thickness)
            body = float(np.broadcast_to(body, r.status.shape)[lane])
            axes.axvspan(-body, 0.0, color="0.9", lw=0.0)
            axes.set_xlabel("Distance from the membrane (shaded) over the thickness of the layer")
        else:
            axes.set_ylim(0.0, 1.15 * float(np.max(c[:, y > 0.2])))
        other = axes.twinx()
        other.plot(y, phi, color="0.35", ls="--", label="potential")
        other.set_ylabel("Potential (V)")
        other.spines["right"].set_visible(True)
        other.grid(False)
        lines = [*axes.get_lines(), *other.get_lines()]
        axes.legend(lines, [str(line.get_label()) for line in lines], loc="lower right" if through else "upper left")
        return axes


class VortexPlots:
    """``result.plot`` of a ``VortexResult``."""

    def __init__(self, result: Any) -> None:
        self._r = result

    def curve(self, axes: Any = None, style: str = "screen") -> Any:
        """Mean current against voltage with its 90 % band, the current at rest (dashed), and crosses where the networks were not trained."""
        axes, r = axes or new_axes(style), self._r
        ok = np.asarray(r.ok).reshape(-1)
        rows = ok.size if r.points else 1
        shape = lambda x: np.asarray(x).reshape(rows, -1)[ok if r.points else slice(None)]
        keep = slice(None) if r.points else ok
        for n, (v, i, half, rest, out) in enumerate(
            zip(*map(shape, (r.voltage, r.current, r.current_interval, r.current_at_rest, r.outside)), strict=True)
        ):
            order = np.argsort(v[keep])
            v, i, half, rest, out = (x[keep][order] for x in (v, i, half, rest, out))
            shade, first = SPARE[n % len(SPARE)], n == 0
            axes.plot(v, i, color=shade, label="networks, 90 % band" if first else None)
            axes.fill_between(v, i - half, i + half, color=shade, alpha=0.2, lw=0)
            axes.plot(v, rest, color=shade, ls="--", lw=1.0, label="without flow" if first else None)
            if out.any():
                axes.plot(v[out], i[out], "x", color=shade, ms=4, label="beyond the training" if first else None)
        axes.set(xlabel="Voltage (V)", ylabel="Current density (A/m²)")
        axes.legend(loc="lower right")
        return axes
