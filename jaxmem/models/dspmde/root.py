"""The root of the march, for a whole batch: fixed work for most lanes, more for the few that need it, none lost.

1. Newton on a coarse grid from the zero-flux state ``y = 0``, a handful of steps for everybody.
2. Correction on three nested grids (Richardson); residual re-checked, discretisation error estimated.
3. Lanes that are not solved, or whose estimate is above the tolerance, are gathered in blocks, solved with finer grids
   (``rescue.py``) and scattered back.

The derivative (``derivative.py``) is that of the implicit function at the returned root, on the grids that produced it.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import custom_vmap

from ...linalg.small_dense import apply, gauss_jordan, inverse
from .march import MOST, Levels, Residual, residual
from .problem import Core, Form, ion_sum, tiny


class Effort(NamedTuple):
    """Static choices of the root finder. Change ``tolerance`` first."""

    tolerance: float = 2e-7  # on the estimated discretisation error of a rejection; lanes above it get finer grids
    residual: float = 1e-10  # what counts as solved, on the logarithmic residual
    segments: int = 2  # of the coarsest grid
    adaptive: bool = True  # finer grids where the estimate asks for them
    chunk: int = 64  # lanes per pass on a CPU: fits the cache


class Root(NamedTuple):
    """What the solver returns, batch last."""

    y: Array  # (K, *b)
    grading: Array  # (2, *b)
    error: Array  # (S, *b) estimated discretisation error of each ln c_p
    residual: Array  # (*b) largest scaled residual, evaluated at y
    steps: Array  # (*b) Newton and chord steps
    grid: Array  # (*b) which set of grids produced y: the index into ``grids``
    solved: Array  # (*b)
    interface: Array  # (S, *b) c_m/c_b as marched; where J_v/k is large the film law cannot be inverted for it


def grids(form: Form, effort: Effort) -> tuple[Levels, ...]:
    """The sets of nested grids, by rising cost. The midpoint scheme is a named discretisation: one grid as given."""
    m = effort.segments
    if form.scheme == "midpoint":
        return (Levels(m, 1),) * 2
    return tuple(Levels(m, factor=2**i) for i in range(MOST.bit_length()))


CAP = 6.0  # largest change of an unknown in one step; the residual is close to linear in y


def accept(core: Core, y: Array, dy: Array, cap: float | Array = CAP) -> Array:
    """Take the limited step where it is finite; elsewhere keep the last finite state.

    Ions of which next to nothing passes do not hold back the others: their log passage may go to -300 in leaps.
    """
    s = core.charge.shape[0]
    present = jnp.maximum(core.share, 1e-3) * jnp.exp(jnp.minimum(y[:s], 0.0))
    negligible = jnp.concatenate([present < 1e-9, jnp.zeros(y[s:].shape, bool)])
    size = jnp.where(negligible, 0.0, jnp.abs(dy))
    scale = jnp.minimum(1.0, cap / jnp.maximum(jnp.max(size, axis=0), 1e-30))
    new = y + jnp.where(negligible, jnp.clip(dy, -10.0 * cap, 2.0 * cap), dy * scale)
    return jnp.where(jnp.all(jnp.isfinite(new), axis=0), new, y)


def norm(value: Array) -> Array:
    worst = jnp.max(jnp.abs(value), axis=0)
    return jnp.where(jnp.isfinite(worst), worst, jnp.inf)


def empty(core: Core, interface: Array) -> Array:
    """No ion at the interface: a root that Davies, turning over, allows at high ionic strength. It is not connected to
    the zero-flux state and answers no question."""
    return jnp.max(jnp.where(core.share > 0.0, interface, 0.0), axis=0) < 1e-8


def mixed(core: Core, rows: Array) -> Array:
    """Add ``sign(z_i)`` times the permeate-neutrality row to row i: the leading block is then safe to eliminate."""
    s = core.charge.shape[0]
    sign = jnp.sign(core.charge).reshape((s,) + (1,) * (rows.ndim - core.charge.ndim) + core.charge.shape[1:])
    return rows.at[:s].add(sign * rows[-1])


def newton_step(core: Core, r: Residual) -> Array:
    assert r.slope is not None
    return -gauss_jordan(mixed(core, r.slope), mixed(core, r.value)[:, None])[:, 0]


def start(core: Core, form: Form) -> Array:
    """The zero-flux state, where permeate and feed are one solution; with a pressure, a first guess of the flux."""
    s = core.charge.shape[0]
    y = jnp.zeros((s + 1 + form.pressure, *core.wall.shape), core.share.dtype)
    return y.at[s].set(-jnp.log1p(jnp.abs(core.osmotic))) if form.pressure else y


def neutral_permeate(core: Core, y: Array) -> Array:
    """Take a small charge out of the permeate: its neutrality is then met to round-off, not to the tolerance of the root."""
    s = core.charge.shape[0]
    zbp = core.charge * core.share * jnp.exp(y[:s])
    shift = ion_sum(zbp) / (ion_sum(core.charge * zbp) + tiny(y))
    return y.at[:s].add(-core.charge * jnp.where(jnp.abs(shift) < 1e-3, shift, 0.0))


class Coarse(NamedTuple):
    y: Array
    grading: Array
    steps: Array


def coarse(core: Core, form: Form, segments: int, most: int = 7) -> Coarse:
    """Newton on one grid, at most seven steps. A lane stops at its own convergence: no lane's path depends on another's."""

    def step(carry):
        c, count, done = carry
        r = residual(core, form, c.y, Levels(segments, 1), None, True)
        y = jnp.where(done, c.y, accept(core, c.y, newton_step(core, r)))
        grading = jnp.where(done, c.grading, r.grading_next)
        return (
            Coarse(y, grading, c.steps + (~done).astype(c.steps.dtype)),
            count + 1,
            done | (norm(r.value) < 3e-3),
        )  # the step taken squares it

    lanes = jnp.zeros_like(core.wall)
    first = Coarse(start(core, form), jnp.stack([lanes + 1.0, lanes + 1.0]), lanes.astype(jnp.int32))
    return jax.lax.while_loop(lambda c: (c[1] < most) & ~jnp.all(c[2]), step, (first, 0, lanes > 1.0))[0]


def _broyden(matrix: Array, dy: Array, dr: Array) -> Array:
    """Rank-one update (Broyden 1965, doi 10.1090/S0025-5718-1965-0198670-6) of an inverse Jacobian; skipped if degenerate."""
    moved, left = apply(matrix, dr), jnp.sum(matrix * dy[:, None], axis=0)
    scale = jnp.sum(dy * moved, axis=0)
    safe = jnp.abs(scale) > 0.1 * jnp.sum(dy * dy, axis=0)
    factor = jnp.where(safe, 1.0 / jnp.where(safe, scale, 1.0), 0.0)
    return matrix + ((dy - moved) * factor)[:, None] * left[None]


def polish(
    core: Core,
    form: Form,
    at: Coarse,
    levels: Levels,
    most: int,
    effort: Effort,
    grid: int | Array,
    newton: int = 1,
) -> Root:
    """Newton steps on the two coarser grids (until near, at most ``newton``), then chord steps on all of them.

    A lane is left alone once its residual is small: the state returned is the one that was evaluated.
    """
    s, k = core.charge.shape[0], at.y.shape[0]
    two = levels._replace(order=min(2, levels.order))

    def step(carry):
        y, matrix, count, close = carry
        r = residual(core, form, y, two, at.grading, True)
        assert r.slope is not None
        new = inverse(mixed(core, r.slope))
        moved = accept(core, y, -apply(new, mixed(core, r.value)), 3.0)
        y, matrix = jnp.where(close, y, moved), jnp.where(close, matrix, new)
        return y, matrix, count + 1, close | (norm(r.value) < 0.03)

    first = (at.y, jnp.zeros((k, *at.y.shape), at.y.dtype), 0, jnp.zeros(core.wall.shape, bool))
    y, matrix, count, _ = jax.lax.while_loop(lambda c: (c[2] < newton) & ~jnp.all(c[3]), step, first)

    def evaluate(y: Array) -> tuple[Array, Array, Array]:
        r = residual(core, form, y, levels, at.grading, False, estimate=levels.order == 3)
        return mixed(core, r.value), mixed(core, r.coarse), r.interface.ratio

    def go(carry) -> Array:
        _, count, _, value, *_ = carry
        return (count == 0) | ((count <= most) & jnp.any(norm(value) > done))

    def chord(carry):  # the first time the step is zero: the state is evaluated as it is
        y, count, steps, value, _, _, matrix = carry
        new = jnp.where(norm(value) > done, neutral_permeate(core, accept(core, y, -apply(matrix, value), 3.0)), y)
        value_new, fewer, interface = evaluate(new)
        return new, count + 1, steps + 1, value_new, fewer, interface, _broyden(matrix, new - y, value_new - value)

    done = 5e-3 * effort.residual  # go on below what counts as solved, where it is to be had
    zero = jnp.zeros_like(y)
    carry = (y, 0, at.steps + count - 1, zero, zero, zero[:s], matrix)
    y, _, steps, value, fewer, interface, matrix = jax.lax.while_loop(go, chord, carry)
    error = (jnp.abs(apply(matrix, value - fewer)) + jnp.abs(apply(matrix, value)))[
        :s
    ]  # grids, and what is left of the rows
    error = jnp.where(jnp.isfinite(error), error, jnp.inf)
    worst = norm(value)
    worst = jnp.where(empty(core, interface), jnp.inf, worst)
    return Root(y, at.grading, error, worst, steps, jnp.zeros_like(steps) + grid, worst < effort.residual, interface)


def weighted_error(core: Core, root: Root) -> Array:
    """Estimated error of a rejection; of ``ln c_p`` (times 0.1) where less than a tenth passes. Absent ions are left out."""
    t = root.y[: core.charge.shape[0]]
    weight = jnp.maximum(jnp.exp(jnp.minimum(t, 0.0)), 0.1)
    return jnp.max(jnp.where(core.share > 0.0, root.error * weight, 0.0), axis=0)


def needs_more(core: Core, root: Root, effort: Effort) -> Array:
    return ~root.solved | (effort.adaptive & (weighted_error(core, root) > effort.tolerance))


def _first_pass(core: Core, form: Form, effort: Effort) -> Root:
    return polish(core, form, coarse(core, form, effort.segments), grids(form, effort)[0], 2, effort, 0)


def _by_chunks(core: Core, form: Form, effort: Effort) -> Root:
    """The first pass in blocks that fit the cache of a CPU; in one piece on an accelerator."""
    n, size = core.wall.shape[0], effort.chunk
    if n <= 2 * size or jax.default_backend() != "cpu":
        return _first_pass(core, form, effort)
    count = -(-n // size)
    index = jnp.minimum(jnp.arange(count * size), n - 1).reshape(count, size)
    parts = jax.lax.map(lambda i: _first_pass(jax.tree.map(lambda x: x[..., i], core), form, effort), index)

    def join(x: Array) -> Array:  # (count, ..., size) -> (..., n)
        return jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], count * size)[..., :n]

    return jax.tree.map(join, parts)


def flatten(tree, batch: tuple[int, ...]):
    """All trailing batch axes as one."""
    return jax.tree.map(lambda x: x.reshape(*x.shape[: x.ndim - len(batch)], -1), tree)


def _solve(core: Core, form: Form, effort: Effort) -> Root:
    from .rescue import rescue

    batch, form = core.wall.shape, form._replace(reverse=False)
    core = flatten(core, batch)
    root = rescue(core, form, effort, _by_chunks(core, form, effort))
    return jax.tree.map(lambda x: x.reshape(*x.shape[:-1], *batch), root)


@partial(jax.jit, static_argnums=(1, 2))
def _first_jit(core: Core, form: Form, effort: Effort) -> tuple[Root, Array]:
    root = _by_chunks(core, form, effort)
    return root, needs_more(core, root, effort)


@jax.jit
def _gathered(core: Core, root: Root, index: Array, count: Array) -> tuple[Core, Root]:
    """The lanes of ``index``, of which those from ``count`` on are padding and need nothing."""
    part, old = jax.tree.map(lambda x: x[..., index], (core, root))
    filler = jnp.arange(index.shape[0]) >= count
    return part, old._replace(solved=old.solved | filler, error=jnp.where(filler, 0.0, old.error))


@partial(jax.jit, static_argnums=(1, 2))
def _rescue_jit(core: Core, form: Form, effort: Effort, root: Root) -> Root:
    from .rescue import rescue

    return rescue(core, form, effort, root)


@jax.jit
def _scattered(root: Root, new: Root, index: Array, count: Array) -> Root:
    where = jnp.where(jnp.arange(index.shape[0]) >= count, root.solved.shape[0], index)
    return jax.tree.map(lambda x, v: x.at[..., where].set(v, mode="drop"), root, new)


def bucket(n: int) -> int:
    """The size that a batch is padded to: few programs serve all sizes, and a lane's digits do not depend on its company."""
    if n <= 128:
        return next(size for size in (16, 64, 128) if n <= size)
    step = 256 if n <= 4096 else 1024
    return -(-n // step) * step


@partial(jax.jit, static_argnums=1)
def _resized(tree, size: int):
    """Lanes repeated or dropped at the end."""
    return jax.tree.map(lambda x: x[..., jnp.minimum(jnp.arange(size), x.shape[-1] - 1)], tree)


def solve_now(core: Core, form: Form, effort: Effort) -> Root:
    """The same outside of tracing: the rescue is compiled only when a lane asks for it, for a few fixed sizes."""
    form, n = form._replace(reverse=False), core.wall.shape[0]
    full = bucket(n)
    core = core if full == n else _resized(core, full)
    root, more = _first_jit(core, form, effort)
    index = np.flatnonzero(np.asarray(more)[:n])
    if len(index):
        size = next((b for b in (16, 128, 1024, 4096) if b >= len(index)), -(-len(index) // 16384) * 16384)
        padded = np.concatenate([index, np.full(size - len(index), index[0])])
        part, old = _gathered(core, root, padded, np.asarray(len(index)))
        root = _scattered(root, _rescue_jit(part, form, effort, old), padded, np.asarray(len(index)))
    return root if full == n else _resized(root, n)


@partial(jax.jit, static_argnums=(1, 2))
def solve_batch(core: Core, form: Form, effort: Effort) -> Root:
    """The root for every lane. ``vmap`` over lanes becomes one native batch, the fast path."""

    @custom_vmap
    def native(core: Core) -> Root:
        return _solve(core, form, effort)

    @native.def_vmap
    def rule(size: int, batched: list, core: Core):
        leaves, tree = jax.tree.flatten(core)
        full = [
            jnp.moveaxis(x, 0, -1) if b else jnp.broadcast_to(x[..., None], (*x.shape, size))
            for x, b in zip(leaves, jax.tree.leaves(batched), strict=True)
        ]
        out = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), native(jax.tree.unflatten(tree, full)))
        return out, jax.tree.map(lambda _: True, out)

    return native(core)
