"""Which number matters across whole bounds: Sobol' indices of an output, from batched samples of a case."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.stats import qmc

from .._errors import ConvergenceError, JaxmemError, ShapeError, check_seed
from ..case import Case
from ..free import Free
from ..models.base import AbstractModel
from ..models.linearised import asked
from ..models.solve import solve

_STILL = 1e-12  # of an output: what varies by less is round-off
_BOOTSTRAP = 200  # resamples for the standard errors


class Indices(NamedTuple):
    """Shares of the variance of an output ``(*batch)`` by each free number, ``(n, *batch)``, with standard errors by bootstrap."""

    labels: tuple[str, ...]
    first: np.ndarray  # by the number alone
    total: np.ndarray  # with all that it does together with others
    first_error: np.ndarray
    total_error: np.ndarray
    mean: np.ndarray  # of the output, (*batch)
    deviation: np.ndarray  # standard deviation of the output, (*batch)
    lanes: int  # solved in all
    dropped: int  # points of which a lane failed

    def __str__(self) -> str:
        width = max(len("number"), *(len(x) for x in self.labels))
        average = [np.asarray(x).reshape(len(self.labels), -1).mean(axis=1) for x in (self.first, self.first_error, self.total, self.total_error)]  # fmt: skip
        lines = [f"{'number':<{width}}  share of the variance alone    with others   ({self.lanes} lanes, {self.dropped} points dropped)"]  # fmt: skip
        for i in np.argsort(-average[2]):
            first, e1, total, e2 = (x[i] for x in average)
            lines.append(f"{self.labels[i]:<{width}}  {first:14.3f} +- {e1:.3f}  {total:12.3f} +- {e2:.3f}")
        if self.dropped:
            lines.append(f"of the part of the bounds that has answers: {self.dropped} points have none")
        return "\n".join(lines)

    def plot(self, axes: Any = None) -> Any:
        """Bars of both shares, averages over the batch; returns matplotlib Axes."""
        from ..plot.style import new_axes

        axes = new_axes("screen") if axes is None else axes
        total, first = (np.asarray(x).reshape(len(self.labels), -1).mean(axis=1) for x in (self.total, self.first))
        error = np.asarray(self.total_error).reshape(len(self.labels), -1).mean(axis=1)
        order = np.argsort(total)
        names = [self.labels[i] for i in order]
        axes.barh(names, total[order], xerr=error[order], color="#9ecae1", label="with others")
        axes.barh(names, np.maximum(first[order], 0.0), height=0.45, color="#0072b2", label="alone")
        axes.set_xlabel("Share of the variance")
        axes.set_xlim(left=0.0)
        axes.legend(frameon=False)
        return axes


def sobol_indices(model: AbstractModel, case: Case, free: Free, output: Callable[[Any], Array], *, count: int = 1024, seed: int = 0) -> Indices:  # fmt: skip
    """``jm.sobol_indices(jm.DSPMDE(), case, free, lambda r: r.observed_rejection[..., 0])``: variance shares over the bounds of ``free``.

    Numbers are independent and even between their bounds (``jm.LogInterval``: in the logarithm; priors are left out). With samples A and B of ``count``
    scrambled Sobol' points and ``A_i``, A with number i of B, ``(n + 2) count`` cases are solved in one batch:

        S_i = <f_B (f_Ai - f_A)>/V,      T_i = <(f_A - f_Ai)^2>/(2 V)

    Saltelli et al. 2010 (doi 10.1016/j.cpc.2009.09.018), Jansen 1999 (doi 10.1016/S0010-4655(98)00154-4). ``output`` takes the Result to an array with
    the points first. Points of which a lane fails are dropped and counted; a fifth dropped, and there is no answer; shares are then those of the part of the bounds that has answers.
    """
    if isinstance(count, bool) or not hasattr(count, "__index__") or count < 2 or count & (count - 1):
        raise JaxmemError(f"count = {count!r} is no power of two. Write count=1024.")
    check_seed(seed)
    if not isinstance(free, Free):
        raise JaxmemError(f"{type(free).__name__} says not what is free. Write jm.Free(pore_radius=jm.LogInterval(0.4e-9, 0.8e-9)).")  # fmt: skip
    labels = tuple(free.labels(case))
    n = len(labels)
    ab = qmc.Sobol(2 * n, rng=np.random.default_rng(seed)).random(count)
    a, b = ab[:, :n], ab[:, n:]
    mixed = np.repeat(a[None], n, axis=0)
    for i in range(n):
        mixed[i, :, i] = b[:, i]
    points = np.concatenate([a, b, *mixed])

    @eqx.filter_jit
    def run(result: Any) -> tuple[Array, Array]:
        y = jnp.asarray(asked(output, result)).astype(float)
        return y, jnp.isfinite(y) & jnp.reshape(result.ok, (*result.ok.shape[:1], -1)).all(axis=1).reshape(-1, *(1,) * (y.ndim - 1))  # fmt: skip

    result = solve(model, free.apply(case, jnp.asarray(points), bounded=True), throw=False)
    y, good = (np.asarray(x) for x in run(result))
    if y.shape[:1] != (len(points),):
        raise ShapeError(
            f"The output has shape {y.shape} for {len(points)} points. Points come first: write lambda r: r.observed_rejection[..., 0]."
        )
    batch = y.shape[1:]
    y = y.reshape(n + 2, count, -1)
    good = good.reshape(n + 2, count, -1).all(axis=(0, 2))
    if good.sum() < 0.8 * count:
        raise ConvergenceError(
            f"{int((~good).sum())} of {count} points have no answer: shares of a variance would mean little. Narrow the bounds; "
            "jm.sweep(model, case, free=free, design=jm.Sobol(1024), store='study.zarr') shows where they fail."
        )
    y = y[:, good]
    first, total = _estimates(y)
    random, size = np.random.default_rng(seed), y.shape[1]
    again = [_estimates(y[:, random.integers(0, size, size)]) for _ in range(_BOOTSTRAP)]
    errors = (np.std([x[k] for x in again], axis=0, ddof=1).reshape(n, *batch) for k in (0, 1))
    both = y[:2].reshape(-1, y.shape[-1])
    return Indices(
        labels, first.reshape(n, *batch), total.reshape(n, *batch), *errors, both.mean(axis=0).reshape(batch), both.std(axis=0).reshape(batch),
        int(result.status.size), int((~good).sum()),
    )  # fmt: skip


def _estimates(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares from ``y (n + 2, count, q)``: at A, at B, at the mixed points; zero for an output that does not vary."""
    a, b, mixed = y[0], y[1], y[2:]
    centre = y[:2].mean(axis=(0, 1))
    variance = y[:2].reshape(-1, y.shape[-1]).var(axis=0)
    safe = np.where(variance > (_STILL * centre) ** 2, variance, np.inf)
    first = np.mean((b - centre) * (mixed - a), axis=1) / safe
    return first, 0.5 * np.mean((a - mixed) ** 2, axis=1) / safe
