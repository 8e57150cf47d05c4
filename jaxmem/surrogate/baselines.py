"""What networks must beat: a power law and a Gaussian process, on the same rows."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax import Array

from .regression import Scaler


class PowerLaw(eqx.Module):
    """``y = exp(a_0) prod x_i^a_i``, by least squares in logarithms; inputs must be positive."""

    exponents: Array
    constant: Array

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> "PowerLaw":
        """From rows with ``y > 0``."""
        a = np.concatenate([np.log(x), np.ones((len(x), 1))], axis=1)
        found = np.linalg.lstsq(a, np.log(y), rcond=None)[0]
        return cls(jnp.asarray(found[:-1]), jnp.asarray(found[-1]))

    def __call__(self, x: Array) -> Array:
        return jnp.exp(self.constant + jnp.log(x) @ self.exponents)


class GaussianProcess(eqx.Module):
    """Squared-exponential kernel with a length for each input, and noise; hyperparameters of largest marginal likelihood.

    Rasmussen and Williams 2006, Gaussian Processes for Machine Learning.
    """

    inputs: Scaler
    target: Scaler
    points: Array
    weights: Array
    factor: Array
    log_lengths: Array
    log_size: Array
    log_noise: Array

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, most: int = 1200, seed: int = 0) -> "GaussianProcess":
        """From at most ``most`` rows; the hyperparameters from a quarter of them."""
        rows = np.random.default_rng(seed).permutation(len(x))[:most]
        inputs, target = Scaler.of(x), Scaler.of(y)
        points, goal = inputs(jnp.asarray(x[rows])), target(jnp.asarray(y[rows]))
        few = max(len(rows) // 4, min(len(rows), 100))
        first = (jnp.full(x.shape[1], 0.7), jnp.zeros(()), jnp.asarray(-3.0))
        solver = optx.BFGS(rtol=1e-4, atol=1e-4)
        found = optx.minimise(
            _unlikely, solver, first, args=(points[:few], goal[:few]), max_steps=200, throw=False
        ).value
        factor = jnp.linalg.cholesky(_covariance(found, points, points) + _nugget(found, len(rows)))
        weights = jax.scipy.linalg.cho_solve((factor, True), goal)
        return cls(inputs, target, points, weights, factor, *found)

    def __call__(self, x: Array) -> tuple[Array, Array]:
        """Mean and standard deviation, noise included, of ``(n, inputs)``."""
        p = (self.log_lengths, self.log_size, self.log_noise)
        cross = _covariance(p, self.inputs(x), self.points)
        half = jax.scipy.linalg.solve_triangular(self.factor, cross.T, lower=True)
        variance = jnp.exp(2.0 * p[1]) - jnp.sum(half**2, axis=0) + jnp.exp(2.0 * p[2])
        return self.target.back(cross @ self.weights), jnp.sqrt(variance) * self.target.deviation


def _covariance(p: Any, a: Array, b: Array) -> Array:
    scaled = [x * jnp.exp(-p[0]) for x in (a, b)]
    square = sum(jnp.sum(x**2, axis=-1)[(..., None) if i == 0 else (None, ...)] for i, x in enumerate(scaled))
    return jnp.exp(2.0 * p[1] - 0.5 * jnp.maximum(square - 2.0 * scaled[0] @ scaled[1].T, 0.0))


def _nugget(p: Any, n: int) -> Array:
    return (jnp.exp(2.0 * p[2]) + 1e-8) * jnp.eye(n)


def _unlikely(p: Any, data: tuple[Array, Array]) -> Array:
    """Negative log marginal likelihood of a row."""
    x, y = data
    factor = jnp.linalg.cholesky(_covariance(p, x, x) + _nugget(p, len(y)))
    half = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
    return (0.5 * jnp.sum(half**2) + jnp.sum(jnp.log(jnp.diag(factor)))) / len(y)
