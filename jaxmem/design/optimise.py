"""``jm.optimise``: the best case within bounds, by exact gradients, from several starts in one batch."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._config import quick_to_compile
from .._errors import ConvergenceError, JaxmemError, ShapeError, check_seed, unknown
from ..case import Case
from ..free import Free
from ..models.base import AbstractModel
from ..models.linearised import answer, asked, columns, found
from ..models.solve import solve
from .augmented import augmented
from .constraints import Constraint
from .lockstep import ACTIVE, SEARCHES, End, Look, answered, kkt, minimise, rank

_NEAR = 0.1  # of the bounds
_FLATTER, _AGAIN = 0.05, 3  # a share of the scale of the starts, below which that is no measure; times
ENOUGH = 1e-6  # residual of the first-order conditions, scaled, of what is called an optimum
METHODS = (*SEARCHES, "augmented-lagrangian")


class Problem:
    """A model, a case, what may move, and quantities of the Result: their values and slopes at many designs in one batch.

    Designs are shares, 0 to 1, of the way between the bounds. Quantities are scaled by what they change across them.
    """

    def __init__(
        self, model: Any, case: Case, free: Free, objective: Callable, constraints: Sequence[Constraint]
    ) -> None:
        self.model, self.case, self.free, self.calls = model, case, free, 0
        every = (objective, *(c.quantity for c in constraints))
        self.quantities = tuple(partial(asked, q) for q in every)  # compiled anew: they may read other numbers now
        self.sign = np.asarray([1.0, *(-1.0 if c.kind == "at most" else 1.0 for c in constraints)])
        self.shift = self.sign * np.asarray([0.0, *(c.bound for c in constraints)])
        self.scale = np.ones(len(self.sign))
        self.equality = np.asarray([c.kind == "equal to" for c in constraints], bool)
        self.bound = np.asarray([abs(c.bound) for c in constraints], float)
        self.flat = False  # whether the objective has no derivative anywhere

    def raw(self, x: np.ndarray) -> Look:
        """Unscaled values ``(B, q)`` and slopes ``(B, q, n)``; not a number where a design has no answer."""
        designs = jnp.asarray(x)
        state = found(self.model, self.free.apply(self.case, designs, bounded=True))
        value, slope = _program()(self.model, self.free, self.quantities, designs, self.case, state)
        self.calls += 1
        return Look(np.asarray(value), np.asarray(slope))

    def set_scale(self, look: Look) -> None:
        """From the starts: what a quantity changes across the bounds by its slope, and no less than a thousandth of its size; of a constraint no more
        than its bound, so that what is called met is met to a millionth of it."""
        size = np.abs(look.slope).max(axis=-1)
        size = np.maximum(size, 1e-3 * np.abs(look.value))
        size = size[np.isfinite(size).all(axis=1)]
        scale = np.median(size, axis=0) if len(size) else self.scale
        self.scale = np.where(np.isfinite(scale) & (scale > 0.0), scale, 1.0)
        self.scale[1:] = np.where(self.bound > 0.0, np.minimum(self.scale[1:], self.bound), self.scale[1:])
        self.flat = bool(len(size)) and not np.any(look.slope[np.isfinite(look.slope).all(axis=(1, 2)), 0])

    def steep(self, x: np.ndarray, count: int) -> float:
        """What the objective changes within a tenth of the bounds around a design, per share, in scaled units; ``count`` designs are a batch."""
        each = [x + side * _NEAR * e for e in np.eye(len(x)) for side in (1.0, -1.0)]
        each = [np.clip(y, 0.0, 1.0) for y in each]
        each += [x] * (-len(each) % count)
        looks = [self.scaled(np.stack(each[i : i + count])).value[:, 0] for i in range(0, len(each), count)]
        change = np.abs(np.concatenate(looks) - self.scaled(np.stack([x] * count)).value[0, 0]) / _NEAR
        return float(np.max(change, where=np.isfinite(change), initial=0.0))

    def scaled(self, x: np.ndarray) -> Look:
        """What the optimiser sees: constraints that ask for zero, or for zero and more."""
        look = self.raw(x)
        by = self.sign / self.scale
        return Look(look.value * by - self.shift / self.scale, look.slope * by[:, None])

    def plain(self, value: np.ndarray) -> np.ndarray:
        """Back from what the optimiser sees."""
        return (value * self.scale + self.shift) * self.sign


@cache
def _program() -> Callable:
    return eqx.filter_jit(_linearised, compiler_options=quick_to_compile())


def _linearised(model: Any, free: Free, quantities: tuple, x: Array, case: Case, state: Any) -> tuple[Array, Array]:
    """Quantities ``(B, q)`` and their derivatives to the shares ``(B, q, n)``; ``state`` is what ``find`` gave, or None to solve here."""

    def values(x: Array) -> Array:
        result = answer(model, free.apply(case, x, bounded=True), state)
        rows = []
        for quantity in quantities:
            y = jnp.asarray(quantity(result))
            if y.shape != x.shape[:1]:
                lanes = (
                    ""
                    if not case.batch_shape
                    else ", over the lanes of the case as in lambda r: jnp.mean(r.volume_flux, axis=-1)"
                )
                raise ShapeError(
                    f"An objective or constraint has shape {y.shape} for {x.shape[0]} designs. One number for each design is needed: write "
                    f"lambda r: r.observed_rejection[..., 0]{lanes}."
                )
            rows.append(y)
        ok = jnp.all(result.ok.reshape(x.shape[0], -1), axis=-1)
        return jnp.where(ok[:, None], jnp.stack(rows, axis=-1), jnp.nan)

    return columns(values, x)


class Optimum:
    """What ``jm.optimise`` found.

    ``case`` carries the design, ``value`` its free numbers after ``labels``, SI; ``objective`` and ``met`` (one number for each
    constraint) are those of it. ``kkt`` is the residual of the first-order conditions, scaled by what the objective changes across the bounds.
    ``multipliers``: the change of the objective per unit of the bound of each constraint, in order.
    """

    def __init__(self, problem: Problem, constraints: Sequence[Constraint], ends: list[End]) -> None:
        self.constraints, self.ends, self.model, self.free = tuple(constraints), ends, problem.model, problem.free
        self._best = best = min(ends, key=lambda end: rank(end, ENOUGH))
        self.share = best.x
        self.case: Case = problem.free.apply(problem.case, jnp.asarray(best.x), bounded=True)
        self.labels, self.units = problem.free.labels(problem.case), problem.free.units(problem.case)
        self.value = np.asarray(problem.free.values(problem.case, jnp.asarray(best.x), bounded=True))
        plain, sign = problem.plain(best.look.value), problem.sign[1:]
        self.objective, self.met = float(plain[0]), plain[1:]
        self.kkt = best.kkt.residual
        self.multipliers = best.kkt.multiplier * problem.scale[0] / problem.scale[1:] * sign
        self.missed = best.kkt.lacking * problem.scale[1:]
        self.feasible = not rank(best, ENOUGH)[0]
        self.evaluations, self.gradients = problem.calls, sum(end.asked for end in ends)
        self._flat = problem.flat

    @property
    def optimal(self) -> bool:
        """Whether the first-order conditions are met to 1e-6."""
        return self.feasible and self.kkt < ENOUGH and not self._flat

    @property
    def result(self) -> Any:
        """The model's answer at the design."""
        return solve(self.model, self.case)

    @property
    def agreeing(self) -> int:
        """How many starts ended at this objective (within 1e-4 of what it changes across the bounds), feasible."""
        enough = (False, self._best.look.value[0] + 1e-4)
        return sum(bool(rank(end, ENOUGH) <= enough) for end in self.ends)

    def active(self) -> list[str]:
        """Constraints and bounds that hold the design, with what one unit of each would change of the objective."""
        if not self.feasible:
            return []
        told = [
            f"{c} (objective changes by {m:+.3g} per unit of it)"
            for c, m in zip(self.constraints, self.multipliers, strict=True)
            if m != 0.0
        ]
        for label, x, pull in zip(self.labels, self.share, self._best.kkt.pull, strict=True):
            if x <= ACTIVE or x >= 1.0 - ACTIVE:
                held = "" if pull != 0.0 else ", which does not hold it"
                told.append(f"{label} at its {'lower' if x <= ACTIVE else 'upper'} bound{held}")
        return told

    def verdict(self) -> str:
        """One sentence: whether this is an optimum."""
        if not answered(self._best.look):
            solved = bool(np.all(np.asarray(solve(self.model, self.case, throw=False).ok)))
            nan = (
                " The model has one: the objective or a constraint is not a number there, or its derivative."
                if solved
                else ""
            )
            return f"No start has an answer.{nan}"
        if not self.feasible:
            short = [
                f"'{c}' is missed by {self.missed[i]:.3g} (nearest found {self.met[i]:.6g})"
                for i, c in enumerate(self.constraints)
                if self._best.kkt.lacking[i] > ENOUGH
            ]
            return f"Infeasible: {' and '.join(short)}{', by turns: not all at once' if len(short) > 1 else ''}."
        if self._flat:
            return "Nothing to steer by: the objective has derivative zero at every start. Is it constant, rounded, or of what is not free?"
        agree = f"{self.agreeing} of {len(self.ends)} starts agree"
        if self.optimal:
            return f"A local optimum to first order: every constraint is met, residual {self.kkt:.1e}; {agree}."
        return f"Not shown to be an optimum: every constraint is met, but the residual is {self.kkt:.1e} (asked: {ENOUGH:.0e}); {agree}."

    def __str__(self) -> str:
        width = max(len(label) for label in (*self.labels, "objective"))
        lines = [self.verdict(), f"  {'objective':<{width}}  {self.objective: .6g}"]
        for label, value, unit in zip(self.labels, self.value, self.units, strict=True):
            lines.append(f"  {label:<{width}}  {value: .6g} {'' if unit == '1' else unit}".rstrip())
        lines += [f"  {c}: {value:.6g}" for c, value in zip(self.constraints, self.met, strict=True)]
        lines += [f"  held by {words}" for words in self.active()]
        return "\n".join(lines)


def nearest(problem: Problem, ends: list[End], steps: int) -> list[End]:
    """From designs that miss constraints to those whose largest miss, scaled, is least: the room that all of them need is made small."""
    equal, sound = problem.equality, [end for end in ends if answered(end.look)]
    room = 1.1 * max(float(end.kkt.lacking.max()) for end in sound)
    begin = np.stack([np.append((end if answered(end.look) else sound[0]).x, 1.0) for end in ends])

    def looked(x: np.ndarray) -> Look:
        look = problem.scaled(x[:, :-1])
        both = lambda a: np.concatenate([a[:, 1:], -a[:, 1:][:, equal]], axis=1)
        value, slope = both(look.value) + room * x[:, -1:], both(look.slope)
        aim = np.broadcast_to(np.append(np.zeros(x.shape[1] - 1), 1.0), (len(x), 1, x.shape[1]))
        slope = np.concatenate([slope, np.full((*slope.shape[:2], 1), room)], axis=2)
        return Look(np.concatenate([x[:, -1:], value], axis=1), np.concatenate([aim, slope], axis=1))

    none = np.zeros(len(equal) + int(equal.sum()), bool)
    closer = np.stack([end.x[:-1] for end in minimise(looked, begin, none, steps, ENOUGH)])
    look = problem.scaled(closer)
    looks = [Look(v, s) for v, s in zip(look.value, look.slope, strict=True)]
    return [End(x, one, kkt(x, one, equal), 1) for x, one in zip(closer, looks, strict=True)]


def starts_of(case: Case, free: Free, count: int, seed: int) -> np.ndarray:
    """The case as it is, then a Latin hypercube over the bounds; shares ``(count, n)``."""
    drawn = np.array(jax.nn.sigmoid(free.draw(case, count, seed)))
    drawn[0] = np.asarray(free.shares(case))
    return drawn


def optimise(
    model: AbstractModel,
    case: Case,
    free: Free,
    objective: Callable[[Any], Array],
    subject_to: Sequence[Constraint] = (),
    *,
    starts: int = 8,
    steps: int = 100,
    seed: int = 0,
    method: str = "slsqp",
    throw: bool = True,
) -> Optimum:
    """The case with the least ``objective(result)``, within the bounds of ``free`` and ``subject_to`` constraints.

        best = jm.optimise(model, case, free, lambda r: r.specific_energy, [jm.at_least(lambda r: r.recovery, 0.45, "recovery")])

    ``objective`` and constraints take the Result of all designs to one number for each; for the largest write ``lambda r: -...``. All ``starts``
    (the case as it is, and a Latin hypercube; one more where a batch has as many lanes) go through SciPy's SLSQP (Kraft 1988) at the same time: each of their evaluations is one batch of
    solves with exact derivatives. A design without an answer counts as a poor one. An optimum is local, and shown to first order only. ``steps``
    are those of one run of SLSQP, of which a start is given up to three. ``method``: ``"trust-constr"`` for SciPy's interior point, ``"augmented-lagrangian"`` for one compiled program of all starts, whose ends SLSQP then polishes.
    Raises ``ConvergenceError`` when no start has an answer or no design meets the constraints; with ``throw=False`` the verdict says so.
    """
    check(model, case, free, objective, subject_to, starts)
    check_seed(seed)
    if method not in METHODS:
        raise unknown("Method", method, METHODS, 'Write method="slsqp".')
    problem = Problem(model, case, free, objective, subject_to)
    while starts in case.batch_shape:  # an objective that takes the wrong axis would pass
        starts += 1
    x = starts_of(case, free, starts, seed)
    problem.set_scale(problem.raw(x))
    if method == "augmented-lagrangian":
        x, method = augmented(problem, x)[0], "slsqp"
    ends = minimise(problem.scaled, x, problem.equality, steps, ENOUGH, method)
    for _ in range(_AGAIN):  # the starts may have been where the objective is far steeper
        best = min(ends, key=lambda end: rank(end, ENOUGH))
        steep = 1.0 if rank(best, ENOUGH)[0] else problem.steep(best.x, starts)
        if not 0.0 < steep < _FLATTER:
            break
        problem.scale[0] *= steep
        ends = minimise(problem.scaled, np.stack([end.x for end in ends]), problem.equality, steps, ENOUGH, method)
    if all(rank(end, ENOUGH)[0] for end in ends) and any(answered(end.look) for end in ends):
        ends += nearest(problem, ends, steps)
    best = Optimum(problem, subject_to, ends)
    if throw and not best.feasible:
        raise ConvergenceError(
            f"{best.verdict()} Widen the bounds of Free or ease the constraint; jm.optimise(..., throw=False) returns what was found."
        )
    return best


def check_count(name: str, value: Any, least: int, example: int) -> None:
    """Refuse what is no count."""
    if not (isinstance(value, int | np.integer) and value >= least):
        raise JaxmemError(f"{name} = {value!r} must be a whole number from {least} up. Write {name}={example}.")


def check(model: Any, case: Any, free: Any, objective: Any, subject_to: Any, starts: int) -> None:
    """Refuse what is no problem."""
    line = "jm.optimise(model, case, free, lambda r: r.specific_energy, [jm.at_least(lambda r: r.recovery, 0.45)])"
    if not isinstance(model, AbstractModel):
        raise JaxmemError(f"{type(model).__name__} is not a model. Write {line}.")
    if not isinstance(case, Case):
        raise JaxmemError(f"{type(case).__name__} is not a case. Write {line}.")
    if not isinstance(free, Free):
        raise JaxmemError(
            f"{type(free).__name__} says not what is free. Write jm.Free(charge_density=jm.Interval(-200.0, 50.0))."
        )
    if not callable(objective):
        raise JaxmemError(f"The objective {objective!r} takes no Result. Write {line}.")
    if isinstance(subject_to, Constraint) or not all(isinstance(c, Constraint) for c in subject_to):
        raise JaxmemError(f"subject_to must be a list of constraints. Write {line}.")
    check_count("starts", starts, 1, 8)
    model.check(free.apply(case, free.shares(case), bounded=True))
