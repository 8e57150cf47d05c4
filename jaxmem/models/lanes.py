"""From a batched case to single ones: one function of one question over all lanes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..case import Case, all_quantities, at_path


def known(tree: Any, solved: Any) -> Any:
    """The same numbers with derivative zero in lanes that are not ``solved`` (their leading axes)."""

    def keep(x: Any) -> Any:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        return jnp.where(solved.reshape(solved.shape + (1,) * (x.ndim - solved.ndim)), x, jax.lax.stop_gradient(x))

    return jax.tree.map(keep, tree)


def over_lanes(function: Callable[..., Any], case: Case, block: int | None = None, also: tuple = ()) -> Any:
    """``function`` of every lane, vmapped; outputs carry the leading axes of ``case.batch_shape``.

    ``also``: further arguments of ``function``, arrays or trees of them that lead with ``batch_shape``. ``block``: on a CPU so many lanes at a time, where more would leave the cache or wait for the slowest.
    """
    shape = case.batch_shape
    if not shape:
        return function(case, *also)
    quantities = [(path.split("."), value, meta["ndim"]) for path, value, meta in all_quantities(case)]
    paths = [path for path, *_ in quantities]

    def flat(value: Any, ndim: int) -> Any:
        own = value.shape[value.ndim - ndim :]
        return jnp.broadcast_to(value, shape + own).reshape(-1, *own)

    def one(values: list) -> Any:
        own, others = values[: len(paths)], values[len(paths) :]
        return function(eqx.tree_at(lambda c: [at_path(c, p) for p in paths], case, own), *others)

    row = lambda x: x.reshape(-1, *x.shape[len(shape) :])
    lanes = [flat(value, ndim) for _, value, ndim in quantities] + [jax.tree.map(row, x) for x in also]
    if block is not None and jax.default_backend() == "cpu" and lanes[0].shape[0] > block:
        out = _in_blocks(one, lanes, block)
    else:
        out = jax.vmap(one)(lanes)
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), out)


def _in_blocks(one: Callable[[list], Any], lanes: list, block: int) -> Any:
    """``one`` of every lane, so many at a time; the last lane fills the last block up."""
    if block == 1:
        return jax.lax.map(one, lanes)
    n = lanes[0].shape[0]
    more = -n % block
    filled = lambda x: jnp.concatenate([x, jnp.repeat(x[-1:], more, axis=0)]).reshape(-1, block, *x.shape[1:])
    full = jax.tree.map(filled, lanes)
    # in reverse a block is solved anew, which is cheaper than to keep what it went through
    out = jax.lax.map(jax.checkpoint(jax.vmap(one)), full)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:n], out)
