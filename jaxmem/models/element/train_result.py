"""The Result of a train: all permeate, the discharge, energy, and a Result for one vessel of every stage."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ...case import Case
from ...conditions import ATMOSPHERE, FeedPressure
from .march import volume
from .result import ElementResult
from .separation import AbstractSeparation, per_flow


class TrainResult(AbstractSeparation):
    """Answer for one train or a batch; arrays ``(*batch)``, SI."""

    case: Case
    model: Any
    state: Any
    brine: Any
    clean: Case  # the case, with harmless numbers in lanes whose inputs are not sound
    status: Array

    def limits(self) -> dict[str, Array]:
        """What makers ask for in each stage, and the lanes that do not keep it."""
        stages = enumerate(self.stages, 1)
        return {f"stage {i}: {text}": over for i, stage in stages for text, over in stage.limits().items()}

    @property
    def stages(self) -> tuple[ElementResult, ...]:
        """One vessel of every stage, as an ``ElementResult``."""
        found = []
        shape, feed, c = self.status.shape, self.clean.feed, self.clean.conditions
        raw = jnp.sum(feed.mass_concentration, axis=-1)
        for stage, state in zip(self.clean.membrane.stages, self.state.stages, strict=True):
            flow = self._volume(state.inlet.water, state.inlet.salt)
            inside = state.inlet.salt / flow / jnp.where(raw > 0.0, raw, 1.0)
            share = jnp.where(raw > 0.0, inside, 1.0)[..., None]
            mixed = eqx.tree_at(lambda m: m.concentration, feed, feed.concentration * share)
            behind = jnp.broadcast_to(c.permeate_pressure + stage.back_pressure, shape)
            conditions = eqx.tree_at(
                lambda f: (f.pressure, f.flow, f.permeate_pressure),
                FeedPressure(1e5, 1.0),
                (state.inlet.pressure, flow, behind),
            )  # without the checks of inputs: these are answers
            case = eqx.tree_at(
                lambda k: (k.feed, k.membrane, k.conditions),
                self.clean,
                (mixed, stage.vessel, conditions),
                is_leaf=_part,
            )
            found.append(ElementResult(case, self.model.vessel, state, self.brine, case, self.status))
        return tuple(found)

    def _volume(self, water: Array, salt: Array) -> Array:
        return volume(self.brine, water, salt, self.clean.feed.temperature)

    @property
    def feed_flow(self) -> Array:
        """Before the recycle joins, m3/s."""
        return self._volume(self.state.feed.water, self.state.feed.salt)

    @property
    def permeate_flow(self) -> Array:
        """Of all stages, m3/s."""
        feed, out = self.state.feed, self.state.discharge
        return self._volume(feed.water - out.water, feed.salt - out.salt)

    @property
    def discharge_flow(self) -> Array:
        """Concentrate that leaves the train, m3/s."""
        return self._volume(self.state.discharge.water, self.state.discharge.salt)

    @property
    def permeate_concentration(self) -> Array:
        """All salts, kg/m3, mixed over the stages."""
        return per_flow(self.state.feed.salt - self.state.discharge.salt, self.permeate_flow)

    @property
    def feed_concentration(self) -> Array:
        """All salts, kg/m3, before the recycle joins."""
        return self.state.feed.salt / self.feed_flow

    @property
    def discharge_concentration(self) -> Array:
        """All salts, kg/m3."""
        return self.state.discharge.salt / self.discharge_flow

    @property
    def observed_rejection(self) -> Array:
        """``1 - c_p/c_f`` of the whole train."""
        return 1.0 - self.permeate_concentration / self.feed_concentration

    @property
    def feed_pressure(self) -> Array:
        """Absolute, at the first stage, before its booster, Pa."""
        return self.state.feed.pressure

    @property
    def specific_energy(self) -> Array:
        """``[(P_f - P_0) Q_f + (P_f - P_c) Q_r + sum dP_b Q_i]/eta - eta_ERD (P_c - P_0) Q_c``, all over ``Q_p``, J/m3."""
        pump, out = self.clean.conditions.pump, self.state.discharge
        first = self.state.stages[0].inlet
        recycled = self._volume(first.water, first.salt) * self.clean.membrane.stages[0].vessels - self.feed_flow
        work = (self.feed_pressure - ATMOSPHERE) * self.feed_flow + (self.feed_pressure - out.pressure) * recycled
        for stage, state in zip(self.clean.membrane.stages, self.state.stages, strict=True):
            work = work + stage.booster * stage.vessels * self._volume(state.inlet.water, state.inlet.salt)
        regained = (out.pressure - ATMOSPHERE) * self.discharge_flow * pump.energy_recovery
        return (work / pump.pump_efficiency - regained) / self.permeate_flow

    def _passed(self, what: str) -> Array:
        """Permeate of all elements, summed one by one."""
        total = jnp.zeros(self.status.shape)
        for stage, result in zip(self.clean.membrane.stages, self.stages, strict=True):
            e = result.elements
            salt = e["permeate_flow"] * e["permeate_concentration"]
            total = total + stage.vessels * jnp.sum(salt if what == "salt" else e["permeate_mass"], axis=-1)
        return total

    @property
    def salt_closure(self) -> Array:
        """Feed less discharge less the permeates of all elements, over feed."""
        salt = self.state.feed.salt
        return (salt - self.state.discharge.salt - self._passed("salt")) / jnp.where(salt > 0.0, salt, 1.0)

    @property
    def water_closure(self) -> Array:
        """The same for mass."""
        feed, out = self.state.feed, self.state.discharge
        whole = feed.water + feed.salt
        return (whole - out.water - out.salt - self._passed("mass")) / whole

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame``: one row per lane, stage and element; failed lanes are NaN."""
        from ..export import need

        frames = [stage.to_dataframe().assign(stage=i) for i, stage in enumerate(self.stages, 1)]
        return need("pandas").concat(frames, ignore_index=True)

    def heading(self) -> str:
        """Stages, model and brine."""
        return f"{len(self.state.stages)} stages, {self.model.title()}, {self.brine.name}"

    def rows(self) -> list[tuple[str, Array, str]]:
        """Salt in the permeate."""
        return [("permeate salt", self.permeate_concentration * 1e3, "mg/L")]


def _part(x: Any) -> bool:
    return x is None
