"""Pictures of electroconvection: fields with streamlines, history, and the curve with its three parts."""

from typing import Any

import numpy as np

from .._errors import JaxmemError, unknown
from .style import COMMON, SPARE, STYLES, new_axes, pyplot


class PlanePlots:
    """``result.plot`` of a ``PlaneResult``."""

    def __init__(self, result: Any) -> None:
        self._r = result

    def _at(self, lane: int | tuple) -> tuple:
        """A lane as an index; the first where none is given."""
        shape = self._r.status.shape
        index = (lane,) if isinstance(lane, int) else tuple(lane) or (0,) * len(shape)
        if len(index) != len(shape) or any(not -n <= k < n for k, n in zip(index, shape, strict=False)):
            raise JaxmemError(f"lane = {lane!r} is none of lanes {shape}. Write lane={(0,) * len(shape)!r}.")
        return index

    def _pick(self, x: Any, lane: tuple, point: int) -> np.ndarray:
        full = np.asarray(x)[lane]
        return full[point] if self._r.scaled_voltage.ndim > self._r.status.ndim else full

    def fields(
        self, what: str = "salt", lane: int | tuple = (), point: int = -1, axes: Any = None, style: str = "screen"
    ) -> Any:
        """The last fields with streamlines (solid ones turn anticlockwise, broken ones clockwise): ``what`` is ``salt`` (mean of both ions), ``charge`` or
        ``potential``, scaled."""
        r = self._r
        lane = self._at(lane)
        c, phi, psi = (self._pick(x, lane, point) for x in (r.state.c, r.state.phi, r.state.psi))
        volts = float(self._pick(r.scaled_voltage, lane, point))
        drawn = self._draw(r.state._replace(c=c, phi=phi, psi=psi), what, lane, axes or new_axes(style))
        drawn.annotate(
            f"{volts:.3g} RT/F",
            (1.0, 1.0),
            (0, 4),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            fontsize="small",
        )
        return drawn

    def _draw(self, state: Any, what: str, lane: tuple, axes: Any) -> Any:
        """One plane."""
        r, c, phi, psi = self._r, state.c, state.phi, state.psi
        drawn = {
            "salt": (0.5 * (c[0] + c[1]), "(c₊ + c₋)/2 c₀", "viridis"),
            "charge": (c[0] - c[1], "(c₊ - c₋)/c₀ (logarithmic)", "magma"),
            "potential": (phi, "potential (RT/F)", "cividis"),
        }
        if what not in drawn:
            raise unknown("Field", str(what), tuple(drawn), 'Write result.plot.fields("salt").')
        values, label, colours = drawn[what]
        box = float(
            np.asarray(r.box).reshape(-1)[0]
            if np.ndim(r.box) == 0 or r.status.ndim == 0
            else np.broadcast_to(r.box, r.status.shape)[lane]
        )
        faces = np.asarray(r.state.faces)[lane]
        x = np.linspace(0.0, box, values.shape[1] + 1)
        shape: dict[str, Any] = {"vmin": min(0.0, float(values.min())), "vmax": float(np.quantile(values, 0.995))}
        if what == "charge":  # four decades: what stands at the wall, what is extended, what vortices throw out
            top = max(float(np.quantile(values, 0.995)), 1e-3)
            values, shape = (
                np.maximum(values, 1e-4 * top),
                {"norm": pyplot().matplotlib.colors.LogNorm(1e-4 * top, top)},
            )
        mesh = axes.pcolormesh(x, faces, values, cmap=colours, rasterized=True, **shape)
        size = np.abs(psi).max()
        if size > 1e-6:
            axes.contour(
                x,
                faces,
                np.concatenate([psi[:, -1:], psi], axis=1),
                levels=np.linspace(-0.95, 0.95, 12) * size,
                colors="white",
                linewidths=0.7,
                alpha=0.8,
            )
        axes.figure.colorbar(mesh, ax=axes, label=label, extend="max", location="top", shrink=0.8)
        axes.set(xlabel="along the membrane, x/L", ylabel="from the membrane, y/L", aspect="equal", ylim=(0.0, 1.0))
        axes.grid(False)
        return axes

    def animation(
        self,
        path: Any,
        what: str = "salt",
        lane: int | tuple = (),
        point: int = -1,
        rate: float = 10.0,
        style: str = "screen",
    ) -> Any:
        """Write a GIF of every sample (``jm.Electroconvection(frames=True)``), ``rate`` pictures a second; returns the path."""
        r = self._r
        if r.state.frames is None:
            raise JaxmemError("No frames were kept. Solve again with jm.Electroconvection(..., frames=True).")
        lane = self._at(lane)
        plt = pyplot()
        from matplotlib.animation import PillowWriter

        frames, times = [self._pick(x, lane, point) for x in r.state.frames], self._pick(r.time, lane, point)
        with plt.rc_context({**COMMON, **STYLES[style]}):
            figure = plt.figure(layout="constrained")
            writer = PillowWriter(fps=rate)
            with writer.saving(figure, str(path), dpi=100):
                for k, t in enumerate(times):
                    figure.clear()
                    state = r.state._replace(c=frames[0][k], phi=frames[1][k], psi=frames[2][k])
                    axes = self._draw(state, what, lane, figure.subplots())
                    axes.set_title(f"t = {t:.3g} L²/D")
                    writer.grab_frame()
            plt.close(figure)
        return path

    def curve(self, lane: int | tuple = (), axes: Any = None, style: str = "screen") -> Any:
        """Mean current of a sweep against voltage with its 95 % interval, scaled, and the current at rest of the first voltage; of other
        questions the lanes are points."""
        axes, r = axes or new_axes(style), self._r
        swept, ok = r.scaled_voltage.ndim > r.status.ndim, np.asarray(r.ok)
        lane = self._at(lane)
        pick = lambda x: np.asarray(x)[lane] if swept else np.asarray(x).reshape(-1)[ok.reshape(-1)]
        i = r.scaled_current
        v, mean, half = (pick(x) for x in (r.scaled_voltage, i.value, i.interval))
        axes.errorbar(
            v, mean, half, fmt="o-" if swept else "o", ms=4, color="#0072B2", capsize=2, label="mean, 95 % interval"
        )
        axes.set(xlabel="Voltage (RT/F)", ylabel="Current density ($F D c_0/L$)")
        axes.legend(loc="lower right")
        return axes

    def history(self, lane: int | tuple = (), axes: Any = None, style: str = "screen") -> Any:
        """Current against time; one curve for each voltage of a sweep."""
        r = self._r
        lane = self._at(lane)
        axes = axes or new_axes(style)
        t, i, v = (np.atleast_2d(np.asarray(x)[lane]) for x in (r.time, r.current_series, r.state.seen.voltage))
        for k in range(t.shape[0]):
            axes.plot(t[k], i[k], color=SPARE[k % len(SPARE)], label=f"V = {v[k, -1]:.3g} RT/F")
        axes.set(xlabel="time (L²/D)", ylabel="current (F D c₀/L)")
        axes.legend(ncols=2 if t.shape[0] > 5 else 1)
        return axes

    def growth(
        self, lane: int | tuple = (), rate: Any = None, point: int = -1, axes: Any = None, style: str = "screen"
    ) -> Any:
        """Largest normal velocity against time, logarithmic, and vortex diameter beside it; ``rate`` (D/L^2) draws what ``jm.growth_rate`` expects."""
        r, axes = self._r, axes or new_axes(style)
        lane = self._at(lane)
        seen = r.state.seen
        t, v, d = (self._pick(x, lane, point) for x in (seen.time, seen.speed_v, seen.vortices.d1))
        moves = v > 0.0
        axes.semilogy(t[moves], v[moves], color=SPARE[0], label="largest normal velocity")
        if rate is not None and moves.any():
            first = np.flatnonzero(moves)[min(3, moves.sum() - 1)]
            line = v[first] * np.exp(float(rate) * (t - t[first]))
            shown = line <= 3.0 * v.max()
            axes.semilogy(
                t[shown], line[shown], color="0.4", ls="--", lw=1.0, label=f"growth rate {float(rate):.3g} D/L²"
            )
        axes.set(xlabel="time (L²/D)", ylabel="velocity (D/L)")
        beside = axes.twinx()
        beside.plot(t, d, color=SPARE[1], lw=1.0, label="diameter d1")
        beside.set(ylabel="vortex diameter d1 (L)", ylim=(0.0, 1.05))
        beside.grid(False)
        lines = [*axes.get_lines(), *beside.get_lines()]
        axes.legend(lines, [line.get_label() for line in lines], loc="lower right")
        return axes

    def spectrum(self, lane: int | tuple = (), point: int = -1, axes: Any = None, style: str = "screen") -> Any:
        """Kinetic energy against the number of vortex pairs in the box, logarithmic."""
        r, axes = self._r, axes or new_axes(style)
        lane = self._at(lane)
        energy = self._pick(r.energy_spectrum, lane, point)[1:]
        axes.loglog(np.arange(1, energy.size + 1), np.maximum(energy, 1e-16 * max(energy.max(), 1e-300)), "o-", ms=3)
        axes.set(xlabel="vortex pairs in the box", ylabel="kinetic energy ((D/L)²)")
        return axes


def curve_with_parts(
    voltage: Any,
    current: Any,
    parts: Any,
    rest: tuple[Any, Any] | None = None,
    interval: Any = None,
    style: str = "screen",
) -> Any:
    """A current-voltage curve, the three lines of its ``Plateau``, and the curve at rest; scaled."""
    axes = new_axes(style)
    v, i = np.asarray(voltage), np.asarray(current)
    axes.errorbar(
        v,
        i,
        None if interval is None else np.asarray(interval),
        color=SPARE[0],
        marker="o",
        ms=4,
        lw=1.4,
        label="with electroconvection",
    )
    if rest is not None:
        axes.plot(np.asarray(rest[0]), np.asarray(rest[1]), color="0.5", lw=1.2, label="at rest")
    names = ("ohmic", "plateau", "overlimiting")
    span = np.array([0.0, v.max() * 1.05])
    for k, name in enumerate(names):
        slope, offset = float(parts.slopes[k]), float(parts.offsets[k])
        axes.plot(span, slope * span + offset, ls="--", lw=0.9, color=SPARE[2 + 2 * k], label=name)
    for x in (float(parts.begin), float(parts.end)):
        axes.axvline(x, color="0.7", lw=0.8, ls=":")
    axes.set(
        xlabel="voltage (RT/F)",
        ylabel="current (F D c₀/L)",
        ylim=(0.0, float(i.max()) * 1.12),
        xlim=(0.0, float(v.max()) * 1.05),
    )
    axes.annotate(
        f"plateau {float(parts.length):.1f} RT/F",
        (0.5 * float(parts.begin + parts.end), float(i.max()) * 1.05),
        ha="center",
    )
    axes.legend(loc="lower right")
    return axes


def side_by_side(result: Any, style: str = "screen") -> Any:
    """Salt and charge with streamlines in one figure."""
    plt = pyplot()
    with plt.rc_context({**COMMON, **STYLES[style]}):
        figure, axes = plt.subplots(1, 2, layout="constrained", figsize=(10.0, 4.2))
    for what, ax in zip(("salt", "charge"), axes, strict=True):
        PlanePlots(result).fields(what, axes=ax)
    return figure
