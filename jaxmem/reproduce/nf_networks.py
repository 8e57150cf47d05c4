"""Networks on measured rejections: a plain one that reads each point, and the attention ODE of the paper along each feed's ladder of fluxes."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import Case, FluxDriven
from ..data.rejection import Dataset
from ..surrogate.attention import descriptors
from ..surrogate.descent import descend
from ..surrogate.ensemble import train_networks
from ..surrogate.field import parameters
from ..surrogate.neural_ode import FLUX, lane_of
from ..surrogate.rollouts import Slots, networks
from ..surrogate.splits import Split

MEMBERS = 5


def stopping(kept: np.ndarray) -> np.ndarray:
    """A seventh of the kept points decides when to stop, ``(N,)``."""
    chosen = np.random.default_rng(0).choice(np.flatnonzero(kept), max(int(kept.sum()) // 7, 2), replace=False)
    return np.isin(np.arange(len(kept)), chosen)


class PlainNetwork:
    """2 x 64 for each ion: what it is and which, the feed in equivalents, its strength, and the flux."""

    def __init__(self, points: Dataset) -> None:
        feed, s = points.case.feed, len(points.case.feed.species)
        n = points.rejection.shape[0]
        share, strength = np.asarray(feed.equivalent_fraction), np.log(np.asarray(feed.ionic_strength))
        flux = np.broadcast_to(np.asarray(points.case.conditions.volume_flux) / FLUX, (n,))
        parts = (
            np.asarray(descriptors(feed)), np.eye(s), np.broadcast_to(share, (n, s))[:, None], np.broadcast_to(strength, (n,))[:, None, None],
            flux[:, None, None],
        )  # fmt: skip
        self.x = np.concatenate([np.broadcast_to(x, (n, s, x.shape[-1])) for x in parts], axis=-1)
        self.seen = np.asarray(points.rejection)
        self.numbers = (self.x.shape[-1] + 1) * 64 + 65 * 65

    def __call__(self, kept: np.ndarray) -> np.ndarray:
        """``(members, N, S)`` of networks that saw the kept points."""
        use = (np.isfinite(self.seen) & kept[:, None]).reshape(-1)
        spread = lambda x: np.broadcast_to(x[:, None], self.seen.shape).reshape(-1)[use]
        late, groups = spread(stopping(kept)), spread(np.arange(len(kept)))
        flat, y = self.x.reshape(-1, self.x.shape[-1])[use], self.seen.reshape(-1)[use]
        split = Split(~late, late, late, late)
        nets = train_networks(flat, y, groups, split, members=MEMBERS, width=64, depth=2, steps=1500, batch=64)
        return np.asarray(nets.each(jnp.asarray(self.x)))


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
        late = stopping(kept)
        part = lambda rows: _Miss(
            rest, self.slots, self.flux, self.seen, jnp.asarray(self.there & rows[self.at][..., None])
        )
        best = descend(part(kept & ~late), _Look(part(late)), weights, steps=1500, rate=2e-3).best
        found = np.full(self.shape, np.nan)
        found[:, self.at] = np.asarray(_said(part(kept), best))
        return found


@eqx.filter_jit
def _said(miss: _Miss, weights: Any) -> Array:
    return miss.rejections(weights)
