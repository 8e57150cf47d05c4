"""``jm.sweep``: many cases through one model, on disk, in chunks that survive being killed."""

import operator
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import DataFileError, JaxmemError, StoreMismatchError
from ..case import Case, all_quantities, at_path
from ..free import Free
from ..models.base import AbstractModel
from ..models.solve import solve
from .designs import AbstractDesign, described
from .devices import spread
from .manifest import compare, fingerprint, manifest
from .store import NOT_DONE, Layout, Store
from .study import Study


class Plan(NamedTuple):
    """What a sweep would take: nothing was written. ``seconds`` follow from ``tried`` lanes, and leave out ``compile_seconds``."""

    lanes: int
    missing: int  # of them, not in the store yet
    chunks: int
    bytes: int  # before compression
    seconds: float
    compile_seconds: float
    tried: int
    failed: int

    def __str__(self) -> str:
        amount = next(f"{self.bytes / 1e3**k:.3g} {u}B" for k, u in ((3, "G"), (2, "M"), (1, "k")) if self.bytes >= 1e3**k or k == 1)  # fmt: skip
        return (
            f"{self.lanes} lanes in {self.chunks} chunks, {self.missing} to compute: about {self.seconds:.3g} s after {self.compile_seconds:.2g} s of "
            f"compilation, {amount} before compression; {self.failed} of {self.tried} lanes tried have no solution"
        )


def sweep(
    model: Any,
    cases: Case,
    *,
    store: str | Path,
    free: Free | None = None,
    design: AbstractDesign | None = None,
    chunk: int | np.integer = 16_384,
    keep: tuple[str, ...] | None = None,
    notes: Mapping[str, Any] | None = None,
    shard: tuple[int, int] | None = None,
    dry_run: bool = False,
    console: Any = None,
    told: Callable[[int, int], None] | None = None,
) -> Any:
    """Solve many cases chunk by chunk, on all devices of this process, and keep the answers in the folder ``store``.

    ``cases`` is a batched case, or one case with ``free`` numbers at the points of a ``design`` (``jm.Grid``, ``jm.Random``, ``jm.LatinHypercube``,
    ``jm.Sobol``), whose axes come first.

    Call it again after an interruption: only chunks that are missing or damaged are computed, and the bytes are those of an uninterrupted run. A folder that holds
    another study (other model, cases, chunk, versions, device) is refused. Lanes that fail are NaN (counts and flags keep what they had), with their ``status``;
    ``jm.retry`` puts them to another model.

    ``keep``: attributes of the Result to store (``"observed_rejection"``, ``"scaled_current.value"``), else those that its class names. Inputs that
    vary are stored beside them. ``notes`` go into the manifest. ``console``: a rich console for the progress bar; or ``told(lanes, failed)`` is called after every chunk,
    and once for what was there before.

    ``shard=(i, n)``: only every n-th chunk, from the i-th on; n processes write to one store. Left out, a Slurm array (``SLURM_ARRAY_TASK_ID``) and
    ``jax.distributed`` shard by themselves. ``dry_run``: a ``Plan`` of size and time, from a few lanes; nothing is written.
    """
    if not isinstance(model, AbstractModel):
        raise JaxmemError(f"{model!r} is not a model. Write jm.sweep(jm.DSPMDE(), cases, store='study.zarr').")
    cases, words = _asked(cases, free, design)
    place, lanes = _place(store), int(np.prod(cases.batch_shape))
    chunk, part = min(_count(chunk), lanes), _shard(shard)
    model.check(cases)
    layouts, kept = _layouts(model, cases, chunk, keep)
    begins = range(0, lanes, chunk)[part[0] :: part[1]]
    answers = _answers(model, tuple(kept))
    asked = manifest(model, cases, chunk, kept, dict(notes or {}), words)
    if dry_run:
        if place.exists:
            compare(place.path, place.manifest(), asked)
        return _plan(place, cases, begins, chunk, layouts, answers)
    with _told_of_disks(place), place.locked(share=part[1] > 1):
        with place.locked(wait=True, suffix=".begin.lock") if part[1] > 1 else nullcontext():
            place.begin(asked, layouts, chunk, alone=part[1] == 1)
        done = place.status(checked=True) != NOT_DONE
        missing = [b for b in begins if not done[b : b + chunk].all()]
        ours, left = (sum(min(chunk, lanes - b) for b in some) for some in (begins, missing))
        written = _written(place, _computed(answers, cases, missing, chunk))
        with _progress(console, told, ours, ours - left) as bar, closing(written):  # nothing is written after the lock
            for status in written:
                bar(len(status), int(np.sum(status != 0)))
    return Study(store)


def retry(
    model: Any,
    cases: Case,
    *,
    store: str | Path,
    free: Free | None = None,
    design: AbstractDesign | None = None,
    console: Any = None,
    told: Callable[[int, int], None] | None = None,
) -> Study:
    """Put the failed lanes of a study to another model, more patient or more robust; what it solves replaces the NaN.

    The cases are those of the study, the model must answer with the quantities that it keeps. Failed lanes are packed into full chunks. The study
    says which models were tried, and on how many lanes (``study.retries``).
    """
    cases, _ = _asked(cases, free, design)
    place, study = _place(store), Study(store)
    stored, chunk = study.manifest["cases"], int(study.manifest["chunk"])
    if stored != {"shape": list(cases.batch_shape), "sha256": fingerprint(cases)}:
        raise StoreMismatchError(f"{place.path} holds other cases, of shape {stored['shape']}. Nothing was written. Give the cases of the sweep.")  # fmt: skip
    model.check(cases)
    names = tuple(study.manifest["keep"])
    layouts, _ = _layouts(model, cases, chunk, names)
    odd = [n for n in names if layouts[n].shape != (found := study.store.layout(n)).shape or layouts[n].dtype != found.dtype]  # fmt: skip
    if odd:
        raise StoreMismatchError(f"{model.title()} answers {odd[0]!r} in another shape or type than this study holds. Nothing was written. Choose another model.")  # fmt: skip
    answers, solved = _answers(model, names), 0
    with _told_of_disks(place), place.locked():
        status, before = place.status(), study.retries
        broken = np.flatnonzero(status != place.status(checked=True))
        if len(broken):
            raise DataFileError(f"{place.path} is damaged from lane {broken[0]} on. Nothing was written. Sweep again: what is damaged is computed anew; then retry.")  # fmt: skip
        failed = np.flatnonzero(status > 0)
        if not len(failed):
            return study
        trial = {"title": model.title(), "sha256": fingerprint(model), "tried": 0, "solved": 0}
        place.put("retries", [*before, trial])  # before the first answer, whatever happens then
        with _progress(console, told, len(failed), 0) as bar:
            for begin in range(0, len(failed), chunk):
                lanes = failed[begin : begin + chunk]
                n = len(lanes)
                padded = np.concatenate([lanes, np.full(chunk - n, lanes[-1])])
                found = {name: x[:n] for name, x in answers(_lanes(cases, padded)).items()}
                good = int(np.sum(found["status"] == 0))
                place.patch(lanes, chunk, found)
                solved += good
                place.put("retries", [*before, {**trial, "tried": begin + n, "solved": solved}])
                bar(n, n - good)
    return Study(store)


# ------------------------------------------------------------------------------------------------ what was asked


def _asked(cases: Case, free: Free | None, design: AbstractDesign | None) -> tuple[Case, Any]:
    """The batched case, and the design in words."""
    if not isinstance(cases, Case):
        raise JaxmemError("A sweep needs a case. Write jm.sweep(model, jm.Case(feed, membrane, conditions), store='study.zarr').")  # fmt: skip
    if (free is None) != (design is None):
        raise JaxmemError("free= and design= go together. Write free=jm.Free(pore_radius=jm.LogInterval(0.3e-9, 0.8e-9)), design=jm.Sobol(1024).")  # fmt: skip
    words = None
    if free is not None and design is not None:
        if not isinstance(free, Free) or not isinstance(design, AbstractDesign):
            raise JaxmemError(f"free = {free!r} and design = {design!r} make no points. Write free=jm.Free(...), design=jm.Sobol(1024).")  # fmt: skip
        cases, words = design.apply(cases, free), described(cases, free, design)
    if not cases.batch_shape:
        raise JaxmemError(
            "A sweep needs a batched case. Write jm.sweep(model, jm.Case(feed, membrane, jm.FluxDriven(jnp.linspace(1, 100, 64) * LMH)), store='study.zarr'), "
            "or add free= and design=."
        )
    return cases, words


def _count(chunk: Any) -> int:
    if isinstance(chunk, bool) or not hasattr(chunk, "__index__") or operator.index(chunk) < 1:
        raise JaxmemError(f"chunk = {chunk!r} is no number of lanes. Write chunk=16_384.")
    return operator.index(chunk)


def _place(store: Any) -> Store:
    if not isinstance(store, str | Path) or not Path(store).name:
        raise JaxmemError(f"store = {store!r} is no folder. Write store='study.zarr'.")
    return Store(Path(store))


def _shard(shard: Any) -> tuple[int, int]:
    """Which of how many parts this process computes: as asked, of a Slurm array, or of ``jax.distributed``."""
    if shard is None:
        part, parts = _slurm()
        shard = (part * jax.process_count() + jax.process_index(), parts * jax.process_count())
    try:
        i, n = (operator.index(x) for x in shard)
    except (TypeError, ValueError):
        i, n = -1, 0
    if not 0 <= i < n:
        raise JaxmemError(f"shard = {shard!r} is no part of a whole. Write shard=(0, 4) for the first of four.")
    return i, n


def _slurm() -> tuple[int, int]:
    """Which task of how many of a Slurm array this is; (0, 1) outside of one."""
    names = ("ID", "MIN", "MAX", "COUNT")
    given = [os.environ.get(f"SLURM_ARRAY_TASK_{x}") for x in names]
    if None in given:
        return 0, 1
    try:
        task, first, last, count = (int(x) for x in given if x is not None)
        step = int(os.environ.get("SLURM_ARRAY_TASK_STEP", "1"))
    except ValueError as error:
        told = dict(zip(names, given, strict=True))
        raise JaxmemError(
            f"SLURM_ARRAY_TASK_* of the environment are no numbers: {told}. Write shard=(i, n), or unset them."
        ) from error
    if (last - first) // step + 1 != count:
        raise JaxmemError(f"This Slurm array has {count} tasks between {first} and {last}, not one after another: which part is this? Write shard=(0, {count}).")  # fmt: skip
    return (task - first) // step, count


# ------------------------------------------------------------------------------------------------ lanes and answers


def _computed(answers: Callable, cases: Case, begins: list[int], chunk: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:  # fmt: skip
    """Chunk after chunk: where it begins, its answers and the inputs that vary."""
    for begin in begins:
        n = min(chunk, int(np.prod(cases.batch_shape)) - begin)
        given = _inputs(cases, begin + np.arange(chunk))
        yield begin, {name: x[:n] for name, x in {**answers(_with(cases, given)), **given}.items()}


def _written(place: Store, chunks: Iterator[tuple[int, dict[str, np.ndarray]]]) -> Generator[np.ndarray, None, None]:
    """The status of each chunk once it is on disk; while one is written the next is computed."""
    with ThreadPoolExecutor(1) as disk:
        writing, status = None, np.zeros(0, np.int16)
        for begin, found in chunks:
            if writing is not None:
                writing.result()
                yield status
            writing, status = disk.submit(place.write, begin, found), found["status"]
        if writing is not None:
            writing.result()
            yield status


def _lanes(cases: Case, index: np.ndarray) -> Case:
    """Lanes of the cases in C order; beyond the end the last is repeated, so that every chunk has one shape."""
    return _with(cases, _inputs(cases, index))


def _with(cases: Case, given: dict[str, np.ndarray]) -> Case:
    """The cases with these numbers at their paths."""
    paths = [p.split(".") for p in given]
    return eqx.tree_at(lambda c: [at_path(c, p) for p in paths], cases, [jnp.asarray(x) for x in given.values()])


def _inputs(cases: Case, index: np.ndarray) -> dict[str, np.ndarray]:
    """Quantities that vary, at some lanes."""
    shape = cases.batch_shape
    where, found = np.unravel_index(np.minimum(index, int(np.prod(shape)) - 1), shape), {}
    for path, value, meta in all_quantities(cases):
        lead = value.ndim - meta["ndim"]
        if lead:
            found[path] = np.broadcast_to(np.asarray(value), shape + value.shape[lead:])[where]
    return found


def _picked(keep: tuple[str, ...], model: Any, case: Case) -> dict[str, Array]:
    """What is stored of the Result, failed lanes as NaN."""
    result = solve(model, case, throw=False)
    lanes, found = jnp.shape(result.status), {"status": jnp.asarray(result.status, jnp.int16)}
    for name in keep:
        value = jnp.asarray(attrgetter(name)(result))
        value = value if value.ndim else jnp.broadcast_to(value, lanes)
        if jnp.issubdtype(value.dtype, jnp.floating):
            value = jnp.where(jnp.reshape(result.ok, (-1, *(1,) * (value.ndim - 1))), value, jnp.nan)
        found[name] = value
    return found


def _answers(model: Any, keep: tuple[str, ...]) -> Callable[[Case], dict[str, np.ndarray]]:
    """The stored quantities of a chunk, from all devices of this process."""
    devices, picked = jax.local_devices(), eqx.Partial(_picked, keep, model)
    call = picked if len(devices) == 1 else spread(picked, devices)
    return lambda case: {name: np.asarray(x) for name, x in call(case).items()}


def _layouts(model: AbstractModel, cases: Case, chunk: int, keep: tuple[str, ...] | None) -> tuple[dict[str, Layout], dict[str, tuple]]:  # fmt: skip
    """Every quantity to store, inputs that vary included, and the axes of those that are kept; nothing is computed, only shapes."""
    if keep is not None and (
        not isinstance(keep, tuple | list) or not keep or any(not isinstance(n, str) for n in keep)
    ):
        raise JaxmemError(f"keep = {keep!r} is no tuple of names. Write keep=('observed_rejection',).")
    kinds: list[type] = []

    def shapes(case: Case) -> dict[str, Any]:
        result = solve(model, case, throw=False)
        kinds.append(type(result))
        names = keep or getattr(type(result), "kept", None)
        if keep is None and getattr(result, "learned", False):
            names = (*(names or ()), "outside")
        if names is None:
            raise JaxmemError(
                f"{type(result).__name__} does not say what to store. Write keep=('recovery', 'feed_pressure'), with attributes of the Result."
            )
        found = {}
        for name in names:
            try:
                found[name] = jnp.asarray(attrgetter(name)(result))
            except (AttributeError, TypeError) as error:
                raise JaxmemError(
                    f"The Result has no array {name!r} ({error}). Write keep= with attributes of {type(result).__name__}."
                ) from error
        return found

    found = eqx.filter_eval_shape(shapes, _lanes(cases, np.arange(chunk)))
    axes, layouts = getattr(kinds[0], "kept", {}), {}
    for name, value in found.items():
        if name.split(".")[0] in ("case", "clean", "model") or (value.ndim and value.shape[0] != chunk):
            raise JaxmemError(
                f"{name!r} has no axis of lanes. Inputs that vary are stored anyway: leave it out of keep=."
            )
        tail, own = value.shape[1:], tuple(axes.get(name, ()))
        dims = own[-len(tail) :] if tail and len(own) >= len(tail) else tuple(f"{name}_{i}" for i in range(len(tail)))
        own_doc = getattr(kinds[0], name.split(".")[0], None)
        text = own_doc.__doc__ if isinstance(own_doc, property) else None
        layouts[name] = Layout(tail, value.dtype, dims, {"long_name": text.strip().splitlines()[0]} if text else {})
    kept = {name: tuple(axes.get(name, ())) for name in found}
    for path, value, meta in all_quantities(cases):
        if value.ndim > meta["ndim"]:
            tail = value.shape[value.ndim - meta["ndim"] :]
            dims = tuple(f"{path}_{i}" for i in range(len(tail)))
            layouts[path] = Layout(tail, value.dtype, dims, {"units": meta["unit"], "long_name": meta.get("doc", "")})
    layouts["status"] = Layout((), np.int16, (), {})
    return layouts, kept


def _plan(place: Store, cases: Case, begins: range, chunk: int, layouts: dict[str, Layout], answers: Callable) -> Plan:
    """Lanes from all over the sweep, timed twice: with and without compilation."""
    lanes, tried = int(np.prod(cases.batch_shape)), min(chunk, 1024)
    ours = sum(min(chunk, lanes - b) for b in begins)
    done = (place.status() != NOT_DONE) if place.exists else np.zeros(lanes, bool)
    missing = int(sum(min(chunk, lanes - b) for b in begins if not done[b : b + chunk].all()))
    some = _lanes(cases, np.linspace(0, lanes - 1, tried).astype(int))
    times = []
    for _ in range(2):
        start = time.perf_counter()
        found = answers(some)
        times.append(time.perf_counter() - start)
    size = sum(int(np.prod(x.shape, dtype=int)) * np.dtype(x.dtype).itemsize for x in layouts.values())
    failed = int(np.sum(found["status"] != 0))
    return Plan(ours, missing, len(begins), size * ours, times[1] * missing / tried, times[0] - times[1], tried, failed)


# ------------------------------------------------------------------------------------------------ around it


@contextmanager
def _told_of_disks(place: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise JaxmemError(
            f"{place.path} cannot be written: {error}. What was stored stays; sweep again with room, or give another store=."
        ) from error


@contextmanager
def _progress(console: Any, told: Callable | None, total: int, done: int) -> Iterator[Callable[[int, int], None]]:
    """A function of lanes done, and failed among them; silent without anyone to tell."""
    if console is None:
        tell = told or (lambda lanes, failed: None)
        tell(done, 0)
        yield tell
        return
    from ..progress import bar

    with bar(console, total) as shown:
        shown.say("Sweep (compiling)")
        shown.skip(done)

        def count(lanes: int, failed: int) -> None:
            shown.say("Sweep")
            shown.lanes(lanes, failed)

        yield count
