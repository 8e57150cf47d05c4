"""Measurements of any quantities of a Result: ``jm.measured(case, current=(values, sigma))``."""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError, PhysicalRangeError, ShapeError, unknown
from ..case import Case
from ..measurements import AbstractMeasurements, Trace
from ..noise import Gaussian, count_unusable
from .measured_csv import read_measured, unit_of


class Measured(AbstractMeasurements):
    """Numbers that were measured in the lanes of a case: attributes of the Result by name, SI, with their standard errors.

    ``values`` and ``errors`` are ``(*batch, ...)`` each, in the order of ``quantities``; a value that was not measured is NaN.
    """

    case: Case
    quantities: tuple[str, ...] = eqx.field(static=True)
    values: tuple[Array, ...]
    errors: tuple[Array, ...]
    source: str = eqx.field(static=True, default="")

    @property
    def size(self) -> int:
        return sum(x.size for x in self.values)

    @property
    def noise(self) -> Callable:
        return Gaussian()

    @property
    def title(self) -> str:
        return "measurements of " + ", ".join(_words(x) for x in self.quantities)

    def __len__(self) -> int:
        return sum(int(jnp.sum(~jnp.isnan(x))) for x in self.values)

    def residual(self, result: Any, noise: Callable) -> Array:
        lead, rows = result.ok.shape[: result.ok.ndim - len(self.case.batch_shape)], []
        for name, measured, error in zip(self.quantities, self.values, self.errors, strict=True):
            computed = _computed(result, name)
            if computed.shape != (*lead, *measured.shape):
                raise ShapeError(f"{name} of the Result has shape {computed.shape[len(lead) :]}, what was measured {measured.shape}. Give one value for each.")  # fmt: skip
            rows.append(noise(computed, measured, error).reshape(*lead, -1))
        return jnp.concatenate(rows, axis=-1)

    def unusable(self, noise: Callable) -> int:
        return sum(count_unusable(noise, *given) for given in zip(self.values, self.errors, strict=True))

    def again(self, result: Any, noise: Callable) -> Array:
        rows = []
        for name, measured, error in zip(self.quantities, self.values, self.errors, strict=True):
            computed = _computed(result, name)
            usual = jnp.nanmedian(jnp.where(jnp.isnan(measured), jnp.nan, error))
            row = noise(computed, jax.lax.stop_gradient(computed), jnp.full_like(computed, usual))
            rows.append(row.reshape(*result.ok.shape, -1))
        return jnp.concatenate(rows, axis=-1)

    def traces(self, quantity: str, result: Any, left: np.ndarray) -> Iterator[Trace]:
        i = self.quantities.index(quantity)
        measured, error = (np.asarray(x[i]) for x in (self.values, self.errors))
        begin = sum(x.size for x in self.values[:i])
        left = left[begin : begin + measured.size].reshape(measured.shape)
        computed, kept = np.asarray(_computed(result, quantity)), ~np.isnan(measured)
        along = np.flatnonzero(kept) if kept.ndim < 2 else np.nonzero(kept)[0]
        yield Trace(_words(quantity), quantity, along, *(x[kept] for x in (measured, computed, left, error)))

    def words(self, quantity: str) -> tuple[str, str]:
        unit = unit_of(quantity)
        return f"{_words(quantity)} ({'SI' if unit is None else unit})", "measurement"

    def __str__(self) -> str:
        lines = [f"{len(self)} measurements in {int(np.prod(self.case.batch_shape, dtype=int))} lanes"]
        for name, measured, error in zip(self.quantities, self.values, self.errors, strict=True):
            there = ~np.isnan(np.asarray(measured))
            x, e = np.asarray(measured)[there], np.asarray(error)[there]
            lines.append(f"  {name:<24}  {x.min():.4g} to {x.max():.4g}, sigma {e.min():.2g} to {e.max():.2g}")
        return "\n".join(lines)


def measured(
    case: Case, quantities: Mapping[str, Any] | str | Path | None = None, /, *, source: str = "", **named: Any
) -> Measured:
    """Measurements for ``jm.fit``: ``jm.measured(case, permeate_flow=(values, sigma), permeate_concentration=(values, sigma))``.

    Names are attributes of the Result that the model gives; those with dots, also of one species, stand in a mapping,
    ``{"observed_rejection.Na+": (values, sigma)}``. Values have the lanes of the case first, SI, NaN where nothing was measured. ``sigma``: one
    standard error, a number or one for each value.

    ``jm.measured(case, "tests.csv")`` reads them, and what was set, from a file: see ``jaxmem/data/measured_csv.py``.
    """
    wrong = JaxmemError("Measurements belong to a case. Write jm.measured(case, permeate_flow=(values, sigma)).")
    if not isinstance(case, Case):
        raise wrong
    if isinstance(quantities, str | Path):
        case, quantities, note = read_measured(Path(quantities), case)
        source = source or note
    every = {**(quantities or {}), **named}
    if not every:
        raise wrong
    values, errors = zip(*(_pair(case, name, given) for name, given in every.items()), strict=True)
    return Measured(case, tuple(every), values, errors, source)


def _pair(case: Case, name: str, given: Any) -> tuple[Array, Array]:
    if not isinstance(given, tuple) or len(given) != 2:
        raise JaxmemError(f"{name} needs values and their standard error. Write {name}=(values, 0.02 * values).")
    batch = case.batch_shape
    try:
        value, error = (jnp.asarray(x, float) for x in given)
    except (TypeError, ValueError) as wrong:
        raise JaxmemError(f"{name} holds something that is no number ({wrong}). Write {name}=(values, 0.02 * values).") from wrong  # fmt: skip
    if error.ndim and error.shape == batch:  # one for each lane
        error = error.reshape(*batch, *(1,) * (value.ndim - len(batch)))
    try:
        if value.shape[: len(batch)] != batch:
            raise ValueError("not one value for each lane")
        error = jnp.broadcast_to(error, value.shape)
    except ValueError as wrong:
        raise ShapeError(
            f"{name}: values {value.shape} and sigma {error.shape} do not fit the lanes {batch} of the case. Lanes come first."
        ) from wrong
    there = ~jnp.isnan(value)
    if not bool(there.any()):
        raise JaxmemError(f"{name} holds no measurement. Leave it out.")
    if bool(jnp.any(jnp.isinf(value))) or not bool(jnp.all(jnp.where(there, (error > 0.0) & jnp.isfinite(error), True))):  # fmt: skip
        raise PhysicalRangeError(
            f"{name}: every value needs a standard error above zero, and must be finite. Write {name}=(values, 0.02 * abs(values))."
        )
    return value, jnp.where(there, error, 1.0)


def _computed(result: Any, name: str) -> Array:
    """An attribute of the Result, of one species where ``.Na+`` follows its name; failed lanes are not a number."""
    path, _, last = name.rpartition(".")
    species = result.case.feed.species.names
    try:
        found = jnp.asarray(attrgetter(path if last in species else name)(result))
        if last in species:
            found = found[..., species.index(last)]
    except (AttributeError, TypeError):
        known = [n for n in (*result.__dataclass_fields__, *dir(type(result))) if not n.startswith("_")]
        line = f"Measured can be arrays of {type(result).__name__}, such as 'volume_flux'."
        raise unknown("Quantity of the Result", name, list(dict.fromkeys(known)), line) from None
    ok = result.ok
    if found.ndim < ok.ndim:
        found = jnp.broadcast_to(found, ok.shape)
    return jnp.where(ok.reshape(*ok.shape, *(1,) * (found.ndim - ok.ndim)), found, jnp.nan)


def _words(name: str) -> str:
    return name.replace("_", " ").replace(".", ", ")
