"""Training of neural ODEs on rollouts: Adam on batches of feeds, each batch one ODE, the best state by feeds that are not trained on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from .._errors import JaxmemError
from .corpus import Corpus, noisy
from .neural_ode import KNEE, AttentionNeuralODE, Lane, Range

_ROUND = 20  # steps in one dispatch


class Schooling(NamedTuple):
    """What training gave: the best network, and the mean square errors along the way."""

    net: AttentionNeuralODE
    train: np.ndarray  # of every round
    check: np.ndarray  # of feeds that are not trained on


def paths(net: AttentionNeuralODE, lane: Lane, flux: Array, rtol: float = 1e-3, atol: float = 1e-5) -> Array:
    """Permeates ``(B, k, S)`` in equivalents at ``flux (k)``, ascending; all lanes share the steps of one ODE. Not a number where it gave up."""

    def along(s: Array, h: Array, _: None) -> Array:  # over s = ln(1 + J_v/knee)
        flux = KNEE * jnp.expm1(s)
        slope = jax.vmap(lambda h, lane: net.slope(flux, (h, jnp.zeros((), h.dtype)), lane, None, None)[0])(h, lane)
        return (flux + KNEE) * slope

    lane = jax.tree.map(lambda x: x.astype(net.field.dtype) if x.dtype == jnp.float64 else x, lane)
    clock = jnp.log1p(flux / KNEE).astype(lane.feed.dtype)
    done = diffrax.diffeqsolve(
        diffrax.ODETerm(along), diffrax.Tsit5(), 0.0, clock[-1], 0.3, lane.feed,
        saveat=diffrax.SaveAt(ts=clock), max_steps=64, throw=False,
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol), adjoint=diffrax.RecursiveCheckpointAdjoint(),
    )  # fmt: skip
    ys = jnp.moveaxis(done.ys, 0, 1)
    return jnp.where(done.result == diffrax.RESULTS.successful, ys, jnp.nan)


def _error(net: AttentionNeuralODE, lane: Lane, flux: Array, passage: Array, ok: Array, penalty: Array) -> Array:
    """Mean square error of ``c_p/c_feed`` over present ions and solved fluxes, plus the soft penalty of charge."""
    h = paths(net, lane, flux)
    feed = jnp.where(lane.present, lane.feed, 1.0).astype(h.dtype)[:, None]
    miss = jnp.where(lane.present[:, None] & ok[..., None], h / feed - passage.astype(h.dtype), 0.0)
    count = jnp.sum(jnp.where(lane.present[:, None] & ok[..., None], 1.0, 0.0).astype(h.dtype))
    charge = jnp.sum(lane.charge.astype(h.dtype)[:, None] * h, axis=-1)
    return jnp.sum(jnp.minimum(miss**2, 100.0)) / jnp.maximum(count, 1.0) + penalty.astype(h.dtype) * jnp.mean(
        charge**2
    )


def pretrain(
    net: AttentionNeuralODE,
    data: Corpus,
    *,
    steps: int = 2000,
    batch: int = 256,
    rate: float = 1e-3,
    held: float = 0.1,
    noise: bool = True,
    penalty: float = 0.0,
    seed: int = 0,
    told: Callable[[int, float, float], None] | None = None,
) -> Schooling:
    """Mean square error in ``c_p/c_feed`` against a corpus, a share ``held`` of its feeds kept for choosing the best state.

    ``noise`` is drawn anew for every batch (5 % or 0.02, the larger). ``penalty`` weighs the charge of a network without projection.
    Deterministic in ``seed``. Raises when the loss is no longer a number.
    """
    if net.physics is not None:
        raise JaxmemError(
            "Pre-training teaches a network what DSPM-DE knows already. Write jm.AttentionNeuralODE(key=key), without physics."
        )
    n = data.passage.shape[0]
    if n < 10 or not 0.0 < held < 1.0:
        raise JaxmemError(
            f"{n} feeds of which a share of {held!r} is held back are too few to train on. Give 10 feeds or more and held=0.1."
        )
    net = eqx.tree_at(lambda m: m.trained, net, Range.of(data.lane, data.flux[-1]))
    order = np.random.default_rng(seed).permutation(n)
    kept = max(round(held * n), 1)
    rows, check = jnp.asarray(order[kept:]), jnp.asarray(order[:kept][:512])
    optimiser = optax.adam(optax.cosine_decay_schedule(rate, max(steps, 1), 0.02))
    learning = jax.tree.map(lambda _: False, net)
    learning = eqx.tree_at(lambda m: m.field, learning, jax.tree.map(eqx.is_inexact_array, net.field))
    weights, rest = eqx.partition(net, learning)
    state, best, least = optimiser.init(weights), net, np.inf
    key, train, seen = jax.random.key(seed), [], []
    for i in range(max(steps // _ROUND, 1)):
        given = (data, rows, jax.random.fold_in(key, i))
        weights, state, loss = _round(
            weights, rest, state, optimiser, given, min(batch, len(rows)), noise, jnp.asarray(penalty)
        )
        now = float(_look(weights, rest, data, check))
        train.append(float(loss))
        seen.append(now)
        if not np.isfinite(loss):
            raise JaxmemError(
                f"The loss is no longer a number after {(i + 1) * _ROUND} steps. Write a smaller rate, such as rate={rate / 3:.1g}."
            )
        if now < least:
            best, least = eqx.combine(weights, rest), now
        if told is not None:
            told((i + 1) * _ROUND, float(loss), now)
    return Schooling(best, np.array(train), np.array(seen))


@eqx.filter_jit
def _look(weights: Any, rest: Any, data: Corpus, rows: Array) -> Array:
    take = lambda x: jnp.take(x, rows, axis=0)
    lane = jax.tree.map(take, data.lane)
    return _error(eqx.combine(weights, rest), lane, data.flux, take(data.passage), take(data.ok), jnp.zeros(()))


@eqx.filter_jit
def _round(
    weights: Any, rest: Any, state: Any, optimiser: Any, given: tuple, size: int, noise: bool, penalty: Array
) -> tuple:
    data, rows, key = given

    def step(carry: tuple, key: Array) -> tuple:
        weights, state = carry
        pick, spread = jax.random.split(key)
        chosen = jnp.take(rows, jax.random.choice(pick, rows.shape[0], (size,), replace=False))
        lane, passage, ok = (
            jax.tree.map(lambda x: jnp.take(x, chosen, axis=0), x) for x in (data.lane, data.passage, data.ok)
        )
        target = noisy(passage, spread) if noise else passage
        loss, slope = eqx.filter_value_and_grad(
            lambda w: _error(eqx.combine(w, rest), lane, data.flux, target, ok, penalty)
        )(weights)
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to the number of the step
            update, state = optimiser.update(slope, state)
        return (eqx.apply_updates(weights, update), state), loss

    (weights, state), losses = jax.lax.scan(step, (weights, state), jax.random.split(key, _ROUND))
    return weights, state, jnp.mean(losses)
