"""Training of neural ODEs on rollouts: batches of feeds, each batch one ODE, the best state by feeds that are not trained on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import ConvergenceError, JaxmemError
from .corpus import Corpus, noisy
from .descent import descend
from .neural_ode import KNEE, AttentionNeuralODE, Lane
from .range import Range
from .slots import SlotField
from .train import learning


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


class _Loss(eqx.Module):
    """Mean square error of ``c_p/c_feed`` over present ions and solved fluxes of some feeds, plus the soft penalty of charge."""

    rest: AttentionNeuralODE
    data: Corpus
    penalty: Array
    batch: int | None = eqx.field(static=True)
    noise: bool = eqx.field(static=True)

    def __call__(self, weights: Any, key: Array) -> tuple[Array, Array]:
        """Loss, not a number where the ODE gave up; nothing is solved that could fail for itself."""
        pick, spread = jax.random.split(key)
        data, n = self.data, self.data.passage.shape[0]
        lane, passage, ok = data.lane, data.passage, data.ok
        if self.batch is not None and self.batch < n:
            rows = jax.random.choice(pick, n, (self.batch,), replace=False)
            lane, passage, ok = jax.tree.map(lambda x: jnp.take(x, rows, axis=0), (lane, passage, ok))
        target = noisy(passage, spread) if self.noise else passage
        h = paths(eqx.combine(weights, self.rest), lane, data.flux)
        feed = jnp.where(lane.present, lane.feed, 1.0).astype(h.dtype)[:, None]
        there = lane.present[:, None] & ok[..., None]
        miss = jnp.where(there, h / feed - target.astype(h.dtype), 0.0)
        charge = jnp.sum(lane.charge.astype(h.dtype)[:, None] * h, axis=-1)
        error = jnp.sum(jnp.minimum(miss**2, 100.0)) / jnp.maximum(jnp.sum(there), 1).astype(h.dtype)
        return error + self.penalty.astype(h.dtype) * jnp.mean(charge**2), jnp.zeros(())


class _Look(eqx.Module):
    """The error on feeds that are not trained on."""

    loss: _Loss

    def __call__(self, weights: Any) -> Array:
        """Without noise."""
        return self.loss(weights, jax.random.key(0))[0]


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
    checkpoint: str | Path | None = None,
    told: Callable[[int, float, float], None] | None = None,
    progress: bool = False,
    patience: int | None = None,
) -> Schooling:
    """Mean square error in ``c_p/c_feed`` against a corpus, a share ``held`` of its feeds kept for choosing the best state.

    ``noise`` is drawn anew for every batch (5 % or 0.02, the larger). ``penalty`` weighs the charge of a network without projection.
    ``progress`` and ``patience`` as in ``jm.train``. Deterministic in ``seed``, also when it goes on from ``checkpoint`` after an interruption. Raises ``ConvergenceError`` when the loss is no number
    from the start, and ends with the best state so far when it becomes none.
    """
    if net.physics is not None:
        raise JaxmemError(
            "Pre-training teaches a network what DSPM-DE knows already. Write jm.AttentionNeuralODE(key=key), without physics."
        )
    n, ions = data.passage.shape[0], data.passage.shape[2]
    if isinstance(net.field, SlotField) and ions != len(net.field.slots):
        raise JaxmemError(
            f"The corpus holds {ions} ions, the network has slots for {', '.join(net.field.slots)}. Write jm.random_case(20_000, ions=net.field.slots)."
        )
    if n < 10 or not 0.0 < held < 1.0:
        raise JaxmemError(
            f"{n} feeds of which a share of {held!r} is held back are too few to train on. Give 10 feeds or more and held=0.1."
        )
    if not 0.0 <= penalty < np.inf:
        raise JaxmemError(f"penalty = {penalty!r} must be a number from zero up. Write penalty=0.1.")
    bad = ~np.isfinite(np.asarray(data.passage)) & (
        np.asarray(data.ok)[..., None] & np.asarray(data.lane.present)[:, None]
    )
    if bad.any():
        feed, at, ion = (int(k) for k in np.argwhere(bad)[0])
        raise JaxmemError(
            f"passage[{feed}, {at}, {ion}] of the corpus is no number, though ok[{feed}, {at}] says that it was solved, as are {int(bad.sum()) - 1} more. Set ok to False there: data._replace(ok=...)."
        )
    if not bool(data.ok.any()):
        raise JaxmemError("No rollout of this corpus was solved: there is nothing to learn. Look at result.messages().")
    net = eqx.tree_at(lambda m: m.trained, net, Range.of(data.lane, data.flux[-1]))
    order = np.random.default_rng(seed).permutation(n)
    kept = min(max(round(held * n), 1), n - 1)
    some = lambda rows: jax.tree.map(
        lambda x: jnp.take(x, jnp.asarray(rows), axis=0), (data.lane, data.passage, data.ok)
    )
    part = lambda rows: data._replace(**dict(zip(("lane", "passage", "ok"), some(rows), strict=True)))
    weights, rest = eqx.partition(net, learning(net))
    loss = _Loss(rest, part(order[kept:]), jnp.asarray(penalty), batch, noise)
    look = _Look(_Loss(rest, part(order[:kept][:512]), jnp.zeros(()), None, False))
    found = descend(
        loss, look, weights, steps=steps, rate=rate, seed=seed, checkpoint=checkpoint, told=told, progress=progress, patience=patience,
    )  # fmt: skip
    if not np.isfinite(found.least):
        raise ConvergenceError(f"Pre-training did not get anywhere: {found.told or 'no state could be judged'}.")
    return Schooling(eqx.combine(found.best, rest), found.train, found.check)
