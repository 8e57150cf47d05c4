"""Which cases a sweep asks: points between the bounds of free numbers, on a grid or by the samplers of ``scipy.stats.qmc``.

A design gives shares of the way from bound to bound, ``(*shape, d)`` for ``d`` numbers; ``jm.LogInterval`` is even in the logarithm.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.stats import qmc

from .._errors import JaxmemError, ShapeError, check_seed
from ..case import Case
from ..free import Free, LogInterval


class AbstractDesign(eqx.Module):
    """``shares(d)``: where the points lie, ``(*shape, d)``, 0 to 1."""

    @abstractmethod
    def shares(self, numbers: int) -> np.ndarray:
        """Shares of the way from bound to bound, for so many free numbers."""

    def apply(self, case: Case, free: Free) -> Case:
        """The case at every point of the design: the axes of the design come before those of the case."""
        u = self.shares(len(free.labels(case)))
        return free.apply(case, jnp.asarray(u), bounded=True)

    @abstractmethod
    def words(self) -> str:
        """As one types it, for manifests."""


class Grid(AbstractDesign):
    """``jm.Grid(20, 30)``: so many even steps of each free number, bounds included; ``jm.Grid(20)`` the same of each."""

    counts: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, *counts: int) -> None:
        if not counts:
            raise JaxmemError("A grid needs numbers of points. Write jm.Grid(20), or jm.Grid(20, 30) for two numbers.")
        self.counts = tuple(_whole("Grid", n, 20) for n in counts)

    def shares(self, numbers: int) -> np.ndarray:
        """``(n_1, .., n_d, d)``."""
        counts = self.counts * numbers if len(self.counts) == 1 else self.counts
        if len(counts) != numbers:
            raise ShapeError(
                f"This grid has {len(counts)} axes for {numbers} free numbers. Write jm.Grid({', '.join(['20'] * numbers)})."
            )
        axes = [np.linspace(0.0, 1.0, n) if n > 1 else np.full(1, 0.5) for n in counts]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def words(self) -> str:
        """As one types it."""
        return f"Grid({', '.join(map(str, self.counts))})"


class _Sample(AbstractDesign):
    """``count`` points that ``seed`` determines."""

    count: int = eqx.field(static=True)
    seed: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        _whole(type(self).__name__, self.count, 1024)
        check_seed(self.seed)

    def words(self) -> str:
        """As one types it."""
        return f"{type(self).__name__}({self.count}, seed={self.seed})"


class Random(_Sample):
    """``jm.Random(1000, seed=0)``: independent, uniform."""

    def shares(self, numbers: int) -> np.ndarray:
        """``(count, d)``."""
        return np.random.default_rng(self.seed).random((self.count, numbers))


class LatinHypercube(_Sample):
    """``jm.LatinHypercube(1000, seed=0)``: every number takes each of ``count`` equal intervals once."""

    def shares(self, numbers: int) -> np.ndarray:
        """``(count, d)``."""
        return qmc.LatinHypercube(numbers, rng=np.random.default_rng(self.seed)).random(self.count)


class Sobol(_Sample):
    """``jm.Sobol(1024, seed=0)``: a scrambled Sobol' sequence; ``count`` is a power of two, without which it is not balanced."""

    def __check_init__(self) -> None:
        count = _whole("Sobol", self.count, 1024)
        if count & (count - 1):
            near = 1 << count.bit_length()
            raise JaxmemError(f"Sobol' points come in powers of two, not {self.count}. Write jm.Sobol({near}).")

    def shares(self, numbers: int) -> np.ndarray:
        """``(count, d)``."""
        return qmc.Sobol(numbers, rng=np.random.default_rng(self.seed)).random(self.count)


def _whole(name: str, n: Any, example: int) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
        raise JaxmemError(f"jm.{name} needs a number of points, not {n!r}. Write jm.{name}({example}).")
    return int(n)


def described(case: Case, free: Free, design: AbstractDesign) -> dict[str, Any]:
    """A design in words, for manifests."""
    bounds = {
        name: [within.low, within.high, "logarithmic" if isinstance(within, LogInterval) else "linear"]
        for name, within in zip(free.paths(case), free.within, strict=True)
    }
    return {"points": design.words(), "between": bounds}
