"""Implicit differentiation of the root: ``dy = -J^-1 (dr/dcore) dcore`` on the grids that produced each lane.

A failed lane is replaced by a harmless problem before anything is differentiated (0 times NaN is NaN): its derivative is
exactly zero and its neighbours' are untouched.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from ...linalg.small_dense import apply, inverse
from .march import Levels, residual
from .problem import Core, Form
from .root import Effort, Root, flatten, grids, mixed, solve_batch, solve_now


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def find_root(core: Core, form: Form, effort: Effort) -> Root:
    """The root of the march for every lane of ``core``; ``y`` is differentiable to every float of ``core``."""
    traced = any(isinstance(x, Tracer) for x in jax.tree.leaves(core))
    if traced or core.wall.ndim != 1:
        return solve_batch(core, form, effort)
    return solve_now(core, form, effort)


def _tangent(core: Core, form: Form, y: Array, grading: Array, levels: Levels, d_core: Core) -> Array:
    r = residual(core, form, y, levels, grading, True)
    assert r.slope is not None
    matrix = inverse(mixed(core, r.slope))
    _, d_r = jax.jvp(lambda c: residual(c, form, y, levels, grading, False).value, (core,), (d_core,))
    return -apply(matrix, mixed(core, d_r))


def _sensitivity(core: Core, form: Form, y: Array, grading: Array, segments: Array) -> tuple[Array, Core]:
    """``J^-1`` and the whole matrix ``dr/dcore``, column by column in forward mode: the number of segments may be traced."""
    levels = Levels(segments)
    r = residual(core, form, y, levels, grading, True)
    assert r.slope is not None
    leaves, tree = jax.tree.flatten(core)
    rows = [1 if x.ndim == 1 else x.shape[0] for x in leaves]
    lanes = core.wall.shape[-1]

    def column(unit: Array) -> Array:
        parts = jnp.split(unit, np.cumsum(rows)[:-1])
        d = [
            jnp.broadcast_to(p[:, None], (n, lanes)).reshape(x.shape)
            for p, n, x in zip(parts, rows, leaves, strict=True)
        ]
        d_core = jax.tree.unflatten(tree, d)
        return jax.jvp(lambda c: residual(c, form, y, levels, grading, False).value, (core,), (d_core,))[1]

    matrix = jax.vmap(column)(jnp.eye(sum(rows), dtype=y.dtype))  # (P, K, lanes)
    parts = jnp.split(matrix, np.cumsum(rows)[:-1])
    return inverse(mixed(core, r.slope)), jax.tree.unflatten(tree, parts)


def _apply_sensitivity(core: Core, matrix: Array, parts: Core, d_core: Core) -> Array:
    total = 0.0
    for part, d in zip(jax.tree.leaves(parts), jax.tree.leaves(d_core), strict=True):
        total = total + jnp.sum(part * jnp.reshape(d, (part.shape[0], 1, -1)), axis=0)
    return -apply(matrix, mixed(core, total))


def _on_finer_grids(core: Core, form: Form, root: Root, counts: Array, mask: Array, d_core: Core, d_y: Array) -> Array:
    """Replace ``d_y`` in the lanes of ``mask``, gathered in blocks; a block without such lanes costs nothing."""
    n = mask.shape[-1]
    block = min(n, max(16, n // 32))
    count = -(-n // block)
    order = jnp.argsort(jnp.where(mask, root.grid, counts.shape[0]), stable=True)  # like grids meet in a block
    order = jnp.where(jnp.take(mask, order), order, n + jnp.arange(n))  # the others out of range, and distinct
    index = jnp.concatenate([order, 2 * n + jnp.arange(count * block - n)]).reshape(count, block)

    def pick(tree, i: Array):
        return jax.tree.map(lambda x: jnp.take(x, i, axis=-1, mode="clip"), tree)

    def work(d_y: Array, i: Array) -> tuple[Array, None]:
        def go(d_core: Core, d_y: Array) -> Array:
            part = pick(core, i)
            segments = counts[jnp.max(jnp.where(i < n, pick(root.grid, i), 0))]
            sensitivity = _sensitivity(part, form, pick(root.y, i), pick(root.grading, i), segments)
            new = _apply_sensitivity(part, *sensitivity, pick(d_core, i))
            return d_y.at[..., i].set(new, mode="drop", unique_indices=True)

        return jax.lax.cond(i[0] < n, go, lambda _, d_y: d_y, d_core, d_y), None

    return jax.lax.scan(work, d_y, index)[0]


def _harmless(core: Core) -> Core:
    """A problem of the same shape with the exact solution ``y = 0``: no flux, no partition, no wall, no charge."""
    zero = ("charge", "convection", "exchange", "log_partition", "film_flux", "wall", "osmotic", "solute_mass", "debye")
    safe = eqx.tree_at(lambda c: [getattr(c, n) for n in zero], core, [jnp.zeros_like(getattr(core, n)) for n in zero])
    return eqx.tree_at(lambda c: (c.share, c.film_field), safe, (jnp.ones_like(core.share),) * 2)


@partial(jax.jit, static_argnums=(1, 2))
def _tangents(core: Core, form: Form, effort: Effort, root: Root, d_core: Core) -> Array:
    """``dy`` of every lane; exactly zero in failed ones."""
    batch, bad, form = core.wall.shape, ~root.solved, form._replace(face_steps=14)  # exact to round-off
    core = jax.tree.map(lambda x, safe: jnp.where(bad, safe, x), core, _harmless(core))
    d_core = jax.tree.map(lambda x: jnp.where(bad, 0.0, x), d_core)
    lanes = root._replace(y=jnp.where(bad, 0.0, root.y), grading=jnp.where(bad, 1.0, root.grading))
    core, d_core, lanes = flatten(core, batch), flatten(d_core, batch), flatten(lanes, batch)
    sets = grids(form, effort)
    d_y = _tangent(core, form, lanes.y, lanes.grading, sets[0], d_core)
    if sets[1] != sets[0]:
        counts = jnp.asarray([levels.segments for levels in sets])
        d_y = _on_finer_grids(core, form, lanes, counts, lanes.solved & (lanes.grid > 0), d_core, d_y)
    return jnp.where(bad, 0.0, d_y.reshape(root.y.shape))


@find_root.defjvp
def _find_root_jvp(form: Form, effort: Effort, primals: tuple[Core], tangents: tuple[Core]):
    (core,), (d_core,) = primals, tangents
    root = find_root(core, form, effort)

    def nothing(x: Array) -> Array | np.ndarray:
        return jnp.zeros_like(x) if jnp.issubdtype(x.dtype, jnp.floating) else np.zeros(x.shape, jax.dtypes.float0)

    return root, jax.tree.map(nothing, root)._replace(y=_tangents(core, form, effort, root, d_core))
