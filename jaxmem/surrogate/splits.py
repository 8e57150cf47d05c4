"""Which groups a network may see, and how well it does on the others. All rows of a group stay on one side."""

from typing import NamedTuple

import numpy as np

from .._errors import JaxmemError, unknown


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


def held_out(
    split: str, feed: tuple[str, ...], flux: np.ndarray, species: tuple[str, ...] = (), membranes: tuple[str, ...] = ()
) -> list[np.ndarray]:
    """Test masks, one for each fold, of a ladder of fluxes in each feed: ``(N,)``, or ``(N, S)`` for ``"S4"``.

    ``"S1"``: the 2nd and the 5th flux of each feed; ``"S2"``: its top two; ``"S3"``: one feed after another; ``"S4"``: one ion after another; ``"S5"``: one of
    ``membranes (N,)`` after another (``data.membrane_group``);
    ``"S6"``: a fifth of the points by chance, which flatters every model, as fluxes next to them are in the training.
    """
    labels, walls = np.asarray(feed), np.asarray(membranes or ("",) * len(feed))
    rank, size = np.zeros(len(labels), int), np.zeros(len(labels), int)
    for name, wall in dict.fromkeys(zip(feed, walls.tolist(), strict=True)):
        rows = np.flatnonzero((labels == name) & (walls == wall))
        rank[rows[np.argsort(flux[rows], kind="stable")]], size[rows] = np.arange(len(rows)), len(rows)
    if split == "S1":
        return [(rank == 1) | (rank == 4)]
    if split == "S2":
        return [rank >= size - 2]
    if split == "S3":
        return [labels == name for name in dict.fromkeys(feed)]
    if split == "S4":
        return [np.broadcast_to(np.asarray(species) == name, (len(labels), len(species))) for name in species]
    if split == "S5":
        if len(set(membranes)) < 2:
            raise JaxmemError(
                "One membrane cannot be held out from itself. Write held_out('S5', data.feed_group, flux, membranes=data.membrane_group), of two or more."
            )
        return [walls == name for name in dict.fromkeys(membranes)]
    if split == "S6":
        return [np.random.default_rng(0).permutation(len(labels)) < round(0.2 * len(labels))]
    raise unknown("Split", split, ("S1", "S2", "S3", "S4", "S5", "S6"), "Write held_out('S3', data.feed_group, flux).")
