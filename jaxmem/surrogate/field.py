"""The network inside the neural ODE: composition of the permeate, flux and context to how the permeate changes with the flux."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from .._errors import JaxmemError
from .attention import DESCRIPTORS, IonAttention

CONTEXT = 10  # numbers that describe feed and membrane
_TOKEN = 8


class FluxField(eqx.Module):
    """One scalar for each ion, ``(S,)``, from its passage, the flux and a context; the same weights for every ion, in any number and order.

    A token is a lift of the ion's concentration (``conditioned``: and of what the feed holds of it) plus an embedding of its descriptors.
    Attention mixes the tokens; five linear layers with tanh between them (none after the last) turn token, mixture, their mean, flux and context into the answer. ``attend=False`` leaves the mixing out.
    """

    lift: eqx.nn.Linear
    embedding: eqx.nn.Linear
    attention: IonAttention | None
    layers: tuple[eqx.nn.Linear, ...]
    conditioned: bool = eqx.field(static=True)

    def __init__(
        self,
        *,
        key: Array,
        width: int = 64,
        attend: bool = True,
        conditioned: bool = True,
        still: bool = False,
        dtype=jnp.float32,
    ) -> None:
        """``still``: the last layer starts at zero, and so does the answer."""
        keys = jax.random.split(key, 8)
        self.lift = eqx.nn.Linear(4 if conditioned else 2, _TOKEN, key=keys[0], dtype=dtype)
        self.embedding = eqx.nn.Linear(len(DESCRIPTORS), _TOKEN, key=keys[1], dtype=dtype)
        self.attention = IonAttention(_TOKEN, key=keys[2], dtype=dtype) if attend else None
        self.conditioned = conditioned
        inputs = _TOKEN * (3 if attend else 2) + 1 + (CONTEXT if conditioned else 0)
        sizes = (inputs, *(width,) * 4, 1)
        layers = [
            eqx.nn.Linear(a, b, key=k, dtype=dtype) for a, b, k in zip(sizes[:-1], sizes[1:], keys[3:], strict=True)
        ]
        if still:
            last = layers[-1]
            layers[-1] = eqx.tree_at(
                lambda x: (x.weight, x.bias), last, (jnp.zeros_like(last.weight), jnp.zeros_like(last.bias))
            )
        self.layers = tuple(layers)

    def __check_init__(self) -> None:
        asked = 4 if self.conditioned else 2
        if self.lift.in_features != asked:
            raise JaxmemError(
                f"The tokens of this network hold {self.lift.in_features} numbers, not {asked}: it comes from another version. Train it again."
            )

    @property
    def dtype(self) -> jnp.dtype:
        """Of the weights."""
        return self.lift.weight.dtype

    def __call__(
        self, h: Array, flux: Array, feed: Array, ions: Array, present: Array, context: Array
    ) -> tuple[Array, Array | None]:
        """``h (S)`` and ``feed (S)`` in equivalents of the feed, ``flux ()``, ``ions (S, 4)``, ``present (S)``, ``context (C)``: ``(S)``, attention ``(S, S)``."""
        h, flux, feed, ions, context = (x.astype(self.dtype) for x in (h, flux, feed, ions, context))
        log = lambda x: jnp.log(jnp.maximum(x, 1e-6)) / 5.0
        amount = jnp.stack([h, log(h), *([feed, log(h) - log(feed)] if self.conditioned else [])], axis=-1)
        tokens = jax.vmap(self.lift)(amount) + jax.vmap(self.embedding)(ions)
        mixed, weights = (tokens, None) if self.attention is None else self.attention(tokens, present)
        here = present[:, None].astype(self.dtype)
        mean = jnp.sum(mixed * here, axis=0) / jnp.maximum(jnp.sum(here), 1.0)
        shared = jnp.concatenate([mean, flux[None], *([context] if self.conditioned else [])])
        own = tokens if self.attention is None else jnp.concatenate([tokens, mixed], axis=-1)
        x = jnp.concatenate([own, jnp.broadcast_to(shared, (h.shape[0], shared.shape[0]))], axis=-1)
        for i, layer in enumerate(self.layers):
            x = jax.vmap(layer)(x)
            x = jnp.tanh(x) if i < len(self.layers) - 1 else x
        return jnp.where(present, x[:, 0], 0.0), weights


def parameters(net: eqx.Module) -> int:
    """How many numbers a network has."""
    return sum(x.size for x in jax.tree.leaves(eqx.filter(net, eqx.is_inexact_array)))
