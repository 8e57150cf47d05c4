"""Measured rejections, with the case that asks a model for them."""

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import PhysicalRangeError, ShapeError, unknown
from .._fields import is_concrete
from ..case import Case
from ..chemistry.species import pretty
from ..measurements import AbstractMeasurements, Trace
from ..noise import LogTransmission, count_unusable
from ..units import um_per_s

_NOISY = 1.2  # of a rejection with noise


class Dataset(AbstractMeasurements):
    """Measured rejections of S species at N points (one feed at one flux), with the case that asks a model for them.

    ``rejection`` and ``sigma`` (standard error) are ``(N, S)`` fractions, NaN where not measured or not given. ``kind`` is
    ``"real"`` (``1 - c_p/c_m``: the feed of the case is the composition at the membrane, and there is no film) or ``"observed"``
    (``1 - c_p/c_b``). ``feed_group`` labels the feed of each point. Points of one feed are not independent: split by feed. ``membrane_group`` names the
    membrane of each point where there are several; ``of(name)`` are the points of one.
    """

    case: Case
    rejection: Array
    sigma: Array
    kind: str = eqx.field(static=True)
    feed_group: tuple[str, ...] = eqx.field(static=True)
    doi: str = eqx.field(static=True, default="")
    source: str = eqx.field(static=True, default="")
    membrane_group: tuple[str, ...] = eqx.field(
        static=True, default=()
    )  # name of the membrane of each point, where several are in one file

    def __check_init__(self) -> None:
        self._check_shapes()
        if is_concrete(self.rejection):
            seen = np.asarray(self.rejection)
            high = float(np.max(seen, where=~np.isnan(seen), initial=-np.inf))
            if high > _NOISY or np.isinf(seen).any():
                percent = " For percent write rejection / 100." if high <= 100.0 else ""
                raise PhysicalRangeError(
                    f"A rejection of {high:g} is above 1 by more than noise: more than all of it is kept.{percent} Give fractions, NaN where none was measured."
                )
        if is_concrete(self.sigma) and bool(np.any(np.asarray(self.sigma) < 0.0)):
            raise PhysicalRangeError(
                f"sigma = {float(np.nanmin(np.asarray(self.sigma))):g} is no standard error. Give numbers above zero, NaN where none is known."
            )

    def _check_shapes(self) -> None:
        """N points of S species everywhere."""
        lanes, s, shape = self.case.batch_shape, len(self.case.feed.species), np.shape(self.rejection)
        fits = len(shape) == 2 and shape[1] == s and lanes in ((), (1,), shape[:1])
        if not fits:
            raise ShapeError(
                f"Dataset.rejection has shape {shape} for a case of {lanes} lanes and {s} species. Give one row for each lane, ({', '.join(map(str, lanes)) or 'N'}, {s}), NaN where "
                "nothing was measured."
            )
        if np.shape(self.sigma) != shape:
            raise ShapeError(
                f"Dataset.sigma has shape {np.shape(self.sigma)}, the rejections {shape}. Give as many: jnp.full_like(rejection, 0.02)."
            )
        if len(self.feed_group) != shape[0]:
            raise ShapeError(
                f"{len(self.feed_group)} labels of feeds for {shape[0]} points. Give one for each: feed_group=('brine',) * {shape[0]}."
            )

    @property
    def measured(self) -> Array:
        """True where a rejection was measured, ``(N, S)``."""
        return ~jnp.isnan(self.rejection)

    def __len__(self) -> int:
        return int(self.measured.sum())

    @property
    def size(self) -> int:
        return self.rejection.size

    @property
    def noise(self) -> Callable:
        return LogTransmission()

    @property
    def title(self) -> str:
        return f"{self.kind} rejections"

    @property
    def quantities(self) -> tuple[str, ...]:
        return (f"{self.kind}_rejection",)

    def residual(self, result: Any, noise: Callable) -> Array:
        computed = getattr(result, self.quantities[0])
        computed = jnp.where(result.ok[..., None], computed, jnp.nan)
        lead = result.ok.shape[: result.ok.ndim - len(self.case.batch_shape)]
        return noise(computed, self.rejection, self.sigma).reshape(*lead, -1)

    def unusable(self, noise: Callable) -> int:
        return count_unusable(noise, self.rejection, self.sigma)

    def again(self, result: Any, noise: Callable) -> Array:
        computed, sigma = getattr(result, self.quantities[0]), jnp.where(self.measured, self.sigma, jnp.nan)
        seen = (result.case.feed.concentration > 0.0) & self.measured.any(axis=0)
        usual = jnp.broadcast_to(jnp.nanmedian(sigma, axis=0), computed.shape)
        return jnp.where(seen, noise(computed, jax.lax.stop_gradient(computed), usual), 0.0)

    def traces(self, quantity: str, result: Any, left: np.ndarray) -> Iterator[Trace]:
        computed, left = np.asarray(getattr(result, quantity)), left.reshape(self.rejection.shape)
        flux = np.broadcast_to(np.asarray(result.volume_flux), self.case.batch_shape) * 3.6e6
        for i, name in enumerate(self.case.feed.species.names):
            kept = np.asarray(self.measured)[:, i]
            if kept.any():
                columns = (100.0 * self.rejection, 100.0 * computed, left, 100.0 * self.sigma)
                yield Trace(pretty(name), name, flux[kept], *(np.asarray(x)[kept, i] for x in columns))

    def words(self, quantity: str) -> tuple[str, str]:
        return f"{self.kind} rejection (%)", "volume flux (LMH)"

    def only(self, kept: np.ndarray) -> "Dataset":
        """The same points with some rejections forgotten: ``kept`` is ``(N,)`` or ``(N, S)``, True for what stays."""
        kept = np.asarray(kept, bool)
        kept = np.broadcast_to(kept[:, None] if kept.ndim == 1 else kept, self.rejection.shape)
        return eqx.tree_at(lambda d: d.rejection, self, jnp.where(kept, self.rejection, jnp.nan))

    def of(self, membrane: str) -> "Dataset":
        """The points of one of several membranes."""
        if membrane not in self.membrane_group:
            raise unknown("Membrane of this dataset", membrane, set(self.membrane_group), "Write data.of('NF270').")
        rows = np.flatnonzero(np.asarray(self.membrane_group) == membrane)
        feeds, part = tuple(self.feed_group[i] for i in rows), self.case[rows]
        case = Case(part.feed, self.case[int(rows[0])].membrane, part.conditions)
        return Dataset(case, self.rejection[rows], self.sigma[rows], self.kind, feeds, self.doi, self.source)

    def on(self, membrane: Any) -> "Dataset":
        """The same measurements, asked of another membrane."""
        return eqx.tree_at(lambda d: d.case, self, Case(self.case.feed, membrane, self.case.conditions))

    def __str__(self) -> str:
        values, sigma = (np.asarray(x)[np.asarray(self.measured)] for x in (self.rejection, self.sigma))
        flux, feeds = (
            np.asarray(self.case.conditions.volume_flux) / um_per_s,
            list(dict.fromkeys(self.feed_group)),
        )
        error = f"sigma {np.nanmin(sigma):.2g} to {np.nanmax(sigma):.2g}" if np.isfinite(sigma).any() else "no sigma"
        return "\n".join([
            f"Dataset, {len(self)} {self.kind} rejections at {len(self.feed_group)} points in {len(feeds)} feeds",
            f"  species    {', '.join(pretty(n) for n in self.case.feed.species.names)}",
            f"  feeds      {'; '.join(feeds[:4])}{'; ...' if len(feeds) > 4 else ''}"[:150],
            f"  flux       {flux.min():.3g} to {flux.max():.3g} um/s",
            f"  rejection  {values.min():.4g} to {values.max():.4g}, {int((values < 0).sum())} negative, {error}",
            f"  source     {self.source or 'not given'}"[:150],
        ])  # fmt: skip
