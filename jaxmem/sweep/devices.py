"""Many devices as one: every device takes an equal part of the lanes, in one program; of several processes too."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from .._errors import JaxmemError, ShapeError
from ..case import Case, all_quantities, at_path


def spread(function: Callable[[Case], Any], devices: Sequence[Any] | None = None) -> Callable[[Case], Any]:
    """``function`` of a Case with its lanes over ``devices``: ``jm.spread(lambda case: jm.solve(model, case, throw=False).recovery)(case)``.

    ``function`` takes a Case of some lanes (one leading axis) and returns arrays that keep this axis; the number of lanes is anybody's. Without
    ``devices`` those of all processes of ``jax.distributed`` take part: every process then makes the same call with the same case, and each gets
    the whole answer, as NumPy arrays. A ``jax.tree_util.Partial`` or a Module as function hands its arrays to the program; others are compiled in.
    """
    if not callable(function):
        raise JaxmemError(f"{function!r} is no function of a Case. Write jm.spread(lambda case: jm.solve(model, case, throw=False).recovery).")  # fmt: skip
    over = jax.devices() if devices is None else list(devices)
    if not over:
        raise JaxmemError("devices is empty. Write jm.spread(function), for all there are.")
    mesh, moving, fixed = Mesh(np.asarray(over), ("lanes",)), *eqx.partition(function, eqx.is_array)

    @eqx.filter_jit
    def run(moving: Any, case: Case) -> Any:
        full = case.broadcast()
        paths = [path.split(".") for path, *_ in all_quantities(full)]
        lanes = eqx.tree_at(lambda c: [at_path(c, p) for p in paths], jax.tree.map(lambda _: False, full), [True] * len(paths))  # fmt: skip
        arrays, rest = eqx.partition(full, lanes)
        return jax.shard_map(
            lambda m, a: eqx.combine(m, fixed)(eqx.combine(a, rest)), mesh=mesh, in_specs=(PartitionSpec(), PartitionSpec("lanes")),
            out_specs=PartitionSpec("lanes"), check_vma=False,
        )(moving, arrays)  # fmt: skip

    def call(case: Case) -> Any:
        if len(case.batch_shape) != 1:
            raise ShapeError(f"This case has the batch shape {case.batch_shape}; its lanes must be one axis. Write case[None] for one question.")  # fmt: skip
        n = case.batch_shape[0]
        whole = -(-n // len(over)) * len(over)
        given = (moving, case if whole == n else case[np.minimum(np.arange(whole), n - 1)])
        if jax.process_count() > 1:  # what every process holds, not what lies on a device of one
            given = jax.tree.map(lambda x: np.asarray(x) if eqx.is_array(x) else x, given)
        return jax.tree.map(lambda x: _whole(x)[:n], run(*given))

    return call


def _whole(x: Any) -> np.ndarray:
    """An array that lies on the devices of all processes, on each of them."""
    if x.is_fully_addressable:
        return np.asarray(x)
    from jax.experimental.multihost_utils import process_allgather

    return np.asarray(process_allgather(x, tiled=True))
