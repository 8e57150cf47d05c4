"""Means of a fluctuating current: interval of confidence, and what kind of state it is."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

_BATCHES = 8
_STUDENT = 2.365  # 95 %, seven degrees of freedom
_STEADY = 1e-3  # of the mean: second differences of samples, and drift over the window
_FADES = 1e-2  # of the speed, through the window
_MOVES = 1e-3  # D/L: slower is at rest
_NOISE = 1e-8  # D/L: of round-off
STATES = ("quiescent", "steady", "slow drift", "unsteady")


class Mean(NamedTuple):
    """Of a series over its last part."""

    value: Array
    interval: Array  # half width at 95 %
    deviation: Array  # standard deviation of the samples
    drift: Array  # change along a straight line through the window


def mean(series: Array, window: float) -> Mean:
    """``(..., K)``: batch means over the last ``window``, their variance raised where neighbours are alike."""
    count = series.shape[-1]
    used = max(round(window * count), 2)
    part = series[..., count - used :]
    batches = min(_BATCHES, used)
    size = used // batches
    groups = part[..., used - size * batches :].reshape(*part.shape[:-1], batches, size).mean(-1)
    centred = groups - groups.mean(-1, keepdims=True)
    variance = jnp.sum(centred**2, axis=-1) / (batches - 1)
    alike = jnp.sum(centred[..., 1:] * centred[..., :-1], axis=-1) / jnp.maximum(jnp.sum(centred**2, axis=-1), 1e-300)
    alike = jnp.clip(alike, 0.0, 0.9)
    interval = _STUDENT * jnp.sqrt(variance / batches * (1.0 + alike) / (1.0 - alike))
    t = jnp.linspace(-0.5, 0.5, used, dtype=part.dtype)
    drift = jnp.sum(t * part, axis=-1) / jnp.sum(t * t)
    return Mean(part.mean(-1), interval, part.std(-1), drift)


def growth(speed: Array, window: float) -> Array:
    """Change of the logarithm of a speed through the window, along a straight line; zero where nothing moves."""
    moves = speed > _NOISE
    return jnp.where(moves.all(-1), mean(jnp.log(jnp.where(moves, speed, 1.0)), window).drift, 0.0)


def state(series: Array, window: float, speed: Array) -> Array:
    """Index into ``STATES``, of a current and the largest normal speed, ``(..., K)``.

    Unsteady is what bends from sample to sample; what only creeps along, relaxing, drifts. So do vortices that still grow or fade, though
    the current, quadratic in their speed, hardly sees it yet; and what is not at rest for good: a disturbance that grows.
    """
    now, change = mean(series, window), growth(speed, window)
    part = series[..., series.shape[-1] - max(round(window * series.shape[-1]), 3) :]
    bends = jnp.sqrt(jnp.mean(jnp.diff(part, n=2, axis=-1) ** 2, axis=-1))
    size = jnp.abs(now.value) + 1e-12
    drifts = (jnp.abs(now.drift) / size > _STEADY) | (jnp.abs(change) > _FADES)
    kind = jnp.where(bends / size > _STEADY, 3, jnp.where(drifts, 2, 1))
    return jnp.where((speed[..., -1] < _MOVES) & ~(change > _FADES), 0, kind)


def worst_in(series: Array, window: float) -> Array:
    """Largest value over the last ``window``."""
    return jnp.max(series[..., series.shape[-1] - max(round(window * series.shape[-1]), 1) :], axis=-1)
