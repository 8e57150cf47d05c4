"""Pictures of elements and vessels."""

from typing import Any

import numpy as np

from ..chemistry.species import pretty
from ..units import LMH, bar
from .style import COMMON, STYLES, pyplot


class ElementPlots:
    """``.profiles()``: what happens along a vessel."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def picture(self) -> Any:
        """The profiles of the first lane; one of their Axes."""
        return self.profiles((0,) * len(self._result.case.batch_shape))[0]

    def profiles(self, lane: Any = (), axes: Any = None) -> Any:
        """Flux, salt at bulk and membrane, and pressure along the vessel; returns three matplotlib Axes."""
        plt = pyplot()
        nodes = self._result.state.nodes
        lane = lane if isinstance(lane, tuple) else (lane,)
        position, columns = _position(nodes.stream.water[lane].shape), lambda x: np.asarray(x[lane]).ravel()
        with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
            axes = plt.subplots(1, 3, figsize=(11.0, 3.3), layout="constrained")[1] if axes is None else axes
            axes[0].plot(position, columns(nodes.wall.flux) / LMH, color="#0072B2")
            axes[0].set(ylabel="Water flux (L m$^{-2}$ h$^{-1}$)", ylim=(0.0, None))
            axes[1].plot(position, columns(nodes.concentration), color="#0072B2", label="bulk")
            axes[1].plot(position, columns(nodes.wall.interface), color="#D55E00", label="at the membrane")
            axes[1].set(ylabel="Salt (kg m$^{-3}$)")
            axes[1].legend()
            axes[2].plot(position, columns(nodes.stream.pressure) / bar, color="#0072B2")
            axes[2].set(ylabel="Pressure (bar)")
            for axis in axes:
                axis.set_xlabel("Position (elements)" if position[-1] > 1.0 else "Position (fraction of the element)")
        return axes


class IonElementPlots(ElementPlots):
    """``.profiles()``: what happens to each ion along a vessel."""

    def profiles(self, lane: Any = (), axes: Any = None) -> Any:
        """Flux, local rejection of each species, and pressure along the vessel; returns three matplotlib Axes."""
        plt = pyplot()
        nodes, names = self._result.state.nodes, self._result.clean.feed.species.names
        lane = lane if isinstance(lane, tuple) else (lane,)
        position = _position(nodes.flux[lane].shape)
        bulk = np.asarray(nodes.concentration[lane]).reshape(len(position), -1)
        local = 1.0 - np.asarray(nodes.permeate[lane]).reshape(len(position), -1) / np.where(bulk > 0.0, bulk, 1.0)
        with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
            axes = plt.subplots(1, 3, figsize=(11.5, 3.3), layout="constrained")[1] if axes is None else axes
            axes[0].plot(position, np.asarray(nodes.flux[lane]).ravel() / LMH, color="#0072B2")
            axes[0].set(ylabel="Flux (L m$^{-2}$ h$^{-1}$)", ylim=(0.0, None))
            for i, name in enumerate(names):
                axes[1].plot(position, 100.0 * local[:, i], label=pretty(name))
            axes[1].set(ylabel="Local rejection (%)")
            axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
            axes[2].plot(position, np.asarray(nodes.stream.pressure[lane]).ravel() / bar, color="#0072B2")
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


def _position(shape: tuple[int, int]) -> np.ndarray:
    """Nodes of E elements, in elements from the inlet."""
    return (np.arange(shape[0])[:, None] + np.linspace(0.0, 1.0, shape[1])).ravel()
