"""Levenberg-Marquardt from many starts at once: one compiled call gives residuals and Jacobians of all of them.

On the host: under ``vmap``, optimistix' solver traces the physics several times inside its loop, and compiling that takes minutes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_PATIENCE = 15  # steps that every start is given


class Minima(NamedTuple):
    """Where each of B starts ended."""

    u: np.ndarray  # (B, n)
    cost: np.ndarray  # (B,) half the sum of squares; infinite where nothing could be computed
    residual: np.ndarray  # (B, m)
    jacobian: np.ndarray  # (B, m, n)
    converged: np.ndarray  # (B,) no step lowers the cost by more than ``rtol`` of it, or the gradient vanishes
    steps: int


def levenberg_marquardt(
    linearised: Callable[[np.ndarray], tuple],
    u: np.ndarray,
    *,
    steps: int = 60,
    rtol: float = 1e-7,
    told: Callable | None = None,
) -> Minima:
    """``linearised(u (B, n)) -> residual (B, m), jacobian (B, m, n)``; not-a-number means no answer there. Marquardt 1963, doi 10.1137/0111030."""
    r, jac = (np.array(x) for x in linearised(u))
    cost, damping = _cost(r), np.full(len(u), 1e-2)
    done, given_up = ~np.isfinite(cost), np.zeros(len(u), bool)
    taken = 0
    while taken < steps and not done.all():
        taken += 1
        step, predicted = _step(r, jac, damping)
        trial = np.where(done[:, None], u, u + step)
        r_new, jac_new = (np.asarray(x) for x in linearised(trial))
        new = _cost(r_new)
        better = ~done & (new <= cost)
        gained = np.where(better, np.where(better, cost, 0.0) - np.where(better, new, 0.0), np.inf)
        u, r = np.where(better[:, None], trial, u), np.where(better[:, None], r_new, r)
        jac = np.where(better[:, None, None], jac_new, jac)
        cost = np.where(better, new, cost)
        damping = np.clip(np.where(better, damping / 5.0, damping * 4.0), 1e-12, 1e12)
        lost = (taken >= _PATIENCE) & (cost > 10.0 * max(cost.min(), 5e-3 * r.shape[1]))  # far above the lowest
        given_up |= lost & ~done
        done |= lost | (gained <= rtol * cost) | (predicted <= rtol * cost) | (damping >= 1e12)
        if told is not None:
            told(taken, float(cost.min()), int(done.sum()))
    return Minima(u, cost, r, jac, done & ~given_up & np.isfinite(cost), taken)


def _cost(r: np.ndarray) -> np.ndarray:
    total = 0.5 * np.sum(r * r, axis=-1)
    return np.where(np.isfinite(total), total, np.inf)


def _step(r: np.ndarray, jac: np.ndarray, damping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Damped Gauss-Newton step, at most 3 in any unbounded number, and the decrease of the cost that it promises."""
    jac, r = (np.where(np.isfinite(x), x, 0.0) for x in (jac, r))
    slope, square = np.einsum("bmn,bm->bn", jac, r), np.einsum("bmi,bmj->bij", jac, jac)
    scale = np.einsum("bii->bi", square)
    floor = np.maximum(scale, 1e-12 * scale.max(axis=1, keepdims=True) + 1e-300)
    eye = np.eye(jac.shape[-1])
    step = np.linalg.solve(square + damping[:, None, None] * floor[:, :, None] * eye, -slope[..., None])[..., 0]
    step *= np.minimum(1.0, 3.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
    return step, _cost(r) - _cost(r + np.einsum("bmn,bn->bm", jac, step))
