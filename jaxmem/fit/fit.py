"""``jm.fit``: the numbers of a membrane from measurements, from many starts, with what the data cannot tell apart."""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._config import quick_to_compile
from .._errors import ConvergenceError, JaxmemError, check_seed
from ..free import Free
from ..measurements import AbstractMeasurements
from ..models.base import AbstractModel
from ..models.linearised import answer, columns, found
from .fitted import RIDGE, Fit
from .least_squares import levenberg_marquardt


def fit(
    model: AbstractModel,
    data: AbstractMeasurements,
    free: Free,
    *,
    noise: Callable | None = None,
    starts: int = 16,
    steps: int = 60,
    seed: int = 0,
    told: Callable | None = None,
) -> Fit:
    """Least squares for the ``free`` numbers of ``data.case``, by Levenberg-Marquardt from ``starts`` starts in one batch.

    ``data``: rejections from a file (``jm.dataset``), or numbers of any kind (``jm.measured``): the same call fits the A and B of reverse osmosis, pores,
    permeances, or an ion-exchange membrane. ``noise(computed, measured, sigma)`` gives residuals in standard deviations; when None that of the
    data, ``LogTransmission()`` of rejections and ``Gaussian()`` of others. Priors of intervals are further residuals. The first start is the case as it is. ``told(step, cost, done)`` is called after every step. Errors are those of the
    linearised problem, scaled with the misfit. Raises ``ConvergenceError`` when no start could be computed.
    """
    _check(model, data, free, noise, starts)
    if type(steps) is not int or steps < 1:
        raise JaxmemError(f"steps = {steps!r} must be a whole number from 1 up. Write steps=60.")
    check_seed(seed)
    noise = data.noise if noise is None else noise
    first = free.draw(data.case, starts, seed)
    look = lambda u: _looked(model, free, noise, u, data)
    minima = levenberg_marquardt(look, np.asarray(first), steps=steps, told=told)
    if not np.isfinite(minima.cost).any():
        raise ConvergenceError(
            f"None of {starts} starts could be computed. Look at one: jm.solve(model, free.apply(data.case, free.draw(data.case, 1)[0]), throw=False)."
        )
    return Fit(model, data, free, noise, minima, look)


def _check(model: Any, data: Any, free: Any, noise: Any, starts: int) -> None:
    if not isinstance(model, AbstractModel):
        raise JaxmemError(f"{type(model).__name__} is not a model. Write jm.fit(jm.DSPMDE(), data, free).")
    if not isinstance(data, AbstractMeasurements):
        raise JaxmemError(
            f"{type(data).__name__} holds no measurements. Write data = jm.dataset('rejections.csv'), or jm.measured(case, permeate_flow=(values, sigma))."
        )
    if not isinstance(free, Free):
        raise JaxmemError(
            f"{type(free).__name__} says not what is free. Write jm.Free(pore_radius=jm.LogInterval(0.3e-9, 0.8e-9))."
        )
    if not (isinstance(starts, int | np.integer) and starts >= 1):
        raise JaxmemError(f"starts = {starts!r} must be 1 or more. Write starts=16.")
    if noise is not None and (isinstance(noise, type) or not callable(noise)):
        raise JaxmemError(
            f"noise = {noise!r} gives no residuals. Write noise=jm.LogTransmission(0.1, 0.02), or jm.Gaussian()."
        )
    if len(data) == 0:
        raise JaxmemError("There is no measurement to fit to. Give data with at least one.")
    if bad := data.unusable(data.noise if noise is None else noise):
        raise JaxmemError(
            f"{type(noise or data.noise).__name__} gives no residual for {bad} of {len(data)} measurements, even where they are met exactly: the relative error of "
            "zero, or sigma = 0. Write noise=jm.Gaussian(), or leave these points out."
        )
    model.check(free.apply(data.case, free.start(data.case)))


def _looked(model: Any, free: Free, noise: Callable, u: np.ndarray, data: AbstractMeasurements) -> tuple[Array, Array]:
    """Residuals and Jacobian of every start: solved first where the model can go on from that, as loops are slow to compile."""
    state = found(model, free.apply(data.case, jnp.asarray(u)))
    return _program()(model, free, noise, jnp.asarray(u), data, state)


@cache
def _program() -> Callable:
    return eqx.filter_jit(_linearised, compiler_options=quick_to_compile())


def _linearised(
    model: Any, free: Free, noise: Callable, u: Array, data: AbstractMeasurements, state: Any
) -> tuple[Array, Array]:
    """As ``_looked``; ``state`` is the solution of every start, or None to solve here."""

    def residual(u: Array) -> Array:  # (B, n) -> (B, m): all starts are lanes of one batch
        result = answer(model, free.apply(data.case, u), state)
        rows = data.residual(result, noise)  # not a number in failed lanes: a start with one is no start
        return jnp.concatenate([rows, RIDGE * u, free.prior(data.case, u)], axis=-1)

    return columns(residual, u)
