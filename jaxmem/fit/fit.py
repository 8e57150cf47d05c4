"""``jm.fit``: the numbers of a membrane from measurements, from many starts, with what the data cannot tell apart."""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._config import quick_to_compile
from .._errors import ConvergenceError, JaxmemError
from ..free import Free
from ..models.base import AbstractModel
from ..models.linearised import answer, columns, found
from ..noise import LogTransmission
from .fitted import RIDGE, Fit
from .least_squares import levenberg_marquardt


def fit(
    model: AbstractModel,
    data: Any,
    free: Free,
    *,
    noise: Callable | None = None,
    starts: int = 16,
    steps: int = 60,
    seed: int = 0,
    told: Callable | None = None,
) -> Fit:
    """Least squares for the ``free`` numbers of ``data.case`` (a ``Dataset``), by Levenberg-Marquardt from ``starts`` starts in one batch.

    ``noise(rejection, measured, sigma)`` gives residuals in standard deviations; ``LogTransmission()`` when None. Priors of intervals are
    further residuals. The first start is the case as it is. ``told(step, cost, done)`` is called after every step. Errors are those of the
    linearised problem, scaled with the misfit. Raises ``ConvergenceError`` when no start could be computed.
    """
    _check(model, data, free, starts)
    noise = LogTransmission() if noise is None else noise
    first = free.draw(data.case, starts, seed)
    given = (data.case, data.rejection, data.sigma)
    look = lambda u: _looked(model, free, noise, data.kind, u, given)
    minima = levenberg_marquardt(look, np.asarray(first), steps=steps, told=told)
    if not np.isfinite(minima.cost).any():
        raise ConvergenceError(
            f"None of {starts} starts could be computed. Look at one: jm.solve(model, free.apply(data.case, free.draw(data.case, 1)[0]), throw=False)."
        )
    return Fit(model, data, free, noise, minima, len(data), look)


def _check(model: Any, data: Any, free: Any, starts: int) -> None:
    if not isinstance(model, AbstractModel):
        raise JaxmemError(f"{type(model).__name__} is not a model. Write jm.fit(jm.DSPMDE(), data, free).")
    if not all(hasattr(data, name) for name in ("case", "rejection", "sigma", "kind")):
        raise JaxmemError(f"{type(data).__name__} holds no measurements. Write data = jm.dataset('rejections.csv').")
    if not isinstance(free, Free):
        raise JaxmemError(
            f"{type(free).__name__} says not what is free. Write jm.Free(pore_radius=jm.LogInterval(0.3e-9, 0.8e-9))."
        )
    if not (isinstance(starts, int) and starts >= 1):
        raise JaxmemError(f"starts = {starts!r} must be 1 or more. Write starts=16.")
    if len(data) == 0:
        raise JaxmemError("There is no measurement to fit to. Give a Dataset with at least one rejection.")
    model.check(free.apply(data.case, free.start(data.case)))


def _looked(model: Any, free: Free, noise: Callable, kind: str, u: np.ndarray, given: tuple) -> tuple[Array, Array]:
    """Residuals and Jacobian of every start: solved first where the model can go on from that, as loops are slow to compile."""
    state = found(model, free.apply(given[0], jnp.asarray(u)))
    return _program()(model, free, noise, kind, jnp.asarray(u), given, state)


@cache
def _program() -> Callable:
    return eqx.filter_jit(_linearised, compiler_options=quick_to_compile())


def _linearised(
    model: Any, free: Free, noise: Callable, kind: str, u: Array, given: tuple, state: Any
) -> tuple[Array, Array]:
    """As ``_looked``; ``state`` is the solution of every start, or None to solve here."""
    case, measured, sigma = given

    def residual(u: Array) -> Array:  # (B, n) -> (B, m): all starts are lanes of one batch
        result = answer(model, free.apply(case, u), state)
        rejection = getattr(result, f"{kind}_rejection")
        rejection = jnp.where(result.ok[..., None], rejection, jnp.nan)  # a start with a failed point is no start
        rows = noise(rejection, measured, sigma).reshape(u.shape[0], -1)
        return jnp.concatenate([rows, RIDGE * u, free.prior(case, u)], axis=-1)

    return columns(residual, u)
