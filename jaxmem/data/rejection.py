"""Measured rejections from a CSV file: ``jm.dataset(path)`` reads, checks and groups them into one batched case."""

import difflib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import DataFileError, PhysicalRangeError, ShapeError, unknown
from .._fields import is_concrete, quantities
from ..case import Case
from ..chemistry.mixture import Mixture
from ..chemistry.species import canonical, pretty, records, species
from ..conditions import FluxDriven
from ..constants import STANDARD_TEMPERATURE
from ..measurements import AbstractMeasurements, Trace
from ..membranes.pore import PoreMembrane, membrane_records
from ..membranes.pore import membrane as named_membrane
from ..membranes.provenance import Provenance
from ..noise import LogTransmission, count_unusable
from ..units import um_per_s
from .table import MISSING, Column, Table, assigned, evened, number, read, refuse_charge, species_of

TRACE_SALTS = ("NaNO3", "NH4Cl")  # what trace_salt_mM_each stands for
_HIGHEST = {
    n: f.metadata["high"]
    for t in (FluxDriven, Mixture)
    for n, f in t.__dataclass_fields__.items()
    if "high" in f.metadata
}


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


def dataset(path: str | Path, membrane: Any = None, balance: str | None = None) -> Dataset:
    """Read measured rejections from a CSV file, one row per value.

    Columns: ``solute``; a flux with its unit, ``Jv [LMH]`` or ``Jv_um_s``; the feed, ``c_Na [mM]`` or ``c_Na_mg_L``, one per ion;
    ``R_observed`` or ``R_real`` (also ``R_intrinsic``), a fraction, or percent with ``[%]``. Optional: ``sigma_R`` (or
    ``R_read_err``), ``T [degC]`` (25 C when absent), ``feed`` (a label), ``membrane``, ``sigma_Jv [LMH]`` (``Jv_read_err_um_s``).
    In place of ``c_`` columns: ``dominant_salt``, ``dominant_salt_mM`` and ``trace_salt_mM_each`` (of NaNO3 and of NH4Cl each).
    The rejection of a salt belongs to its cation. A unit may stand in a second header row. Lines with ``#`` are comments; those
    before the header become ``source`` and ``doi``. Other columns are ignored.

    Values of one feed at equal flux form a point. Different solutes whose fluxes agree within the flux error form one too, at
    their median flux. ``membrane``: the membrane of the case; looked up by the name in the file when None. Where the file names several, each point is asked of its own
    pore, from the records or from a mapping, ``membrane={"NF90": jm.PoreMembrane(...)}``. The case has no film:
    for observed rejections, give ``case.conditions`` that of the cell. ``balance="Cl-"`` adjusts that ion of every feed until it is neutral;
    without, a feed that carries a charge is refused.

    Raises ``DataFileError`` with file, line and column.
    """
    table = read(Path(path))
    columns, ions = assigned(table)
    ion = None if balance is None else canonical(balance)
    rows = [_Reader(table, line, cells, columns, ions, ion).row() for line, cells in table.rows]
    points = _points(table, columns["rejection"].name, rows)
    kind = "real" if "real" in columns else "observed"
    names = list(dict.fromkeys(name for row in rows for name, _ in row.feed.amounts))
    concentration = np.zeros((len(points), len(names)))
    rejection, sigma = np.full((2, len(points), len(names)), np.nan)
    for n, point in enumerate(points):
        for name, amount in point[0].feed.amounts:
            concentration[n, names.index(name)] = amount
        for row in point:
            rejection[n, names.index(row.solute)], sigma[n, names.index(row.solute)] = row.rejection, row.sigma
    temperature: Any = jnp.asarray([p[0].feed.temperature for p in points])
    feed = Mixture(species(*names), concentration, temperature)
    flux = jnp.asarray([float(np.median([row.flux for row in p])) for p in points])
    of = tuple(p[0].membrane for p in points)
    case = Case(feed, _membrane(table, columns.get("membrane"), membrane, of), FluxDriven(flux))
    doi = re.search(r"10\.\d{4,9}/[^\s,;]+", table.comment)
    labels, numbers = tuple(p[0].feed.label for p in points), (jnp.asarray(rejection), jnp.asarray(sigma))
    several = of if len(set(of)) > 1 else ()
    return Dataset(case, *numbers, kind, labels, doi[0].rstrip(".)") if doi else "", table.comment, several)


# --- cells to rows


class _Feed(NamedTuple):
    label: str
    temperature: float
    amounts: tuple[tuple[str, float], ...]  # mol/m3


class _Row(NamedTuple):
    line: int
    feed: _Feed
    solute: str
    flux: float
    rejection: float
    flux_error: float
    sigma: float
    membrane: str


@lru_cache
def salts() -> dict[str, dict[str, int]]:
    """Ions of every salt that the species table can form, ``{"MgCl2": {"Mg+2": 1, "Cl-": 2}, ...}``, by charge balance."""

    def part(name: str, count: int) -> str:
        formula = re.sub(r"[+-]\d*$", "", name)
        several = len(re.findall(r"[A-Z]|\d", formula)) > 1
        return formula if count == 1 else f"({formula}){count}" if several else f"{formula}{count}"

    charge = {name: int(record["charge"]) for name, record in records().items()}
    found = {}
    for cation, anion in itertools.product(
        (n for n, z in charge.items() if z > 0), (n for n, z in charge.items() if z < 0)
    ):
        common = math.gcd(charge[cation], -charge[anion])
        counts = {cation: -charge[anion] // common, anion: charge[cation] // common}
        found["".join(part(*item) for item in counts.items())] = counts
    return found


class _Reader(NamedTuple):
    """The cells of one row, with what is needed to name the place of a mistake."""

    table: Table
    line: int
    cells: list[str]
    columns: dict[str, Column]
    ions: dict[str, Column]
    balance: str | None

    def error(self, column: Column, text: str) -> DataFileError:
        return self.table.error(self.line, column.name, text)

    def text(self, role: str) -> str:
        return self.cells[self.columns[role].index] if role in self.columns else ""

    def number(
        self, column: Column, low: float = -math.inf, high: float = math.inf, hint: str = "Check the unit."
    ) -> float:
        """A cell in SI; refuses what is not a finite number within ``low`` and ``high`` (SI)."""
        return number(self.table, self.line, column, self.cells[column.index], low, high, hint)

    def optional(self, role: str, low: float, absent: float) -> float:
        given = self.text(role).lower() not in MISSING
        return self.number(self.columns[role], low, hint="Leave it empty when unknown.") if given else absent

    def amounts(self) -> dict[str, float]:
        """Feed composition, mol/m3: the salts split into ions, plus the ``c_`` columns; refused when it carries a charge."""
        added: dict[str, float] = {}
        for role, names in (("salt_amount", (self.text("salt"),)), ("trace_amount", TRACE_SALTS)):
            amount = self.number(self.columns[role], 0.0, _HIGHEST["concentration"]) if role in self.columns else 0.0
            for salt in names if amount else ():
                if salt not in salts():
                    close = ", ".join(difflib.get_close_matches(salt, salts(), n=3, cutoff=0.4)) or "NaCl, MgSO4"
                    raise self.error(
                        self.columns["salt"], f"{salt!r} is not known. Closest: {close}. Write for example MgCl2."
                    )
                for ion, count in salts()[salt].items():
                    added[ion] = added.get(ion, 0.0) + count * amount
        for ion, column in self.ions.items():
            added[ion] = added.get(ion, 0.0) + self.number(
                column, 0.0, _HIGHEST["concentration"], "Write 0 for an ion that is absent."
            )
        if self.balance is not None:
            added = evened(self.table, self.line, added, self.balance)
        refuse_charge(self.table, self.line, self.ions, added, ", or read with jm.dataset(path, balance='{ion}')")
        return added

    def row(self) -> _Row:
        columns, solute, amounts = self.columns, self.text("solute"), self.amounts()
        temperature = (
            self.number(columns["temperature"], 253.0, 400.0) if "temperature" in columns else STANDARD_TEMPERATURE
        )
        composition = ", ".join(f"{ion} {amount:.4g}" for ion, amount in amounts.items() if amount > 0.0) + " mM"
        salt = (
            f"{self.text('salt')} {self.text('salt_amount')} {columns['salt_amount'].unit}"
            if self.text("salt")
            else composition
        )
        feed = _Feed(self.text("label") or salt, temperature, tuple(amounts.items()))
        present = {ion for ion, amount in feed.amounts if amount > 0.0}
        if solute in salts() and (solute == self.text("salt") or set(salts()[solute]) == present):
            solute = next(iter(salts()[solute]))
        solute = species_of(self.table, self.line, columns["solute"].name, solute)
        if solute not in present:
            wrong = f"{solute} is not in the feed, which has {', '.join(sorted(present))}"
            raise self.error(columns["solute"], f"{wrong}. Give it a column c_{solute} [mM].")
        percent = columns["rejection"].unit == "%"
        most = (
            "Nothing is rejected by more than 100 %."
            if percent
            else "At most 1; for percent name the column R_observed [%]."
        )
        rejection = self.number(columns["rejection"], high=1.0, hint=most)
        flux = self.number(
            columns["flux"], 0.0, _HIGHEST["volume_flux"], "The flux is positive towards the permeate; check its unit."
        )
        errors = self.optional("flux error", 0.0, 0.0), self.optional("sigma", 1e-300, math.nan)
        return _Row(self.line, feed, solute, flux, rejection, *errors, self.text("membrane"))


# --- rows to points


def _points(table: Table, column: str, rows: list[_Row]) -> list[list[_Row]]:
    """Rows of one membrane, feed and flux together; feeds in the order of the file, fluxes ascending."""
    feeds: dict[Any, list[list[_Row]]] = {(row.membrane, row.feed): [] for row in rows}
    for row in sorted(rows, key=lambda r: r.flux):
        points = feeds[row.membrane, row.feed]
        if not points or not math.isclose(points[-1][-1].flux, row.flux, rel_tol=1e-9):
            points.append([])
        twin = next((r for r in points[-1] if r.solute == row.solute), None)
        if twin is None:
            points[-1].append(row)
        elif twin.rejection != row.rejection or not (twin.sigma == row.sigma or math.isnan(twin.sigma + row.sigma)):
            what = [f"{r.rejection:g}" + ("" if math.isnan(r.sigma) else f" +- {r.sigma:g}") for r in (row, twin)]
            wrong = f"{row.solute} has {what[0]} here and {what[1]} in line {twin.line}, at one feed and flux"
            raise table.error(row.line, column, f"{wrong}. Average the two, or tell them apart in a column feed.")
        elif math.isnan(twin.sigma):  # the same reading, with its error
            points[-1] = [row if r is twin else r for r in points[-1]]
    return [point for points in feeds.values() for point in _merged(points)]


def _merged(points: list[list[_Row]]) -> list[list[_Row]]:
    """Neighbouring points of different solutes whose fluxes agree within their errors, joined, the closest first."""
    while True:
        gaps = {}
        for i, (low, high) in enumerate(itertools.pairwise(points)):
            gap = high[0].flux - low[-1].flux
            if gap <= high[0].flux_error + low[-1].flux_error and not {r.solute for r in low} & {
                r.solute for r in high
            }:
                gaps[i] = gap
        if not gaps:
            return points
        i = min(gaps, key=gaps.__getitem__)
        points = [*points[:i], points[i] + points[i + 1], *points[i + 2 :]]


def _membrane(table: Table, column: Column | None, given: Any, of: tuple[str, ...]) -> Any:
    """That of the case; of several, pores with a number for each point."""
    at = {cells[column.index]: line for line, cells in reversed(table.rows)} if column else {"": table.line}
    where, own = column.name if column else "membrane", given if isinstance(given, Mapping) else {}
    names = f"there are {len(at)} membranes: {', '.join(at)}"
    if given is not None and not own:
        if len(at) > 1:
            raise table.error(
                max(at.values()), where, f"{names}, and membrane= is one for all of them. Write membrane={{name: ...}}."
            )
        return given
    for name, line in at.items():
        if name not in own and name not in membrane_records():
            known = f"membrane {name!r} has no record. Known are {', '.join(membrane_records())}"
            dictionary = f"{{{name!r}: jm.PoreMembrane(...)}}" if len(at) > 1 else "jm.membrane('NF270')"
            raise table.error(
                line,
                where,
                f"{known if name else 'no membrane is named'}. Write jm.dataset(path, membrane={dictionary}).",
            )
    walls = {name: own[name] if name in own else named_membrane(name) for name in at}
    if len(at) == 1:
        return next(iter(walls.values()))
    odd = next((name for name, wall in walls.items() if not isinstance(wall, PoreMembrane)), None)
    if odd is not None:
        raise table.error(max(at.values()), where, f"{names}, and {odd!r} is no pore. Write one file for each.")
    numbers = {name: jnp.stack([getattr(walls[m], name) for m in of]) for name in quantities(PoreMembrane)}
    source = "; ".join(f"{name}: {wall.provenance.source}" for name, wall in walls.items())
    return PoreMembrane(**numbers, provenance=Provenance(", ".join(walls), source))
