"""How far a measured rejection may lie from a computed one: residuals in standard deviations."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ._errors import JaxmemError


class LogTransmission(eqx.Module):
    """Residuals ``ln(T/T_measured)/sigma`` of the transmission ``T = 1 - R``, ``sigma^2 = relative^2 + (limit^2 + sigma_R^2)/T_measured^2``.

    ``limit``: smallest transmission that can be told from nothing. ``sigma_R`` is the data's own, zero where not given. Rejections near 1 and far
    below 0 count alike.
    """

    relative: float = 0.1
    limit: float = 0.02
    own: bool = eqx.field(static=True, default=True)  # whether the data's sigma counts

    def __check_init__(self) -> None:
        if not (self.relative >= 0.0 and self.limit >= 0.0 and self.relative + self.limit > 0.0):
            raise JaxmemError(
                f"LogTransmission(relative={self.relative!r}, limit={self.limit!r}) leaves no room for error. Write LogTransmission(0.1, 0.02)."
            )

    def __call__(self, rejection: Array, measured: Array, sigma: Array) -> Array:
        """Of arrays of one shape; zero where nothing was measured."""
        there = ~jnp.isnan(measured)
        seen = jnp.maximum(jnp.where(there, 1.0 - measured, 1.0), 1e-9)
        own = jnp.where(there & ~jnp.isnan(sigma) & self.own, sigma, 0.0)
        width = jnp.sqrt(self.relative**2 + (self.limit**2 + own**2) / seen**2)
        passed = jnp.maximum(jnp.where(there, 1.0 - rejection, 1.0), 1e-300)
        return jnp.where(there, jnp.log(passed / seen) / width, 0.0)


class AbsoluteRejection(eqx.Module):
    """Residuals ``(R - R_measured)/sigma``, ``sigma^2 = absolute^2 + sigma_R^2``. The most negative rejections weigh most."""

    absolute: float = 0.02
    own: bool = eqx.field(static=True, default=True)  # whether the data's sigma counts

    def __check_init__(self) -> None:
        if not self.absolute > 0.0:
            raise JaxmemError(f"absolute = {self.absolute!r} must be above zero. Write AbsoluteRejection(0.02).")

    def __call__(self, rejection: Array, measured: Array, sigma: Array) -> Array:
        """Of arrays of one shape; zero where nothing was measured."""
        there = ~jnp.isnan(measured)
        own = jnp.where(there & ~jnp.isnan(sigma) & self.own, sigma, 0.0)
        error = jnp.where(there, rejection - jnp.where(there, measured, 0.0), 0.0)
        return error / jnp.sqrt(self.absolute**2 + own**2)


class Gaussian(eqx.Module):
    """Residuals ``(y - y_measured)/sigma``: errors of any quantity, each as stated."""

    def __call__(self, computed: Array, measured: Array, sigma: Array) -> Array:
        """Of arrays of one shape; zero where nothing was measured."""
        there = ~jnp.isnan(measured)
        return jnp.where(there, (computed - jnp.where(there, measured, 0.0)) / sigma, 0.0)


class Relative(eqx.Module):
    """Residuals ``ln(y/y_measured) y_measured/sigma``, for quantities that span decades and keep their sign."""

    def __call__(self, computed: Array, measured: Array, sigma: Array) -> Array:
        """Of arrays of one shape; zero where nothing was measured, not a number where the sign differs or zero was measured."""
        there = ~jnp.isnan(measured)
        ratio = jnp.where(measured == 0.0, jnp.nan, computed / jnp.where(there & (measured != 0.0), measured, 1.0))
        ratio = jnp.where(there & ~(ratio > 0.0), jnp.nan, jnp.where(there, ratio, 1.0))
        return jnp.where(there, jnp.log(ratio) * jnp.abs(measured) / sigma, 0.0)


def count_unusable(noise: Callable[[Array, Array, Array], Array], measured: Array, sigma: Array) -> int:
    """Measurements without a residual even where they are met exactly."""
    return int(jnp.sum(~jnp.isfinite(noise(measured, measured, sigma)) & ~jnp.isnan(measured)))
