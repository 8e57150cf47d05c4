"""Training of an ensemble: Adam on batches, all members at once, the best state by groups that are not trained on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from .regression import Domain, Networks, Scaler, answers
from .splits import Split

_ROUND = 50  # steps between two looks at the groups that stop


def train_networks(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    split: Split,
    *,
    members: int = 8,
    width: int = 64,
    depth: int = 2,
    steps: int = 4000,
    batch: int = 256,
    rate: float = 3e-3,
    coverage: float = 0.9,
    seed: int = 0,
    bagging: bool = True,
) -> Networks:
    """``x (n, inputs)``, ``y (n,)``, ``groups (n,)``. Deterministic in ``seed``; weights in float32.

    Each member draws its training groups anew with replacement, unless ``bagging`` is off for groups that are few. ``coverage`` is calibrated on ``split.calibrate``.
    """
    inputs, target = Scaler.of(x[split.train]), Scaler.of(y[split.train])
    scaled, goal = (np.asarray(a, np.float32) for a in (inputs(jnp.asarray(x)), target(jnp.asarray(y))))
    key = jax.random.key(seed)
    keys = jax.random.split(key, members)
    make = lambda k: eqx.nn.MLP(x.shape[1], "scalar", width, depth, jax.nn.silu, dtype=jnp.float32, key=k)
    nets = eqx.filter_vmap(make)(keys)
    weights = (
        _bags(groups, split.train, members, seed) if bagging else np.ones((members, int(np.count_nonzero(split.train))))
    )
    rows, stop = np.flatnonzero(split.train), np.flatnonzero(split.stop)
    data = (jnp.asarray(scaled[rows]), jnp.asarray(goal[rows]), jnp.asarray(weights, jnp.float32))
    check = (jnp.asarray(scaled[stop]), jnp.asarray(goal[stop]))
    rounds, size = max(steps // _ROUND, 1), min(batch, len(rows))
    best = _fit(nets, data, check, jax.random.fold_in(key, 1), rounds, size, rate)
    exact = np.asarray(inputs(jnp.asarray(x)))
    domain = Domain.of(exact[rows], exact[split.calibrate])
    net = Networks(best, inputs, target, domain, jnp.ones(()), jnp.zeros(()))
    return calibrated(net, x[split.calibrate], y[split.calibrate], groups[split.calibrate], coverage)


def _bags(groups: np.ndarray, train: np.ndarray, members: int, seed: int) -> np.ndarray:
    """How often each member sees each training row, ``(members, n)``."""
    labels, index = np.unique(groups[train], return_inverse=True)
    random = np.random.default_rng([seed, 1])
    drawn = [np.bincount(random.integers(0, len(labels), len(labels)), minlength=len(labels)) for _ in range(members)]
    return np.stack(drawn)[:, index]


@eqx.filter_jit
def _fit(nets: Any, data: tuple, check: tuple, key: Array, rounds: int, size: int, rate: float) -> Any:
    arrays, rest = eqx.partition(nets, eqx.is_array)
    adam = optax.adam(optax.cosine_decay_schedule(rate, rounds * _ROUND, 0.01))
    x, y, weights = data

    def loss(arrays: Any, rows: Array) -> Array:
        error = answers(eqx.combine(arrays, rest), x[rows]) - y[rows]
        return jnp.sum(jnp.mean(weights[:, rows] * error**2, axis=1))  # members do not meet

    def step(carry: tuple, key: Array) -> tuple:
        arrays, state = carry
        rows = jax.random.choice(key, x.shape[0], (size,))
        slope = jax.grad(loss)(arrays, rows)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to the number of the step
            update, state = adam.update(slope, state)
        return (optax.apply_updates(arrays, update), state), None

    def round_(carry: tuple, key: Array) -> tuple:
        arrays, state, best, least = carry
        (arrays, state), _ = jax.lax.scan(step, (arrays, state), jax.random.split(key, _ROUND))
        now = jnp.mean((answers(eqx.combine(arrays, rest), check[0]) - check[1]) ** 2, axis=1)
        better = now < least  # of each member by itself
        keep = lambda a, b: jnp.where(better.reshape(-1, *(1,) * (a.ndim - 1)), a, b)
        return (arrays, state, jax.tree.map(keep, arrays, best), jnp.minimum(now, least)), now

    first = (arrays, adam.init(arrays), arrays, jnp.full(weights.shape[0], jnp.inf, x.dtype))
    (_, _, best, _), _ = jax.lax.scan(round_, first, jax.random.split(key, rounds))
    return eqx.combine(best, rest)


def calibrated(net: Networks, x: np.ndarray, y: np.ndarray, groups: np.ndarray, coverage: float) -> Networks:
    """With intervals that cover so much of groups that were not trained on; every group counts alike."""
    each = np.asarray(net.each(jnp.asarray(x)))
    error, spread = np.abs(each.mean(0) - y), each.std(0)
    floor = 0.5 * float(np.median(error))
    ratio = error / np.sqrt(spread**2 + floor**2)
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weight = 1.0 / counts[index]
    order = np.argsort(ratio)
    share = np.cumsum(weight[order]) / (weight.sum() + 1.0)  # one group more: the new one
    k = min(int(np.searchsorted(share, coverage)), len(order) - 1)
    as_array = lambda v: jnp.asarray(v, net.target.mean.dtype)
    return eqx.tree_at(lambda n: (n.quantile, n.floor), net, (as_array(ratio[order][k]), as_array(floor)))
