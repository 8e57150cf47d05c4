"""Hindered diffusion and convection in a narrow pore: ``lambda = r_solute/r_pore -> (K_d, K_c)``.

Errata kept in mind, each with a test: the ``lambda^6`` term of K_d is positive (a minus makes K_d negative above 0.515); K_c
has ``- 0.741 lambda^2`` in its denominator; both K_d laws turn upward beyond their range, so a branch is required.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array


def _kd_polynomial(x, log=np.log):
    """Dechadilok and Deen's K_d for ``x = lambda`` in 0 to 0.95."""
    tail = x * (
        -1.56034 + x * (0.528155 + x * (1.91521 + x * (-2.81903 + x * (0.270788 + x * (1.10115 - 0.435933 * x)))))
    )
    return (1.0 + 1.125 * x * log(x) + tail) / (1.0 - x) ** 2


def _kd_asymptote(x):
    """Lubrication limit, 0.95 to 1."""
    return 0.984 * ((1.0 - x) / x) ** 2.5


_FROM, _TO = 0.94, 0.955


def _derivatives(f: Callable[[float], float], x: float, h: float = 1e-3) -> np.ndarray:
    """Value, slope and curvature of ``ln f`` (sixth-order differences, 1e-9 here)."""
    g = np.log([f(x + k * h) for k in range(-3, 4)])
    slope = np.dot([-1, 9, -45, 0, 45, -9, 1], g) / (60 * h)
    return np.array([g[3], slope, np.dot([2, -27, 270, -490, 270, -27, 2], g) / (180 * h * h)])


def _bridge_coefficients() -> tuple[float, ...]:
    """Quintic in ``s = (lambda - 0.94)/0.015`` for ``ln K_d``: value, slope and curvature of both branches."""
    width = np.array([1.0, _TO - _FROM, (_TO - _FROM) ** 2])
    left, right = _derivatives(_kd_polynomial, _FROM) * width, _derivatives(_kd_asymptote, _TO) * width
    rows = [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 2, 0, 0, 0],
        [1, 1, 1, 1, 1, 1],
        [0, 1, 2, 3, 4, 5],
        [0, 0, 2, 6, 12, 20],
    ]
    return tuple(float(c) for c in np.linalg.solve(np.array(rows, float), np.concatenate([left, right])))


_BRIDGE = _bridge_coefficients()


def _kc(x: Array) -> Array:
    return (1.0 + x * (3.867 + x * (-1.907 - 0.834 * x))) / (1.0 + x * (1.867 - 0.741 * x))


class DechadilokDeen(eqx.Module):
    """Dechadilok and Deen 2006 (doi 10.1021/ie051387n), centreline-averaged, ``lambda`` in (0, 1).

    ``smooth=True`` (default) joins the polynomial to the lubrication asymptote by a quintic in ``ln K_d`` between 0.94 and
    0.955: twice differentiable and monotone, at most 4.8 % from the hard switch at 0.95 that ``smooth=False`` makes.
    """

    smooth: bool = eqx.field(static=True, default=True)

    def __call__(self, ratio: Array) -> tuple[Array, Array]:
        """``lambda`` of any shape to ``K_d, K_c``."""
        start, end = (_FROM, _TO) if self.smooth else (0.95, 0.95)
        low, high = ratio <= start, ratio >= end
        polynomial = _kd_polynomial(jnp.where(low, jnp.maximum(ratio, 1e-12), 0.5), jnp.log)
        asymptote = _kd_asymptote(jnp.where(high, ratio, end))
        s = (jnp.clip(ratio, _FROM, _TO) - _FROM) / (_TO - _FROM)
        log_bridge = jnp.zeros_like(ratio)
        for c in reversed(_BRIDGE):
            log_bridge = log_bridge * s + c
        return jnp.where(low, polynomial, jnp.where(high, asymptote, jnp.exp(log_bridge))), _kc(ratio)


class Bowen(eqx.Module):
    """Bowen, Mohammad and Hilal 1997 (doi 10.1016/S0376-7388(96)00276-1), finite-element fits for ``lambda`` up to 0.8.

    K_d turns upward beyond 0.8: not for tight pores.
    """

    highest = 0.8

    def __call__(self, ratio: Array) -> tuple[Array, Array]:
        """``lambda`` of any shape to ``K_d, K_c``."""
        kd = 1.0 + ratio * (-2.30 + ratio * (1.154 + 0.224 * ratio))
        partition = (1.0 - ratio) ** 2
        return kd, (2.0 - partition) * (1.0 + ratio * (0.054 + ratio * (-0.988 + 0.441 * ratio)))
