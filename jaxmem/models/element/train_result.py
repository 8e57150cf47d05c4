"""The Result of a train: all permeate, the discharge, energy, and a Result for one vessel of every stage."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ...case import Case
from ...chemistry.brine import Brine, brine_of
from ...chemistry.species import pretty
from ...conditions import ATMOSPHERE, FeedPressure
from .ions_result import IonElementResult, charge_left
from .march import volume
from .result import ElementResult
from .separation import AbstractSeparation, AbstractVesselResult, per_flow


class AbstractTrainResult(AbstractSeparation):
    """Answer for one train or a batch; arrays ``(*batch)`` or, per species, ``(*batch, S)``, SI."""

    case: eqx.AbstractVar[Case]
    model: eqx.AbstractVar[Any]
    state: eqx.AbstractVar[Any]
    clean: eqx.AbstractVar[Case]  # the case, with harmless numbers in lanes whose inputs are not sound
    status: eqx.AbstractVar[Array]

    # --- what differs between salt and ions

    @abc.abstractmethod
    def _volume(self, stream: Any) -> Array:
        """m3/s of a stream."""

    @abc.abstractmethod
    def _mixed(self, stream: Any) -> Array:
        """Concentration of every species where the recycle has joined, mol/m3, ``(*batch, S)``."""

    @abc.abstractmethod
    def _vessel(self, case: Case, state: Any) -> AbstractVesselResult:
        """The Result of one vessel."""

    @property
    @abc.abstractmethod
    def salt_closure(self) -> Array:
        """Feed less discharge less the permeates of all elements, over feed, of what is dissolved."""

    # --- stages

    @property
    def stages(self) -> tuple[Any, ...]:
        """One vessel of every stage, as its own Result."""
        found = []
        shape, c = self.status.shape, self.clean.conditions
        for stage, state in zip(self.clean.membrane.stages, self.state.stages, strict=True):
            mixed = eqx.tree_at(lambda m: m.concentration, self.clean.feed, self._mixed(state.inlet))
            behind = jnp.broadcast_to(c.permeate_pressure + stage.back_pressure, shape)
            conditions = eqx.tree_at(
                lambda f: (f.pressure, f.flow, f.permeate_pressure),
                FeedPressure(1e5, 1.0),
                (state.inlet.pressure, self._volume(state.inlet), behind),
            )  # without the checks of inputs: these are answers
            case = eqx.tree_at(
                lambda k: (k.feed, k.membrane, k.conditions),
                self.clean,
                (mixed, stage.vessel, conditions),
                is_leaf=lambda x: x is None,
            )
            found.append(self._vessel(case, state))
        return tuple(found)

    def limits(self) -> dict[str, Array]:
        """What makers ask for in each stage, and the lanes that do not keep it."""
        stages = enumerate(self.stages, 1)
        return {f"stage {i}: {text}": over for i, stage in stages for text, over in stage.limits().items()}

    def _sum(self, passed: Callable[[dict[str, Array], Array], Array]) -> Array:
        """``passed(elements, vessels in parallel)`` of every stage, summed."""
        stages = zip(self.stages, self.clean.membrane.stages, strict=True)
        parts = [passed(result.elements, jnp.asarray(stage.vessels)) for result, stage in stages]
        return sum(parts[1:], parts[0])

    # --- streams

    @property
    def feed_flow(self) -> Array:
        """Before the recycle joins, m3/s."""
        return self._volume(self.state.feed)

    @property
    def discharge_flow(self) -> Array:
        """Concentrate that leaves the train, m3/s."""
        return self._volume(self.state.discharge)

    @property
    def feed_pressure(self) -> Array:
        """Absolute, at the first stage, before its booster, Pa."""
        return self.state.feed.pressure

    @property
    def specific_energy(self) -> Array:
        """``[(P_f - P_0) Q_f + (P_f - P_c) Q_r + sum dP_b Q_i]/eta - eta_ERD (P_c - P_0) Q_c``, all over ``Q_p``, J/m3."""
        pump, out, stages = self.clean.conditions.pump, self.state.discharge, self.clean.membrane.stages
        recycled = self._volume(self.state.stages[0].inlet) * stages[0].vessels - self.feed_flow
        work = (self.feed_pressure - ATMOSPHERE) * self.feed_flow + (self.feed_pressure - out.pressure) * recycled
        for stage, state in zip(stages, self.state.stages, strict=True):
            work = work + stage.booster * stage.vessels * self._volume(state.inlet)
        regained = (out.pressure - ATMOSPHERE) * self.discharge_flow * pump.energy_recovery
        return (work / pump.pump_efficiency - regained) / self.permeate_flow

    # --- out

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with units: the train, and its stages along ``stage``; failed lanes are NaN, ``status`` says why."""
        from .export import train_to_xarray

        return train_to_xarray(self)

    def to_dataframe(self) -> Any:
        """A ``pandas.DataFrame``: one row per lane, stage and element (and species); failed lanes are NaN."""
        from ..export import need

        frames = [stage.to_dataframe().assign(stage=i) for i, stage in enumerate(self.stages, 1)]
        return need("pandas").concat(frames, ignore_index=True)

    @property
    def plot(self) -> Any:
        """``.plot.profiles()`` returns matplotlib Axes, a row for each stage."""
        from ...plot.element import TrainPlots

        return TrainPlots(self)


class TrainResult(AbstractTrainResult):
    """Answer for one train or a batch whose membranes see one salt; arrays ``(*batch)``, SI."""

    case: Case
    model: Any
    state: Any
    clean: Case
    status: Array

    @property
    def brine(self) -> Brine:
        """Properties of the solution."""
        return self.model.vessel.brine or brine_of(self.case.feed)

    def _of(self, water: Array, salt: Array) -> Array:
        return volume(self.brine, water, salt, self.clean.feed.temperature)

    def _volume(self, stream: Any) -> Array:
        return self._of(stream.water, stream.salt)

    def _mixed(self, stream: Any) -> Array:
        feed = self.clean.feed
        raw = jnp.sum(feed.mass_concentration, axis=-1)
        inside = stream.salt / self._volume(stream) / jnp.where(raw > 0.0, raw, 1.0)
        return feed.concentration * jnp.where(raw > 0.0, inside, 1.0)[..., None]

    def _vessel(self, case: Case, state: Any) -> ElementResult:
        return ElementResult(case, self.model.vessel, state, self.brine, case, self.status)

    @property
    def permeate_flow(self) -> Array:
        """Of all stages, m3/s."""
        feed, out = self.state.feed, self.state.discharge
        return self._of(feed.water - out.water, feed.salt - out.salt)

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
    def salt_closure(self) -> Array:
        """Feed less discharge less the permeates of all elements, over feed."""
        salt = self.state.feed.salt
        passed = self._sum(lambda e, n: n * jnp.sum(e["permeate_flow"] * e["permeate_concentration"], -1))
        return (salt - self.state.discharge.salt - passed) / jnp.where(salt > 0.0, salt, 1.0)

    @property
    def water_closure(self) -> Array:
        """The same for mass."""
        feed, out = self.state.feed, self.state.discharge
        whole = feed.water + feed.salt
        passed = self._sum(lambda e, n: n * jnp.sum(e["permeate_mass"], -1))
        return (whole - out.water - out.salt - passed) / whole

    def heading(self) -> str:
        """Stages, model and brine."""
        return f"{len(self.state.stages)} stages, {self.model.title()}, {self.brine.name}"

    def rows(self) -> list[tuple[str, Array, str]]:
        """Salt in the permeate."""
        return [("permeate salt", self.permeate_concentration * 1e3, "mg/L")]


class IonTrainResult(AbstractTrainResult):
    """Answer for one train or a batch whose membranes tell ions apart; arrays ``(*batch)`` or, per species, ``(*batch, S)``, SI."""

    case: Case
    model: Any
    state: Any
    clean: Case
    status: Array

    def _volume(self, stream: Any) -> Array:
        return stream.flow

    def _mixed(self, stream: Any) -> Array:
        return stream.ions / stream.flow[..., None]

    def _vessel(self, case: Case, state: Any) -> IonElementResult:
        return IonElementResult(case, self.model.vessel, state, case, self.status)

    @property
    def permeate_flow(self) -> Array:
        """Of all stages, m3/s."""
        return self.feed_flow - self.discharge_flow

    @property
    def feed_concentration(self) -> Array:
        """mol/m3, before the recycle joins."""
        return self._mixed(self.state.feed)

    @property
    def permeate_concentration(self) -> Array:
        """mol/m3, mixed over the stages."""
        return (self.state.feed.ions - self.state.discharge.ions) / self.permeate_flow[..., None]

    @property
    def discharge_concentration(self) -> Array:
        """mol/m3, of what leaves."""
        return self._mixed(self.state.discharge)

    @property
    def observed_rejection(self) -> Array:
        """``1 - c_p/c_f`` of the whole train; 1 for a species that the feed does not hold."""
        feed = self.feed_concentration
        return 1.0 - self.permeate_concentration / jnp.where(feed > 0.0, feed, 1.0)

    @property
    def closure(self) -> Array:
        """Charge left in permeate and discharge, relative to the ions there."""
        return charge_left(self.clean.feed.species.charge, self.permeate_concentration, self.discharge_concentration)

    @property
    def salt_closure(self) -> Array:
        """Feed less discharge less the permeates of all elements, over feed: the species that closes worst."""
        ions = self.state.feed.ions
        amounts = lambda e: jnp.sum(e["permeate_flow"][..., None] * e["permeate_concentration"], -2)
        left = ions - self.state.discharge.ions - self._sum(lambda e, n: n[..., None] * amounts(e))
        return jnp.max(jnp.abs(left) / jnp.where(ions > 0.0, ions, 1.0), axis=-1)

    @property
    def water_closure(self) -> Array:
        """The same for volume."""
        passed = self._sum(lambda e, n: n * jnp.sum(e["permeate_flow"], -1))
        return (self.permeate_flow - passed) / self.feed_flow

    def heading(self) -> str:
        """Stages and model."""
        return f"{len(self.state.stages)} stages, {self.model.title()}"

    def rows(self) -> list[tuple[str, Array, str]]:
        """Rejection of every species."""
        names = self.clean.feed.species.names
        return [(f"R {pretty(n)}", 100.0 * self.observed_rejection[..., i], "%") for i, n in enumerate(names)]
