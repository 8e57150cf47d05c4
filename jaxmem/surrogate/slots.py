"""The network of the paper in its own layout: a slot for each ion of a fixed list, tokens flattened into five layers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError, unknown
from ..chemistry.species import canonical
from .attention import IonAttention

PAPER = ("Na+", "K+", "Li+", "Mg+2", "Ca+2", "Cl-", "SO4-2", "NO3-")  # Rehman and Lienhard 2023
ENCODINGS = ("learned", "sinusoidal")
_TOKEN = 8


def _sinusoidal(count: int) -> np.ndarray:
    """``(count, 8)``: sines and cosines of the slot's number at four wavelengths. Vaswani et al. 2017, arXiv 1706.03762."""
    angle = np.arange(count)[:, None] / 10_000.0 ** (np.arange(0, _TOKEN, 2) / _TOKEN)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(count, _TOKEN)


class SlotField(eqx.Module):
    """``(S,)`` slopes of S slots: each concentration lifted to 8 numbers, marked by what stands in its slot (learned, or sinusoidal), absent ones masked, one
    head of attention, then five layers of ``width`` over all tokens and the flux. 17,488 numbers for eight slots and a width of 64.

    It knows neither feed nor membrane: two feeds that meet in one permeate share their future. ``FluxField`` reads both, and any ion.
    """

    slots: tuple[str, ...] = eqx.field(static=True)
    lift: eqx.nn.Linear
    marks: Array | None  # (S, 8) learned; None for sinusoidal
    attention: IonAttention | None
    layers: tuple[eqx.nn.Linear, ...]
    conditioned: bool = eqx.field(static=True, default=False)

    def __init__(
        self,
        ions: tuple[str, ...] = PAPER,
        *,
        key: Array,
        width: int = 64,
        attend: bool = True,
        encoding: str = "learned",
    ) -> None:
        if encoding not in ENCODINGS:
            raise unknown("Encoding", encoding, ENCODINGS, 'Write encoding="learned".')
        self.slots, count = tuple(canonical(ion) for ion in ions), len(ions)
        if len(set(self.slots)) != count or count < 2:
            raise JaxmemError(f"ions = {ions!r} must be two or more, each once. Write ions=('Na+', 'Mg+2', 'Cl-').")
        keys, dtype = jax.random.split(key, 8), jnp.float32
        self.lift = eqx.nn.Linear(1, _TOKEN, use_bias=False, key=keys[0], dtype=dtype)
        self.marks = 0.3 * jax.random.normal(keys[1], (count, _TOKEN), dtype) if encoding == "learned" else None
        self.attention = IonAttention(_TOKEN, key=keys[2], dtype=dtype) if attend else None
        sizes, self.conditioned = (count * _TOKEN + 1, *(width,) * 4, count), False
        self.layers = tuple(
            eqx.nn.Linear(a, b, key=k, dtype=dtype) for a, b, k in zip(sizes[:-1], sizes[1:], keys[3:], strict=True)
        )

    @property
    def dtype(self) -> jnp.dtype:
        """Of the weights."""
        return self.lift.weight.dtype

    def check(self, names: tuple[str, ...]) -> None:
        """Refuse a feed of other species, or in another order."""
        if names != self.slots:
            raise JaxmemError(
                f"This network has slots for {', '.join(self.slots)}, in this order; the feed holds {', '.join(names)}. Write "
                f"jm.Mixture.from_concentration({{**dict.fromkeys(net.field.slots, 0.0), 'Na+': 10.0, 'Cl-': 10.0}})."
            )

    def __call__(
        self, h: Array, flux: Array, feed: Array, ions: Array, present: Array, context: Array
    ) -> tuple[Array, Array | None]:
        """As ``FluxField``; feed, descriptors and context are not read."""
        h, flux = h.astype(self.dtype), flux.astype(self.dtype)
        marks = jnp.asarray(_sinusoidal(len(self.slots)), self.dtype) if self.marks is None else self.marks
        here = present[:, None].astype(self.dtype)
        tokens = (jax.vmap(self.lift)(h[:, None]) + marks) * here
        mixed, weights = (tokens, None) if self.attention is None else self.attention(tokens, present)
        x = jnp.append((mixed * here).reshape(-1), flux)
        for i, layer in enumerate(self.layers):
            x = layer(x)
            x = jnp.tanh(x) if i < len(self.layers) - 1 else x
        return jnp.where(present, x, 0.0), weights
