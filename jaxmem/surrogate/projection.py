"""Hard electroneutrality: three ways to take the charge out of a vector or of a composition. Absent ions have ``z = 0`` here (masked)."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def _sum(x: Array) -> Array:
    return jnp.sum(x, axis=-1, keepdims=True)


def orthogonal(g: Array, z: Array) -> Array:
    """The nearest vector without charge, ``g - z (z.g)/(z.z)``, ``(*batch, S)``; as published (Rehman and Lienhard 2023, arXiv 2312.02871)."""
    size = _sum(z * z)
    return g - z * _sum(z * g) / jnp.where(size > 0.0, size, 1.0)


def weighted(g: Array, z: Array, weight: Array) -> Array:
    """``g - w z (z.g)/(z.wz)``: the correction of an ion vanishes with its weight ``w >= 0``, as in a diffusion potential with ``w = D c``."""
    size = _sum(z * weight * z)
    return g - weight * z * _sum(z * g) / jnp.where(size > 0.0, size, 1.0)


@jax.custom_jvp
def potential(c: Array, z: Array) -> Array:
    """The ``phi`` with ``sum z c exp(-z phi) = 0``, ``(*batch)``, of ``c >= 0`` that holds ions of both signs; zero where it does not."""
    both = (jnp.sum(jnp.where(z > 0.0, c, 0.0), axis=-1) > 0.0) & (jnp.sum(jnp.where(z < 0.0, c, 0.0), axis=-1) > 0.0)

    def step(_: Any, phi: Array) -> Array:
        amount = c * jnp.exp(-z * phi[..., None])
        plus, minus = (jnp.sum(jnp.where(side, jnp.abs(z) * amount, 0.0), axis=-1) for side in (z > 0.0, z < 0.0))
        slopes = [jnp.sum(jnp.where(side, z * z * amount, 0.0), axis=-1) for side in (z > 0.0, z < 0.0)]
        plus, minus, *slopes = (jnp.where(both, x, 1.0) for x in (plus, minus, *slopes))
        return phi + jnp.where(
            both, jnp.log(plus / minus) / (slopes[0] / plus + slopes[1] / minus), 0.0
        )  # ln P - ln N: nearly linear

    return jax.lax.fori_loop(0, 12, step, jnp.zeros(jnp.broadcast_shapes(c.shape, z.shape)[:-1], c.dtype))


@potential.defjvp
def _potential_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (c, z), (d_c, _) = primals, tangents  # charges are whole numbers: not differentiated
    phi = potential(c, z)
    factor = jnp.exp(-z * phi[..., None])
    slope = jnp.sum(z * z * c * factor, axis=-1)
    return phi, jnp.sum(z * factor * d_c, axis=-1) / jnp.where(slope > 0.0, slope, 1.0)


def positive(c: Array, z: Array) -> Array:
    """``c exp(-z phi)`` without charge, ``(*batch, S)``: keeps signs and absent ions; a Donnan equilibrium. Differentiated implicitly."""
    return c * jnp.exp(-z * potential(c, z)[..., None])
