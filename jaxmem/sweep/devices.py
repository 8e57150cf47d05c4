"""One chunk on all devices of a process: every device takes an equal part of the lanes, in one program."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from ..case import Case, all_quantities, at_path


def spread(answers: Callable[[Any, Case], dict[str, Array]], model: Any, devices: list[Any]) -> Callable[[Case], dict[str, Array]]:  # fmt: skip
    """``answers(model, case)`` with the lanes of the case over ``devices``; their number need not divide that of the lanes."""
    mesh = Mesh(np.asarray(devices), ("lanes",))
    moving, fixed = eqx.partition(model, eqx.is_array)

    def part(moving: Any, arrays: Any, rest: Any) -> dict[str, Array]:
        return answers(eqx.combine(moving, fixed), eqx.combine(arrays, rest))

    @eqx.filter_jit
    def run(moving: Any, case: Case) -> dict[str, Array]:
        full = case.broadcast()
        paths = [path.split(".") for path, *_ in all_quantities(full)]
        lanes = eqx.tree_at(lambda c: [at_path(c, p) for p in paths], jax.tree.map(lambda _: False, full), [True] * len(paths))  # fmt: skip
        arrays, rest = eqx.partition(full, lanes)
        return jax.shard_map(
            lambda m, a: part(m, a, rest), mesh=mesh, in_specs=(PartitionSpec(), PartitionSpec("lanes")),
            out_specs=PartitionSpec("lanes"), check_vma=False,
        )(moving, arrays)  # fmt: skip

    def call(case: Case) -> dict[str, Array]:
        n = case.batch_shape[0]
        whole = -(-n // len(devices)) * len(devices)
        found = run(moving, case if whole == n else case[np.minimum(np.arange(whole), n - 1)])
        return {name: x[:n] for name, x in found.items()}

    return call
