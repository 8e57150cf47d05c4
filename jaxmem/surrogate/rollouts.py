"""The networks of Rehman and Lienhard 2023 (arXiv 2312.02871) at one size: from a feed in fixed slots to its permeate along a ladder of fluxes.

Each is called as ``net(x, flux, hard, attend)`` with a ``Slots`` of one feed, ``flux (k,)`` ascending in units of 60 um/s, and two switches that are
arrays, so that all variants are one program: ``hard = 1`` takes the charge out by the orthogonal projection, ``attend = 0`` leaves attention out.
They answer ``(k, S)`` in equivalents of the feed. Layout after the parameter count of the paper (17,488), plus one input for the strength of the feed. The paper gives no code.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._config import quick_to_compile
from .._errors import unknown
from .attention import IonAttention
from .neural_ode import Lane
from .projection import orthogonal

NUMBERS = 17_552
_STAGES = np.array(
    [[0.0, 1 / 6], [0.5, 1 / 3], [0.5, 1 / 3], [1.0, 1 / 6]], np.float32
)  # Runge-Kutta 4: where, and how much
_TOKEN = 8


class Slots(NamedTuple):
    """One feed, or many along leading axes, float32."""

    feed: Array  # (S,) equivalents
    charge: Array  # (S,) zero for absent ions
    present: Array  # (S,)
    strength: Array  # () log10 of c_ref over 100 mol/m3

    @classmethod
    def of(cls, lane: Lane) -> "Slots":
        """From the lanes of a case."""
        narrow = lambda x: x.astype(jnp.float32)
        return cls(narrow(lane.feed), narrow(lane.charge), lane.present, narrow(lane.context[..., 0]))


class Tokens(eqx.Module):
    """A vector for each slot, ``t_i = lift x_i + embedding_i``, with what it hears from the others (``t + attention(t)``) or not: ``(S 8,)``."""

    lift: Array
    embedding: Array
    attention: IonAttention

    def __init__(self, slots: int, key: Array) -> None:
        a, b, c = jax.random.split(key, 3)
        self.lift, self.embedding = (
            jax.random.normal(a, (_TOKEN,), jnp.float32),
            0.3 * jax.random.normal(b, (slots, _TOKEN), jnp.float32),
        )
        self.attention = IonAttention(_TOKEN, key=c)

    def __call__(self, x: Array, present: Array, attend: Array) -> tuple[Array, Array]:
        """``x (S)`` to the tokens, and the attention ``(S, S)`` between them."""
        tokens = x[:, None] * self.lift + self.embedding
        heard, weights = self.attention(tokens, present)
        return jnp.where(present[:, None], tokens + attend * heard, 0.0).reshape(-1), weights


def _trunk(slots: int, width: int, key: Array) -> tuple[Tokens, tuple[eqx.nn.Linear, ...]]:
    """Tokens, and five linear layers over them, a flux and the strength of the feed."""
    a, b = jax.random.split(key)
    sizes, keys = (slots * _TOKEN + 2, *(width,) * 4, slots), jax.random.split(b, 5)
    linear = lambda m, n, k: eqx.nn.Linear(m, n, key=k, dtype=jnp.float32)
    return Tokens(slots, a), tuple(linear(*x) for x in zip(sizes[:-1], sizes[1:], keys, strict=True))


def _through(layers: tuple, x: Array) -> Array:
    for i, layer in enumerate(layers):
        x = layer(x)
        x = jnp.tanh(x) if i < len(layers) - 1 else x
    return x


def _neutral(h: Array, x: Slots, hard: Array) -> Array:
    h = jnp.where(x.present, h, 0.0)
    return h + hard * (orthogonal(h, x.charge) - h)


class FeedForward(eqx.Module):
    """Tokens of the feed and a flux through five linear layers; every flux by itself."""

    tokens: Tokens
    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, slots: int, width: int, key: Array) -> None:
        self.tokens, self.layers = _trunk(slots, width, key)

    def __call__(self, x: Slots, flux: Array, hard: Array, attend: Array) -> Array:
        """See the module."""
        tokens, _ = self.tokens(x.feed, x.present, attend)
        one = lambda j: _through(self.layers, jnp.concatenate([tokens, j[None], x.strength[None]]))
        return _neutral(jax.vmap(one)(flux), x, hard)


class FluxODE(eqx.Module):
    """Tokens of the permeate and the flux through five linear layers give its slope; Runge-Kutta 4 from the feed, a step between fluxes."""

    tokens: Tokens
    layers: tuple[eqx.nn.Linear, ...]

    def __init__(self, slots: int, width: int, key: Array) -> None:
        self.tokens, self.layers = _trunk(slots, width, key)

    def slope(self, h: Array, flux: Array, x: Slots, hard: Array, attend: Array) -> Array:
        """``dh/dJ_v (S,)``; projected here, as every Runge-Kutta method keeps a linear invariant."""
        tokens, _ = self.tokens(h, x.present, attend)
        return _neutral(_through(self.layers, jnp.concatenate([tokens, flux[None], x.strength[None]])), x, hard)

    def __call__(self, x: Slots, flux: Array, hard: Array, attend: Array) -> Array:
        """See the module."""

        def step(h: Array, ends: Array) -> tuple[Array, Array]:
            j, d = ends[0], ends[1] - ends[0]

            def stage(carry: tuple[Array, Array], weights: Array) -> tuple[tuple[Array, Array], None]:
                total, k = carry
                k = self.slope(h + weights[0] * d * k, j + weights[0] * d, x, hard, attend)
                return (total + weights[1] * d * k, k), None

            (h, _), _ = jax.lax.scan(stage, (h, jnp.zeros_like(h)), _STAGES)
            return h, h

        ends = jnp.stack([jnp.concatenate([jnp.zeros_like(flux[:1]), flux[:-1]]), flux], axis=1)
        return jax.lax.scan(step, x.feed, ends)[1]


class Convolution(eqx.Module):
    """``size`` neighbours along the flux, zeros beyond the ends: ``(k, inputs)`` to ``(k, outputs)`` by one product."""

    linear: eqx.nn.Linear
    size: int = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, key: Array, size: int = 3) -> None:
        self.linear, self.size = eqx.nn.Linear(size * inputs, outputs, key=key, dtype=jnp.float32), size

    def __call__(self, x: Array) -> Array:
        """See the class."""
        half, k = self.size // 2, x.shape[0]
        padded = jnp.pad(x, ((half, half), (0, 0)))
        assert self.linear.bias is not None
        near = jnp.concatenate([padded[i : i + k] for i in range(self.size)], axis=1)
        return near @ self.linear.weight.T + self.linear.bias


def _image(tokens: Array, x: Slots, flux: Array) -> Array:
    """``(k, channels)``."""
    still = jnp.broadcast_to(jnp.append(tokens, x.strength), (flux.shape[0], tokens.shape[0] + 1))
    return jnp.concatenate([still, flux[:, None]], axis=1)


class Convolutional(eqx.Module):
    """Convolutions along the flux, ions are channels; five layers."""

    tokens: Tokens
    layers: tuple[Convolution, ...]

    def __init__(self, slots: int, width: int, key: Array) -> None:
        a, *keys = jax.random.split(key, 6)
        sizes = (slots * _TOKEN + 2, *(width,) * 4, slots)
        self.tokens = Tokens(slots, a)
        self.layers = tuple(Convolution(m, n, k) for m, n, k in zip(sizes[:-1], sizes[1:], keys, strict=True))

    def __call__(self, x: Slots, flux: Array, hard: Array, attend: Array) -> Array:
        """See the module."""
        tokens, _ = self.tokens(x.feed, x.present, attend)
        return _neutral(_through(self.layers, _image(tokens, x, flux)), x, hard)


class UNet(eqx.Module):
    """Convolutions along the flux on three grids, each half of the one before, joined on the way back (k a multiple of four)."""

    tokens: Tokens
    layers: tuple[Convolution, ...]

    def __init__(self, slots: int, width: int, key: Array) -> None:
        a, *keys = jax.random.split(key, 7)
        w = width
        sizes = ((slots * _TOKEN + 2, w), (w, w), (w, w), (2 * w, w), (2 * w, w))
        self.tokens = Tokens(slots, a)
        self.layers = (
            *(Convolution(m, n, k) for (m, n), k in zip(sizes, keys[:5], strict=True)),
            Convolution(w, slots, keys[5], 1),
        )

    def __call__(self, x: Slots, flux: Array, hard: Array, attend: Array) -> Array:
        """See the module."""
        tokens, _ = self.tokens(x.feed, x.present, attend)
        half = lambda y: 0.5 * (y[::2] + y[1::2])
        double = lambda y: jnp.repeat(y, 2, axis=0)
        first, second, third, back, out, last = self.layers
        fine = jnp.tanh(first(_image(tokens, x, flux)))
        middle = jnp.tanh(second(half(fine)))
        coarse = jnp.tanh(third(half(middle)))
        middle = jnp.tanh(back(jnp.concatenate([middle, double(coarse)], axis=1)))
        fine = jnp.tanh(out(jnp.concatenate([fine, double(middle)], axis=1)))
        return _neutral(last(fine), x, hard)


KINDS: dict[str, Any] = {"ODE": FluxODE, "U-Net": UNet, "CNN": Convolutional, "feed-forward": FeedForward}


def network(kind: str, slots: int, key: Array) -> Any:
    """One of ``KINDS`` of the width whose number of weights is nearest to that of the paper (for eight slots within 5 %)."""
    if kind not in KINDS:
        raise unknown("Network", kind, KINDS, "Write network('ODE', 8, jax.random.key(0)).")
    made = lambda w: jax.eval_shape(lambda k: eqx.filter(KINDS[kind](slots, w, k), eqx.is_array), key)
    size = lambda w: sum(x.size for x in jax.tree.leaves(made(w)))
    width = min(range(16, 90), key=lambda w: abs(size(w) - NUMBERS))
    return KINDS[kind](slots, width, key)


def networks(kind: str, slots: int, keys: Array) -> Any:
    """One for each key, along a leading axis, by one program: random numbers are much code."""
    made = eqx.filter_vmap(lambda key: network(kind, slots, key))
    return eqx.filter_jit(made, compiler_options=quick_to_compile())(keys)
