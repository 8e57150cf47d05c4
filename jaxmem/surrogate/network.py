"""A small network whose answer starts at zero and stays within a bound: the unknown part of a closure."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from .._errors import JaxmemError
from .waters import Seen


class Network(eqx.Module):
    """``bound tanh(y/bound)``, ``y`` linear in the inputs (``width=0``) or two tanh layers of ``width``; zero before training.

    Acts on the last axis, ``(*batch, inputs)`` to ``(*batch, outputs)``, in its own precision, and answers in that of its input.
    """

    layers: tuple[eqx.nn.Linear, ...]
    seen: Seen  # what it has learned from
    bound: float = eqx.field(static=True)

    def __init__(
        self, inputs: int, outputs: int = 1, *, key: Array, width: int = 16, bound: float = 3.0, dtype=jnp.float32
    ) -> None:
        if not hasattr(key, "dtype"):
            raise JaxmemError(f"key = {key!r} is no key. Write jax.random.key(0).")
        if not (isinstance(width, int) and width >= 0 and isinstance(bound, int | float) and bound > 0.0):
            raise JaxmemError(
                f"A network of width {width!r} and bound {bound!r} cannot be built. Write width=16 (0: linear), bound=3.0."
            )
        sizes = (inputs, *(width,) * (2 if width else 0), outputs)
        keys = jax.random.split(key, len(sizes) - 1)
        layers = [eqx.nn.Linear(a, b, key=k, dtype=dtype) for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True)]
        layers[-1] = jax.tree.map(jnp.zeros_like, layers[-1])
        self.layers, self.seen, self.bound = tuple(layers), Seen.nothing(), bound

    def __call__(self, x: Array) -> Array:
        """See the class."""
        y = x.astype(self.layers[0].weight.dtype)
        for i, layer in enumerate(self.layers):
            assert layer.bias is not None
            y = y @ layer.weight.T + layer.bias
            y = jnp.tanh(y) if i < len(self.layers) - 1 else y
        return (self.bound * jnp.tanh(y / self.bound)).astype(x.dtype)
