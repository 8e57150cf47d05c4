"""A Case is one question, or many along leading axes: a feed, a membrane, conditions."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._errors import JaxmemError, ShapeError, unknown
from ._fields import quantities
from .chemistry.mixture import Mixture


def all_quantities(tree: Any, path: str = ""):
    """``(path, value, metadata)`` of every quantity in nested modules."""
    if isinstance(tree, tuple):
        for i, part in enumerate(tree):
            yield from all_quantities(part, f"{path}.{i}")
    if not isinstance(tree, eqx.Module):
        return
    declared = quantities(tree)
    for name in tree.__dataclass_fields__:
        value, where = getattr(tree, name, None), f"{path}.{name}".lstrip(".")
        if name in declared:
            if value is not None:
                meta = declared[name]
                per_species = getattr(tree, "per_species", False)
                yield where, value, {**meta, "ndim": 1} if per_species else meta
        else:
            yield from all_quantities(value, where)


def modules(tree: Any) -> list[Any]:
    """A module and all that it holds, itself first."""
    if isinstance(tree, tuple):
        return [found for part in tree for found in modules(part)]
    if not isinstance(tree, eqx.Module):
        return []
    return [tree, *(found for name in tree.__dataclass_fields__ for found in modules(getattr(tree, name, None)))]


class Case(eqx.Module):
    """One question. Any field may carry leading axes; they broadcast together by the numpy rules into ``batch_shape``."""

    feed: Mixture
    membrane: Any
    conditions: Any

    def __check_init__(self) -> None:
        if not isinstance(self.feed, Mixture):
            raise JaxmemError(
                f"Case.feed is a {type(self.feed).__name__}. It must be a Mixture: write jm.feed('seawater') or "
                "jm.Mixture.from_concentration({'Na+': 20.0, 'Cl-': 20.0})."
            )
        if all(hasattr(leaf, "shape") for leaf in jax.tree.leaves(self)) and 0 in self.batch_shape:
            raise ShapeError(
                f"This case has batch shape {self.batch_shape}: no question at all. Give every field at least one value."
            )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Broadcast of the leading axes beyond each quantity's own."""
        leading = {path: value.shape[: value.ndim - meta["ndim"]] for path, value, meta in all_quantities(self)}
        try:
            return np.broadcast_shapes(*leading.values())
        except ValueError as error:
            odd = ", ".join(f"{path} {shape}" for path, shape in leading.items() if shape)
            raise ShapeError(
                f"The leading axes of this case do not broadcast together: {odd}. Equal lengths or 1 are allowed: to cross two "
                "axes write x[:, None] for one of them."
            ) from error

    def replace(self, **changes: Any) -> "Case":
        """A copy with some quantities replaced, found by name: ``case.replace(charge_density=-30.0, temperature=308.0)``."""
        full = [path for path, *_ in all_quantities(self)]
        paths = {path.rsplit(".", 1)[-1]: path for path in full}
        case = self
        for name, value in changes.items():
            path = name if name in full else paths.get(name)
            same = [p for p in full if p.rsplit(".", 1)[-1] == name]
            if len(same) > 1:
                raise JaxmemError(
                    f"{name!r} stands in {len(same)} places: {', '.join(same)}. Write case.replace(**{{{same[0]!r}: value}})."
                )
            if path is None:
                raise unknown(
                    "Quantity of this case",
                    name,
                    paths,
                    "Write for example case.replace(pore_radius=0.45 * jm.units.nm).",
                )
            case = _replaced(case, path.split("."), value)
        return case

    def __getitem__(self, index: Any) -> "Case":
        """Some lanes of a batched case. Numbers inside closures that are not declared quantities stay as they are."""
        full, shape = self.broadcast(), self.batch_shape
        if isinstance(index, int) and shape and not -shape[0] <= index < shape[0]:
            raise IndexError(f"Lane {index} of {shape[0]}: write 0 to {shape[0] - 1}.")
        paths = [path.split(".") for path, *_ in all_quantities(full)]
        values = [value[index] for _, value, _ in all_quantities(full)]
        return eqx.tree_at(lambda c: [at_path(c, p) for p in paths], full, values)

    def broadcast(self) -> "Case":
        """Every quantity with the full ``batch_shape``."""
        shape, case = self.batch_shape, self
        for path, value, meta in all_quantities(self):
            case = _replaced(
                case, path.split("."), jnp.broadcast_to(value, shape + value.shape[value.ndim - meta["ndim"] :])
            )
        return case


def at_path(tree: Any, path: list[str]) -> Any:
    """What stands at a path of ``all_quantities``."""
    for part in path:
        tree = tree[int(part)] if isinstance(tree, tuple) else getattr(tree, part)
    return tree


def _replaced(module: Any, path: list[str], value: Any) -> Any:
    """Rebuild a module with one nested field changed, running its checks again."""
    if path and isinstance(module, tuple):
        i = int(path[0])
        return (*module[:i], _replaced(module[i], path[1:], value), *module[i + 1 :])
    if path:
        new = _replaced(getattr(module, path[0]), path[1:], value)
        fields = {n: getattr(module, n) for n in module.__dataclass_fields__}
        return type(module)(**{**fields, path[0]: new})
    return value


def describe_lane(case: Case, lane: tuple[int, ...]) -> str:
    """The numbers of one lane, for error messages."""
    parts = []
    for path, value, meta in all_quantities(case):
        if path.startswith("feed.species"):
            continue
        full = np.broadcast_to(np.asarray(value), case.batch_shape + value.shape[value.ndim - meta["ndim"] :])
        parts.append(
            f"{path.rsplit('.', 1)[-1]}={np.array2string(full[lane], precision=4, separator=',', max_line_width=10**6)}"
        )
    return ", ".join(parts)
