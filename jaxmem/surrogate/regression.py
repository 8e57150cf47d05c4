"""An ensemble of feed-forward networks for one number: value, interval, and whether the question lies where it was trained."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


class Prediction(NamedTuple):
    """Of ``(*batch)`` questions."""

    value: Array
    interval: Array  # half width, with the coverage that was calibrated
    outside: Array  # whether the inputs are beyond those of the training


class Scaler(eqx.Module):
    """``(x - mean)/deviation``."""

    mean: Array
    deviation: Array

    @classmethod
    def of(cls, x: np.ndarray) -> "Scaler":
        """From the rows of ``x``."""
        spread = x.std(0)
        constant = spread <= 1e-9 * (1.0 + np.abs(x.mean(0)))  # says nothing in training: must not shout elsewhere
        return cls(jnp.asarray(x.mean(0)), jnp.asarray(np.where(constant, 1.0, spread)))

    def __call__(self, x: Array) -> Array:
        return (x - self.mean) / self.deviation

    def back(self, x: Array) -> Array:
        """From scaled numbers."""
        return x * self.deviation + self.mean


class Domain(eqx.Module):
    """Where a network was trained: the box of its inputs, and points that a question must lie near to; both scaled."""

    low: Array
    high: Array
    points: Array  # (n, inputs)
    reach: Array  # largest distance to the nearest of them

    @classmethod
    def of(cls, scaled: np.ndarray, others: np.ndarray, most: int = 512) -> "Domain":
        """From scaled training inputs; ``others`` were drawn alike and not trained on: 99 % of them lie within reach."""
        unique = np.unique(scaled, axis=0)
        chosen = unique[:: max(len(unique) // most, 1)]
        gaps = np.sqrt(((others[:, None] - chosen[None]) ** 2).sum(-1)).min(1)
        return cls(*(jnp.asarray(x) for x in (scaled.min(0), scaled.max(0), chosen, 1.05 * np.quantile(gaps, 0.99))))

    def outside(self, scaled: Array) -> Array:
        """Of ``(*batch, inputs)``."""
        margin = 0.02 * (self.high - self.low)
        beyond = jnp.any((scaled < self.low - margin) | (scaled > self.high + margin), axis=-1)
        gap = jnp.sqrt(jnp.min(jnp.sum((scaled[..., None, :] - self.points) ** 2, axis=-1), axis=-1))
        return beyond | (gap > self.reach)


class Networks(eqx.Module):
    """Members share inputs and differ in their first weights and in the groups they saw.

    The interval is ``quantile`` times the standard deviation of the members (not below ``floor``), the quantile being that which covers the
    calibration groups: split conformal prediction (Lei et al. 2018, doi 10.1080/01621459.2017.1307116), whose promise holds for new groups drawn as
    those were.
    """

    members: eqx.nn.MLP  # every array with a leading axis of members
    inputs: Scaler
    target: Scaler
    domain: Domain
    quantile: Array
    floor: Array

    def each(self, x: Array) -> Array:
        """What every member says, ``(members, *batch)``; ``x (*batch, inputs)``."""
        return self.target.back(answers(self.members, self.inputs(x)).astype(self.target.mean.dtype))

    def __call__(self, x: Array) -> Prediction:
        all_ = self.each(x)
        spread = jnp.sqrt(jnp.var(all_, axis=0) + self.floor**2)
        return Prediction(all_.mean(0), self.quantile * spread, self.domain.outside(self.inputs(x)))


def answers(members: eqx.nn.MLP, scaled: Array) -> Array:
    """``(members, *batch)`` of scaled inputs ``(*batch, inputs)``, in the precision of the weights."""
    flat = scaled.reshape(-1, scaled.shape[-1]).astype(members.layers[0].weight.dtype)
    found = eqx.filter_vmap(lambda net: jax.vmap(net)(flat), in_axes=(eqx.if_array(0),))(members)
    return found.reshape(-1, *scaled.shape[:-1])
