"""The Result of a slit: flux and wall concentration along it, and what leaves."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._status import code, tally
from ...case import Case
from ...chemistry.brine import brine_of
from ..inputs import LEAKS, SOLID, SOLUBLE, benign

START = 10  # steps of backward Euler at the head of the march: the inlet is a jump


class SlitResult(eqx.Module):
    """Answer for one slit or a batch, SI; along the slit ``(*batch, M + 1)``."""

    case: Case
    model: Any
    state: Any
    status: Array

    @property
    def ok(self) -> Array:
        """Solved."""
        return self.status == code("successful")

    def warnings(self) -> dict[str, int]:
        """What makes a slit doubtful, and in how many of the solved lanes."""
        doubts = {
            SOLID: jnp.max(self.wall_concentration, axis=-1) > SOLUBLE,
            LEAKS: self._beyond_osmotic(),
        }
        lanes = {text: int((np.asarray(over) & np.asarray(self.ok)).sum()) for text, over in doubts.items()}
        return {text: n for text, n in lanes.items() if n}

    def _beyond_osmotic(self) -> Array:
        """Whether the bulk at the outlet holds against the pressure there; not asked where the flux is imposed."""
        if not hasattr(self.case.conditions, "pressure"):
            return jnp.zeros(self.status.shape, bool)
        clean, c = benign(self.case, self.ok), self.bulk_concentration[..., -1]
        brine, t = brine_of(clean.feed), clean.feed.temperature
        osmotic = (self.model.osmotic or brine.osmotic)(brine.mass_fraction(c, t), c, t)
        return self.state.at.pressure[..., -1] <= clean.membrane.reflection * osmotic

    def messages(self) -> dict[str, int]:
        """Sentences of the codes that occur, and how often."""
        return tally(self.status)

    @property
    def position(self) -> Array:
        """x, m."""
        return self.state.x

    @property
    def concentration(self) -> Array:
        """kg/m3, ``(*batch, M + 1, N + 1)``, from the middle to the wall."""
        return self.state.at.concentration

    @property
    def wall_concentration(self) -> Array:
        """kg/m3."""
        return self.concentration[..., -1]

    @property
    def bulk_concentration(self) -> Array:
        """Mixed cup, kg/m3."""
        weight = jnp.asarray(self.model.bands.mass).sum(
            axis=0
        )  # 3/2 int (1 - eta^2) phi: columns of a symmetric matrix
        weight = weight / jnp.sum(weight)
        return jnp.sum(weight * self.concentration, axis=-1)

    @property
    def volume_flux(self) -> Array:
        """v_w, m/s."""
        return self.state.at.flux

    def _passed(self, rate: Array) -> Array:
        """What has passed one wall up to each position, by the rule of the march, per width: ``(*batch, M + 1)``."""
        dx, steps = jnp.diff(self.position, axis=-1), rate.shape[-1] - 1
        theta = jnp.where(jnp.arange(steps) < START, 1.0, 0.5)
        parts = dx * (theta * rate[..., 1:] + (1.0 - theta) * rate[..., :-1])
        return jnp.concatenate([jnp.zeros_like(parts[..., :1]), jnp.cumsum(parts, axis=-1)], axis=-1)

    @property
    def mean_flux(self) -> Array:
        """m/s."""
        return self._passed(self.volume_flux)[..., -1] / self.position[..., -1]

    @property
    def permeate_concentration(self) -> Array:
        """Mixed, kg/m3; zero where nothing passes."""
        at = self.state.at
        volume = self._passed(at.flux)[..., -1]
        return self._passed(at.flux * at.permeate)[..., -1] / jnp.where(volume > 0.0, volume, 1.0)

    @property
    def recovery(self) -> Array:
        """Permeate over feed."""
        return 1.0 - self.state.at.velocity[..., -1] / self.state.at.velocity[..., 0]

    @property
    def pressure_drop(self) -> Array:
        """Inlet less outlet, Pa."""
        return self.state.at.pressure[..., 0] - self.state.at.pressure[..., -1]

    @property
    def sherwood(self) -> Array:
        """``4 h k/D`` with ``k = v_w/ln[(c_w - c_p)/(c_b - c_p)]``: what film theory needs to say the same; infinite at the inlet and without polarisation."""
        at, given = self.state.at, benign(self.case, self.ok).conditions
        over = self.bulk_concentration - at.permeate
        lift = jnp.log(
            jnp.where(over > 0.0, (self.wall_concentration - at.permeate) / jnp.where(over > 0.0, over, 1.0), 1.0)
        )
        scale = 4.0 * given.half_height / given.diffusivity
        return jnp.where(lift > 0.0, scale[..., None] * at.flux / jnp.where(lift > 0.0, lift, 1.0), jnp.inf)

    @property
    def salt_closure(self) -> Array:
        """Feed less concentrate less permeate, over feed."""
        at, h = self.state.at, benign(self.case, self.ok).conditions.half_height
        flow = at.velocity * self.bulk_concentration
        passed = 0.5 * self.model.sides * self._passed(at.flux * at.permeate)[..., -1] / h
        return (flow[..., 0] - flow[..., -1] - passed) / jnp.where(flow[..., 0] > 0.0, flow[..., 0], 1.0)

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with units; failed lanes are NaN, ``status`` says why."""
        from ..export import need

        xr = need("xarray")
        dims, ok = tuple(f"batch_{i}" for i in range(len(self.case.batch_shape))), np.asarray(self.ok)
        columns = {
            "position": ("m", self.position),
            "volume_flux": ("m s-1", self.volume_flux),
            "wall_concentration": ("kg m-3", self.wall_concentration),
            "bulk_concentration": ("kg m-3", self.bulk_concentration),
            "sherwood": ("1", self.sherwood),
        }
        variables = {
            name: ((*dims, "x"), np.where(ok[..., None], np.asarray(value), np.nan), {"units": unit})
            for name, (unit, value) in columns.items()
        }
        variables["status"] = (dims, np.asarray(self.status), {"long_name": "0 is solved; see jaxmem.STATUS"})
        return xr.Dataset(variables, attrs={"model": self.model.title()})

    @property
    def plot(self) -> Any:
        """``.plot.profiles()`` returns matplotlib Axes."""
        from ...plot.channel import SlitPlots

        return SlitPlots(self)

    def __str__(self) -> str:
        if not hasattr(self.status, "__array__"):
            return "SlitResult (traced)"
        ok = np.asarray(self.ok)
        lines = [f"{self.model.title()}: {int(ok.sum())}/{ok.size} solved"]
        for label, value, unit in (
            ("mean flux", self.mean_flux * 3.6e6, "LMH"),
            ("recovery", self.recovery * 100.0, "%"),
            ("wall, outlet", self.wall_concentration[..., -1], "kg/m3"),
            ("permeate", self.permeate_concentration, "kg/m3"),
        ):
            good = np.asarray(value).reshape(-1)[ok.reshape(-1)]
            if good.size:
                lines.append(f"  {label:<14}{good.min():.5g} to {good.max():.5g} {unit}")
        lines += [f"  {n} x {text}" for text, n in self.warnings().items()]
        return "\n".join(lines + [f"  {n} x {text}" for text, n in self.messages().items() if text != "Solved."][:3])
