"""Streamline upwinding."""

import jax.numpy as jnp
from jax import Array


def optimal_tau(velocity: Array, diffusivity: Array, width: Array) -> Array:
    """``tau = h/(2 v) (coth Pe - 1/Pe)``, ``Pe = v h/(2 D)``: linear elements become exact at the nodes for constant coefficients.

    Brooks and Hughes 1982, doi 10.1016/0045-7825(82)90071-8. Written as ``h^2/(4 D) (coth Pe - 1/Pe)/Pe``, smooth through v = 0.
    """
    peclet = velocity * width / (2.0 * diffusivity)
    small = jnp.abs(peclet) < 0.1
    near, far = jnp.where(small, peclet, 0.0), jnp.where(small, 1.0, peclet)
    x = near * near
    series = 1 / 3 - x * (1 / 45 - x * (2 / 945 - x * (1 / 4725 - x * (2 / 93555 - x * 1382 / 638512875))))
    exact = (1.0 / jnp.tanh(far) - 1.0 / far) / far
    return width**2 / (4.0 * diffusivity) * jnp.where(small, series, exact)
