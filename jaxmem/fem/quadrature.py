"""Quadrature on reference cells, exact for polynomials of the degree asked for."""

from functools import lru_cache

import numpy as np

# six points in a triangle, exact to the fourth degree: coordinate and weight of two triples (Strang and Fix 1973, in closed form)
_ROOTS = np.sqrt(38.0 - 44.0 * np.sqrt(0.4)), np.sqrt(213125.0 - 53320.0 * np.sqrt(10.0))
_SIX = [((8.0 - np.sqrt(10.0) + s * _ROOTS[0]) / 18.0, (620.0 + s * _ROOTS[1]) / 3720.0) for s in (1.0, -1.0)]


@lru_cache
def rule(kind: str, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points ``(Q, d)`` and weights ``(Q,)``; the weights sum to the size of the reference cell."""
    if kind == "point":
        return np.zeros((1, 0)), np.ones(1)
    if kind == "line":
        return _line(degree)
    if kind == "quadrilateral":
        x, w = _line(degree)
        return np.stack(np.meshgrid(x[:, 0], x[:, 0], indexing="ij"), -1).reshape(-1, 2), np.outer(w, w).ravel()
    if degree <= 1:
        return np.full((1, 2), 1.0 / 3.0), np.array([0.5])
    if degree <= 2:
        return np.array([[1.0, 1.0], [4.0, 1.0], [1.0, 4.0]]) / 6.0, np.full(3, 1.0 / 6.0)
    if degree <= 4:
        points = [_turned(a) for a, _ in _SIX]
        return np.concatenate(points), np.repeat([0.5 * w for _, w in _SIX], 3)
    x, w = _line(degree + 1)  # a square whose one side is drawn together
    s, t = (a.ravel() for a in np.meshgrid(x[:, 0], x[:, 0], indexing="ij"))
    return np.stack([s, (1.0 - s) * t], -1), np.outer(w, w).ravel() * (1.0 - s)


def _line(degree: int) -> tuple[np.ndarray, np.ndarray]:
    x, w = np.polynomial.legendre.leggauss(degree // 2 + 1)
    return 0.5 * (x[:, None] + 1.0), 0.5 * w


def _turned(a: float) -> np.ndarray:
    return np.array([[a, a], [1.0 - 2.0 * a, a], [a, 1.0 - 2.0 * a]])
