"""``jm.calibrate``: intervals that hold on measurements which a membrane was not fitted to, and a flag where the question is unlike them.

Any model that answers with rejections: fitted numbers, learned closures, neural differential equations.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError
from ..case import Case
from ..models.base import AbstractModel
from ..models.solve import solve
from .regression import Domain, Scaler

_FOLDS = 5  # of the fluxes of a feed
_EDGE = 1e-6  # round-off of inputs that do not vary


class Told(NamedTuple):
    """A rejection with the interval that holds it, ``(*batch, S)``, and whether the question lies outside of what was seen, ``(*batch)``."""

    rejection: Array
    low: Array
    high: Array
    outside: Array
    ok: Array


class Calibrated(eqx.Module):
    """What ``jm.calibrate`` found. ``predict(case)`` answers with intervals; ``half`` is the width factor, infinite where none can be promised."""

    model: Any
    membrane: Any
    kind: str = eqx.field(static=True)
    coverage: float = eqx.field(static=True)
    by: str = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    relative: float = eqx.field(static=True)
    limit: float = eqx.field(static=True)
    half: float = eqx.field(static=True)
    unanswered: int = eqx.field(static=True)  # measurements without an answer of the model
    species: tuple[str, ...] = eqx.field(static=True)
    scaler: Scaler
    domain: Domain

    def predict(self, case: Case) -> Told:
        """Rejections of the calibrated membrane for the feed and the conditions of a case; failed lanes are not numbers."""
        asked = Case(case.feed, self.membrane, case.conditions)
        result = solve(self.model, asked, throw=False)
        passed = 1.0 - getattr(result, f"{self.kind}_rejection")
        passed = jnp.where(result.ok[..., None], passed, jnp.nan)
        reach = self.half * _width(passed, self.relative, self.limit)
        low, high = 1.0 - passed - reach, jnp.minimum(1.0 - passed + reach, 1.0)
        return Told(1.0 - passed, low, high, self.outside(asked, result.volume_flux), result.ok)

    def outside(self, case: Case, flux: Array) -> Array:
        """Where strength, composition or flux lie beyond those that were seen, or an ion was not among them; ``(*batch)``."""
        seen = _features(case, flux, self.species)
        names = case.feed.species.names
        strange = np.asarray([name not in self.species for name in names])
        present = jnp.any((case.feed.concentration > 0.0) & strange, axis=-1)
        return self.domain.outside(self.scaler(seen)) | present | ~jnp.all(jnp.isfinite(seen), axis=-1)

    def __str__(self) -> str:
        what = f"{100 * self.coverage:.0f} % intervals of {self.model.title()} from {self.groups} {self.by}s"
        if not np.isfinite(self.half):
            if self.unanswered:
                return f"{what}: none, the model has no answer at {self.unanswered} of the measurements"
            least = int(np.ceil(self.coverage / (1.0 - self.coverage) - 1e-9))
            return f"{what}: none, a promise for a new {self.by} needs {least} or more"
        return f"{what}: transmission +- {self.half:.2f} sqrt(({self.relative:g} T)^2 + {self.limit:g}^2)"


def calibrate(
    model: AbstractModel,
    data: Any,
    *,
    seen: Any = None,
    refit: Callable[[Any], Any] | None = None,
    coverage: float = 0.9,
    by: str = "feed",
    relative: float = 0.1,
    limit: float = 0.02,
) -> Calibrated:
    """Split conformal intervals from measurements ``data`` that the membrane of ``data.case`` was not fitted to.

    Scores are ``|T - T_measured|/w``, ``w^2 = (relative T)^2 + limit^2``, of the transmission ``T = 1 - R``. ``by="feed"``: the promise is for a new feed; each
    feed weighs the same and one weight goes to infinity (Lee, Barber and Willett 2023, arXiv 2306.06342): ``q`` is the least number with
    ``sum_k F_k(q)/(K + 1) >= coverage``. Exchangeable are feeds, not points of one feed; with fewer than ``coverage/(1 - coverage)`` of them no finite
    interval can be promised, and none is given. ``by="point"``: for new fluxes of the feeds that were seen, every point its own group
    (Lei et al. 2018, doi 10.1080/01621459.2017.1307116).

    ``refit(part)`` gives the membrane fitted to a part of the measurements: then no fit is needed before, and none need be kept for calibration. The answer is that of
    ``refit(data)``; every feed, or with ``by="point"`` every fifth flux of each feed, is scored by a fit to the others (jackknife). That holds where fits to
    a little less are about as good; free of assumptions it is not (Barber et al. 2021, doi 10.1214/20-AOS1965).

    ``seen``: the measurements of the fit; together with ``data`` they are the domain that questions are flagged by.
    """
    _check(data, seen, refit, coverage, by, relative, limit)
    start, data = data, data if refit is None else data.on(refit(data))
    there, score = np.asarray(data.measured), _scores(model, data, relative, limit)
    if refit is not None:
        for part in _parts(data, by):
            score[part] = _scores(model, data.on(refit(start.only(~part))), relative, limit)[part]
    failed = there & np.isinf(score)
    rows = np.asarray(data.feed_group) if by == "feed" else np.arange(there.shape[0])
    groups = [score[rows == g][there[rows == g]] for g in dict.fromkeys(rows.tolist())]
    groups = [g for g in groups if g.size]
    both = [data] if seen is None else [seen, data]
    species = tuple(dict.fromkeys(str(n) for d in both for n in np.asarray(d.case.feed.species.names)[_present(d)]))
    features = np.concatenate([np.asarray(_features(d.case, solve(model, d.case, throw=False).volume_flux, species)) for d in both])  # fmt: skip
    labels = np.concatenate([np.asarray(d.feed_group) for d in both])
    known = np.concatenate([np.asarray(d.measured).any(axis=1) for d in both])  # what was left out is not
    finite = known & np.isfinite(features).all(axis=1)  # not so at zero flux, in pure water, and without an answer
    if not finite.any():
        raise JaxmemError("No point has a flux and a feed: nothing to know questions by. Give measurements above zero flux.")  # fmt: skip
    scaler = Scaler.of(features[finite])
    return Calibrated(
        model, data.case.membrane, data.kind, coverage, by, len(groups), relative, limit, _quantile(groups, coverage), int(failed.sum()), species, scaler,
        _domain(np.asarray(scaler(jnp.asarray(features[finite]))), labels[finite]),
    )  # fmt: skip


def _check(data: Any, seen: Any, refit: Any, coverage: Any, by: str, relative: float, limit: float) -> None:
    if by not in ("feed", "point"):
        raise JaxmemError(f"by = {by!r} is no unit of new questions. Write by='feed' or by='point'.")
    if not (isinstance(coverage, float) and 0.0 < coverage < 1.0):
        raise JaxmemError(f"coverage = {coverage!r} must lie between 0 and 1. Write coverage=0.9.")
    if not all(hasattr(data, name) for name in ("case", "rejection", "kind", "feed_group")) or len(data) == 0:
        raise JaxmemError("There is no measurement to calibrate with. Write jm.calibrate(model, data), with a Dataset.")
    if not (np.isfinite([relative, limit]).all() and min(relative, limit) >= 0.0 and relative + limit > 0.0):
        raise JaxmemError(f"relative = {relative!r}, limit = {limit!r} leave no width. Write relative=0.1, limit=0.02.")
    if seen is not None and _shared(seen, data):
        raise JaxmemError(f"{_shared(seen, data)} points of data are among those that the membrane was fitted to: intervals would be too narrow. Write data.only(~fitted).")  # fmt: skip
    if refit is not None and not callable(refit):
        raise JaxmemError(
            f"refit = {refit!r} cannot be called. Write refit=lambda part: jm.fit(model, part, free).case.membrane."
        )


def _scores(model: Any, data: Any, relative: float, limit: float) -> np.ndarray:
    """``(N, S)``; a point without an answer is worse than any."""
    result = solve(model, data.case, throw=False)
    passed = 1.0 - np.asarray(getattr(result, f"{data.kind}_rejection"))
    lost = np.asarray(data.measured) & ~(np.asarray(result.ok)[:, None] & np.isfinite(passed))
    score = np.abs(passed - (1.0 - np.asarray(data.rejection))) / np.asarray(
        _width(jnp.asarray(passed), relative, limit)
    )
    return np.where(lost, np.inf, score)


def _parts(data: Any, by: str) -> list[np.ndarray]:
    """What is left out in turn: a feed, or every fifth flux of each."""
    labels, there = np.asarray(data.feed_group), np.asarray(data.measured).any(axis=1)
    names = dict.fromkeys(labels[there].tolist())
    if by == "feed":
        parts = [labels == name for name in names]
    else:
        flux = getattr(data.case.conditions, "volume_flux", getattr(data.case.conditions, "pressure", 0.0))
        flux, rank = np.broadcast_to(np.asarray(flux), labels.shape), np.full(len(labels), -1)
        for first, name in enumerate(names):
            rows = np.flatnonzero((labels == name) & there)
            rank[rows[np.argsort(flux[rows], kind="stable")]] = (first + np.arange(len(rows))) % _FOLDS
        parts = [rank == k for k in range(_FOLDS) if (rank == k).any()]
    if len(parts) < 2:
        raise JaxmemError(
            f"There is one {by} only: none is left to fit to. Give more measurements, or leave refit out."
        )
    return parts


def _shared(seen: Any, data: Any) -> int:
    """Points of ``data`` whose feed, flux and some measured species are also in ``seen``."""
    if seen.case.feed.species.names != data.case.feed.species.names:
        return 0
    rows = []
    for d in (seen, data):
        flux = getattr(d.case.conditions, "volume_flux", getattr(d.case.conditions, "pressure", 0.0))
        n = d.rejection.shape[0]
        feed = np.broadcast_to(np.asarray(d.case.feed.concentration), (n, d.rejection.shape[1]))
        rows.append(np.column_stack([np.broadcast_to(np.asarray(flux), (n,)), feed]))
    known: dict[bytes, np.ndarray] = {}
    for row, there in zip(rows[0], np.asarray(seen.measured), strict=True):
        known[row.tobytes()] = known.get(row.tobytes(), False) | there
    return sum(bool((known.get(row.tobytes(), False) & there).any()) for row, there in zip(rows[1], np.asarray(data.measured), strict=True))  # fmt: skip


def _width(passed: Array, relative: float, limit: float) -> Array:
    return jnp.sqrt((relative * passed) ** 2 + limit**2)


def _quantile(groups: list[np.ndarray], coverage: float) -> float:
    """Of scores whose groups weigh the same, ``1/(K + 1)`` each, the rest at infinity."""
    score = np.concatenate(groups)
    weight = np.concatenate([np.full(g.size, 1.0 / ((len(groups) + 1) * g.size)) for g in groups])
    order = np.argsort(score)
    reached = np.cumsum(weight[order]) >= coverage - 1e-12
    return float(score[order][np.argmax(reached)]) if reached.any() else float("inf")


_MOST = 2000  # rows that stand for the others


def _domain(scaled: np.ndarray, groups: np.ndarray) -> Domain:
    """Fluxes in between, and as near to a row as nearly all rows are to those of other feeds."""
    every = np.linspace(0, len(scaled) - 1, min(len(scaled), _MOST)).astype(int)
    x, group = scaled[every], groups[every]
    same = group[:, None] == group[None] if len(np.unique(group)) > 1 else np.eye(len(x), dtype=bool)
    gaps = np.sqrt(np.where(same, np.inf, ((x[:, None] - x[None]) ** 2).sum(-1)).min(axis=1))
    finite = gaps[np.isfinite(gaps)]
    reach = 1.05 * np.quantile(finite, 0.98) + _EDGE if finite.size else _EDGE
    free = np.full(x.shape[1] - 1, np.inf)
    low, high = np.r_[x[:, 0].min() - _EDGE, -free], np.r_[x[:, 0].max() + _EDGE, free]
    return Domain(*(jnp.asarray(v) for v in (low, high, x, reach)))


def _present(data: Any) -> np.ndarray:
    """Species in the feed of a point that was measured."""
    known = np.asarray(data.measured).any(axis=1)
    feed = np.broadcast_to(np.asarray(data.case.feed.concentration), data.rejection.shape)
    return np.asarray((feed[known] > 0.0).any(axis=0))


def _features(case: Case, flux: Array, species: tuple[str, ...]) -> Array:
    """``ln`` of flux and of the equivalents, and the shares of the equivalents of the known species, ``(*batch, 2 + n)``."""
    names, shape = case.feed.species.names, case.batch_shape
    amount = jnp.maximum(jnp.abs(case.feed.species.charge), 1.0) * case.feed.concentration
    amount = jnp.broadcast_to(amount, (*shape, len(names)))
    total = jnp.sum(amount, axis=-1)
    zero = jnp.zeros(shape)
    shares = [amount[..., names.index(n)] / total if n in names else zero for n in species]
    return jnp.stack([jnp.broadcast_to(jnp.log(flux), shape), jnp.log(total), *shares], axis=-1)
