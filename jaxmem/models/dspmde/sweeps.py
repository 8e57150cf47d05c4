"""The root for a whole batch: fixed work for most lanes, more for the few that need it, none lost.

A sweep takes the lanes that it is meant for, gathered in blocks, through ``search`` and ``polish`` and keeps the better of old
and new. The first sweep takes every lane, on the coarsest grids; the later ones lanes that are not solved, or whose estimated
error is above the tolerance: on finer grids from the state at hand, then from no flux in one go, then along the branch.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import custom_vmap

from ..._config import quick_to_compile
from .problem import Core, Form, layers
from .root import Effort, Guess, Root, grids, needs_more, polish, start, weighted_error
from .search import Plan, search

_NEAR = 0.3  # residual of an unsolved lane that is worth starting from
PIECES = (64, 1024, 8192)  # lanes of one program on a CPU: few programs serve all batches
_ALL, _REFINE, _NEWTON, _BRANCH = 0, 1, 2, 3  # every lane; from the old state; from no flux in one go; along the branch


class Sweep(NamedTuple):
    """What a sweep does, and on which set of grids; of several, arrays."""

    kind: int | Array | np.ndarray
    grid: int | Array | np.ndarray


def schedule(count: int) -> Sweep:
    """The sweeps, in order, for ``count`` sets of grids: cheap ones first, so that few lanes reach the dear ones."""
    finer, fine = [(_REFINE, g) for g in range(1, count)], min(3, count - 1)
    sweeps = [(_ALL, 0), *finer, (_NEWTON, 1), (_NEWTON, fine), (_BRANCH, 1), (_BRANCH, fine), *finer]
    kind, grid = np.asarray(sweeps).T
    return Sweep(kind.astype(np.int32), grid.astype(np.int32))


def _wanted(core: Core, root: Root, effort: Effort, count: int) -> Array:
    """The set of grids that should do: a doubling divides the error by 64 (order h^6)."""
    ratio = jnp.clip(weighted_error(core, root) / effort.tolerance, 1.0, 1e30)
    return jnp.clip(root.grid + jnp.ceil(jnp.log2(ratio) / 6.0).astype(root.grid.dtype), root.grid + 1, count - 1)


def _pending(core: Core, root: Root, effort: Effort, count: int, now: Sweep) -> Array:
    """Lanes that this sweep takes on."""
    open_ = needs_more(core, root, effort)
    near = root.solved | (root.residual < _NEAR)
    refine = open_ & near & (root.grid < now.grid) & (_wanted(core, root, effort, count) <= now.grid)
    return jnp.where(now.kind == _REFINE, refine, ~root.solved)


def _blank(core: Core, form: Form) -> Root:
    """Before the first sweep."""
    lanes, y = jnp.zeros_like(core.wall), start(core, form)
    none, worst = lanes.astype(jnp.int32), jnp.full_like(lanes, jnp.inf)
    grading, error = jnp.stack([lanes + 1.0] * (2 * layers(core).wall.shape[0])), jnp.full_like(core.share, jnp.inf)
    return Root(y, grading, error, worst, none, none, lanes > 1.0, jnp.ones_like(core.share))


def _attempt(core: Core, form: Form, effort: Effort, old: Root, now: Sweep) -> Root:
    """One block through one sweep."""
    sets = grids(form, effort)
    factors = [g.factor for g in sets]
    factor = factors[now.grid] if isinstance(now.grid, int) else jnp.asarray(factors, jnp.int32)[now.grid]
    levels, first = sets[0]._replace(factor=factor), jnp.asarray(now.kind == _ALL)
    plan = Plan(
        factor=levels.factor,
        tries=jnp.where(first, 7, 24),
        near=jnp.where(first, 1, 8),
        branch=jnp.asarray(now.kind == _BRANCH),
        known=jnp.asarray(now.kind == _REFINE),
    )
    k = old.y.shape[0]
    given = Guess(old.y, old.grading, jnp.zeros((k, *old.y.shape), old.y.dtype), old.steps)
    at = search(core, form, levels.segments, plan, given)
    new = polish(core, form, at, levels, jnp.where(first, 2, 12), effort, now.grid)
    keep = new.solved | (~old.solved & (new.residual <= old.residual))
    return jax.tree.map(lambda a, b: jnp.where(keep, a, b), new, old)


def _solve(core: Core, form: Form, effort: Effort, active: Array) -> Root:
    """All sweeps over the ``active`` lanes of a flat batch; the others are padding."""
    n = core.wall.shape[0]
    size = min(n, (effort.block if n > 1024 else 16) if jax.default_backend() == "cpu" else 16_384)
    sweeps, root = schedule(len(grids(form, effort))), _blank(core, form)
    root = root._replace(solved=~active, error=jnp.where(active, root.error, 0.0))
    if jax.default_backend() != "cpu":  # an accelerator takes the first sweep in one piece
        root = _attempt(core, form, effort, root, Sweep(_ALL, 0))
        sweeps = Sweep(*(np.asarray(x)[1:] for x in sweeps))

    def take(tree, index: Array):
        return jax.tree.map(lambda x: jnp.take(x, index, axis=-1, mode="clip"), tree)

    def sweep(i: Array, root: Root) -> Root:
        now = Sweep(*(jnp.asarray(x)[i] for x in sweeps))
        waiting = active & _pending(core, root, effort, len(grids(form, effort)), now)
        count = jnp.sum(waiting)

        def lined_up() -> Array:  # like meets like in a block
            rank = jnp.argsort(jnp.where(waiting, -weighted_error(core, root), jnp.inf)).astype(jnp.int32)
            return jnp.where(jnp.arange(n) < count, rank, n)

        order = jax.lax.cond((count > 0) & (count < n), lined_up, lambda: jnp.arange(n, dtype=jnp.int32))
        order = jnp.concatenate([order, jnp.full(size, n, order.dtype)])

        def block(b: Array, root: Root) -> Root:
            index = jax.lax.dynamic_slice(order, (b * size,), (size,))
            new = _attempt(take(core, index), form, effort, take(root, index), now)
            return jax.tree.map(lambda x, v: x.at[..., index].set(v, mode="drop"), root, new)

        return jax.lax.fori_loop(0, -(-count // size), block, root)

    return jax.lax.fori_loop(0, len(sweeps.kind), sweep, root)


# ---------------------------------------------------------------------------------------------- entry points


def flatten(tree, batch: tuple[int, ...]):
    """All trailing batch axes as one."""
    return jax.tree.map(lambda x: x.reshape(*x.shape[: x.ndim - len(batch)], -1), tree)


@partial(jax.jit, static_argnums=2)
def _cut(core: Core, active: Array, size: int, begin: Array) -> tuple[Core, Array]:
    """``size`` lanes from ``begin`` on; beyond the end of the batch its last lane is repeated, and not active."""
    place = begin + jnp.arange(size)
    core = jax.tree.map(lambda x: jnp.take(x, place, axis=-1, mode="clip"), core)
    return core, jnp.take(active, place, mode="clip") & (place < active.shape[0])


@partial(jax.jit, static_argnums=1)
def _joined(pieces: list[Root], n: int) -> Root:
    return jax.tree.map(lambda *x: jnp.concatenate(x, axis=-1)[..., :n], *pieces)


@cache
def _program() -> Callable:
    """``_solve`` compiled; on a CPU the widest vectors pay (ignored where the processor has none)."""

    options = quick_to_compile()
    wide = None if options is None else {**options, "xla_cpu_prefer_vector_width": 512}
    return jax.jit(_solve, static_argnums=(1, 2), compiler_options=wide)


def _sizes(n: int) -> list[int]:
    """Pieces that cover ``n`` lanes. Padding is free of work, so the last piece may be large."""
    if jax.default_backend() != "cpu":
        return [max(64, 1 << (n - 1).bit_length())]
    whole, rest = divmod(n, PIECES[-1])
    return [PIECES[-1]] * whole + [next(size for size in PIECES if size >= rest)] * (rest > 0)


def solve_now(core: Core, form: Form, effort: Effort, active: Array) -> Root:
    """Outside of tracing: in pieces of a few fixed sizes, so that most batches find their program compiled."""
    form, n, pieces, begin = form._replace(reverse=False), core.wall.shape[0], [], 0
    for size in _sizes(n):
        part, wanted = (core, active) if size == n else _cut(core, active, size, np.asarray(begin))
        pieces.append(_program()(part, form, effort, wanted))
        begin += size
    return pieces[0] if begin == n and len(pieces) == 1 else _joined(pieces, n)


@partial(jax.jit, static_argnums=(1, 2))
def solve_batch(core: Core, form: Form, effort: Effort, active: Array) -> Root:
    """The root for every active lane. ``vmap`` over lanes becomes one native batch, the fast path."""

    @custom_vmap
    def native(core: Core, active: Array) -> Root:
        batch = core.wall.shape
        flat = flatten(core, batch)
        root = _solve(flat, form._replace(reverse=False), effort, active.reshape(-1))
        return jax.tree.map(lambda x: x.reshape(*x.shape[:-1], *batch), root)

    @native.def_vmap
    def rule(size: int, batched: list, core: Core, active: Array):
        leaves, tree = jax.tree.flatten((core, active))
        full = [
            jnp.moveaxis(x, 0, -1) if b else jnp.broadcast_to(x[..., None], (*x.shape, size))
            for x, b in zip(leaves, jax.tree.leaves(batched), strict=True)
        ]
        out = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), native(*jax.tree.unflatten(tree, full)))
        return out, jax.tree.map(lambda _: True, out)

    return native(core, active)
