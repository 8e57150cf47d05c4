"""Simulated experiments with a known answer, and every network of the ablation trained on them: pre-trained or not, charge hard or soft."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import (
    DSPMDE,
    AbsoluteRejection,
    Bowen,
    Case,
    Davies,
    FluxDriven,
    Free,
    Interval,
    LogInterval,
    MultivalentCharge,
    PoreMembrane,
    fit,
    random_case,
    solve,
)
from ..data.rejection import Dataset
from ..surrogate.corpus import noisy
from ..surrogate.descent import descend
from ..surrogate.neural_ode import FLUX, lane_of
from ..surrogate.rollouts import Slots, networks

IONS = ("Na+", "K+", "Li+", "Mg+2", "Ca+2", "Cl-", "SO4-2", "NO3-")  # the slots of the paper
SIMPLE = DSPMDE(activity="ideal", tolerance=1e-5)
PORE = {
    "pore_radius": LogInterval(0.36e-9, 0.9e-9), "thickness_over_porosity": LogInterval(1e-7, 1e-5),
    "charge_density": Interval(-200.0, 200.0), "pore_permittivity": Interval(20.0, 78.0),
}  # fmt: skip

# What is measured in truth has another hindrance law than the model that is fitted and pre-trained with, a charge that turns over with the feed,
# and activities in the full plan: chosen by how far the refitted model misses (0.1 of c_ref), not by what networks make of it.
GUESS = PoreMembrane(
    0.5e-9, 1.2e-6, -40.0, 60.0
)  # the same numbers, without what the model lacks: what pre-training knows
TRUTH = PoreMembrane(0.5e-9, 1.2e-6, -40.0, 60.0, hindrance=Bowen(), charge=MultivalentCharge(200.0, -100.0))
HELD = 24  # feeds that choose the best state of a member
FITTED = 24  # measured feeds that DSPM-DE is refitted to


class Plan(NamedTuple):
    """How much of everything."""

    seeds: int
    fluxes: int
    corpus: int  # simulated feeds to pre-train on
    measured: int  # feeds with measurements, half of them seen by a seed
    test: int  # feeds that no seed sees
    pretrain: int  # steps
    tune: int  # steps, with and without pre-training
    penalties: tuple[float, ...]  # of charge, the best by held-out feeds
    batch: int
    rate: float
    truth: DSPMDE


QUICK = Plan(2, 8, 1024, 144, 64, 200, 160, (0.1,), 16, 3e-3, SIMPLE)  # one model, one compilation
FULL = Plan(10, 12, 4000, 144, 128, 1000, 400, (0.01, 0.1, 1.0, 10.0), 32, 2e-3, DSPMDE(activity=Davies()))  # an hour


class Rolls(NamedTuple):
    """n feeds at k fluxes, and what passed."""

    case: Case | None
    slots: Slots
    passage: Array  # (n, k, S) float32
    ok: Array  # (n, k)


class Experiments(NamedTuple):
    """The corpus of DSPM-DE as it was guessed, the feeds that are measured, and those that nobody has seen."""

    flux: Array  # (k,) in units of 60 um/s
    pool: Rolls  # feeds of the corpus, then measured ones with their errors
    test: Rolls


class Member(NamedTuple):
    """One training of a network."""

    seed: int
    attend: bool
    hard: bool
    penalty: float
    pretrained: bool


def rolls(model: DSPMDE, membrane: PoreMembrane, count: int, plan: Plan, seed: int) -> Rolls:
    """Random feeds of 2 to 8 ions through one membrane."""
    flux = FLUX * jnp.linspace(1.0 / plan.fluxes, 1.0, plan.fluxes)
    case = Case(random_case(count, plan.fluxes, seed=seed, ions=IONS, least=0.1).feed, membrane, FluxDriven(flux))
    result = solve(model, case, throw=False)
    lane = lane_of(Case(case.feed, membrane, FluxDriven(jnp.full((count, 1), FLUX))))
    return Rolls(case, Slots.of(lane), result.passage.astype(jnp.float32), result.ok)


def noised(seen: Rolls) -> Array:
    """With the experiment's own errors, the same for every model."""
    return noisy(seen.passage, jax.random.key(5))


def _some(x: Rolls, a: int, b: int) -> Rolls:
    cut = lambda y: y[a:b]
    case = x.case
    assert case is not None
    feed = eqx.tree_at(lambda f: f.concentration, case.feed, cut(case.feed.concentration))
    return Rolls(Case(feed, case.membrane, case.conditions), *jax.tree.map(cut, (x.slots, x.passage, x.ok)))


def measurements(plan: Plan) -> tuple[Rolls, Rolls]:
    """What is measured in truth, and the feeds that nobody sees."""
    both = rolls(plan.truth, TRUTH, plan.measured + plan.test, plan, 1)
    return _some(both, 0, plan.measured), _some(both, plan.measured, plan.measured + plan.test)


def experiments(plan: Plan, measured: Rolls, test: Rolls, guess: PoreMembrane) -> Experiments:
    """With the corpus that DSPM-DE makes up of a membrane as it was guessed: no measurement is in it."""
    corpus = rolls(SIMPLE, guess, plan.corpus, plan, 3)
    seen = noised(measured)
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), tuple(corpus[1:]), (measured.slots, seen, measured.ok))
    flux = jnp.linspace(1.0 / plan.fluxes, 1.0, plan.fluxes, dtype=jnp.float32)
    return Experiments(flux, Rolls(None, *joined), test)


def constant(plan: Plan, measured: Rolls, test: Rolls) -> tuple[PoreMembrane, np.ndarray]:
    """DSPM-DE with four numbers, refitted; its errors on the test feeds."""
    return refitted(plan, measured, test, GUESS, Free(**PORE))


def refitted(
    plan: Plan, measured: Rolls, test: Rolls, membrane: PoreMembrane, free: Free
) -> tuple[PoreMembrane, np.ndarray]:
    """DSPM-DE's numbers from some of the measured feeds, and its errors on the test feeds."""
    found = fit(SIMPLE, _observed(measured, plan, membrane), free, noise=AbsoluteRejection(0.05), starts=4, steps=25)
    best = found.case.membrane
    assert test.case is not None
    passage = solve(SIMPLE, Case(test.case.feed, best, test.case.conditions), throw=False).passage
    feed, there = np.asarray(test.slots.feed)[:, None], np.asarray(test.slots.present[:, None] & test.ok[..., None])
    return best, errors(np.asarray(passage)[None] * feed, feed, there, np.asarray(test.passage))[0][0]


def charge_follows(plan: Plan, measured: Rolls, test: Rolls) -> tuple[PoreMembrane, np.ndarray]:
    """DSPM-DE with a charge that follows the feed, refitted; its errors on the test feeds."""
    bound = eqx.tree_at(lambda m: m.charge, GUESS, MultivalentCharge(0.0, 0.0))
    follows = {name: Interval(-200.0, 200.0) for name in ("cation", "anion")}
    return refitted(plan, measured, test, bound, Free(**PORE, **follows))


def _observed(seen: Rolls, plan: Plan, membrane: PoreMembrane, feeds: int = FITTED) -> Dataset:
    """Noisy rejections of some of the measured feeds."""
    case, k = seen.case, plan.fluxes
    assert case is not None
    feed = eqx.tree_at(lambda f: f.concentration, case.feed, jnp.repeat(case.feed.concentration[:feeds, 0], k, axis=0))
    flux = jnp.tile(case.conditions.volume_flux, feeds)
    passage = noised(seen)[:feeds].reshape(feeds * k, -1).astype(float)
    there = (feed.concentration > 0.0) & seen.ok[:feeds].reshape(-1, 1)
    rejection = jnp.where(there, 1.0 - passage, jnp.nan)
    labels = tuple(f"feed {i // k}" for i in range(feeds * k))
    return Dataset(Case(feed, membrane, FluxDriven(flux)), rejection, jnp.full_like(rejection, jnp.nan), "real", labels)


def members(plan: Plan) -> list[Member]:
    """Every arm of one network: seeds, attention, hard charge or soft with each penalty, pre-trained or not (in this order of halves)."""
    biases = [(True, 0.0), *((False, p) for p in plan.penalties)]
    return [
        Member(s, a, h, p, pre)
        for pre in (True, False) for a in (True, False) for h, p in biases for s in range(plan.seeds)
    ]  # fmt: skip


class _Loss(eqx.Module):
    """Mean square error in equivalents plus the penalty of charge, summed over members, who do not meet."""

    rest: Any
    slots: Slots
    passage: Array
    ok: Array
    flux: Array
    rows: Array  # (M, n) feeds of each member
    seeds: Array  # (M,)
    hard: Array  # (M,)
    attend: Array  # (M,)
    penalty: Array  # (M,)
    frozen: Array  # (M,) 1: all but the last two layers stay
    asleep: Array  # (M,) 1: nothing is learnt
    batch: int = eqx.field(static=True)

    def _each(self, weights: Any, key: Array, training: bool) -> Array:
        def one(
            weights: Any, rows: Array, seed: Array, hard: Array, attend: Array, penalty: Array, *held: Array
        ) -> Array:
            if training:
                pick, spread = jax.random.split(jax.random.fold_in(key, seed))
                rows = jnp.take(rows, jax.random.choice(pick, rows.shape[0], (self.batch,), replace=False))
            net = eqx.combine(_held(weights, *held), self.rest)
            x, passage, ok = (jax.tree.map(lambda a: a[rows], a) for a in (self.slots, self.passage, self.ok))
            target = noisy(passage, spread) if training else passage
            h = jax.vmap(lambda x: net(x, self.flux, hard, attend))(x)
            there = (x.present[:, None] & ok[..., None]).astype(h.dtype)
            error = jnp.sum(there * (h - target * x.feed[:, None]) ** 2) / jnp.maximum(jnp.sum(there), 1.0)
            charge = jnp.sum(x.charge[:, None] * h, axis=-1)
            return error + (penalty * jnp.mean(charge**2) if training else 0.0)

        return jax.vmap(one)(
            weights, self.rows, self.seeds, self.hard, self.attend, self.penalty, self.frozen, self.asleep
        )

    def __call__(self, weights: Any, key: Array) -> tuple[Array, Array]:
        """Total over the members; nothing is solved that could fail."""
        return jnp.sum(self._each(weights, key, True)), jnp.zeros(())


class _Look(eqx.Module):
    """Of each member, on feeds that are held back, without noise in the choice and without penalty."""

    loss: _Loss

    def __call__(self, weights: Any) -> Array:
        """``(M,)``."""
        return self.loss._each(weights, jax.random.key(0), False)


def _held(weights: Any, frozen: Array, asleep: Array) -> Any:
    """Tokens and all layers but two as constants, where ``frozen`` is 1; everything, where ``asleep`` is."""
    still = lambda w, share: jax.tree.map(lambda x: share * jax.lax.stop_gradient(x) + (1.0 - share) * x, w)
    early = lambda w: (w.tokens, *w.layers[:-2])
    return still(eqx.tree_at(early, weights, tuple(still(x, frozen) for x in early(weights))), asleep)


class Trained(NamedTuple):
    """Members of one network, and their errors on the test feeds."""

    net: Any  # leading axis of the members
    members: list[Member]
    check: np.ndarray  # (M,) error on held-out feeds
    error: np.ndarray  # (M, n_test) mean square error in equivalents
    rejection: np.ndarray  # (M, n_test) the same in rejection
    charge: np.ndarray  # (M,) largest charge of a permeate over its equivalents
    negative: np.ndarray  # (M,) share of negative concentrations


def train_members(
    kind: str, plan: Plan, data: Experiments, told: Callable[[int], None], folder: Path | None = None
) -> Trained:
    """All arms of one network at once: those without pre-training start from the same weights, and learn on the same batches.

    ``told`` hears how many steps more are done; what is trained so far stands in ``folder``, where there is one.
    """
    every = members(plan)
    keys = jnp.stack([jax.random.key(m.seed) for m in every])
    nets = networks(kind, len(IONS), keys)
    weights, rest = eqx.partition(nets, eqx.is_inexact_array)
    column = lambda f: jnp.asarray([float(f(m)) for m in every], jnp.float32)

    half, most = len(every) // 2, plan.corpus - HELD
    options = (column(lambda m: m.hard), column(lambda m: m.attend), column(lambda m: m.penalty))
    seeds, pre = jnp.asarray([m.seed for m in every]), column(lambda m: m.pretrained)
    nobody = jnp.zeros_like(pre)

    def phase(weights: Any, first: int, count: int, frozen: Array, asleep: Array, steps: int) -> Any:
        """On feeds ``first`` to ``first + count`` of the pool, of which every seed holds some back."""
        shared = 0 if first == 0 else FITTED  # every seed trains on the feeds that physics was fitted to
        order = np.stack(
            [first + shared + np.random.default_rng([9, m.seed]).permutation(count - shared) for m in every]
        )
        pool = data.pool
        make = lambda rows: _Loss(
            rest,
            pool.slots,
            pool.passage,
            pool.ok,
            data.flux,
            jnp.asarray(rows),
            seeds,
            *options,
            frozen,
            asleep,
            plan.batch,
        )
        used = order[:, HELD:]
        if shared:
            seen = np.broadcast_to(first + np.arange(shared), (len(every), shared))
            used = np.concatenate([seen, used[:, : (count - HELD) // 2 - shared]], axis=1)
        used, done = np.tile(used, -(-most // used.shape[1]))[:, :most], [0]  # one shape, one program

        def tell(step: int, *_: float) -> None:
            told(step - done[0])
            done[0] = step

        file = None if folder is None else folder / f"{kind}-{'measured' if shared else 'corpus'}.half"
        look = _Look(make(order[:, :HELD]))
        found = descend(make(used), look, weights, steps=steps, rate=plan.rate, told=tell, checkpoint=file)
        tell(steps)
        return found

    taught = phase(weights, 0, plan.corpus, nobody, 1.0 - pre, plan.pretrain)
    start = jax.tree.map(lambda a, b: jnp.concatenate([a[:half], b[half:]]), taught.best, weights)
    tuned = phase(start, plan.corpus, plan.measured, pre, nobody, plan.tune)
    return Trained(
        eqx.combine(tuned.best, rest), every, np.asarray(tuned.least), *judged(tuned.best, rest, every, data)
    )


def judged(weights: Any, rest: Any, every: list[Member], data: Experiments) -> tuple[np.ndarray, ...]:
    """Errors of each member on each test feed."""
    switches = (jnp.asarray([float(f(m)) for m in every], jnp.float32) for f in (lambda m: m.hard, lambda m: m.attend))
    test = data.test
    h = np.asarray(_answers(weights, rest, test.slots, data.flux, *switches), np.float64)
    feed, there = np.asarray(test.slots.feed)[:, None], np.asarray(test.slots.present[:, None] & test.ok[..., None])
    return *errors(h, feed, there, np.asarray(test.passage)), *_faults(h, np.asarray(test.slots.charge), feed, there)


@eqx.filter_jit
def _answers(weights: Any, rest: Any, slots: Slots, flux: Array, hard: Array, attend: Array) -> Array:
    one = lambda w, *switches: jax.vmap(lambda x: eqx.combine(w, rest)(x, flux, *switches))(slots)
    return jax.vmap(one)(weights, hard, attend)


def errors(h: np.ndarray, feed: np.ndarray, there: np.ndarray, passage: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``h (M, n, k, S)``: mean square errors of each feed in equivalents and in rejection, ``(M, n)``."""
    count = there.sum((-2, -1))
    miss = h - passage * feed
    relative = miss / np.where(feed > 0.0, feed, 1.0)
    mean = lambda x: np.sum(np.where(there, x, 0.0) ** 2, axis=(-2, -1)) / count
    return mean(miss), mean(relative)


def _faults(h: np.ndarray, charge: np.ndarray, feed: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    net = np.abs(np.sum(charge[:, None] * h, axis=-1)) / np.sum(np.abs(charge[:, None]) * feed, axis=-1)
    return net.max((-2, -1)), np.sum(there & (h < 0.0), axis=(1, 2, 3)) / there.sum()
