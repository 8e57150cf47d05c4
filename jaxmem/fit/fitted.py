"""What a fit found: numbers with errors, what the data cannot tell apart, and what to measure next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import stdtrit

from .._errors import JaxmemError, check_seed, unknown
from ..case import Case, describe_lane
from ..free import Free
from ..models.linearised import answer, columns, found, outputs
from ..models.solve import solve
from .least_squares import Minima, levenberg_marquardt
from .profile import FAR, Profile, nearer

RIDGE = 1e-3  # on unbounded numbers: keeps what the data do not determine from running to its bound
_ROUNDS = 6  # of looking closer at a profile
_LOOSE = 1.0  # standard error of an unbounded direction, beyond which the bounds speak and not the data


class Proposal(NamedTuple):
    """What each of some measurements would make of the error of one number: ``errors (*lanes)``, one standard error, SI."""

    label: str
    unit: str
    error: float  # today
    errors: np.ndarray
    candidates: Case

    @property
    def best(self) -> tuple[int, ...]:
        """The lane with the narrowest error."""
        return tuple(int(k) for k in np.unravel_index(int(np.argmin(self.errors)), self.errors.shape))

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        return (
            f"{self.label}: +- {self.error:.3g}{unit} now, +- {self.errors[self.best]:.3g}{unit} after lane {self.best}: "
            f"{describe_lane(self.candidates, self.best)}"
        )


class Fit:
    """What ``jm.fit`` found. ``case`` carries the fitted numbers; ``value`` and ``error`` (one standard error) follow ``labels``, SI.

    ``singular_values (n,)`` and ``directions (n, n)``, a row each, are those of the Jacobian of all residuals, in standard deviations, to the unbounded
    numbers: along a direction their standard error is one over the singular value.
    """

    def __init__(self, model: Any, data: Any, free: Free, noise: Callable, minima: Minima, look: Callable) -> None:
        best = int(np.argmin(minima.cost))
        self.model, self.data, self.free, self.noise, self.minima, self._look = model, data, free, noise, minima, look
        self.u = jnp.asarray(minima.u[best])
        self.case: Case = free.apply(data.case, self.u)
        self.labels, self.units = free.labels(data.case), free.units(data.case)
        self.value = np.asarray(free.values(data.case, self.u))
        self.points = count = len(data)
        rows = minima.residual[best][: data.size]  # the rest are ridge and priors
        self.misfit = float(np.sqrt(np.sum(rows**2) / count))
        jac = minima.jacobian[best]
        m, n = data.size, len(self.u)
        of_data, ridge, of_priors = np.split(jac, [m, m + n])
        spare = count - max(n - len(of_priors), 0)
        self.scatter_known = spare < 1  # too few measurements to tell their scatter: that of the noise model is taken
        self._reach = 1.959964 if self.scatter_known else float(stdtrit(spare, 0.975))
        self.scatter = 1.0 if self.scatter_known else max(float(np.sum(rows**2)) / spare, 1e-30)
        whitened = np.concatenate([of_data / np.sqrt(self.scatter), ridge, of_priors])
        self.singular_values, self.directions = np.linalg.svd(whitened, full_matrices=False)[1:]
        self._held = np.linalg.norm(
            np.concatenate([of_data, of_priors]) @ self.directions.T, axis=0
        )  # by more than the ridge?
        self.covariance_unbounded = self.directions.T / np.maximum(self.singular_values, 1e-12) ** 2 @ self.directions
        slope = np.asarray(jax.jacfwd(lambda u: free.values(data.case, u))(self.u))
        self.covariance = slope @ self.covariance_unbounded @ slope.T
        self.error = np.sqrt(np.diag(self.covariance))

    @property
    def result(self) -> Any:
        """The model's answer with the fitted numbers, at the conditions of the data."""
        return solve(self.model, self.case, throw=False)

    @property
    def converged(self) -> bool:
        """Whether the best start came to a minimum within its steps."""
        return bool(self.minima.converged[int(np.argmin(self.minima.cost))])

    @property
    def agreeing(self) -> int:
        """How many starts ended within 1 % of the lowest cost."""
        return int(np.sum(self.minima.cost <= 1.01 * self.minima.cost.min()))

    def loose(self) -> list[str]:
        """Combinations of the free numbers that these data do not determine, in words."""
        told = []
        for size, held, direction in zip(self.singular_values, self._held, self.directions, strict=True):
            if _LOOSE * size < 1.0 or held < 3.0 * RIDGE:  # noise drowns it, or nothing but the ridge holds it
                parts = [i for i in np.argsort(-np.abs(direction)) if abs(direction[i]) > 0.3][:4]
                told.append(" with ".join(self.labels[i] for i in parts))
        return told

    def interval(self, label: str) -> tuple[float, float]:
        """95 % of one number by Laplace's approximation in the unbounded number, by Student's t: never beyond the bounds."""
        i = self._index(label)
        reach = self._reach * np.sqrt(self.covariance_unbounded[i, i])
        ends = np.asarray(self.u) + reach * np.asarray([[-1.0], [1.0]]) * (np.arange(len(self.u)) == i)
        low, high = np.asarray(self.free.values(self.data.case, jnp.asarray(ends)))[:, i]
        return float(low), float(high)

    def _index(self, label: str) -> int:
        if label not in self.labels:
            raise unknown("Fitted number", label, self.labels, f"Write {self.labels[0]!r}.")
        return self.labels.index(label)

    def propose(self, label: str, candidates: Case) -> Proposal:
        """Which of some cases, lanes of ``candidates``, to measure next for the narrowest error of one number.

        Measured would be what these data hold, with the noise of this fit and the median of the data's own sigma. Of the
        linearised problem: with the rows ``G`` of a lane, ``C' = C - C G^T (G C G^T + s)^-1 G C``, where ``s`` is the scatter.
        """
        if not isinstance(candidates, Case):
            raise JaxmemError(
                f"Candidates are a Case, not a {type(candidates).__name__}. Write found.case.replace(volume_flux=...)."
            )
        i, shape = self._index(label), candidates.batch_shape
        self._check_numbers(candidates)
        if not shape:
            raise JaxmemError(
                "Candidates are a batch of cases. Write case.replace(volume_flux=jnp.linspace(1e-6, 3e-5, 20))."
            )

        @eqx.filter_jit
        def run(u: Array, state: Any) -> Array:
            def rows(u: Array) -> Array:
                result = answer(self.model, self.free.apply(candidates, u), state)
                again = self.data.again(result, self.noise)
                return jnp.where(result.ok[..., None], again, 0.0).reshape(1, -1)

            return columns(rows, u)[1][0]

        u = self.u[None]
        slopes = np.asarray(run(u, found(self.model, self.free.apply(candidates, u))))
        slopes = slopes.reshape(*shape, -1, len(self.u))
        c = self.covariance_unbounded
        reach = slopes @ c
        inner = reach @ np.swapaxes(slopes, -1, -2) + self.scatter * np.eye(slopes.shape[-2])
        gain = np.einsum("...r,...rs,...s->...", reach[..., i], np.linalg.inv(inner), reach[..., i])
        errors = self.error[i] * np.sqrt(np.maximum(1.0 - gain / c[i, i], 0.0))
        return Proposal(label, self.units[i], float(self.error[i]), errors, candidates)

    def save(self, path: str | Path) -> Path:
        """A report: ``.json`` for programs (numbers, intervals, covariance, verdict), ``.html`` to read, with both figures in it."""
        from .report import save

        return save(self, Path(path))

    @property
    def plot(self) -> Any:
        """``.plot.parity()`` and ``.plot.residuals()`` return matplotlib Axes."""
        from ..plot.fit import FitPlots

        return FitPlots(self)

    def profile(self, label: str, points: int = 21, steps: int = 40) -> "Profile":
        """Profile likelihood of one number: the others are fitted anew at ``points`` values of it, all in one batch.

        The values are even in the unbounded number, one and a half times the linearised 95 % either way, or to the bounds if they are nearer; as many more
        follow, where the rise passes its limit in one large step or not at all, until it is found or the bounds are reached.
        One at which ``steps`` do not suffice is not excluded: ``rise`` is infinite, and the interval open there.
        """
        i = self._index(label)
        limit = self._reach**2
        spread = min(1.5 * self._reach * float(np.sqrt(self.covariance_unbounded[i, i])), FAR)
        at = float(self.u[i])
        fixed = np.unique(np.r_[np.clip(at + spread * np.linspace(-1.0, 1.0, points), -FAR, FAR), at])
        value, rise = self._risen(i, fixed, steps)
        count = len(fixed)
        for _ in range(_ROUNDS):
            more = nearer(fixed, rise, limit, count)
            if more is None:
                break
            looked = self._risen(i, more, steps)
            fixed, value, rise = (
                np.concatenate(both) for both in ((fixed, more), (value, looked[0]), (rise, looked[1]))
            )
            order = np.argsort(fixed)
            fixed, value, rise = fixed[order], value[order], rise[order]
        return Profile(label, self.units[i], value, rise, limit)

    def _risen(self, i: int, fixed: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """At values ``fixed`` of number i, unbounded, the others fitted anew: the values in SI, and the rise of twice the cost."""
        u = np.asarray(self.u)
        whole = lambda rest: np.insert(rest, i, fixed, axis=1)

        def linearised(rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            r, jac = (np.asarray(x) for x in self._look(whole(rest)))
            return r, np.delete(jac, i, axis=2)

        follow = np.delete(self.covariance_unbounded[:, i], i) / max(self.covariance_unbounded[i, i], 1e-30)
        start = np.clip(np.delete(u, i) + np.outer(fixed - u[i], follow), -FAR, FAR)
        if len(u) == 1:
            r, every, open_ = np.asarray(self._look(fixed[:, None])[0]), fixed[:, None], np.zeros(len(fixed), bool)
        else:
            answer = np.all(np.isfinite(np.asarray(self._look(whole(start))[0])), axis=1, keepdims=True)
            start = np.where(answer, start, np.delete(u, i))  # the others as they are, where they cannot follow
            minima = levenberg_marquardt(linearised, start, steps=steps)
            r, every = minima.residual, whole(minima.u)
            open_ = ~minima.converged  # may fall further
        value = np.asarray(self.free.values(self.data.case, jnp.asarray(every)))[:, i]
        rise = self._twice(r) - self._twice(self.minima.residual).min()
        return value, np.where(open_ & (rise > self._reach**2), np.inf, rise)

    def predict(
        self, output: Callable[[Any], Array], case: Case | None = None, model: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """An output of the Result with the fitted numbers, and one standard error of it from their covariance, ``sqrt(g C g)`` with exact ``g``.

        ``case``: another question with the same membrane, that of the data when None; ``model``: another that answers it, such as
        ``jm.SpiralWoundIons(jm.SDEM())`` for a vessel of that membrane. Its numbers are found by their short names. The output has the lanes
        first. Lanes without a solution are not a number. Linear in the numbers: where they are loosely known, draw them (``found.draws``).
        """
        asked, model = self.data.case if case is None else case, self.model if model is None else model
        self._check_numbers(asked)

        @eqx.filter_jit
        def run(u: Array, state: Any) -> tuple[Array, Array]:  # the output, and its slopes (size, n)
            def value(u: Array) -> Array:
                return outputs(output, answer(model, self.free.apply(asked, u), state))

            return value(u), columns(lambda u: value(u[0]).reshape(1, -1), u[None])[1][0]

        y, slope = (np.asarray(x) for x in run(self.u, found(model, self.free.apply(asked, self.u))))
        error = np.sqrt(np.einsum("qi,ij,qj->q", slope, self.covariance_unbounded, slope)).reshape(y.shape)
        return y, np.where(np.isnan(y), np.nan, error)

    def _check_numbers(self, case: Case) -> None:
        names = self.free.labels(case)
        if names != self.labels:
            raise JaxmemError(f"The fitted numbers are {', '.join(self.labels)}, those of this case {', '.join(names)}. Give a case with the same species, in the same order, and a membrane of the same kind.")  # fmt: skip

    def draws(self, count: int, seed: int = 0) -> Array:
        """So many sets of numbers from their covariance, ``(count, n)`` unbounded.

        ``found.free.apply(case, found.draws(256))`` is a batch of cases.
        """
        check_seed(seed)
        random = np.random.default_rng(seed)
        return self.u + jnp.asarray(random.multivariate_normal(np.zeros(len(self.u)), self.covariance_unbounded, count))

    def _twice(self, r: np.ndarray) -> np.ndarray:
        """Sum of squares of misfits, over their scatter, and of priors, without the ridge; infinite where there is no answer."""
        misfit, _, priors = np.split(r, [self.data.size, self.data.size + len(self.u)], axis=-1)
        total = np.sum(misfit**2, axis=-1) / self.scatter + np.sum(priors**2, axis=-1)
        return np.where(np.isfinite(total), total, np.inf)

    def at_bounds(self) -> list[str]:
        """Numbers that ended on a bound (within 1 % of the way): the data would go on, and their errors mean nothing."""
        share = np.asarray(jax.nn.sigmoid(self.u))
        return [
            f"{label} ({'lower' if x < 0.5 else 'upper'})"
            for label, x in zip(self.labels, share, strict=True)
            if not 0.01 < x < 0.99
        ]

    def __str__(self) -> str:
        width = max(len(label) for label in self.labels)
        lines = [
            f"Fit of {self.model.title()}: {len(self.u)} numbers, {self.points} measurements, misfit {self.misfit:.3g} standard deviations, "
            f"{self.agreeing} of {len(self.minima.cost)} starts agree"
        ]
        if self.scatter_known:
            lines[0] += "; too few to tell their scatter, errors are those of the noise model"
        for label, value, error, unit in zip(self.labels, self.value, self.error, self.units, strict=True):
            lines.append(f"  {label:<{width}}  {value: .4g} +- {error:.2g} {'' if unit == '1' else unit}".rstrip())
        if not self.converged:
            lines.append(
                f"  no minimum yet after {self.minima.steps} steps: numbers and errors are preliminary; write jm.fit(..., steps=200)"
            )
        lines += [f"  at its bound: {words}" for words in self.at_bounds()]
        lines += [f"  not determined by these data: {words}" for words in self.loose()]
        return "\n".join(lines)
