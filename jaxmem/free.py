"""``Free``: which quantities of a case may move, within what bounds. Fit, optimise, sweep and train share it."""

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ._errors import JaxmemError, unknown
from ._fields import is_concrete, real
from .case import Case, all_quantities, at_path


def _pair(x: Any) -> Any:
    return tuple(real(y) for y in x) if isinstance(x, tuple | list) else x


class Interval(eqx.Module):
    """A number from ``low`` to ``high``, SI: ``low + (high - low) share``. Fits use ``share = 1/(1 + exp(-u))`` of an unbounded ``u``.

    ``prior``: mean and standard deviation of what is known beforehand, in the same unit.
    """

    low: float = eqx.field(static=True, converter=real)
    high: float = eqx.field(static=True, converter=real)
    prior: tuple[float, float] | None = eqx.field(static=True, default=None, converter=_pair)

    def __check_init__(self) -> None:
        _check_bounds(self, -math.inf)

    def at(self, share: Array) -> Array:
        """The number at a share of the way from ``low``, 0, to ``high``, 1."""
        return self.low + (self.high - self.low) * share

    def share(self, value: Array) -> Array:
        """The share of the way at which a number lies; beyond the bounds, as on them."""
        return jnp.clip((value - self.low) / (self.high - self.low), 0.0, 1.0)

    def scale(self, value: Array) -> Array:
        """What the prior is stated in: the number itself."""
        return value


class LogInterval(eqx.Module):
    """A positive number from ``low`` to ``high``, SI, even on a logarithmic scale. ``prior``: mean, and standard deviation of its logarithm."""

    low: float = eqx.field(static=True, converter=real)
    high: float = eqx.field(static=True, converter=real)
    prior: tuple[float, float] | None = eqx.field(static=True, default=None, converter=_pair)

    def __check_init__(self) -> None:
        _check_bounds(self, 0.0)

    def at(self, share: Array) -> Array:
        """The number at a share of the way from ``low``, 0, to ``high``, 1."""
        a, b = math.log(self.low), math.log(self.high)
        y = jnp.exp(a + (b - a) * share)
        return y + jax.lax.stop_gradient(jnp.clip(y, self.low, self.high) - y)  # round-off leaves no bound

    def share(self, value: Array) -> Array:
        """The share of the way at which a number lies; beyond the bounds, as on them."""
        a, b = math.log(self.low), math.log(self.high)
        return jnp.clip((jnp.log(jnp.maximum(value, self.low)) - a) / (b - a), 0.0, 1.0)

    def scale(self, value: Array) -> Array:
        """What the prior is stated in: the logarithm."""
        return jnp.log(value)


def _logit(share: Array) -> Array:
    share = jnp.clip(share, 1e-4, 1.0 - 1e-4)  # a start on a bound could not leave it
    return jnp.log(share) - jnp.log1p(-share)


def _check_bounds(interval: Any, least: float) -> None:
    low, high, name = interval.low, interval.high, type(interval).__name__
    numbers = all(isinstance(x, int | float) and math.isfinite(x) for x in (low, high))
    if not numbers or not least < low < high:
        positive = " and above zero" if least == 0.0 else ""
        raise JaxmemError(
            f"{name}({low!r}, {high!r}) holds no number. Both bounds must be finite{positive}, the lower one first: write jm.{name}(0.3e-9, 0.8e-9)."
        )
    prior = interval.prior
    if prior is None:
        return
    pair = isinstance(prior, tuple | list) and len(prior) == 2 and all(isinstance(x, int | float) for x in prior)
    if not pair or not (math.isfinite(prior[0]) and 0.0 < prior[1] < math.inf and least < prior[0]):
        mean = "a mean above zero" if least == 0.0 else "a mean"
        raise JaxmemError(
            f"{name}.prior = {prior!r} must be {mean} and a standard deviation above zero. Write prior=(mean, sd)."
        )


class Free(eqx.Module):
    """``jm.Free(pore_radius=jm.LogInterval(0.3e-9, 0.8e-9), charge_density=jm.Interval(-200.0, 50.0))``.

    A name is that of a quantity of the case, as in ``case.replace``; where several carry it, write its path in a mapping,
    ``jm.Free({"membrane.layers.0.charge_density": ...})``. A quantity of S species is S numbers. Every number with a unit stands in
    the case, those of closures too; models hold options, and networks weights, which ``jm.train`` moves.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    within: tuple[Any, ...]

    def __init__(self, paths: Mapping[str, Any] | None = None, /, **names: Any) -> None:
        every = {**(paths or {}), **names}
        if not every:
            raise JaxmemError("Nothing is free. Write for example jm.Free(pore_radius=jm.LogInterval(0.3e-9, 0.8e-9)).")
        for name, interval in every.items():
            if not isinstance(interval, Interval | LogInterval):
                raise JaxmemError(
                    f"{name} = {interval!r} is no interval. Write jm.Free({name}=jm.Interval(low, high)) or jm.LogInterval(low, high)."
                )
        self.names, self.within = tuple(every), tuple(every.values())

    def paths(self, case: Case) -> list[str]:
        """Full path of each name in a case; refuses what is not there, or stands in several places."""
        known = [path for path, *_ in all_quantities(case)]
        short = {
            p.rsplit(".", 1)[-1]: [q for q in known if q.rsplit(".", 1)[-1] == p.rsplit(".", 1)[-1]] for p in known
        }
        found = []
        for name in self.names:
            same = [name] if name in known else short.get(name, [])
            if not same:
                raise unknown(
                    "Quantity of this case", name, [*short, *known], "Write for example jm.Free(pore_radius=...)."
                )
            if len(same) > 1:
                raise JaxmemError(
                    f"{name!r} stands in {len(same)} places: {', '.join(same)}. Write jm.Free({{{same[0]!r}: ...}})."
                )
            if same[0] in found:
                raise JaxmemError(f"{same[0]!r} is free twice. Name it once: jm.Free({{{same[0]!r}: ...}}).")
            found += same
        return found

    def _values(self, case: Case) -> list[Array]:
        """Present values, ``()`` or ``(S,)`` each: those of the first lane."""
        found, metas = [], {path: meta for path, _, meta in all_quantities(case)}
        for path in self.paths(case):
            value = at_path(case, path.split("."))
            n = metas[path]["ndim"]
            lanes = value.reshape(-1, *value.shape[value.ndim - n :])
            if is_concrete(value) and bool(np.any((known := np.asarray(value).reshape(lanes.shape)) != known[:1])):
                raise JaxmemError(
                    f"{path} differs between the {lanes.shape[0]} lanes of this case, and what is free is one number for all of them, which would take their place. "
                    f"Leave {path.rsplit('.', 1)[-1]} out of jm.Free, or give a case with one: case.replace({path.rsplit('.', 1)[-1]}=...)."
                )
            found.append(lanes[0])
        return found

    def labels(self, case: Case) -> list[str]:
        """One for each number: ``"pore_radius"``, ``"permeance Na+"``."""
        found = []
        for name, path, value in zip(self.names, self.paths(case), self._values(case), strict=True):
            of = getattr(at_path(case, path.split(".")[:-1]), "names", case.feed.species.names)
            if value.size == 1:
                found.append(name)
            else:
                found += [f"{name} {s}" for s in (of if len(of) == value.size else range(value.size))]
        return found

    def units(self, case: Case) -> list[str]:
        """One for each number."""
        metas, found = {path: meta for path, _, meta in all_quantities(case)}, []
        for path, value in zip(self.paths(case), self._values(case), strict=True):
            found += [metas[path]["unit"]] * value.size
        return found

    def start(self, case: Case) -> Array:
        """Unbounded numbers of the case as it is, ``(n,)``."""
        pairs = zip(self.within, self._values(case), strict=True)
        return jnp.concatenate([jnp.atleast_1d(_logit(interval.share(value))) for interval, value in pairs])

    def shares(self, case: Case) -> Array:
        """Where between their bounds the numbers of the case lie, ``(n,)``, 0 to 1."""
        pairs = zip(self.within, self._values(case), strict=True)
        return jnp.concatenate([jnp.atleast_1d(interval.share(value)) for interval, value in pairs])

    def values(self, case: Case, u: Array, *, bounded: bool = False) -> Array:
        """Numbers in SI from unbounded ones or, where ``bounded``, from shares of 0 to 1; both ``(*lead, n)``."""
        return jnp.concatenate([x.reshape(*u.shape[:-1], -1) for x in self._split(case, u, bounded)], axis=-1)

    def _split(self, case: Case, u: Array, bounded: bool = False) -> list[Array]:
        share, found, at = u if bounded else jax.nn.sigmoid(u), [], 0
        for interval, value in zip(self.within, self._values(case), strict=True):
            found.append(interval.at(share[..., at : at + value.size]).reshape(*u.shape[:-1], *value.shape))
            at += value.size
        return found

    def apply(self, case: Case, u: Array, *, bounded: bool = False) -> Case:
        """The case with these numbers in all its lanes; ``u (*lead, n)`` puts axes before those of the case. ``bounded`` as in ``values``."""
        lead, inner = u.shape[:-1], (1,) * len(case.batch_shape) if u.ndim > 1 else ()
        values = [x.reshape(*lead, *inner, *x.shape[len(lead) :]) for x in self._split(case, u, bounded)]
        return case.replace(**dict(zip(self.paths(case), values, strict=True)))

    def prior(self, case: Case, u: Array) -> Array:
        """Deviations from what is known beforehand, in standard deviations, ``(*lead, k)``; as many as have a prior."""
        rows = [
            (interval.scale(value) - interval.scale(jnp.asarray(interval.prior[0]))) / interval.prior[1]
            for interval, value in zip(self.within, self._split(case, u), strict=True)
            if interval.prior is not None
        ]
        rows = [r.reshape(*u.shape[:-1], -1) for r in rows]
        return jnp.concatenate(rows, axis=-1) if rows else jnp.zeros((*u.shape[:-1], 0))

    def draw(self, case: Case, count: int, seed: int = 0) -> Array:
        """``count`` starts, ``(count, n)`` unbounded: the case as it is, then a Latin hypercube over the middle of the bounds."""
        first = np.asarray(self.start(case))
        random = np.random.default_rng(seed)
        n = max(count - 1, 1)
        cells = np.stack([random.permutation(n) for _ in first], axis=1)
        share = 0.05 + 0.9 * (cells + random.random(cells.shape)) / n
        return jnp.asarray(np.concatenate([first[None], np.log(share / (1.0 - share))])[:count])
