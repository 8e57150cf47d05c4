"""Stages of vessels in series, with boosters and a recycle: water, salt and pressure through a whole train."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..._errors import JaxmemError
from ..._status import code
from ...case import Case
from ...chemistry.brine import Brine, brine_of
from ...conditions import MeanFlux, Recovery
from ...membranes.element import Vessel
from ...membranes.provenance import Provenance
from ...membranes.solution_diffusion import SolutionDiffusionMembrane
from ...membranes.train import Stage, Train
from ...nonlinear.increasing import root_of_increasing
from ...nonlinear.small_system import root_of_small
from ..base import AbstractModel
from ..inputs import benign, check_feed, check_precision, check_salt, feed_status
from ..lanes import known, over_lanes
from .march import March, Stream
from .model import (  # fmt: skip
    ElementState,
    SpiralWound,
    check_conditions,
    feed_stream,
    ideal_pressure,
    march_status,
    march_vessel,
    recovered,
)
from .train_result import TrainResult


class TrainState(NamedTuple):
    """One vessel of every stage, and what enters and leaves the train."""

    feed: Stream  # before the recycle joins
    discharge: Stream  # of the last concentrate, what leaves
    stages: tuple[ElementState, ...]
    missed: Array  # what is left of the imposed recovery, relative
    unclosed: Array  # of the recycle, relative to the feed
    status: Array


class ReverseOsmosisTrain(AbstractModel):
    """A ``Train`` of stages; every vessel is marched by ``vessel``, the concentrate of a stage is shared by the vessels of the next.

    The conditions are those of the whole train: ``flow`` is its feed before the recycle joins, ``recovery`` all permeate over that
    flow. Energy counts the feed pump, the boosters and the pump that brings the recycle back to the feed pressure, all of one efficiency.
    """

    vessel: SpiralWound = SpiralWound()
    precision: str = eqx.field(static=True, default="float64")

    def __check_init__(self) -> None:
        if not isinstance(self.vessel, SpiralWound):
            raise JaxmemError(
                f"vessel = {type(self.vessel).__name__} is no model of a vessel's salt. Write jm.ReverseOsmosisTrain(jm.SpiralWound())."
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
        for stage in case.membrane.stages:
            membrane = stage.vessel.element.membrane
            if not isinstance(membrane, SolutionDiffusionMembrane):
                raise JaxmemError(
                    f"An element's membrane is a {type(membrane).__name__}. Write jm.SolutionDiffusionMembrane(3e-12, 3e-8)."
                )
        check_conditions(case)
        check_precision(case, self.precision)
        check_feed(case)
        check_salt(case, self.vessel.brine)

    def initial_guess(self, case: Case) -> Array:
        """The pressure that an ideal train would need, Pa, ``(*batch)``."""
        return over_lanes(lambda c: _first_pressure(c, self._brine(c)), case)

    def _brine(self, case: Case) -> Brine:
        return self.vessel.brine or brine_of(case.feed)

    @eqx.filter_jit
    def find(self, case: Case) -> TrainState:
        """March every lane."""
        status = feed_status(case)
        state = over_lanes(self._lane, benign(case, status == code("successful")))
        return state._replace(status=status)

    def _lane(self, case: Case) -> TrainState:
        """One question: the pressure where it is asked for, the recycle at that pressure, the march."""
        brine, t, target = self._brine(case), case.feed.temperature, _target(case)
        train = case.membrane

        def march(pressure: Array, recycled: Array) -> tuple[Stream, tuple[ElementState, ...]]:
            return self._march(case, brine, pressure, recycled)

        def short(pressure: Array, recycled: Array, last: Stream) -> Array:
            feed = feed_stream(case, brine, pressure)
            return recovered(feed, _less(last, recycled), brine, t) - target

        pressure, recycled = _first_pressure(case, brine), jnp.zeros(2)
        if train.recycle is None and target is not None:
            low = case.conditions.permeate_pressure + 1e3
            miss = lambda p: short(p, recycled, march(p, recycled)[0])
            pressure = root_of_increasing(miss, low, low + 1e8, pressure, most=40)
        elif train.recycle is not None:
            first, scale = pressure, _pair(feed_stream(case, brine, pressure))

            def open_ends(x: Array) -> Array:
                """Recycle over feed that does not come back; and the recovery that is missing, where the pressure is asked for."""
                p = first if target is None else first * x[2]
                last, _ = march(p, x[:2] * scale)
                back = x[:2] - train.recycle * _pair(last) / scale
                return back if target is None else jnp.append(back, short(p, x[:2] * scale, last))

            start = train.recycle * jnp.ones(2)
            found = root_of_small(open_ends, start if target is None else jnp.append(start, 1.0))
            recycled = found[:2] * scale
            pressure = pressure if target is None else first * found[2]
        last, stages = march(pressure, recycled)
        feed, discharge = feed_stream(case, brine, pressure), _less(last, recycled)
        share = 0.0 if train.recycle is None else train.recycle
        unclosed = jnp.max(jnp.abs(recycled - share * _pair(last))) / feed.water
        missed = jnp.zeros_like(pressure) if target is None else short(pressure, recycled, last) / target
        return TrainState(feed, discharge, stages, missed, unclosed, jnp.zeros((), jnp.int32))

    def _march(self, case: Case, brine: Brine, pressure: Array, recycled: Array) -> tuple[Stream, tuple]:
        """All stages, from a recycle (water, salt) in kg/s: the last concentrate, and one vessel of every stage."""
        feed, t, c = feed_stream(case, brine, pressure), case.feed.temperature, case.conditions
        mixed = feed._replace(water=feed.water + recycled[0], salt=feed.salt + recycled[1])
        stages = case.membrane.stages
        counts = [stage.vessel.count for stage in stages]
        alike = None if len(set(counts)) == 1 else max(counts)

        def run(stream: Stream, part: tuple[Stage, Array]) -> tuple[Stream, tuple[Stream, March]]:
            stage, count = part
            inlet = Stream(stream.water / stage.vessels, stream.salt / stage.vessels, stream.pressure + stage.booster)
            behind = c.permeate_pressure + stage.back_pressure
            most = None if alike is None else count
            march = march_vessel(self.vessel, stage.vessel, inlet, t, behind, brine, most)
            outlet = jax.tree.map(lambda x: x[count - 1], march.outlet)
            return Stream(outlet.water * stage.vessels, outlet.salt * stage.vessels, outlet.pressure), (inlet, march)

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
            outlet = jax.tree.map(lambda x: x[-1], real.outlet)
            zero, fine, area = jnp.zeros_like(pressure), jnp.zeros((), jnp.int32), stage.vessel.element.area
            found.append(ElementState(inlet, outlet, real.nodes, area, jnp.sum(real.error), zero, fine))
        return last, tuple(found)

    def residual(self, state: TrainState, case: Case) -> Array:
        """What is left of the imposed recovery, of the recycle, and of the salt balance, relative, ``(*batch, 3)``."""
        return jnp.stack([state.missed, state.unclosed, self.observe(state, case).salt_closure], axis=-1)

    @eqx.filter_jit
    def observe(self, state: TrainState, case: Case) -> TrainResult:
        """The Result of every lane: the first stage that fails says why."""
        clean, brine = benign(case, state.status == code("successful")), self._brine(case)
        result = TrainResult(case=case, model=self, state=state, brine=brine, clean=clean, status=state.status)
        status = jnp.zeros_like(state.status)
        for stage, part in zip(result.stages, state.stages, strict=True):
            here = march_status(part, stage.clean, brine)
            weak = (status == 0) | (status == code("accuracy_not_reached"))
            status = jnp.where(weak & (here != 0), here, status)
        lost = (jnp.abs(state.missed) > 1e-8) | ~(state.unclosed < 1e-8)
        status = jnp.where(lost & (status == 0), code("recovery_out_of_reach"), status)
        status = jnp.where(state.status == 0, status, state.status)
        good = (status == code("successful")) | (status == code("accuracy_not_reached"))
        return TrainResult(case=case, model=self, state=known(state, good), brine=brine, clean=clean, status=status)


def _bare(stage: Stage, count: int) -> Stage:
    """The stage without where its numbers come from, and with ``count`` elements: equal in kind to others that differ in numbers."""
    element = stage.vessel.element
    membrane = dataclasses.replace(element.membrane, provenance=Provenance())
    element = dataclasses.replace(element, membrane=membrane, provenance=Provenance())
    return dataclasses.replace(stage, vessel=Vessel(element, count, stage.vessel.interconnector_loss))


def _pair(stream: Stream) -> Array:
    return jnp.stack([stream.water, stream.salt])


def _less(last: Stream, recycled: Array) -> Stream:
    return last._replace(water=last.water - recycled[0], salt=last.salt - recycled[1])


def train_area(train: Train) -> Array:
    """m2 of membrane in all vessels."""
    return jnp.sum(jnp.stack([s.vessels * s.vessel.count * s.vessel.element.area for s in train.stages]))


def _target(case: Case) -> Array | None:
    """The imposed recovery, or None where the pressure is imposed."""
    c = case.conditions
    if isinstance(c, Recovery):
        return c.recovery
    return c.flux * train_area(case.membrane) / c.flow if isinstance(c, MeanFlux) else None


def _first_pressure(case: Case, brine: Brine) -> Array:
    target = _target(case)
    if target is None:
        return case.conditions.pressure
    first: Stage = case.membrane.stages[0]
    vessel: Vessel = first.vessel
    return ideal_pressure(case, brine, target, vessel.element, train_area(case.membrane))
