"""What a fit asks of measurements, whatever was measured."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jax import Array

from .case import Case


class Trace(NamedTuple):
    """Measured points that share a colour in a figure: 1-D arrays, in the unit of the figure."""

    label: str
    name: str  # that the colour belongs to
    along: np.ndarray  # where they were measured
    measured: np.ndarray
    computed: np.ndarray
    left: np.ndarray  # residuals, standard deviations
    sigma: np.ndarray


class AbstractMeasurements(eqx.Module):
    """Measured numbers with the ``case`` that asks a model for them. ``len`` counts those that are there."""

    case: eqx.AbstractVar[Case]
    quantities: eqx.AbstractVar[tuple[str, ...]]  # names of what was measured, attributes of the Result

    @property
    @abstractmethod
    def size(self) -> int:
        """How many residuals a Result gives, those of missing measurements included."""

    @property
    @abstractmethod
    def noise(self) -> Callable:
        """``noise(computed, measured, sigma)`` gives residuals in standard deviations: what is taken where no other is given."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What was measured, in words: ``"observed rejections"``."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def residual(self, result: Any, noise: Callable) -> Array:
        """Residuals in standard deviations, ``(*lead, size)`` for a Result of lanes ``(*lead, *batch)``.

        Zero where nothing was measured, not a number in failed lanes.
        """

    @abstractmethod
    def unusable(self, noise: Callable) -> int:
        """How many measurements have no residual even where they are met exactly, as the relative error of a zero."""

    @abstractmethod
    def again(self, result: Any, noise: Callable) -> Array:
        """Residuals that the same measurements would have in other lanes, ``(*lanes, r)``: zero, with the slopes that a plan needs."""

    @abstractmethod
    def traces(self, quantity: str, result: Any, left: np.ndarray) -> Iterator[Trace]:
        """Points of one quantity for figures; ``left`` are the residuals ``(size,)``."""

    @abstractmethod
    def words(self, quantity: str) -> tuple[str, str]:
        """The quantity and what it was measured along, with units, for the axes of figures."""
