"""``jm.pareto``: what one aim costs in the other, by the epsilon-constraint method, all points in one batch."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import ConvergenceError, JaxmemError, unknown
from ..case import Case
from ..free import Free
from ..models.base import AbstractModel
from .constraints import Constraint
from .lockstep import End, minimise, rank
from .optimise import ENOUGH, Problem, check, check_count, optimise, starts_of

_ROUNDS = 3  # points that another point beats start again from that one


class Front:
    """At most P designs, none of which another one beats in one aim without losing in the other: ``objective`` and ``against (P,)``, lowest ``against`` first.

    ``case`` has them as its leading axis; ``value (P, n)`` are the free numbers after ``labels``, SI; ``kkt (P,)`` the residuals of the
    first-order conditions.
    """

    def __init__(self, problem: Problem, ends: list[End]) -> None:
        self.model, self.free = problem.model, problem.free
        x = np.stack([end.x for end in ends])
        value = problem.raw(x).value
        kept = _front(value[:, :2])
        x, value, ends = x[kept], value[kept], [ends[i] for i in kept]
        self.objective, self.against = value[:, 0], value[:, 1]
        self.case: Case = problem.free.apply(problem.case, jnp.asarray(x), bounded=True)
        self.value = np.asarray(problem.free.values(problem.case, jnp.asarray(x), bounded=True))
        self.labels, self.units = problem.free.labels(problem.case), problem.free.units(problem.case)
        self.kkt = np.asarray([end.kkt.residual for end in ends])
        self.evaluations = problem.calls

    @property
    def optimal(self) -> np.ndarray:
        """Which points meet the first-order conditions to 1e-6, ``(P,)``."""
        return self.kkt < ENOUGH

    def __str__(self) -> str:
        heads = ["against", "objective", *self.labels, "residual"]
        columns = [self.against, self.objective, *self.value.T, self.kkt]
        rows = [[f"{x:.5g}" for x in row] for row in zip(*columns, strict=True)]
        widths = [max(len(head), *(len(r[i]) for r in rows)) for i, head in enumerate(heads)]
        lines = ["  ".join(f"{x:>{w}}" for x, w in zip(row, widths, strict=True)) for row in [heads, *rows]]
        return "\n".join(
            [*lines, f"{int(self.optimal.sum())} of {len(rows)} points meet the first-order conditions to {ENOUGH:.0e}"]
        )

    def plot(self, axes: Any = None, colour: str | None = None) -> Any:
        """The trade-off; ``colour`` names the free number that the points are coloured by, the first when None. Returns matplotlib Axes."""
        from ..plot.style import new_axes

        axes = new_axes("screen") if axes is None else axes
        if colour is not None and colour not in self.labels:
            raise unknown("Free number", colour, self.labels, f"Write front.plot(colour={self.labels[0]!r}).")
        i = self.labels.index(colour) if colour else 0
        axes.plot(self.against, self.objective, color="0.7", lw=1.0, zorder=1)
        dots = axes.scatter(self.against, self.objective, c=self.value[:, i], s=22, cmap="viridis", zorder=2)
        unit = "" if self.units[i] == "1" else f" ({self.units[i]})"
        axes.figure.colorbar(dots, ax=axes, label=f"{self.labels[i]}{unit}")
        missed = ~self.optimal
        axes.plot(self.against[missed], self.objective[missed], "x", color="#d55e00", label="not shown to be optimal")
        if missed.any():
            axes.legend()
        axes.set_xlabel("against")
        axes.set_ylabel("objective")
        return axes


def _front(aims: np.ndarray) -> list[int]:
    """Those that none beats, lowest ``against`` first, each once."""
    kept: list[int] = []
    close = 1e-9 * np.ptp(aims, axis=0)
    for i in np.argsort(aims[:, 1], kind="stable").tolist():
        if not _dominated(aims, i) and not any((np.abs(aims[i] - aims[k]) <= close).all() for k in kept):
            kept.append(i)
    return kept


def _dominated(aims: np.ndarray, i: int) -> bool:
    """Whether another point is better in one aim and no worse in the other."""
    return bool((np.all(aims <= aims[i], axis=1) & np.any(aims < aims[i], axis=1)).any())


def pareto(
    model: AbstractModel,
    case: Case,
    free: Free,
    objective: Callable[[Any], Array],
    against: Callable[[Any], Array],
    subject_to: Sequence[Constraint] = (),
    *,
    points: int = 50,
    steps: int = 100,
    seed: int = 0,
) -> Front:
    """The trade-off between two aims, both to be small: ``objective`` least at ``points`` even levels of ``against``.

    The ends are the least of either aim from as many starts, in turn; between them every level is a problem of its own, ``against`` at most
    so much, and all are solved in one batch. Raises ``ConvergenceError`` when the constraints cannot be met, or one design is best in both.
    """
    check_count("points", points, 3, 50)
    check(model, case, free, objective, subject_to, points)
    if not callable(against):
        raise JaxmemError(
            f"The second aim {against!r} takes no Result. Write jm.pareto(model, case, free, lambda r: ..., lambda r: ...)."
        )
    limit = Constraint(against, "at most", 0.0, "against")
    problem = Problem(model, case, free, objective, [limit, *subject_to])
    x = starts_of(case, free, points, seed)
    problem.set_scale(problem.raw(x))
    alone = lambda aim: optimise(model, case, free, aim, subject_to, starts=points, steps=steps, seed=seed)
    first, last = _ends(problem, x, steps, (lambda: alone(objective), lambda: alone(against)))
    low, high = (problem.plain(end.look.value)[1] for end in (first, last))
    if not high - low > 1e-9 * problem.scale[1]:
        raise ConvergenceError(
            "One design is best in both aims: there is no trade-off between them. Write jm.optimise(model, case, free, objective)."
        )
    share = np.linspace(0.0, 1.0, points)[:, None]
    levels, plain = low + (high - low) * share, problem.shift
    problem.shift = np.concatenate([np.zeros_like(levels), -levels, np.tile(plain[2:], (points, 1))], axis=1)
    ends = minimise(problem.scaled, first.x + share * (last.x - first.x), problem.equality, steps, ENOUGH)
    for _ in range(_ROUNDS):
        again = _beaten(ends, _levels(problem, ends, levels))
        if not (again != np.arange(points)).any():
            break
        new = minimise(problem.scaled, np.stack([ends[i].x for i in again]), problem.equality, steps, ENOUGH)
        ends = [min(pair, key=lambda end: rank(end, ENOUGH)) for pair in zip(ends, new, strict=True)]
    # At an end the limit leaves no room, and its own problem may not care for the other aim: the better of the two stands for it
    ends[0], ends[-1] = (min(pair, key=lambda end: rank(end, ENOUGH)) for pair in ((ends[0], first), (ends[-1], last)))
    problem.shift = plain
    return Front(problem, ends)


def _levels(problem: Problem, ends: list[End], levels: np.ndarray) -> np.ndarray:
    """``against`` at every point."""
    room = np.asarray([end.look.value[1] for end in ends]) * problem.scale[1]
    return levels[:, 0] - room


def _ends(problem: Problem, x: np.ndarray, steps: int, alone: tuple[Callable, Callable]) -> tuple[End, End]:
    """The least of ``against``, and the least of ``objective``: two problems of every start, without the limit; ``alone`` says why there is none."""

    def only(aim: int) -> End:
        def looked(x: np.ndarray) -> Any:
            look = problem.scaled(x)
            sign = 1.0 if aim == 0 else -1.0  # the limit is kept as minus ``against``
            keep = np.r_[aim, 2 : look.value.shape[1]]
            turn = np.r_[sign, np.ones(len(keep) - 1)]
            return type(look)(look.value[:, keep] * turn, look.slope[:, keep] * turn[:, None])

        ends = minimise(looked, x, problem.equality[1:], steps, ENOUGH)
        best = min(ends, key=lambda end: rank(end, ENOUGH))
        if rank(best, ENOUGH)[0]:
            alone[aim]()
            raise ConvergenceError(
                "No start led to a design that meets the constraints, though there are some. Write more points=, or another seed=."
            )
        full = problem.scaled(np.broadcast_to(best.x, x.shape))
        return best._replace(look=type(full)(full.value[0], full.slope[0]))

    return only(1), only(0)


def _beaten(ends: list[End], against: np.ndarray) -> np.ndarray:
    """For every point the one to start again from: itself, or the lowest that meets its level."""
    index = np.arange(len(ends))
    for i, end in enumerate(ends):
        within = [k for k in range(len(ends)) if against[k] <= against[i] and not rank(ends[k], ENOUGH)[0]]
        lowest = min(within, key=lambda k: ends[k].look.value[0], default=i)
        if rank(end, ENOUGH) > (False, ends[lowest].look.value[0] + 1e-9):
            index[i] = lowest
    return index
