"""``jm.sweep_on``: one sweep by the workers of anything that takes functions, a Dask client or a pool of processes."""

import operator
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from .._errors import JaxmemError
from ..case import Case
from .study import Study
from .sweep import sweep


def sweep_on(executor: Any, model: Any, cases: Case, *, parts: int, store: str | Path, told: Callable[[int, int], None] | None = None, **options: Any) -> Study:  # fmt: skip
    """``jm.sweep`` in so many ``parts``, each handed to ``executor.submit(function, ...)``, whose futures have a ``result()``.

    A ``dask.distributed.Client``, a ``concurrent.futures.ProcessPoolExecutor`` (``mp_context=multiprocessing.get_context("spawn")``: JAX does not
    survive a fork) and their like. All workers must see the folder ``store``; parts take every n-th chunk and are independent: when one fails the
    others go on, and the same call computes what is missing. Choose more parts than workers, so that none waits long. ``options`` are those of
    ``jm.sweep``; ``told(lanes, failed)`` is called after every part.
    """
    if not callable(getattr(executor, "submit", None)):
        raise JaxmemError(f"A {type(executor).__name__} takes no functions. Write jm.sweep_on(dask.distributed.Client(...), model, cases, parts=16, store=...).")  # fmt: skip
    if isinstance(parts, bool) or not hasattr(parts, "__index__") or operator.index(parts) < 1:
        raise JaxmemError(f"parts = {parts!r} is no number of parts. Write parts=16.")
    for name in ("shard", "dry_run", "console"):
        if name in options:
            raise JaxmemError(f"{name}= belongs to jm.sweep: leave it out here, every worker computes a part.")
    store, fresh, errors = Path(store).resolve(), uuid4().hex, []
    part = partial(_part, model, cases, store=store, **options)
    futures = [executor.submit(part, (i, operator.index(parts)), fresh) for i in range(parts)]
    for i, future in enumerate(futures):
        try:
            lanes, failed = future.result()
        except Exception as error:  # the others go on; the first one is told below
            errors.append((i, error))
            continue
        if told is not None:
            told(lanes, failed)
    if errors:
        i, first = errors[0]
        raise JaxmemError(f"{len(errors)} of {parts} parts failed, the first was part {i}: {first!r}. What the others computed is in {store}; the same call goes on.") from first  # fmt: skip
    return Study(store)


def _part(model: Any, cases: Case, shard: tuple[int, int], fresh: str, **options: Any) -> tuple[int, int]:
    """What a worker does: lanes and failures of one part. ``fresh`` makes every call another one: Dask remembers what a call gave."""
    counts: list[tuple[int, int]] = []
    sweep(model, cases, shard=shard, told=lambda lanes, failed: counts.append((lanes, failed)), **options)
    return tuple(int(n) for n in np.sum(counts, axis=0)) if counts else (0, 0)  # type: ignore[return-value]
