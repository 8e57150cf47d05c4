"""Several bounded and constrained problems at once: SciPy's SLSQP (or trust-constr) for each, in a thread of its own, evaluated together in one batch.

All of them ask for values and gradients at their own points; the batch is computed when every one that is still running has asked. Another way is in
``augmented.py``.
"""

import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize as so

_RESTARTS = 3  # a fresh start from where SLSQP stopped short of a stationary point
_WORST = 1e3  # added to the worst objective so far, for a point without an answer: the line search turns back from it
ACTIVE = 1e-6  # a scaled constraint, or the distance to a bound, below which it may carry a multiplier


class Look(NamedTuple):
    """Scaled values at one point (or at B of them): objective first, then constraints ``c``, of which ``c >= 0`` or ``c = 0`` is asked."""

    value: np.ndarray  # (1 + m,)
    slope: np.ndarray  # (1 + m, n)


class Stationarity(NamedTuple):
    """First-order conditions at a point, scaled: ``slope f = sum multiplier slope c + pull`` with the right signs."""

    residual: float  # largest of what is left of that sum, and of what the constraints lack
    multiplier: np.ndarray  # (m,)
    pull: np.ndarray  # (n,) of the bounds: above zero on a lower one
    lacking: np.ndarray  # (m,) by how much a constraint is missed


class End(NamedTuple):
    """Where one problem stopped."""

    x: np.ndarray
    look: Look
    kkt: Stationarity
    asked: int  # evaluations with gradients


def answered(look: Look) -> bool:
    """Whether values and slopes are numbers."""
    return bool(np.isfinite(look.value).all() and np.isfinite(look.slope).all())


def rank(end: End, enough: float) -> tuple[bool, float]:
    """What is better comes first: with an answer, feasible, the lower."""
    lacking = float(end.kkt.lacking.max(initial=0.0))
    if not answered(end.look):
        return True, np.inf
    return (True, lacking) if not lacking <= enough else (False, float(end.look.value[0]))


def kkt(x: np.ndarray, look: Look, equality: np.ndarray) -> Stationarity:
    """Multipliers by non-negative least squares over what is active, and what they leave."""
    value, slope = look.value[1:], look.slope
    lacking = np.where(equality, np.abs(value), np.maximum(-value, 0.0))
    m, n = len(value), len(x)
    if not answered(look):
        return Stationarity(np.inf, np.zeros(m), np.zeros(n), np.where(np.isfinite(value), lacking, np.inf))
    low, high = np.flatnonzero(x <= ACTIVE), np.flatnonzero(x >= 1.0 - ACTIVE)
    bound = np.flatnonzero(equality | (value <= ACTIVE))
    both = np.flatnonzero(equality)
    columns = np.concatenate([slope[1 + bound], -slope[1 + both], np.eye(n)[low], -np.eye(n)[high]])
    weight = so.nnls(columns.T, slope[0], maxiter=50 * (len(columns) + 1))[0] if len(columns) else np.zeros(0)
    left = np.abs(slope[0] - weight @ columns).max()
    multiplier, pull = np.zeros(m), np.zeros(n)
    parts = np.split(weight, np.cumsum([len(bound), len(both), len(low)]))
    multiplier[bound] += parts[0]
    multiplier[both] -= parts[1]
    pull[low] += parts[2]
    pull[high] -= parts[3]
    return Stationarity(float(max(left, lacking.max(initial=0.0))), multiplier, pull, lacking)


class _Together:
    """The batch that several threads share. It is evaluated in the thread that called, whose settings of JAX hold."""

    def __init__(self, looked: Callable[[np.ndarray], Look], x: np.ndarray) -> None:
        self.looked, self.x, self.live = looked, x.copy(), len(x)
        self.asking: set[int] = set()
        self.found: dict[int, Look] = {}
        self.error: BaseException | None = None
        self.turn = threading.Condition()

    def ask(self, i: int, x: np.ndarray) -> Look:
        """Values and gradients for problem ``i``; waits for the others."""
        with self.turn:
            self.x[i] = x
            self.asking.add(i)
            self.turn.notify_all()
            self.turn.wait_for(lambda: i in self.found or self.error is not None)
            if self.error is not None:
                raise self.error
            return self.found.pop(i)

    def leave(self, error: BaseException | None) -> None:
        """One problem less to wait for."""
        with self.turn:
            self.live -= 1
            self.error = self.error or error
            self.turn.notify_all()

    def serve(self) -> None:
        """Evaluate until every problem has left; what goes wrong here or there stops all of them, and is raised."""
        with self.turn:
            try:
                while self.live and self.error is None:
                    self.turn.wait_for(lambda: self.error is not None or len(self.asking) >= self.live)
                    if self.asking and self.error is None:
                        look = self.looked(self.x)
                        self.found.update({i: Look(look.value[i], look.slope[i]) for i in self.asking})
                        self.asking.clear()
                        self.turn.notify_all()
            except BaseException as error:  # the user's interruption as well
                self.error = error
            self.turn.notify_all()
        if self.error is not None:
            raise self.error


class _One:
    """One problem as SLSQP calls it: value, gradient and constraints of a point are one evaluation."""

    def __init__(self, together: _Together, i: int) -> None:
        self.together, self.i, self.asked = together, i, 0
        self.at: bytes = b""
        self.best: Look | None = None
        self.worst = 0.0  # of the objective, so far

    def look(self, x: np.ndarray) -> Look:
        x = _on_bounds(x)
        if self.best is None or x.tobytes() != self.at:
            self.best, self.at, self.asked = self.together.ask(self.i, x), x.tobytes(), self.asked + 1
        return self.best

    def tame(self, x: np.ndarray) -> Look:
        """Numbers only: where there is no answer, a poor one."""
        look = self.look(x)
        if answered(look):
            self.worst = max(self.worst, float(look.value[0]))
            return look
        return Look(np.r_[self.worst + _WORST, -np.ones(len(look.value) - 1)], np.zeros_like(look.slope))


class _Enough(Exception):
    """Raised by the callback: the first-order conditions are met."""


def _on_bounds(x: np.ndarray) -> np.ndarray:
    """SLSQP leaves its bounds by round-off."""
    return np.where(x < 1e-12, 0.0, np.where(x > 1.0 - 1e-12, 1.0, x))


def _slsqp(one: _One, x: np.ndarray, equality: np.ndarray, steps: int, stop: Callable) -> np.ndarray:
    """Kraft 1988."""
    each = [
        {
            "type": kind,
            "fun": lambda x, rows=rows: one.tame(x).value[1 + rows],
            "jac": lambda x, rows=rows: one.tame(x).slope[1 + rows],
        }
        for kind, rows in (("eq", np.flatnonzero(equality)), ("ineq", np.flatnonzero(~equality)))
        if len(rows)
    ]
    return so.minimize(
        lambda x: one.tame(x).value[0], x, jac=lambda x: one.tame(x).slope[0], method="SLSQP", callback=stop,
        bounds=[(0.0, 1.0)] * len(x), constraints=each, options={"maxiter": steps, "ftol": 1e-15},
    ).x  # fmt: skip


def _trust(one: _One, x: np.ndarray, equality: np.ndarray, steps: int, stop: Callable) -> np.ndarray:
    """Interior point in a trust region, Byrd, Hribar and Nocedal 1999, doi 10.1137/S1052623497325107."""
    most = np.where(equality, 0.0, np.inf)
    all_of = so.NonlinearConstraint(lambda x: one.tame(x).value[1:], 0.0, most, jac=lambda x: one.tame(x).slope[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a step without change of the gradient is left out of the Hessian
        return so.minimize(
            lambda x: one.tame(x).value[0], x, jac=lambda x: one.tame(x).slope[0], method="trust-constr", callback=stop,
            hess=so.BFGS(), bounds=so.Bounds(np.zeros(len(x)), np.ones(len(x)), keep_feasible=True), constraints=[all_of] if len(equality) else [],
            options={"maxiter": 10 * steps, "gtol": 1e-10, "xtol": 1e-14, "barrier_tol": 1e-10},
        ).x  # fmt: skip


SEARCHES = {"slsqp": _slsqp, "trust-constr": _trust}


def _solve_one(one: _One, x: np.ndarray, equality: np.ndarray, steps: int, enough: float, search: Callable) -> End:
    def stop(x: np.ndarray, *_: Any) -> None:
        x = _on_bounds(x)
        if kkt(x, one.look(x), equality).residual < 0.1 * enough:
            raise _Enough(x)

    look = one.look(x)
    here = kkt(x, look, equality)
    for turn in range(_RESTARTS if answered(look) else 0):
        try:
            new = search(one, x, equality, steps, stop)
        except _Enough as reached:
            new = reached.args[0]
        new = _on_bounds(new)
        after_look = one.look(new)
        after = kkt(new, after_look, equality)
        if rank(End(new, after_look, after, 0), enough) > rank(End(x, look, here, 0), enough):
            break
        stuck = turn > 0 and after.residual > 0.5 * here.residual
        x, look, here = new, after_look, after
        if here.residual < enough or stuck:
            break
    return End(x, look, here, one.asked)


def minimise(
    looked: Callable[[np.ndarray], Look],
    x: np.ndarray,
    equality: np.ndarray,
    steps: int,
    enough: float,
    method: str = "slsqp",
) -> list[End]:
    """``looked(x (B, n)) -> Look`` of B points, bounds 0 and 1; ``x`` the starts. Ends when the residual of the conditions is below ``enough``."""
    together, ends = _Together(looked, x), {}

    def run(i: int) -> None:
        wrong = None
        try:
            ends[i] = _solve_one(_One(together, i), x[i], equality, steps, enough, SEARCHES[method])
        except BaseException as error:
            wrong = error
        together.leave(wrong)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(x))]
    for thread in threads:
        thread.start()
    together.serve()
    for thread in threads:
        thread.join()
    return [ends[i] for i in range(len(x))]
