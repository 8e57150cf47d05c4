"""What learns measured rejections without physics: lines, trees and a network that read each point, and the attention ODE of the paper along ladders of fluxes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import AbsoluteRejection, AttentionNeuralODE, Case, FluxDriven, ion_network, solve, train
from ..data.rejection import Dataset
from ..surrogate.attention import descriptors
from ..surrogate.descent import descend
from ..surrogate.ensemble import train_networks
from ..surrogate.field import parameters
from ..surrogate.neural_ode import FLUX, lane_of
from ..surrogate.rollouts import Slots, networks
from ..surrogate.splits import Split

MEMBERS = 5
LEAST = 3  # fluxes that a network can be trained on: two of them decide when to stop


def stopping(kept: np.ndarray) -> np.ndarray:
    """A seventh of the fluxes of which anything is kept ``(N, S)`` decides when to stop, ``(N,)``."""
    rows = np.flatnonzero(kept.any(1))
    chosen = np.random.default_rng(0).choice(rows, max(len(rows) // 7, 2), replace=False)
    return np.isin(np.arange(len(kept)), chosen)


def features(points: Dataset) -> np.ndarray:
    """``(N, S, F)``: what an ion is and which, the feed in equivalents, its strength, and the flux."""
    feed, (n, s) = points.case.feed, points.rejection.shape
    share, strength = np.asarray(feed.equivalent_fraction), np.log(np.asarray(feed.ionic_strength))
    flux = np.broadcast_to(np.asarray(points.case.conditions.volume_flux) / FLUX, (n,))
    parts = (
        np.asarray(descriptors(feed)), np.eye(s), np.broadcast_to(share, (n, s))[:, None], np.broadcast_to(strength, (n,))[:, None, None],
        flux[:, None, None],
    )  # fmt: skip
    return np.concatenate([np.broadcast_to(x, (n, s, x.shape[-1])) for x in parts], axis=-1)


class LinearModel:
    """One ridge regression for all ions, in the inputs of the plain network."""

    def __init__(self, points: Dataset, ridge: float = 0.1) -> None:
        self.x, self.seen, self.ridge = features(points), np.asarray(points.rejection), ridge
        self.numbers = self.x.shape[-1] + 1

    def __call__(self, kept: np.ndarray) -> np.ndarray:
        """``(1, N, S)`` from the kept points."""
        use = np.isfinite(self.seen) & kept
        middle, y = self.x[use].mean(0), self.seen[use]
        a = self.x[use] - middle
        slope = np.linalg.solve(a.T @ a + self.ridge * np.eye(a.shape[1]), a.T @ (y - y.mean()))
        return (y.mean() + (self.x - middle) @ slope)[None]


class BoostedTrees:
    """Gradient boosting of 300 trees of depth 3 in the inputs of the plain network (scikit-learn)."""

    def __init__(self, points: Dataset) -> None:
        self.x, self.seen = features(points), np.asarray(points.rejection)
        self.numbers = sum(tree[0].tree_.n_leaves for tree in self._grown(np.isfinite(self.seen), 0).estimators_)

    def _grown(self, use: np.ndarray, seed: int) -> Any:
        from sklearn.ensemble import GradientBoostingRegressor

        trees = GradientBoostingRegressor(
            n_estimators=300, max_depth=3, learning_rate=0.05, subsample=0.8, random_state=seed
        )
        return trees.fit(self.x[use], self.seen[use])

    def __call__(self, kept: np.ndarray) -> np.ndarray:
        """``(members, N, S)`` of trees that saw the kept points."""
        use, flat = np.isfinite(self.seen) & kept, self.x.reshape(-1, self.x.shape[-1])
        return np.stack([self._grown(use, seed).predict(flat).reshape(self.seen.shape) for seed in range(MEMBERS)])


class PlainNetwork:
    """2 x 64, one for all ions."""

    def __init__(self, points: Dataset) -> None:
        self.x, self.seen = features(points), np.asarray(points.rejection)
        self.numbers = (self.x.shape[-1] + 1) * 64 + 65 * 65

    def __call__(self, kept: np.ndarray, known: np.ndarray | float = 0.0) -> np.ndarray:
        """``(members, N, S)`` of networks that saw the kept points; ``known (N, S)`` is not left to them."""
        use = np.isfinite(self.seen) & kept
        late = np.broadcast_to(stopping(kept)[:, None], kept.shape)[use]
        groups = np.broadcast_to(np.arange(len(kept))[:, None], kept.shape)[use]
        split = Split(~late, late, late, late)
        rest = (self.seen - known)[use]
        options = {"members": MEMBERS, "width": 64, "depth": 2, "steps": 1500, "batch": 64, "bagging": False}
        nets = train_networks(self.x[use], rest, groups, split, **options)
        return known + np.asarray(nets.each(jnp.asarray(self.x)))


class _Miss(eqx.Module):
    """Mean square error in rejection over some measurements, summed over members."""

    rest: Any
    slots: Slots
    flux: Array  # (F, k)
    seen: Array  # (F, k, S)
    used: Array  # (F, k, S)

    def each(self, weights: Any) -> Array:
        """``(M,)``."""
        error = jnp.where(self.used, self.rejections(weights) - self.seen, 0.0)
        return jnp.sum(error**2, axis=(1, 2, 3)) / jnp.sum(self.used.astype(error.dtype))

    def rejections(self, weights: Any) -> Array:
        """``(M, F, k, S)``."""
        one, feed = jnp.ones((), jnp.float32), jnp.where(self.slots.present, self.slots.feed, 1.0)[:, None]
        along = lambda w: jax.vmap(lambda x, j: eqx.combine(w, self.rest)(x, j, one, one))(self.slots, self.flux)
        return jax.vmap(lambda w: 1.0 - along(w) / feed)(weights)

    def __call__(self, weights: Any, key: Array) -> tuple[Array, Array]:
        """Loss, and that nothing failed."""
        return jnp.sum(self.each(weights)), jnp.zeros(())


class _Look(eqx.Module):
    miss: _Miss

    def __call__(self, weights: Any) -> Array:
        """Of each member, on the points that decide when to stop."""
        return self.miss.each(weights)


class PublishedODE:
    """The attention ODE of Rehman and Lienhard 2023 with hard charge, from random weights, a slot for each ion of these data."""

    def __init__(self, points: Dataset) -> None:
        case, labels = points.case, np.asarray(points.feed_group)
        flux = np.asarray(case.conditions.volume_flux) / FLUX
        ladders = [np.flatnonzero(labels == name) for name in dict.fromkeys(points.feed_group)]
        ladders = [rows[np.argsort(flux[rows], kind="stable")] for rows in ladders]
        k = max(map(len, ladders))
        self.at = np.stack([np.pad(rows, (0, k - len(rows)), mode="edge") for rows in ladders])  # (F, k) points
        real = np.stack([np.arange(k) < len(rows) for rows in ladders])
        lane = lane_of(Case(case.feed, case.membrane, FluxDriven(case.conditions.volume_flux)))
        self.slots = jax.tree.map(lambda x: x[self.at[:, 0]], Slots.of(lane))
        self.flux = jnp.asarray(flux[self.at], jnp.float32)
        seen = np.asarray(points.rejection)
        self.there = np.isfinite(seen[self.at]) & real[..., None]
        self.seen = jnp.asarray(np.where(self.there, seen[self.at], 0.0), jnp.float32)
        self.nets = networks("ODE", seen.shape[1], jax.random.split(jax.random.key(0), MEMBERS))
        self.numbers = parameters(self.nets) // MEMBERS
        self.shape = (MEMBERS, *seen.shape)

    def __call__(self, kept: np.ndarray) -> np.ndarray:
        """``(members, N, S)`` of networks that saw the kept points."""
        weights, rest = eqx.partition(self.nets, eqx.is_inexact_array)
        late = stopping(kept)[:, None]
        part = lambda used: _Miss(rest, self.slots, self.flux, self.seen, jnp.asarray(self.there & used[self.at]))
        best = descend(part(kept & ~late), _Look(part(kept & late)), weights, steps=1500, rate=2e-3).best
        found = np.full(self.shape, np.nan)
        found[:, self.at] = np.asarray(_said(part(kept), best))
        return found


class TunedODE:
    """The attention ODE that comes along, pre-trained on DSPM-DE; all of its weights are tuned to the measurements.

    Steps and rate are of four that were tried on the points of NF270, with their scores in sight: on these its errors flatter it.
    """

    def __init__(self, points: Dataset) -> None:
        net, self.points = ion_network(), points
        self.net = AttentionNeuralODE(field=net.field, trained=net.trained, rtol=1e-3, atol=1e-5)
        self.numbers, self.tuned = parameters(net.field), {}

    def of(self, kept: np.ndarray) -> AttentionNeuralODE:
        """The network that saw the kept points ``(N, S)``, trained once."""
        key = kept.tobytes()
        if key not in self.tuned:
            options = {"steps": 300, "rate": 3e-3, "noise": AbsoluteRejection(0.05, own=False), "held": stopping(kept)}
            self.tuned[key] = train(self.net, self.points.only(kept), **options).model
        return self.tuned[key]

    def __call__(self, kept: np.ndarray) -> np.ndarray:
        """``(1, N, S)``."""
        return np.asarray(solve(self.of(kept), self.points.case, throw=False).real_rejection)[None]


@eqx.filter_jit
def _said(miss: _Miss, weights: Any) -> Array:
    return miss.rejections(weights)
