"""What is fitted to measured rejections: physics, physics whose charge follows the feed, networks, and networks on top of physics."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from .. import (
    DSPMDE,
    SDEM,
    AbsoluteRejection,
    DonnanShift,
    Free,
    Interval,
    LogInterval,
    MultivalentCharge,
    PermeanceMembrane,
    fit,
    membrane,
    solve,
)
from ..data.rejection import Dataset
from ..surrogate.splits import held_out
from .nf_networks import LEAST, BoostedTrees, LinearModel, PlainNetwork, PublishedODE, TunedODE

NOISE = AbsoluteRejection(0.05, own=False)  # readings of a figure are sharper than the experiment
STARTS = 6
MEAN, LINEAR = "mean of the training points", "linear in the same inputs"
NETWORK, TREES = "network 2 x 64", "boosted trees"
PUBLISHED, TUNED = "attention ODE, as published", "attention ODE, pre-trained"
SHIFTED = "SDEM, Donnan shift"
COMBINED = "SDEM shift with attention ODE"


class Trial(NamedTuple):
    """Something that learns from kept points and answers for all of them."""

    name: str
    free: int  # numbers that are fitted
    predict: Callable[[np.ndarray], np.ndarray]  # kept (N, S) to (members, N, S)
    any_ion: bool = True  # answers for an ion that it never saw


class Candidate(NamedTuple):
    """A physical model with what is free in it. The forms were fixed before any score was computed."""

    name: str
    model: Any
    membrane: Any
    free: Free


def candidates(species: tuple[str, ...]) -> list[Candidate]:
    """DSPM-DE and SDEM, each with constant numbers and with a charge, or a potential, that follows the feed."""
    pore = {
        "pore_radius": LogInterval(0.36e-9, 0.9e-9), "thickness_over_porosity": LogInterval(1e-7, 1e-4),
        "charge_density": Interval(-500.0, 500.0), "pore_permittivity": Interval(20.0, 78.0),
    }  # fmt: skip
    bound = membrane("NF270", charge=MultivalentCharge(0.0, 0.0))
    follows = {name: Interval(-1000.0, 1000.0) for name in ("cation", "anion")}
    each, permeance = dict.fromkeys(species, 1e-5), LogInterval(1e-9, 1e-2)
    shift = {name: Interval(-5.0, 5.0) for name in ("cation", "anion")}
    shifted = PermeanceMembrane.of(each, law=DonnanShift(0.0, 0.0))
    return [
        Candidate("DSPM-DE", DSPMDE(), membrane("NF270"), Free(**pore)),
        Candidate("DSPM-DE, charge follows feed", DSPMDE(), bound, Free(**pore, **follows)),
        Candidate("SDEM", SDEM(), PermeanceMembrane.of(each), Free(permeance=permeance)),
        Candidate(SHIFTED, SDEM(), shifted, Free(permeance=permeance, **shift)),
    ]


class Physics:
    """A candidate on these points: fits to parts of them, each made once."""

    def __init__(self, one: Candidate, points: Dataset) -> None:
        self.one, self.points, self.fits = one, points.on(one.membrane), {}
        self.there = np.isfinite(np.asarray(points.rejection))
        self.free = len(one.free.labels(self.points.case))

    def fitted(self, part: Dataset) -> Any:
        """``jm.Fit`` of a part of the points."""
        return fit(self.one.model, part, self.one.free, noise=NOISE, starts=STARTS)

    def of(self, kept: np.ndarray) -> Any:
        """``jm.Fit`` of the kept points ``(N, S)``."""
        key = kept.tobytes()
        if key not in self.fits:
            self.fits[key] = self.fitted(self.points.only(kept))
        return self.fits[key]

    def __call__(self, kept: np.ndarray) -> np.ndarray:
        """Rejections ``(1, N, S)`` of all points. An ion of which nothing was kept borrows its permeance, unless the others determine it."""
        found, names = self.of(kept), self.points.case.feed.species.names
        unseen = [names[i] for i in np.flatnonzero(self.there.any(0) & ~(self.there & kept).any(0))]
        if self.one.model != SDEM() or not (unseen := [n for n in unseen if self._open(found, n)]):
            return np.asarray(found.result.real_rejection)[None]
        wall = found.case.membrane
        for name in unseen:
            wall = wall.borrowing(name)
        return np.asarray(solve(self.one.model, self.points.on(wall).case, throw=False).real_rejection)[None]

    def _open(self, found: Any, name: str) -> bool:
        """Whether its permeance may be ten times another by the fit's 95 % interval."""
        low, high = found.interval(f"permeance {name}")
        return not high < 10.0 * low


class Combined:
    """The mean of several, weighted by one over the mean square each misses held-back fluxes of the kept points by (Bates and Granger 1969, doi 10.1057/jors.1969.103).

    Held back for this are the 2nd and the 5th kept flux of each feed; where none is, or too few others are left, all weigh alike. Then each learns from all kept points. One that has
    no answer for what was held back weighs nothing, and none lets more than twice as much pass as any kept point did: networks that were tuned may answer anything elsewhere.
    """

    def __init__(self, points: Dataset, parts: tuple[Trial, ...]) -> None:
        self.points, self.parts, self.free = points, parts, sum(one.free for one in parts)

    def weights(self, kept: np.ndarray) -> np.ndarray:
        """One for each part, of sum 1: nothing but the kept points ``(N, S)`` is looked at."""
        seen, alike = np.asarray(self.points.rejection), np.full(len(self.parts), 1.0 / len(self.parts))
        kept = kept & np.isfinite(seen)
        back = self._held_back(kept.any(1))[:, None]
        test, rest = kept & back, kept & ~back
        if not test.any() or np.sum(rest.any(1)) < LEAST:
            return alike
        miss = np.asarray([np.mean((one.predict(rest).mean(0) - seen)[test] ** 2) for one in self.parts])
        weight = 1.0 / np.maximum(np.where(np.isfinite(miss), miss, np.inf), 1e-30)
        return weight / weight.sum() if weight.any() else alike

    def _held_back(self, kept: np.ndarray) -> np.ndarray:
        """The 2nd and the 5th of the kept points ``(N,)`` of each feed and membrane."""
        rows, back = np.flatnonzero(kept), np.zeros(len(kept), bool)
        flux = np.broadcast_to(np.asarray(self.points.case.conditions.volume_flux), kept.shape)[rows]
        some = lambda labels: tuple(np.asarray(labels)[rows]) if labels else ()
        (back[rows],) = held_out("S1", some(self.points.feed_group), flux, membranes=some(self.points.membrane_group))
        return back

    def __call__(self, kept: np.ndarray) -> np.ndarray:
        """Rejections ``(1, N, S)`` of all points."""
        seen = np.asarray(self.points.rejection)[kept]
        least = 1.0 - 2.0 * (1.0 - np.nanmin(seen))
        weighed = zip(self.weights(kept), self.parts, strict=True)
        return np.sum([w * np.maximum(one.predict(kept).mean(0), least) for w, one in weighed if w > 0.0], axis=0)[None]


def trials(points: Dataset) -> tuple[list[Trial], Physics]:
    """Everything that is tried, and the physics that follows the feed, whose intervals are asked for too."""
    seen = np.asarray(points.rejection)
    network, linear, published, tuned = (kind(points) for kind in (PlainNetwork, LinearModel, PublishedODE, TunedODE))
    found = [
        Trial(MEAN, 1, lambda kept: np.full((1, *seen.shape), np.nanmean(seen[kept]))),
        Trial(LINEAR, linear.numbers, linear),
        Trial(NETWORK, network.numbers, network),
        Trial(PUBLISHED, published.numbers, published, any_ion=False),
        Trial(TUNED, tuned.numbers, tuned),
    ]
    if find_spec("sklearn"):
        trees = BoostedTrees(points)
        found.insert(3, Trial(TREES, trees.numbers, trees))
    models = [Physics(one, points) for one in candidates(points.case.feed.species.names)]
    found += [Trial(made.one.name, made.free, made) for made in models]
    by_name = {one.name: one for one in found}
    both = Combined(points, (by_name[SHIFTED], by_name[TUNED]))
    found.append(Trial(COMBINED, both.free, both))
    for made in (models[0], models[-1]):  # what the fitted physics leaves over, learned
        rest = lambda kept, made=made: network(kept, made(kept)[0])
        found.append(Trial(f"{made.one.name} + network", made.free + network.numbers, rest))
    return found, models[-1]
