"""What a network of ions was trained on, and which questions lie outside of it."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .attention import DESCRIPTORS
from .field import CONTEXT

_FEATURES = CONTEXT + 2  # what describes feed and membrane, the number of ions, and how little there is of the rarest
_PAIRS = np.triu_indices(_FEATURES, 1)
_CELLS = (64, 48, 40, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
_FALSE = 0.03  # share of questions like those of the training that the cells may flag
_FAR = 0.02  # between the descriptors of two ions that are not alike
_STILL = 0.05  # margin of what was the same in all of the training, half a kelvin for the temperature


class Range(eqx.Module):
    """The box of all training feeds and pores, and for every two numbers of them the cells of a grid in which any lay; unbounded without training.

    A question is outside beyond the box (by 2 % of its width, or less where many were seen), in an empty cell (a corner that nothing came from, although each number by itself was
    seen), with an ion unlike all that were there, or at a larger flux. Cells are as small as a half of the training allows without flagging more than 3 % of
    the other half. A hundred feeds are too few for cells, and their box flags some questions that are like them.
    """

    features: Array  # (2, F) least and largest
    cells: Array  # (pairs of features, n, n) true where a feed of the training lay
    ions: Array  # (U, 4) of each that was there
    flux: Array  # () largest

    @classmethod
    def unbounded(cls) -> "Range":
        """Every question lies inside."""
        ends = jnp.tile(jnp.asarray([-jnp.inf, jnp.inf])[:, None], (1, _FEATURES))
        nothing = jnp.zeros((0, len(DESCRIPTORS)))
        return cls(ends, jnp.ones((len(_PAIRS[0]), 1, 1), bool), nothing, jnp.asarray(jnp.inf))

    @classmethod
    def of(cls, lane: Any, flux: Array) -> "Range":
        """Of training lanes ``(n, ...)`` and their largest flux."""
        x = np.unique(np.asarray(_features(lane), float), axis=0)
        x = np.random.default_rng(0).permutation(x)
        width = np.ptp(x, axis=0)
        margin = np.where(
            width > 0.0, min(0.02, 10.0 / len(x)) * width, _STILL
        )  # the more were seen, the surer is where they end
        ends = np.stack([x.min(0) - margin, x.max(0) + margin])
        learn, ask = x[::2], x[1::2]
        flagged = lambda n: np.mean(~_inside(_occupied(learn, ends, n), ask, ends)) if len(ask) else 1.0
        count = next((n for n in _CELLS if flagged(n) <= _FALSE), 1)
        known = np.unique(np.asarray(lane.ions)[np.asarray(lane.present)].round(9), axis=0)
        return cls(
            jnp.asarray(ends), jnp.asarray(_occupied(x, ends, count)), jnp.asarray(known), jnp.asarray(flux, float)
        )

    def outside(self, lane: Any) -> Array:
        """Whether one lane lies beyond."""
        x, finite = (
            _features(lane),
            jnp.where(jnp.isfinite(self.features), self.features, jnp.sign(self.features) * 1e30),
        )
        low, high = finite
        beyond = jnp.any((x < low) | (x > high)) | (lane.flux > 1.0001 * self.flux)
        at = _cell(x, low, high, self.cells.shape[-1], jnp)
        empty = ~jnp.all(self.cells[np.arange(len(_PAIRS[0])), at[_PAIRS[0]], at[_PAIRS[1]]])
        if self.ions.shape[0] == 0:
            return beyond | empty
        gap = jnp.min(jnp.max(jnp.abs(lane.ions[:, None] - self.ions), axis=-1), axis=-1)
        return beyond | empty | jnp.any((gap > _FAR) & lane.present)


def _features(lane: Any) -> Array:
    count = jnp.sum(lane.present, axis=-1, keepdims=True).astype(lane.context.dtype)
    least = jnp.min(jnp.where(lane.present, lane.feed, jnp.inf), axis=-1, keepdims=True)
    return jnp.concatenate([lane.context, count, jnp.log10(jnp.clip(least, 1e-12, 1.0)).astype(count.dtype)], axis=-1)


def _cell(x: Any, low: Any, high: Any, count: int, xp: Any) -> Any:
    """``(..., F)`` whole numbers from 0 to ``count - 1``."""
    width = xp.where(high > low, high - low, 1.0)
    return xp.clip(xp.floor((x - low) / width * count), 0, count - 1).astype(int)


def _occupied(x: np.ndarray, ends: np.ndarray, count: int) -> np.ndarray:
    """``(pairs, count, count)``."""
    at, found = _cell(x, *ends, count, np), np.zeros((len(_PAIRS[0]), count, count), bool)
    found[np.arange(len(_PAIRS[0]))[None], at[:, _PAIRS[0]], at[:, _PAIRS[1]]] = True
    return found


def _inside(cells: np.ndarray, x: np.ndarray, ends: np.ndarray) -> np.ndarray:
    at = _cell(x, *ends, cells.shape[-1], np)
    return np.asarray(cells[np.arange(len(_PAIRS[0]))[None], at[:, _PAIRS[0]], at[:, _PAIRS[1]]].all(axis=1))
