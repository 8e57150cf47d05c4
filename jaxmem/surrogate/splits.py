"""Which groups a network may see, and how well it does on the others. All rows of a group stay on one side."""

from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """Masks over rows."""

    train: np.ndarray
    stop: np.ndarray  # decides when training is best
    calibrate: np.ndarray  # decides how wide intervals are
    test: np.ndarray


def grouped(groups: np.ndarray, seed: int = 0, shares: tuple[float, float, float] = (0.1, 0.12, 0.15)) -> Split:
    """``groups``: label of each row. ``shares`` of the groups stop, calibrate and test; the rest trains."""
    labels = np.random.default_rng(seed).permutation(np.unique(groups))
    counts = [max(round(s * len(labels)), 1) for s in shares]
    parts = np.split(labels, np.cumsum(counts))
    if len(parts[3]) == 0:
        raise ValueError(f"{len(labels)} groups are too few to split. Generate 10 or more.")
    return Split(*(np.isin(groups, part) for part in (parts[3], *parts[:3])))


class Scores(NamedTuple):
    """On rows that were not trained on."""

    r2: float
    mae: float
    median_relative: float
    coverage: float  # share of rows inside their interval, NaN without intervals
    width: float  # mean full width of the intervals


def scores(y: np.ndarray, value: np.ndarray, half_width: np.ndarray | None = None) -> Scores:
    """Coefficient of determination, mean absolute error, median relative error, coverage and width."""
    error = np.abs(value - y)
    r2 = 1.0 - float(np.sum(error**2) / np.sum((y - y.mean()) ** 2))
    inside = np.nan if half_width is None else float(np.mean(error <= half_width))
    width = np.nan if half_width is None else float(np.mean(2.0 * half_width))
    return Scores(r2, float(error.mean()), float(np.median(error / np.abs(y))), inside, width)
