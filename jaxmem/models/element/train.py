"""Stages of vessels in series, with boosters and a recycle: water, salt and pressure through a whole train."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..._errors import JaxmemError
from ..._status import code
from ...case import Case
from ...conditions import MeanFlux, Recovery
from ...membranes.element import Vessel
from ...membranes.provenance import Provenance
from ...membranes.train import Stage, Train
from ...nonlinear.increasing import root_of_increasing
from ...nonlinear.small_system import root_of_small
from ..base import AbstractModel
from ..inputs import benign, check_precision, feed_status, held
from ..lanes import known, over_lanes
from .ions import SpiralWoundIons
from .march import March
from .model import SpiralWound, check_conditions
from .train_result import IonTrainResult, TrainResult

_BLOCK = 64  # lanes at a time on a CPU


class TrainState(NamedTuple):
    """One vessel of every stage, and what enters and leaves the train."""

    feed: Any  # Stream or IonStream, before the recycle joins
    discharge: Any  # of the last concentrate, what leaves
    stages: tuple[Any, ...]  # ElementState or IonState
    missed: Array  # what is left of the imposed recovery, relative
    unclosed: Array  # of the recycle, relative to the feed
    status: Array


class ReverseOsmosisTrain(AbstractModel):
    """A ``Train`` of stages; every vessel is marched by ``vessel``, the concentrate of a stage is shared by the vessels of the next.

    ``vessel``: ``jm.SpiralWound()``, or ``jm.SpiralWoundIons(jm.DSPMDE())`` for membranes that tell ions apart. The conditions are those of
    the whole train: ``flow`` is its feed before the recycle joins, ``recovery`` all permeate over that flow. Energy counts the feed pump,
    the boosters and the pump that brings the recycle back to the feed pressure, all of one efficiency.
    """

    vessel: SpiralWound | SpiralWoundIons = SpiralWound()
    precision: str = eqx.field(static=True, default="float64")

    def __check_init__(self) -> None:
        if not isinstance(self.vessel, SpiralWound | SpiralWoundIons):
            raise JaxmemError(
                f"vessel = {type(self.vessel).__name__} is no model of a vessel. Write jm.ReverseOsmosisTrain(jm.SpiralWound()), or "
                "jm.ReverseOsmosisTrain(jm.SpiralWoundIons(jm.DSPMDE()))."
            )

    def title(self) -> str:
        """Name and options, as printed."""
        return f"Train of {self.vessel.title()}"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return self.vessel.sources()

    def check(self, case: Case) -> None:
        """Refuse what this model cannot answer."""
        if not isinstance(case.membrane, Train):
            raise JaxmemError(
                f"ReverseOsmosisTrain needs a train; Case.membrane is a {type(case.membrane).__name__}. Write jm.Train((jm.Stage(vessel, 4), "
                "jm.Stage(vessel, 2)))."
            )
        check_conditions(case)
        check_precision(case, self.precision)
        for stage in case.membrane.stages:
            self.vessel.check_element(case, stage.vessel.element)

    def initial_guess(self, case: Case) -> Array:
        """The pressure that an ideal train would need, Pa, ``(*batch)``."""
        return over_lanes(self._first_pressure, case)

    @eqx.filter_jit
    def find(self, case: Case) -> TrainState:
        """March every lane."""
        status = feed_status(case)
        state = over_lanes(self._lane, benign(case, status == code("successful")), _BLOCK)
        return state._replace(status=status)

    def _lane(self, case: Case) -> TrainState:
        """One question: the pressure where it is asked for, the recycle at that pressure, the march."""
        target, train = _target(case), case.membrane
        share = 0.0 if train.recycle is None else train.recycle

        def short(pressure: Array, recycled: Array, last: Any) -> Array:
            feed = self.vessel.entering(case, pressure)
            return self.vessel.recovered(case, feed, _with(last, _amounts(last) - recycled)) - target

        pressure = self._first_pressure(case)
        whole = _amounts(self.vessel.entering(case, pressure))
        recycled, scale = jnp.zeros_like(whole), jnp.where(whole > 0.0, whole, 1.0)
        if train.recycle is None and target is not None:
            low = case.conditions.permeate_pressure + 1e3
            miss = lambda p: short(p, recycled, self._march(case, p, recycled)[0])
            pressure = root_of_increasing(miss, low, low + 1e8, pressure, most=40)
        elif train.recycle is not None:
            first = pressure

            def open_ends(x: Array) -> Array:
                """Recycle over feed that does not come back; and the recovery that is missing, where the pressure is asked for."""
                p, back = (first, x) if target is None else (first * x[-1], x[:-1])
                last, _ = self._march(case, p, back * scale)
                left = back - train.recycle * _amounts(last) / scale
                return left if target is None else jnp.append(left, short(p, back * scale, last))

            start = train.recycle * jnp.where(whole > 0.0, 1.0, 0.0)
            found = root_of_small(open_ends, start if target is None else jnp.append(start, 1.0))
            recycled = scale * (found if target is None else found[:-1])
            pressure = pressure if target is None else first * found[-1]
        last, stages = self._march(case, pressure, recycled)
        unclosed = jnp.max(jnp.abs(recycled - share * _amounts(last)) / scale)
        missed = jnp.zeros_like(pressure) if target is None else short(pressure, recycled, last) / target
        discharge = _with(last, _amounts(last) - recycled)
        sound = jnp.zeros((), jnp.int32)
        return TrainState(self.vessel.entering(case, pressure), discharge, stages, missed, unclosed, sound)

    def _march(self, case: Case, pressure: Array, recycled: Array) -> tuple[Any, tuple[Any, ...]]:
        """All stages, from the amounts that are recycled: the last concentrate, and one vessel of every stage."""
        feed, behind = self.vessel.entering(case, pressure), case.conditions.permeate_pressure
        mixed = _with(feed, _amounts(feed) + recycled)
        stages = case.membrane.stages
        counts = [stage.vessel.count for stage in stages]
        alike = len(set(counts)) == 1

        def run(stream: Any, part: tuple[Stage, Array]) -> tuple[Any, tuple[Any, March]]:
            stage, count = part
            inlet = _with(stream, _amounts(stream) / stage.vessels)._replace(pressure=stream.pressure + stage.booster)
            most = None if alike else count
            march = self.vessel.through(stage.vessel, case, inlet, behind + stage.back_pressure, most)
            outlet = jax.tree.map(lambda x: x[count - 1], march.outlet)
            return _with(outlet, _amounts(outlet) * stage.vessels), (inlet, march)

        uniform = [_bare(stage, max(counts)) for stage in stages]
        if len({jax.tree.structure(stage) for stage in uniform}) == 1:  # one program goes from stage to stage
            together = jax.tree.map(lambda *x: jnp.stack(x), *uniform)
            last, (inlets, marches) = jax.lax.scan(run, mixed, (together, jnp.array(counts)))
            parts = [jax.tree.map(lambda x, i=i: x[i], (inlets, marches)) for i in range(len(stages))]
        else:
            last, parts = mixed, []
            for stage, count in zip(stages, counts, strict=True):
                last, part = run(last, (stage, jnp.asarray(count)))
                parts.append(part)
        found = []
        for (inlet, march), stage, count in zip(parts, stages, counts, strict=True):
            real = jax.tree.map(lambda x, count=count: x[:count], march)
            found.append(self.vessel.state(stage.vessel, inlet, real, jnp.zeros_like(pressure)))
        return last, tuple(found)

    def _first_pressure(self, case: Case) -> Array:
        target = _target(case)
        if target is None:
            return case.conditions.pressure
        element = case.membrane.stages[0].vessel.element
        return self.vessel.ideal_pressure(case, target, element, train_area(case.membrane))

    def residual(self, state: TrainState, case: Case) -> Array:
        """What is left of the imposed recovery, of the recycle, and of the balance of what is dissolved, relative, ``(*batch, 3)``."""
        return jnp.stack([state.missed, state.unclosed, self.observe(state, case).salt_closure], axis=-1)

    @eqx.filter_jit
    def observe(self, state: TrainState, case: Case) -> TrainResult | IonTrainResult:
        """The Result of every lane: the first stage that fails says why."""
        clean = benign(case, state.status == code("successful"))
        kind = TrainResult if isinstance(self.vessel, SpiralWound) else IonTrainResult
        result = kind(case=case, model=self, state=state, clean=clean, status=state.status)
        status = jnp.zeros_like(state.status)
        for stage, part in zip(result.stages, state.stages, strict=True):
            here = self.vessel.status_of(part, stage.clean).astype(status.dtype)
            weak = (status == 0) | (status == code("accuracy_not_reached"))
            status = jnp.where(weak & (here != 0), here, status)
        lost = (jnp.abs(state.missed) > 1e-8) | ~(state.unclosed < 1e-8)
        status = jnp.where(lost & (status == 0), code("recovery_out_of_reach"), status)
        status = jnp.where(state.status == 0, status, state.status)
        good = (status == code("successful")) | (status == code("accuracy_not_reached"))
        return kind(case=case, model=self, state=known(state, good), clean=held(clean, good), status=status)


def _amounts(stream: Any) -> Array:
    """What a stream carries, kg/s or m3/s and mol/s, as one vector; pressure is its last entry."""
    return jnp.concatenate([jnp.atleast_1d(x) for x in stream[:-1]])


def _with(stream: Any, amounts: Array) -> Any:
    """The stream with other amounts."""
    ends = [max(jnp.size(x), 1) for x in stream[:-1]]
    parts = jnp.split(amounts, [sum(ends[: i + 1]) for i in range(len(ends) - 1)])
    return type(stream)(*(p.reshape(jnp.shape(x)) for p, x in zip(parts, stream[:-1], strict=True)), stream.pressure)


def _bare(stage: Stage, count: int) -> Stage:
    """The stage without where its numbers come from, and with ``count`` elements: equal in kind to others that differ in numbers."""
    element = stage.vessel.element
    membrane = dataclasses.replace(element.membrane, provenance=Provenance())
    element = dataclasses.replace(element, membrane=membrane, provenance=Provenance())
    return dataclasses.replace(stage, vessel=Vessel(element, count, stage.vessel.interconnector_loss))


def train_area(train: Train) -> Array:
    """m2 of membrane in all vessels."""
    return jnp.sum(jnp.stack([s.vessels * s.vessel.count * s.vessel.element.area for s in train.stages]))


def _target(case: Case) -> Array | None:
    """The imposed recovery, or None where the pressure is imposed."""
    c = case.conditions
    if isinstance(c, Recovery):
        return c.recovery
    return c.flux * train_area(case.membrane) / c.flow if isinstance(c, MeanFlux) else None
