"""``jm.train``: the networks inside a membrane or a model learn from measurements, through the solved transport equations."""

from collections.abc import Callable
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import ConvergenceError, JaxmemError, unknown
from ..case import Case
from ..free import Free
from ..models.base import AbstractModel
from ..models.solve import solve
from ..noise import LogTransmission
from .descent import ROUND, descend
from .field import FluxField
from .laplace import Flat, Laplace, laplace, predicted
from .members import EachJudged, Ensemble, Members, Predicted, one_of, spread
from .network import Network
from .slots import SlotField
from .waters import Seen

PARTS = {"all": 0, "last two": 2, "last": 1}  # layers that learn; "last two" is the paper's fine-tuning


def learning(tree: Any, part: str = "all") -> Any:
    """True for the weights of networks that learn, False for every other leaf."""
    if part not in PARTS:
        raise unknown("Part of a network", part, PARTS, 'Write jm.train(..., part="last two").')
    is_network = lambda x: isinstance(x, Network | FluxField | SlotField)

    def mask(x: Any) -> Any:
        no = jax.tree.map(lambda _: False, x)
        if not is_network(x):
            return no
        if part == "all" and isinstance(x, FluxField | SlotField):
            return jax.tree.map(eqx.is_inexact_array, x)
        taught = (lambda n: n.layers) if part == "all" else (lambda n: n.layers[-PARTS[part] :])
        return eqx.tree_at(taught, no, jax.tree.map(eqx.is_inexact_array, taught(x)))

    return jax.tree.map(mask, tree, is_leaf=is_network)


class Trained:
    """What ``jm.train`` found: ``model`` and ``case`` with the best weights; ``train`` and ``check`` are losses of every round."""

    def __init__(self, misfit: "_Misfit", data: Any, descent: Any, numbers: int) -> None:
        self.model, self.case = misfit.parts(descent.best)
        self.data, self._misfit, self._weights = data, misfit, descent.best
        self.train, self.check, self.told = descent.train, descent.check, descent.told
        self.least, self.numbers = float(descent.least), numbers

    @property
    def result(self) -> Any:
        """The model's answer at the conditions of the data."""
        return self.answer()

    def answer(self, case: Case | None = None) -> Any:
        """The Result for the feeds and conditions of another case, with this membrane; for those of the data when None."""
        return solve(*self._misfit.parts(self._weights, case), throw=False)

    @cached_property
    def _around(self) -> Laplace:
        return laplace(self._misfit, self._weights)

    def predict(self, output: Callable[[Any], Array], case: Case | None = None) -> Predicted:
        """An output of the Result with the trained weights, one standard error of it by Laplace's approximation, and which lanes lie outside.

        ``case``: feeds and conditions of another question, answered with this membrane; those of the data when None. The output has the lanes
        first. The error is that of what was learned from these data: neither the scatter of a new measurement nor a wrong form is in it.
        Weights not at a minimum (few steps, or a best state chosen early) have errors that are as good as a guess.
        """
        misfit = self._misfit
        value, error = predicted(self._around, Flat(self._weights), lambda w: misfit.parts(w, case), output)
        return Predicted(value, error, np.asarray(self.answer(case).outside))

    def __str__(self) -> str:
        lines = [
            f"Training of {self.model.title()}: {self.numbers} numbers, {len(self.data)} measurements, {ROUND * len(self.train)} steps, "
            f"misfit {self.least**0.5:.3g} standard deviations where it was judged"
        ]
        return "\n".join([*lines, *([f"  {self.told}"] if self.told else [])])


class _Misfit(eqx.Module):
    """Mean square residual in standard deviations, and what weights and priors cost."""

    rest: Any
    data: Any
    free: Free | None
    noise: Callable
    ridge: Array
    penalty: Array
    resample: bool = eqx.field(static=True)
    batch: int | None = eqx.field(static=True)

    def parts(self, weights: Any, asked: Case | None = None) -> tuple[Any, Case]:
        """The model with these weights, and its case: the feeds and conditions that are ``asked``, or of the data."""
        given: Case = self.data.case if asked is None else asked
        model, membrane = eqx.combine(weights[0], self.rest)
        case = Case(given.feed, membrane, given.conditions)
        return model, case if self.free is None else self.free.apply(case, weights[1])

    def prior(self, case: Case, weights: Any) -> Array:
        """Residuals of the priors of physical numbers."""
        return jnp.zeros(0) if self.free is None else self.free.prior(case, weights[1])

    def residual(self, result: Any, seen: Array | None = None, sigma: Array | None = None) -> tuple[Array, Array]:
        """``(N, S)`` in standard deviations, zero without a measurement or an answer; and where there is a measurement without one."""
        seen, sigma = self.data.rejection if seen is None else seen, self.data.sigma if sigma is None else sigma
        there = ~jnp.isnan(seen)
        answered = there & result.ok[..., None]
        residual = self.noise(getattr(result, f"{self.data.kind}_rejection"), seen, sigma)
        return jnp.where(answered, residual, 0.0), there & ~answered

    def __call__(self, weights: Any, key: Array) -> tuple[Array, Array]:
        """Loss, and share of measurements without an answer."""
        pick, spread = jax.random.split(key)
        model, case = self.parts(weights)
        seen, sigma, n = self.data.rejection, self.data.sigma, self.data.rejection.shape[0]
        prior = jnp.sum(jnp.square(self.prior(case, weights)))
        if self.batch is not None and self.batch < n:
            rows = jax.random.choice(pick, n, (self.batch,), replace=False)
            case, seen, sigma = case[rows], seen[rows], sigma[rows]
        if self.resample:
            seen = seen + jnp.where(jnp.isnan(sigma), 0.0, sigma) * jax.random.normal(spread, seen.shape)
        result = solve(model, case, throw=False)
        residual, lost = self.residual(result, seen, sigma)
        size = sum(jnp.sum(jnp.square(x.astype(float))) for x in jax.tree.leaves(weights[0]))
        count = lambda x: jnp.maximum(jnp.sum(x.astype(float)), 1.0)
        there = ~jnp.isnan(seen)
        failed = jnp.sum(lost.astype(float)) / count(there)
        cost = prior / count(~jnp.isnan(self.data.rejection)) + self.ridge * size
        charged = jnp.mean(jnp.where(result.ok, _charge(result), 0.0) ** 2)
        return jnp.sum(residual**2) / count(there & ~lost) + cost + self.penalty * charged, failed


def _charge(result: Any) -> Array:
    """Of the permeate, over the equivalents of its feed, ``(N,)``."""
    z, feed = result.case.feed.species.charge, result.case.feed.concentration
    gross = 0.5 * jnp.sum(jnp.abs(z * feed), axis=-1)
    return jnp.sum(z * result.permeate, axis=-1) / jnp.where(gross > 0.0, gross, 1.0)


class _Judge(eqx.Module):
    """The misfit on points that are not trained on."""

    misfit: _Misfit

    def __call__(self, weights: Any) -> Array:
        """Without what weights cost; a measurement without an answer counts as ten standard deviations off."""
        value, failed = self.misfit(weights, jax.random.key(0))
        return jnp.where(failed < 1.0, value * (1.0 - failed) + 100.0 * failed, jnp.inf)


def train(
    model: AbstractModel,
    data: Any,
    *,
    free: Free | None = None,
    steps: int = 1000,
    rate: float = 1e-2,
    noise: Callable | None = None,
    ridge: float = 1e-4,
    penalty: float = 0.0,
    part: str = "all",
    held: np.ndarray | None = None,
    resample: bool = False,
    batch: int | None = None,
    members: int | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    told: Callable[[int, float, float], None] | None = None,
    progress: bool = False,
    patience: int | None = None,
) -> Any:
    """Adam on every network found in ``model`` and in ``data.case.membrane``, by exact gradients through the solve.

    ``free``: physical numbers that move with them, from the case as it is. ``noise`` as in ``jm.fit``; ``ridge`` times the squared weights is
    added to the mean square residual, and ``penalty`` times the squared charge of the permeate over the equivalents of its feed, for an
    ``AttentionNeuralODE`` without projection (others have none): the mean over all points that were solved for, measured or not; the best state is
    chosen without both. ``part``: ``"all"``, ``"last two"`` layers (as in the paper's fine-tuning) or ``"last"``. ``held (N,)``:
    points that only choose the best state; all of them when None. ``resample`` draws the measured values anew at every step from their sigma;
    ``batch`` points a step, all when None. ``members``: so many trainings in one, an ``Ensemble``, which differ by first weights and draws of the measurements. ``checkpoint``: a file to go on from after an interruption, to the same bits.
    ``progress``: a bar with loss, rate and time left. ``patience``: so many steps without a better state end the training.

    ``steps`` are taken in rounds of 20. Solves that fail have no gradient, and count as ten standard deviations off where the best state is chosen; more
    than half of them, or a loss that is no number, end the training with the best state so far. Raises ``ConvergenceError`` when that is the first.
    """
    _check(model, data, free)
    _check_options(ridge, penalty, batch, noise, members)
    noise = LogTransmission() if noise is None else noise
    both = (model, data.case.membrane)
    nets, rest = eqx.partition(both, learning(both, part))
    weights = (nets, None if free is None else free.start(data.case))
    numbers = sum(x.size for x in jax.tree.leaves(weights))
    if not jax.tree.leaves(nets):
        raise JaxmemError(
            "There is no network in this model or membrane. Write for example jm.membrane('NF270', charge=jm.LearnedCharge.new(jax.random.key(0)))."
        )
    kept = _kept(held, data)
    misfit = _Misfit(
        rest, data.only(kept), free, noise, jnp.asarray(float(ridge)), jnp.asarray(float(penalty)), resample, batch
    )
    judged = data if held is None else data.only(~kept)
    judge: Any = _Judge(_Misfit(rest, judged, free, noise, jnp.zeros(()), jnp.zeros(()), False, None))
    loss: Any = misfit
    if members is not None:
        nets, seen = spread(nets, misfit.data, members, part == "all", seed)
        same = jax.tree.map(lambda x: jnp.stack([x] * members), weights[1])
        weights, loss, judge = (nets, same), Members(misfit, seen), EachJudged(judge, seen if held is None else None)
    found = descend(
        loss, judge, weights, steps=steps, rate=rate, seed=seed, checkpoint=checkpoint, told=told, progress=progress, patience=patience,
    )  # fmt: skip
    if not np.all(np.isfinite(found.least)):
        raise ConvergenceError(
            f"No state could be judged: {found.told or 'a point fails in each'}. Look at one: jm.solve(model, data.case, throw=False)."
        )
    if members is None:
        return Trained(_remembering(misfit, found.best), data, found, numbers)
    own = lambda i, best: _remembering(eqx.tree_at(lambda m: m.data.rejection, misfit, seen[i]), best)
    each = [one_of(found, i) for i in range(members)]
    return Ensemble(tuple(Trained(own(i, one.best), data, one, numbers) for i, one in enumerate(each)))


def _remembering(misfit: _Misfit, weights: Any) -> _Misfit:
    """With networks that know what they have learned from, as ``result.outside`` asks: waters at the membrane, ions, fluxes, corrections."""
    result = solve(*misfit.parts(weights), throw=False)
    rows = np.flatnonzero(np.asarray(misfit.data.measured).any(axis=1) & np.asarray(result.ok))
    if not rows.size:
        return misfit
    part = Case(result.water, result.case.membrane, result.case.conditions)[rows]
    is_network = lambda x: isinstance(x, Network)

    def noted(tree: Any, wall: Any) -> Any:
        known = Seen.of(part.feed, result.volume_flux[rows], wall)
        note = lambda x: eqx.tree_at(lambda n: n.seen, x, x.seen.joined(known)) if is_network(x) else x
        return jax.tree.map(note, tree, is_leaf=is_network)

    model, membrane = misfit.rest
    if hasattr(membrane, "layers"):
        layers = tuple(noted(own, wall) for own, wall in zip(membrane.layers, part.membrane.layers, strict=True))
        membrane = eqx.tree_at(lambda m: m.layers, membrane, layers)
    else:
        membrane = noted(membrane, part.membrane)
    if hasattr(model, "remembering"):
        model = model.remembering(result, rows, part)
    return eqx.tree_at(lambda m: m.rest, misfit, (model, membrane))


def _kept(held: Any, data: Any) -> np.ndarray:
    """Points to train on."""
    kept = np.ones(data.rejection.shape[0], bool) if held is None else ~_mask(held, data.rejection.shape[0])
    sides = [len(data.only(side)) for side in ((kept, ~kept) if held is not None else (kept,))]
    if 0 in sides:
        raise JaxmemError(
            f"held splits {len(data)} measurements into {sides[0]} to train on and {sides[-1]} to judge by. Hold back some, not all."
        )
    return kept


def _mask(held: Any, n: int) -> np.ndarray:
    mask = np.asarray(held)
    if mask.dtype != bool or mask.shape != (n,):
        raise JaxmemError(
            f"held has shape {mask.shape} and type {mask.dtype}; it must be {n} truth values, one for each point. Write held = np.arange({n}) % 5 == 2."
        )
    return mask


def _check_options(ridge: Any, penalty: Any, batch: Any, noise: Any, members: Any) -> None:
    if not (members is None or (type(members) is int and members >= 2)):
        raise JaxmemError(
            f"members = {members!r} must be a whole number above one, or None for one training. Write members=5."
        )
    for name, value, usual in (("ridge", ridge, "1e-4"), ("penalty", penalty, "100.0")):
        if not (isinstance(value, Real) and 0.0 <= float(value) < np.inf):
            raise JaxmemError(f"{name} = {value!r} must be a number from zero up. Write {name}={usual}.")
    if not (batch is None or (isinstance(batch, int) and batch >= 1)):
        raise JaxmemError(
            f"batch = {batch!r} must be a whole number above zero, or None for all points. Write batch=256."
        )
    if not callable(noise) and noise is not None:
        raise JaxmemError(f"noise = {noise!r} cannot be called. Write noise=jm.LogTransmission(0.1, 0.02).")


def _check(model: Any, data: Any, free: Any) -> None:
    if not isinstance(model, AbstractModel):
        raise JaxmemError(f"{type(model).__name__} is not a model. Write jm.train(jm.SDEM(), data).")
    if not all(hasattr(data, name) for name in ("case", "rejection", "sigma", "kind")):
        raise JaxmemError(f"{type(data).__name__} holds no measurements. Write data = jm.dataset('rejections.csv').")
    if free is not None and not isinstance(free, Free):
        raise JaxmemError(
            f"{type(free).__name__} says not what is free. Write jm.Free(pore_radius=jm.LogInterval(0.3e-9, 0.8e-9))."
        )
    if len(data) == 0:
        raise JaxmemError("There is no measurement to train on. Give a Dataset with at least one rejection.")
    model.check(data.case)
