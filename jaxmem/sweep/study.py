"""``jm.sweep``: many cases through one model, on disk, in chunks that survive being killed."""

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._errors import JaxmemError
from .._status import names
from ..case import Case, all_quantities, at_path
from ..models.base import AbstractModel
from ..models.solve import solve
from .manifest import manifest
from .store import NOT_DONE, Store


class Study:
    """A sweep on disk: ``.open()`` is an ``xarray.Dataset``, ``.status`` the codes of all lanes, ``print`` says how far it is."""

    def __init__(self, path: str | Path) -> None:
        self.store = Store(Path(path))
        self.manifest = self.store.manifest()
        self.shape = tuple(self.manifest["cases"]["shape"])

    @property
    def status(self) -> np.ndarray:
        """Codes of ``jm.STATUS``, of the shape of the cases; -1 where nothing has been computed yet."""
        return self.store.status().reshape(self.shape)

    @property
    def complete(self) -> bool:
        """Whether every lane has been computed."""
        return bool((self.store.status() != NOT_DONE).all())

    def open(self) -> Any:
        """Everything as an ``xarray.Dataset``, read when used; ``lane`` runs over the cases in C order, failed lanes are NaN."""
        from ..models.export import need

        return need("xarray").open_zarr(self.store.path, consolidated=False, chunks=None)

    def __getitem__(self, name: str) -> np.ndarray:
        """One quantity, ``(*cases, ...)``."""
        found = self.store.read(name)
        return found.reshape(self.shape + found.shape[1:])

    def __str__(self) -> str:
        codes = self.store.status()
        done = codes != NOT_DONE
        lines = [
            f"{self.manifest['model']['title']}: {int(done.sum())} of {codes.size} lanes done, in {self.store.path}"
        ]
        for code, name in names().items():
            count = int((codes == code).sum())
            if count:
                lines.append(f"  {count} x {name}")
        return "\n".join(lines)


def sweep(
    model: AbstractModel,
    cases: Case,
    *,
    store: str | Path,
    chunk: int | np.integer = 16_384,
    keep: tuple[str, ...] | None = None,
    notes: Mapping[str, Any] | None = None,
    console: Any = None,
    told: Callable[[int, int], None] | None = None,
) -> Study:
    """Solve a batched case chunk by chunk and keep the answers in the folder ``store``.

    Call it again after an interruption: only missing chunks are computed, and the bytes are those of an uninterrupted run. A folder that holds
    another study (other model, cases, chunk, versions, device) is refused. Lanes that fail are NaN (counts and flags keep what they had), with their ``status``.

    ``keep``: attributes of the Result to store (``"observed_rejection"``, ``"scaled_current.value"``), else those that its class names. Inputs that
    vary are stored beside them. ``notes`` go into the manifest. ``console``: a rich console for the progress bar; or ``told(lanes, failed)`` is called after every chunk,
    and once for what was there before.
    """
    if not isinstance(cases, Case) or not cases.batch_shape:
        raise JaxmemError(
            "A sweep needs a batched case. Write jm.sweep(model, jm.Case(feed, membrane, jm.FluxDriven(jnp.linspace(1, 100, 64) * LMH)), store='study.zarr')."
        )
    if isinstance(chunk, bool) or not hasattr(chunk, "__index__") or operator.index(chunk) < 1:
        raise JaxmemError(f"chunk = {chunk!r} is no number of lanes. Write chunk=16_384.")
    if not isinstance(store, str | Path) or not Path(store).name:
        raise JaxmemError(f"store = {store!r} is no folder. Write store='study.zarr'.")
    lanes = int(np.prod(cases.batch_shape))
    chunk, place = min(operator.index(chunk), lanes), Store(Path(store))
    model.check(cases)
    kept = _named(model, _lanes(cases, 0, chunk), chunk, keep)
    try:
        with place.locked():
            place.begin(manifest(model, cases, chunk, kept, dict(notes or {})))
            done = place.status() != NOT_DONE
            missing = [b for b in range(0, lanes, chunk) if not done[b : b + chunk].all()]
            with _progress(console, told, lanes, lanes - sum(min(chunk, lanes - b) for b in missing)) as bar:
                for begin in missing:
                    result = solve(model, _lanes(cases, begin, chunk), throw=False)
                    _write(place, result, begin, lanes, chunk, kept)
                    bar(result, min(chunk, lanes - begin))
    except OSError as error:
        raise JaxmemError(
            f"{place.path} cannot be written: {error}. What was stored stays; sweep again with room, or give another store=."
        ) from error
    return Study(store)


def _lanes(cases: Case, begin: int, chunk: int) -> Case:
    """Lanes of the cases in C order; beyond the end the last is repeated, so that every chunk has one shape."""
    shape = cases.batch_shape
    index = np.minimum(begin + np.arange(chunk), int(np.prod(shape)) - 1)
    where, paths, values = np.unravel_index(index, shape), [], []
    for path, value, meta in all_quantities(cases):
        lead = value.ndim - meta["ndim"]
        if lead:
            full = np.broadcast_to(np.asarray(value), shape + value.shape[lead:])
            paths.append(path.split("."))
            values.append(jnp.asarray(full[where]))
    return eqx.tree_at(lambda c: [at_path(c, p) for p in paths], cases, values)


def _named(model: AbstractModel, case: Case, chunk: int, keep: tuple[str, ...] | None) -> dict[str, tuple[str, ...]]:
    """What to store, and the names of its axes beyond the lanes; nothing is computed, only shapes."""
    if keep is not None and (isinstance(keep, str) or not keep or any(not isinstance(n, str) for n in keep)):
        raise JaxmemError(f"keep = {keep!r} is no tuple of names. Write keep=('observed_rejection',).")
    kinds: list[type] = []

    def shapes(case: Case) -> dict[str, Any]:
        result = solve(model, case, throw=False)
        kinds.append(type(result))
        names = keep or getattr(type(result), "kept", None)
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

    found = eqx.filter_eval_shape(shapes, case)
    own = getattr(kinds[0], "kept", {})
    for name, value in found.items():
        if name.split(".")[0] in ("case", "clean", "model") or (value.ndim and value.shape[0] != chunk):
            raise JaxmemError(
                f"{name!r} has no axis of lanes. Inputs that vary are stored anyway: leave it out of keep=."
            )
    return {name: tuple(own.get(name, ())) for name in found}


def _write(place: Store, result: Any, begin: int, lanes: int, chunk: int, kept: dict[str, tuple[str, ...]]) -> None:
    n, good = min(chunk, lanes - begin), np.asarray(result.ok)
    found, dims, attributes = {"status": np.asarray(result.status, np.int16)[:n]}, {"status": ()}, {}
    for name, axes in kept.items():
        value = np.asarray(attrgetter(name)(result))
        value = value if value.ndim else np.broadcast_to(value, chunk)
        if np.issubdtype(value.dtype, np.floating):
            value = np.where(good.reshape(-1, *(1,) * (value.ndim - 1)), value, np.nan)
        found[name], extra = value[:n], value.ndim - 1
        dims[name] = (
            tuple(axes[-extra:]) if extra and len(axes) >= extra else tuple(f"{name}_{i}" for i in range(extra))
        )
        text = getattr(type(result), name.split(".")[0], None).__doc__
        attributes[name] = {"long_name": text.strip().splitlines()[0]} if text else {}
    for path, value, meta in all_quantities(result.case):
        if value.ndim > meta["ndim"]:
            found[path], extra = np.asarray(value)[:n], meta["ndim"]
            dims[path] = tuple(f"{path}_{i}" for i in range(extra))
            attributes[path] = {"units": meta["unit"], "long_name": meta.get("doc", "")}
    place.write(begin, lanes, chunk, found, dims, attributes)


@contextmanager
def _progress(console: Any, told: Callable | None, total: int, done: int) -> Iterator[Any]:
    """A function of what is done; silent without anyone to tell."""
    failed = lambda result, n: int(np.sum(~np.asarray(result.ok)[:n]))
    if console is None:
        if told is not None:
            told(done, 0)
        yield lambda result, n: None if told is None else told(n, failed(result, n))
        return
    from ..progress import bar

    with bar(console, total) as shown:
        shown.say("Sweep (compiling)")
        shown.skip(done)

        def tell(result: Any, n: int) -> None:
            shown.say("Sweep")
            shown.lanes(n, failed(result, n))

        yield tell
