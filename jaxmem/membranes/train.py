"""Reverse-osmosis trains: stages of parallel vessels, the concentrate of one feeding the next."""

from typing import Any

import equinox as eqx
from jax import Array

from .._errors import JaxmemError
from .._fields import check, field
from .element import Vessel


class Stage(eqx.Module):
    """``vessels`` equal vessels in parallel; a booster pump may stand before them, a valve behind their permeate."""

    vessel: Any  # a Vessel
    vessels: Array = field(unit="1", low=1e-6, high=1e6, symbol="N_v", doc="vessels in parallel", default=1.0)
    booster: Array = field(
        unit="Pa", low=0.0, high=1e8, symbol="dP_b", hint="bar", doc="pressure added before the stage", default=0.0
    )
    back_pressure: Array = field(
        unit="Pa", low=0.0, high=1e8, hint="bar", doc="permeate pressure over that of the conditions", default=0.0
    )

    def __check_init__(self) -> None:
        check(self)
        if not isinstance(self.vessel, Vessel):
            raise JaxmemError(
                f"Stage.vessel is a {type(self.vessel).__name__}. Write "
                'jm.Stage(jm.Vessel(jm.element("SW30HRLE-400"), 6), vessels=4).'
            )


class Train(eqx.Module):
    """Stages in series. ``recycle`` is the fraction of the last concentrate that returns to the feed; None: none does."""

    stages: tuple[Any, ...]
    recycle: Array | None = field(
        unit="1", low=0.0, high=0.95, usual=0.1, symbol="r", doc="recycled concentrate", optional=True
    )

    def __check_init__(self) -> None:
        check(self)
        if not isinstance(self.stages, tuple) or not self.stages or not all(isinstance(s, Stage) for s in self.stages):
            raise JaxmemError(
                f"Train.stages = a {type(self.stages).__name__} of {len(self.stages) if isinstance(self.stages, tuple | list) else 0} are not stages in a tuple. Write jm.Train((jm.Stage(vessel, 4), jm.Stage(vessel, 2)))."
            )
