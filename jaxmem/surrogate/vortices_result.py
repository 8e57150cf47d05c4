"""The Result of networks that answer for the current, the vortices and the plateau of a membrane."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array

from ..case import Case
from ..models.export import need
from ..models.nernst_planck_poisson.export import rows, variable, variables
from ..models.nernst_planck_poisson.scaled import AbstractScaledResult
from .regression import Prediction

EXCESS = 0.05  # over the current at rest: less is no vortex
CURVE = {
    "voltage": ("V", "potential of the far end over the lower one"),
    "current": ("A m-2", "mean current density"),
    "current_interval": ("A m-2", "half width of its 90 % interval"),
    "current_at_rest": ("A m-2", "current density without flow"),
    "scaled_voltage": ("1", "voltage in RT/F"),
    "vortex_diameter": ("1", "d1 over L, 0 without vortices"),
    "vortex_diameter_interval": ("1", "half width of its 90 % interval"),
    "vortex_height": ("1", "d2 over L, 0 without vortices"),
}
LANE = {
    "plateau_length": ("1", "plateau of the curve in RT/F"),
    "plateau_length_interval": ("1", "half width of its 90 % interval"),
}


class VortexResult(AbstractScaledResult):
    """Arrays ``(*batch)``, or ``(*batch, V)`` for a sweep. Intervals are half widths, calibrated to hold 90 % of groups not trained on."""

    kept: ClassVar[dict[str, tuple[str, ...]]] = dict.fromkeys(
        (
            "scaled_voltage",
            "scaled_current.value",
            "scaled_current.interval",
            "vortex_diameter",
            "vortex_height",
            "outside",
        ),
        ("point",),
    ) | {"plateau_length": ()}  # pyright: ignore[reportAssignmentType]  # what a sweep stores

    case: Case
    model: Any
    state: Any
    clean: Case
    status: Array

    @property
    def scaled_voltage(self) -> Array:
        """RT/F."""
        return self.state.voltage

    @property
    def voltage(self) -> Array:
        """V."""
        return self.state.voltage * self.wide(self.scales.potential)

    @property
    def scaled_current(self) -> Prediction:
        """In F D c0/L: the current at rest times one plus the excess."""
        excess, rest = self.state.excess, self.state.at_rest
        return Prediction(rest * (1.0 + excess.value), jnp.abs(rest) * excess.interval, excess.outside)

    @property
    def current(self) -> Array:
        """Mean current density, A/m2."""
        return self.scaled_current.value * self.wide(self.scales.current)

    @property
    def current_interval(self) -> Array:
        """A/m2."""
        return self.scaled_current.interval * self.wide(self.scales.current)

    @property
    def current_at_rest(self) -> Array:
        """Of the same voltage without flow, A/m2."""
        return self.state.at_rest * self.wide(self.scales.current)

    @property
    def has_vortices(self) -> Array:
        """Where the current exceeds that at rest by 5 %."""
        return self.state.excess.value > EXCESS

    @property
    def vortex_diameter(self) -> Array:
        """d1 over L; zero where there are no vortices."""
        return jnp.where(self.has_vortices, self.state.diameter.value, 0.0)

    @property
    def vortex_diameter_interval(self) -> Array:
        """Over L."""
        return jnp.where(self.has_vortices, self.state.diameter.interval, 0.0)

    @property
    def vortex_height(self) -> Array:
        """d2 over L; zero where there are no vortices."""
        return jnp.where(self.has_vortices, self.state.height.value, 0.0)

    @property
    def plateau_length(self) -> Array:
        """RT/F, ``(*batch)``."""
        return self.state.plateau.value

    @property
    def plateau_length_interval(self) -> Array:
        """RT/F, ``(*batch)``."""
        return self.state.plateau.interval

    @property
    def outside(self) -> Array:
        """Where the question lies beyond the training of the current, or of the vortices where there are any."""
        vortices = self.state.diameter.outside | self.state.height.outside
        return self.state.excess.outside | (self.has_vortices & vortices)

    @property
    def plateau_outside(self) -> Array:
        """Where the criteria lie beyond the training of the plateau, ``(*batch)``."""
        return self.state.plateau.outside

    def warnings(self) -> dict[str, int]:
        """Answers beyond the training, counted over voltages, and lanes without an answer."""
        solved = np.asarray(self.ok).reshape((*np.shape(self.ok), *(1,) * self.points))
        count = int((np.asarray(self.outside) & solved).sum())
        return {"answers lie beyond the training: look at result.outside": count} if count else {}

    # --- out

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with units; failed lanes are NaN, ``status`` says why."""
        xr, shown = need("xarray"), variables(self, CURVE, LANE)
        shown["outside"] = variable(
            self, self.outside, ("point",) * self.points, "1", "1: beyond the training of current or vortices"
        )
        return xr.Dataset(shown, attrs={"model": self.model.title()})

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame``: one row per lane and voltage; failed lanes are NaN."""
        return rows(self.to_xarray())

    @property
    def plot(self) -> Any:
        """``.plot.curve()`` returns matplotlib Axes."""
        from ..plot.electric import VortexPlots

        return VortexPlots(self)

    def heading(self) -> str:
        """What was done."""
        return "answered"

    def rows(self) -> list[tuple[str, tuple[Array, ...], str]]:
        """Currents, vortices and plateau, scaled."""
        i, ok = self.scaled_current, np.asarray(self.ok).reshape(-1)
        most = lambda x: float(np.max(np.asarray(x).reshape(ok.size, -1)[ok]))
        return [
            ("voltage", (self.scaled_voltage,), "RT/F"),
            ("current", (i.value,), f"F D c0/L, within {most(i.interval):.2g}"),
            ("at rest", (self.state.at_rest,), "F D c0/L"),
            (
                "diameter",
                (self.vortex_diameter,),
                f"L (d1), within {most(self.vortex_diameter_interval):.2g}",
            ),
            ("plateau", (self.plateau_length,), f"RT/F, within {most(self.plateau_length_interval):.2g}"),
        ]
