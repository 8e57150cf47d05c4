"""The charge of a pore in the water at its face: ``X = law(c_m)``, where ``c_m``, behind the film, depends on ``X``.

One equation per layer and lane, ``g(X) = law(c_m(X)) - X = 0``, solved around the root finder by substitution that Broyden's
rule speeds up (for one layer, the secant rule); ``c_m`` moves little with ``X``. The derivative is that of the implicit function.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

from ..._status import code
from ...case import Case
from ...linalg.small_dense import apply, inverse
from .. import point
from ..inputs import benign
from .derivative import find_some, known_root
from .problem import Core, layers
from .root import Root, broyden

_TURNS = 40  # at most, and only for lanes that do not agree yet; five are usual


def _charged(core: Core, walls: Array) -> Core:
    """The problem with given charges of its layers, ``(L, N)`` in units of the total concentration."""
    core = eqx.tree_at(lambda c: c.wall, core, walls[0])
    return core if core.deeper is None else eqx.tree_at(lambda c: c.deeper.wall, core, walls[1:])


def _fixed(tree: Any) -> Any:
    """Not to be differentiated."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, tree)


@eqx.filter_jit
def _law(model: Any, case: Case, status: Array, interface: Array) -> Array:
    """The charge of each layer in water of ``interface`` times the bulk concentrations, ``(L, N)``."""
    sound = status == code("successful")
    walls = model.walls(benign(case, sound), interface)
    return jnp.where(sound.reshape(-1), walls, 0.0).astype(interface.dtype)


class _Turn(NamedTuple):
    """Between two evaluations; charges as ``u = asinh(1000 X/c_total)``, ``(L, N)``: a law may span powers of ten."""

    walls: Array  # u
    root: Root  # there
    g: Array  # law - u, there
    matrix: (
        Array  # (L, L, N) the inverse of minus the slope of g, by Broyden: the identity at first, a plain substitution
    )
    low: Array  # (L, N) of one layer, the largest u found too small,
    high: Array  # (L, N) and the smallest found too large
    slow: Array  # (L, N) the last turn did not halve g
    count: Array | int


_SCALE = 1e-3  # of the total concentration: charges below it make no difference worth a logarithm


def _left(at: _Turn) -> Array:
    """What is missing, ``(N)``: relative to the charge where it is large; a lane without root or law has nothing to agree on."""
    return jnp.where(_answered(at), jnp.max(jnp.abs(at.g), axis=0), 0.0)


def _answered(at: _Turn) -> Array:
    return at.root.solved & jnp.all(jnp.isfinite(at.g), axis=0)


def _settle(model: Any, case: Case, core: Core, status: Array) -> _Turn:
    """The charges that agree with their own interface, and the root there."""
    form, effort = model.form(case), model.effort()
    enough, update = 0.1 * effort.residual, jax.jit(_updated)

    def evaluate(walls: Array, open_: Array) -> tuple[Root, Array]:
        root = find_some(_charged(core, _SCALE * jnp.sinh(walls)), form, effort, open_)
        return root, jnp.arcsinh(_law(model, case, status, root.interface) / _SCALE) - walls

    def go(at: _Turn) -> Array:
        return (at.count < _TURNS) & (jnp.max(_left(at)) > enough)

    def turn(at: _Turn) -> _Turn:
        walls, open_ = _next(at), _left(at) > enough
        return update(at, open_, walls, *evaluate(walls, open_))

    start = jnp.arcsinh(layers(core).wall / _SCALE)
    eye = jnp.broadcast_to(jnp.eye(len(start), dtype=start.dtype)[..., None], (len(start), *start.shape))
    root, g = evaluate(start, jnp.ones(core.wall.shape, bool))
    far = jnp.full_like(start, jnp.inf)
    first = _Turn(start, root, g, eye, -far, far, g > jnp.inf, 1)
    if any(isinstance(x, Tracer) for x in jax.tree.leaves((core, case))):
        return jax.lax.while_loop(go, turn, first)
    while go(first):  # outside of tracing: every turn by the programs that are compiled already
        first = turn(first)
    return first


def _next(at: _Turn) -> Array:
    """The charges to try. Of one layer the root can be bracketed, because a law is bounded: where Broyden is slow or leaves the bracket
    halve it, or as long as there is none go towards the law."""
    step = apply(at.matrix, at.g)
    if len(at.walls) > 1:
        return at.walls + _limited(step)
    low, high = _bracket(at)
    bracketed = jnp.isfinite(low) & jnp.isfinite(high)
    new = at.walls + _limited(jnp.where(~bracketed & (at.slow | (step * at.g < 0.0)), at.g, step))
    return jnp.where(bracketed & (at.slow | (new <= low) | (new >= high)), 0.5 * (low + high), new)


def _limited(step: Array) -> Array:
    return jnp.clip(jnp.where(jnp.isfinite(step), step, 0.0), -3.0, 3.0)


def _bracket(at: _Turn) -> tuple[Array, Array]:
    return jnp.where(at.g > 0.0, at.walls, at.low), jnp.where(at.g < 0.0, at.walls, at.high)


def _updated(at: _Turn, open_: Array, walls: Array, root: Root, g: Array) -> _Turn:
    """After an evaluation of the open lanes: the slope that it shows."""
    matrix = broyden(at.matrix, walls - at.walls, at.g - g)
    root = root._replace(steps=root.steps + at.root.steps)
    new = _Turn(walls, root, g, matrix, *_bracket(at), jnp.abs(g) > 0.5 * jnp.abs(at.g), at.count)
    new = jax.tree.map(lambda a, b: jnp.where(open_, a, b), new._replace(count=0), at._replace(count=0))
    return new._replace(count=at.count + 1)


@eqx.filter_custom_jvp
def _known(case: Case, core: Core, root: Root, status: Array, model: Any) -> tuple[Array, Array, Array]:
    """Charges, unknowns and interface of a root that was found, as functions of the case; ``core`` holds the charges."""
    return layers(core).wall, root.y, root.interface


@_known.def_jvp
def _known_jvp(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    """``dX = -(dg/dX)^-1 dg``: implicit in the charges, and through them in the root."""
    (case, core, root, status, model), (d_case, d_core, *_) = primals, tangents
    d_core = jax.tree.map(lambda x, d: jnp.zeros_like(x) if d is None else d, core, d_core)
    walls = _known(case, core, root, status, model)[0]  # so that second derivatives see them move
    core = _charged(core, walls)

    def at(core: Core) -> tuple[Array, Array]:
        found = known_root(core, root, model.form(case), model.effort())
        return found.y, found.interface

    def law(case: Case, interface: Array) -> Array:
        return _law(model, case, status, interface)

    (y, interface), (d_y, d_interface) = jax.jvp(at, (core,), (d_core,))
    water = jnp.where(root.solved, interface, 1.0)  # a failed lane is asked nothing: 0 times NaN is not 0
    d_law = eqx.filter_jvp(law, (case, water), (d_case, jnp.where(root.solved, d_interface, 0.0)))[1]
    units = [jnp.zeros_like(walls).at[i].set(1.0) for i in range(walls.shape[0])]
    moved = [jax.jvp(lambda w: at(_charged(core, w)), (walls,), (unit,))[1] for unit in units]
    follows = [jax.jvp(lambda i: law(case, i), (water,), (jnp.where(root.solved, m[1], 0.0),))[1] for m in moved]
    slope = jnp.stack([f - u for f, u in zip(follows, units, strict=True)], axis=1)
    d_walls = jnp.where(root.solved, -apply(inverse(slope), d_law), 0.0)
    d_y, d_interface = (
        d + sum(m[i] * w for m, w in zip(moved, d_walls, strict=True)) for i, d in enumerate((d_y, d_interface))
    )
    return (walls, y, interface), (d_walls, d_y, d_interface)


def _differentiable(model: Any, case: Case, core: Core, status: Array, walls: Array, root: Root) -> tuple[Core, Root]:
    """Problem and root at charges that were found, as functions of the case."""
    found = _fixed(root)
    walls, y, interface = _known(case, _charged(core, _fixed(walls)), found, status, model)
    return _charged(core, walls), found._replace(y=y, interface=interface)


def find(model: Any, case: Case) -> point.PointState:
    """Solve every lane, its charge in the water at the interface."""
    core, status = point.prepare(model, case)
    at = _settle(model, *_fixed((case, core)), status)
    left, walls = _left(at), _SCALE * jnp.sinh(at.walls)
    residual = jnp.maximum(at.root.residual, left)
    root = at.root._replace(solved=_answered(at) & (left < model.effort().residual), residual=residual)
    return point.in_precision(model, case, *_differentiable(model, case, core, status, walls, root), status)


def attach(model: Any, state: point.PointState, case: Case) -> point.PointState:
    """A state that was found before, differentiable to the case."""
    if model.precision == "float32":
        return find(model, case)
    core, status = point.prepare(model, case)
    walls, root = _fixed((layers(state.core).wall, state.root))
    return point.PointState(*reversed(_differentiable(model, case, core, status, walls, root)), status)


def residual(model: Any, state: point.PointState, case: Case) -> Array:
    """The rows at the charge that the law gives at the interface of the state, ``(*batch, K)``."""
    core, status = point.prepare(model, case)
    return point.scaled_residual(model, state, case, _charged(core, _law(model, case, status, state.root.interface)))
