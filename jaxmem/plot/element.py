"""Pictures of elements and vessels."""

from typing import Any

import numpy as np

from .. import units
from ..case import all_quantities
from ..chemistry.species import pretty
from ..units import LMH, bar
from .style import COMMON, STYLES, colour, pyplot

_SHOWN = 5  # lanes of a batch in one picture


def _told(case: Any, lane: tuple[int, ...]) -> str:
    """``pressure 45 bar``: what of the inputs without axes of their own varies over a batch, in one lane of it."""
    parts = []
    for path, value, meta in all_quantities(case):
        numbers = np.asarray(value)
        if meta["ndim"] or numbers.size < 2 or np.ptp(numbers) == 0.0:
            continue
        unit, x = meta["hint"] or meta["unit"], float(np.broadcast_to(numbers, case.batch_shape)[lane])
        x = x / getattr(units, meta["hint"]) if meta["hint"] else x
        parts.append(
            f"{path.rsplit('.', 1)[-1].replace('_', ' ')} {x:.4g} {unit.replace('_per_', '/')}".removesuffix(" 1")
        )
    return ", ".join(parts)


class ElementPlots:
    """``.profiles()``: what happens along a vessel."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def picture(self) -> Any:
        """The profiles of a question, or of some of a batch from light to dark, told apart by what varies; one of their Axes."""
        ok = np.asarray(self._result.ok)
        if not ok.ndim:
            return self.profiles()[0]
        lanes = [np.unravel_index(i, ok.shape) for i in np.flatnonzero(ok.reshape(-1))] or [(0,) * ok.ndim]
        shown = [
            lanes[i] for i in np.unique(np.linspace(0, len(lanes) - 1, min(len(lanes), _SHOWN)).round().astype(int))
        ]
        axes = None
        for n, lane in enumerate(shown):
            lane = tuple(map(int, lane))
            axes = self.profiles(
                lane, axes, shade=0.25 + 0.75 * (n + 1) / len(shown), label=_told(self._result.case, lane)
            )
        assert axes is not None
        if len(shown) > 1:
            axes[0].legend(fontsize=8)
        return axes[0]

    def profiles(self, lane: Any = (), axes: Any = None, shade: float = 1.0, label: str | None = None) -> Any:
        """Flux, salt at bulk and membrane, and pressure along the vessel; returns three matplotlib Axes. ``shade``: how dark, 0 to 1."""
        plt = pyplot()
        nodes = self._result.state.nodes
        lane = lane if isinstance(lane, tuple) else (lane,)
        position, columns = _position(nodes.stream.water[lane].shape), lambda x: np.asarray(x[lane]).ravel()
        with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
            axes = plt.subplots(1, 3, figsize=(11.0, 3.3), layout="constrained")[1] if axes is None else axes
            first = not axes[1].get_lines()
            axes[0].plot(position, columns(nodes.wall.flux) / LMH, color="#0072B2", alpha=shade, label=label)
            axes[0].set(ylabel="Water flux (L m$^{-2}$ h$^{-1}$)")
            _from_zero(axes[0])
            bulk, wall = ("bulk", "at the membrane") if first else (None, None)
            axes[1].plot(position, columns(nodes.concentration), color="#0072B2", alpha=shade, label=bulk)
            axes[1].plot(position, columns(nodes.wall.interface), color="#D55E00", alpha=shade, label=wall)
            axes[1].set(ylabel="Salt (kg m$^{-3}$)")
            axes[1].legend()
            axes[2].plot(position, columns(nodes.stream.pressure) / bar, color="#0072B2", alpha=shade)
            axes[2].set(ylabel="Pressure (bar)")
            for axis in axes:
                axis.set_xlabel("Position (elements)" if position[-1] > 1.0 else "Position (fraction of the element)")
        return axes


class IonElementPlots(ElementPlots):
    """``.profiles()``: what happens to each ion along a vessel."""

    def profiles(self, lane: Any = (), axes: Any = None, shade: float = 1.0, label: str | None = None) -> Any:
        """Flux, local rejection of each species, and pressure along the vessel; returns three matplotlib Axes. ``shade``: how dark, 0 to 1."""
        plt = pyplot()
        nodes, names = self._result.state.nodes, self._result.clean.feed.species.names
        lane = lane if isinstance(lane, tuple) else (lane,)
        position = _position(nodes.flux[lane].shape)
        bulk = np.asarray(nodes.concentration[lane]).reshape(len(position), -1)
        local = 1.0 - np.asarray(nodes.permeate[lane]).reshape(len(position), -1) / np.where(bulk > 0.0, bulk, 1.0)
        with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
            axes = plt.subplots(1, 3, figsize=(11.5, 3.3), layout="constrained")[1] if axes is None else axes
            first = not axes[1].get_lines()
            axes[0].plot(
                position, np.asarray(nodes.flux[lane]).ravel() / LMH, color="#0072B2", alpha=shade, label=label
            )
            axes[0].set(ylabel="Flux (L m$^{-2}$ h$^{-1}$)")
            _from_zero(axes[0])
            for i, name in enumerate(names):
                said = pretty(name) if first else None
                axes[1].plot(position, 100.0 * local[:, i], color=colour(name, i), alpha=shade, label=said)
            axes[1].set(ylabel="Local rejection (%)")
            axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
            axes[2].plot(position, np.asarray(nodes.stream.pressure[lane]).ravel() / bar, color="#0072B2", alpha=shade)
            axes[2].set(ylabel="Pressure (bar)")
            for axis in axes:
                axis.set_xlabel("Position (elements)" if position[-1] > 1.0 else "Position (fraction of the element)")
        return axes


class TrainPlots:
    """``.profiles()``: what happens along a vessel of every stage."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def picture(self) -> Any:
        """The profiles of the first lane; one of their Axes."""
        return self.profiles((0,) * len(self._result.case.batch_shape))[0, 0]

    def profiles(self, lane: Any = ()) -> Any:
        """A row of three Axes for each stage."""
        stages = self._result.stages
        with pyplot().rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
            size = (11.5, 0.4 + 2.9 * len(stages))
            _, axes = pyplot().subplots(len(stages), 3, figsize=size, layout="constrained", squeeze=False)
            for i, (stage, row) in enumerate(zip(stages, axes, strict=True), 1):
                stage.plot.profiles(lane, row)
                row[0].set_title(f"Stage {i}", loc="left", fontsize=11)
        return axes


def _from_zero(axes: Any) -> None:
    """The axis starts at zero and ends above the highest line."""
    axes.set_ylim(0.0, 1.08 * max(float(np.nanmax(line.get_ydata())) for line in axes.get_lines()))


def _position(shape: tuple[int, int]) -> np.ndarray:
    """Nodes of E elements, in elements from the inlet."""
    return (np.arange(shape[0])[:, None] + np.linspace(0.0, 1.0, shape[1])).ravel()
