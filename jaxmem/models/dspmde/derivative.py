"""Implicit differentiation of the root: ``dy = -J^-1 (dr/dcore) dcore`` on the grids that produced each lane.

A failed lane is replaced by a harmless problem before anything is differentiated (0 times NaN is NaN): its derivative is
exactly zero and its neighbours' are untouched.
"""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from ...linalg.small_dense import apply, inverse
from .march import residual
from .pore import Levels
from .problem import Core, Form
from .root import Effort, Root, grids, mixed
from .sweeps import flatten, solve_batch, solve_now


def find_some(core: Core, form: Form, effort: Effort, active: Array) -> Root:
    """The root of the march for the ``active`` lanes of ``core``; not to be differentiated."""
    traced = any(isinstance(x, Tracer) for x in jax.tree.leaves((core, active)))
    if traced or core.wall.ndim != 1:
        return solve_batch(core, form, effort, active)
    return solve_now(core, form, effort, active)


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def find_root(core: Core, form: Form, effort: Effort) -> Root:
    """The root of the march for every lane of ``core``; ``y`` is differentiable to every float of ``core``."""
    return find_some(core, form, effort, jnp.ones(core.wall.shape, bool))


class Lanes(NamedTuple):
    """What a derivative is taken of and at, batch last."""

    core: Core
    d_core: Core
    y: Array
    grading: Array
    grid: Array


def _tangent(form: Form, at: Lanes, levels: Levels) -> tuple[Array, Array]:
    """``dy`` and the change of the interface: the implicit function at the root, on one set of grids."""
    core, s = at.core, at.core.charge.shape[0]
    r = residual(core, form, at.y, levels, at.grading, True)
    assert r.slope is not None
    assert r.interface.slope is not None

    @jax.checkpoint  # reverse mode: nothing of it is needed before the way back
    def rows(core: Core) -> tuple[Array, Array]:
        r = residual(core, form, at.y, levels, at.grading, False)
        return r.value, r.interface.ratio

    _, (d_r, d_interface) = jax.jvp(rows, (core,), (at.d_core,))
    d_y = -apply(inverse(mixed(core, r.slope)), mixed(core, d_r))
    return d_y, d_interface + apply(r.interface.slope, d_y[: s + form.pressure])


def _slots(grid: Array, size: int, sets: int) -> tuple[Array, Array]:
    """Lanes into blocks of one set of grids each: the slot of every lane, and the lane of every slot (``n`` if empty)."""
    n = grid.shape[0]
    order = jnp.argsort(grid, stable=True)
    count = jnp.sum(grid == jnp.arange(sets, dtype=grid.dtype)[:, None], axis=1)
    blocks = -(-count // size)
    shift = (jnp.cumsum(blocks) - blocks) * size - (jnp.cumsum(count) - count)
    slot = jnp.zeros(n, order.dtype).at[order].set(jnp.arange(n) + shift[jnp.take(grid, order)])
    lane = jnp.full((-(-n // size) + min(sets, n) - 1) * size, n).at[slot].set(jnp.arange(n))
    return slot, lane.reshape(-1, size)


def _by_blocks(form: Form, effort: Effort, at: Lanes) -> tuple[Array, Array]:
    """The derivative of each lane on its own set of grids, in blocks that fit the cache of a CPU."""
    n, sets = at.grid.shape[0], grids(form, effort)
    one = sets[0] == sets[-1]  # a named discretisation
    size = min(n, 32 if jax.default_backend() == "cpu" else max(4096, n // 8))
    slot, lane = _slots(at.grid, size, 1 if one else len(sets))
    lane = jnp.where(lane < n, lane, jnp.minimum(lane[:, :1], n))  # an empty slot repeats the first lane of its block

    def split(x: Array) -> Array:  # (..., n) -> (blocks, ..., size)
        return jnp.moveaxis(jnp.take(x, lane, axis=-1, mode="clip"), -2, 0)

    def block(_: None, given: tuple[Array, Lanes]) -> tuple[None, tuple[Array, Array]]:
        empty, at = given  # an empty block is worked on the coarsest grids, and not looked at
        factor = jnp.where(empty, 1, jnp.asarray(2, at.grid.dtype) ** at.grid[0])
        return None, _tangent(form, at, sets[0] if one else sets[0]._replace(factor=factor))

    y, interface = jax.lax.scan(block, None, (lane[:, 0] == n, jax.tree.map(split, at)))[1]

    def join(x: Array) -> Array:  # (blocks, ..., size) -> (..., n)
        return jnp.take(jnp.moveaxis(x, 0, -2).reshape(*x.shape[1:-1], -1), slot, axis=-1)

    return join(y), join(interface)


def harmless(core: Core) -> Core:
    """A problem of the same shape with the exact solution ``y = 0``: no flux, no partition, no wall, no charge."""
    zero = ("charge", "convection", "exchange", "log_partition", "film_flux", "wall", "osmotic", "solute_mass", "debye")
    safe = eqx.tree_at(lambda c: [getattr(c, n) for n in zero], core, [jnp.zeros_like(getattr(core, n)) for n in zero])
    if core.friction is not None:
        safe = eqx.tree_at(lambda c: c.friction, safe, jnp.zeros_like(core.friction))
    if core.deeper is not None:
        safe = eqx.tree_at(lambda c: c.deeper, safe, jax.tree.map(jnp.zeros_like, core.deeper))
    return eqx.tree_at(lambda c: (c.share, c.film_field), safe, (jnp.ones_like(core.share),) * 2)


@partial(jax.jit, static_argnums=(1, 2))
def _tangents(core: Core, form: Form, effort: Effort, root: Root, d_core: Core) -> tuple[Array, Array]:
    """``dy`` and the change of the interface in every lane; exactly zero in failed ones."""
    batch, bad, form = core.wall.shape, ~root.solved, form._replace(face_steps=14)  # exact to round-off
    core = jax.tree.map(lambda x, safe: jnp.where(bad, safe, x), core, harmless(core))
    d_core = jax.tree.map(lambda x: jnp.where(bad, 0.0, x), d_core)
    y, grading, grid = (jnp.where(bad, x, v) for x, v in ((0.0, root.y), (1.0, root.grading), (0, root.grid)))
    d_y, d_interface = _by_blocks(form, effort, flatten(Lanes(core, d_core, y, grading, grid), batch))
    d_y, d_interface = d_y.reshape(root.y.shape), d_interface.reshape(root.interface.shape)
    return jnp.where(bad, 0.0, d_y), jnp.where(bad, 0.0, d_interface)


@partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def known_root(core: Core, root: Root, form: Form, effort: Effort) -> Root:
    """A root of ``core`` that was found before, with the derivative of ``find_root`` and without its loops: little to compile."""
    return root


@known_root.defjvp
def _known_root_jvp(form: Form, effort: Effort, primals: tuple[Core, Root], tangents: tuple[Core, Root]):
    (core, root), (d_core, _) = primals, tangents
    root = known_root(core, root, form, effort)  # so that second derivatives see it move
    return root, _change(core, form, effort, root, d_core)


@find_root.defjvp
def _find_root_jvp(form: Form, effort: Effort, primals: tuple[Core], tangents: tuple[Core]):
    (core,), (d_core,) = primals, tangents
    root = find_root(core, form, effort)
    return root, _change(core, form, effort, root, d_core)


def _change(core: Core, form: Form, effort: Effort, root: Root, d_core: Core) -> Root:
    """The tangent of a root: of what can be differentiated."""

    def nothing(x: Array) -> Array | np.ndarray:
        return jnp.zeros_like(x) if jnp.issubdtype(x.dtype, jnp.floating) else np.zeros(x.shape, jax.dtypes.float0)

    d_y, d_interface = _tangents(core, form, effort, root, d_core)
    return jax.tree.map(nothing, root)._replace(y=d_y, interface=d_interface)
