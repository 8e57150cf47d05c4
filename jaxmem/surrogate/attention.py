"""Ions as tokens: what each of them is, and one head of attention between those that are present."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..chemistry.mixture import Mixture

DESCRIPTORS = ("valence", "Stokes radius", "Born radius", "log diffusivity")


def descriptors(feed: Mixture) -> Array:
    """What makes an ion, ``(*batch, S, 4)``, near to unity: any species of the table, and any a user makes."""
    s = feed.species
    columns = (s.charge / 2.0, s.stokes_radius / 3e-10, s.born_radius / 3e-10, jnp.log(s.diffusivity / 1e-9))
    return jnp.stack(jnp.broadcast_arrays(*columns), axis=-1)


class IonAttention(eqx.Module):
    """``softmax(Q K^T/sqrt(d_k)) V`` over the ions that are present; one head, d_k = 8, queries, keys and values by one product.

    Vaswani et al. 2017, arXiv 1706.03762. Absent ions are neither asked nor heard.
    """

    qkv: eqx.nn.Linear
    size: int = eqx.field(static=True)

    def __init__(self, inputs: int, size: int = 8, *, key: Array, dtype=jnp.float32) -> None:
        self.qkv, self.size = eqx.nn.Linear(inputs, 3 * size, use_bias=False, key=key, dtype=dtype), size

    def __call__(self, tokens: Array, present: Array) -> tuple[Array, Array]:
        """Tokens ``(S, inputs)`` and ``present (S)`` to values ``(S, size)`` and weights ``(S, S)``: row i is what ion i attends to."""
        query, key, value = jnp.split(jax.vmap(self.qkv)(tokens), 3, axis=-1)
        scores = query @ key.T / jnp.sqrt(jnp.asarray(self.size, tokens.dtype))
        scores = jnp.where(present[None, :], scores, -jnp.inf)
        scores = jnp.where(jnp.any(present), scores, 0.0)
        weights = jnp.where(present[:, None], jax.nn.softmax(scores, axis=-1), 0.0)
        return weights @ value, weights
