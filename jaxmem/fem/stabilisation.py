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


def along(velocity: Array, corners: Array) -> tuple[Array, Array]:
    """Speed, and the size of each cell along the velocity: ``h = 2 |v| / sum |v . grad N|`` over its corners' hat functions.

    ``velocity (d, E)``, ``corners (d, corners, E)``. Tezduyar 1991, doi 10.1016/S0065-2156(08)70153-4 (from memory, check).
    """
    if velocity.shape[0] == 1:  # signed, and smooth where the velocity turns
        return velocity[0], 1.0 / jnp.abs(corners[0, 0])
    square = jnp.sum(velocity * velocity, axis=0)
    still = square == 0.0
    speed = jnp.sqrt(jnp.where(still, 1.0, square))
    spread = jnp.sum(jnp.abs(jnp.sum(velocity[:, None] * corners, axis=0)), axis=0)
    return jnp.where(still, 0.0, speed), 2.0 * speed / jnp.where(still, 1.0, spread)
