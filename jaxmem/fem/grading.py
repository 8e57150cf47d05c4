"""Fractions of a line, from 0 to 1: where the nodes of a mesh go."""

import numpy as np

from .._errors import JaxmemError


def uniform(n: int) -> np.ndarray:
    """N + 1 equal fractions of a line."""
    return np.linspace(0.0, 1.0, n + 1)


def _some(n: int, least: int = 1) -> None:
    if not isinstance(n, int | np.integer) or n < least:
        raise JaxmemError(f"n = {n!r} is not a number of elements, {least} or more. Write n=100.")


def geometric(n: int, ratio: float, end: str = "right") -> np.ndarray:
    """Elements that shrink by ``ratio`` (below 1) towards one end, ``"left"`` or ``"right"``."""
    _some(n)
    if not 0.0 < ratio <= 1.0 or end not in ("left", "right"):
        raise JaxmemError(f"ratio = {ratio!r}, end = {end!r}. Write geometric(100, 0.95, end='right').")
    at = np.concatenate([[0.0], np.cumsum(ratio ** np.arange(n))])
    at = at / at[-1]
    return at if end == "right" else 1.0 - at[::-1]


def shishkin(n: int, width: float, end: str = "right") -> np.ndarray:
    """Half of the elements within ``width`` (a fraction of the line) of one end: the mesh of a boundary layer."""
    _some(n, 2)
    if not 0.0 < width < 1.0 or end not in ("left", "right"):
        raise JaxmemError(f"width = {width!r}, end = {end!r}. Write shishkin(100, 0.05, end='right').")
    half = n // 2
    at = np.concatenate([np.linspace(0.0, 1.0 - width, n - half + 1), np.linspace(1.0 - width, 1.0, half + 1)[1:]])
    return at if end == "right" else 1.0 - at[::-1]
