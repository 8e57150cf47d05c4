"""The steady state of a scaled layer: from equilibrium along the voltage, by Newton; derivatives by the implicit rule."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import lineax as lx
from jax import Array
from jax.flatten_util import ravel_pytree

from ...linalg.bordered import BorderedBlockTridiagonal
from ...nonlinear.continuation import Path, Strides, follow
from ...nonlinear.increasing import root_of_increasing
from .equations import Body, Imposed, Layer, Unknown, current, faces, misfit, newton_change

STRIDES = Strides(first=5.0, largest=10.0, smallest=1e-3)  # in RT/F
_FURTHEST = 1000.0  # RT/F that an imposed current is looked for at


def donnan(charge: Array, fixed: Array) -> Array:
    """Donnan potential ``x``, size in RT/F, of a membrane of ``fixed`` equivalents in solution of one: ``exp(|z_1| x) - exp(-|z_2| x) = fixed``."""
    z1, z2 = jnp.abs(charge)
    least, most = 0.0 * fixed, 1.0 + jnp.log1p(fixed) / z1
    return root_of_increasing(lambda x: jnp.exp(z1 * x) - jnp.exp(-z2 * x) - fixed, least, most, most - 1.0)


def within(p: Layer, body: Body) -> Unknown:
    """Close to the state without current around a membrane: Donnan potential inside, diffuse layers on both sides of both surfaces
    (that of a symmetric salt, Ohshima and Ohki 1985, doi 10.1016/S0006-3495(85)83982-7)."""
    size, inside = jnp.max(jnp.abs(body.fixed)), body.fixed != 0.0
    x, thick = donnan(p.charge, size), jnp.sum(jnp.where(inside, p.grid.widths, 0.0))
    from_surface = jnp.minimum(jnp.abs(p.grid.centres), jnp.abs(p.grid.centres + thick))
    surface = x - jnp.tanh(0.5 * x)
    far = jnp.tanh(0.25 * surface) * jnp.exp(-from_surface / p.eps)
    deep = x + (surface - x) * jnp.exp(-from_surface * jnp.sqrt(jnp.cosh(x)) / p.eps)
    x = jnp.where(inside, deep, 4.0 * jnp.arctanh(far))
    c = jnp.exp(jnp.stack([1.0, -1.0])[:, None] * jnp.abs(p.charge)[:, None] * x)
    return Unknown(jnp.concatenate([c, -p.sign * x[None]]), jnp.zeros(()), c[1, -1])


def equilibrium(p: Layer, mean: bool) -> Unknown:
    """Close to the state without current: a diffuse layer at each wall that counter-ions alone pass."""
    if p.body is not None:
        return within(p, p.body)
    y, s = p.grid.centres, p.sign
    bulk = jnp.ones(()) if mean else p.high.concentration[0]
    jump = s * jnp.log(p.low.concentration[0] / bulk) / jnp.abs(p.charge[0])  # of the potential, into the solution
    near, far = jnp.exp(-y / p.eps), jnp.exp(-(1.0 - y) / p.eps)
    other = jnp.log(p.high.concentration[0] / bulk) if mean else jnp.zeros(())
    phi = jump * (1.0 - near) - s * other / jnp.abs(p.charge[0]) * far
    enrich = jnp.log(p.low.concentration[0] / bulk) * near + other * far
    voltage = jump - s * other / jnp.abs(p.charge[0])
    c = jnp.stack([bulk * jnp.exp(enrich), bulk * jnp.exp(-enrich * jnp.abs(p.charge[1] / p.charge[0]))])
    return Unknown(jnp.concatenate([c, phi[None]]), voltage, c[1, -1])


def updated(x: Unknown, change: Unknown) -> tuple[Unknown, Array]:
    """``x`` less ``change``, with concentrations that stay positive; and the size of the change."""
    c, taken = x.cells[:2], change.cells[:2]
    shrunk = 0.5 * c * jnp.exp(jnp.minimum(0.5 - taken / c, 0.0))
    new = jnp.where(taken < 0.5 * c, c - taken, shrunk)
    size = jnp.maximum(jnp.max(jnp.abs(change.cells[2])), jnp.max(jnp.abs(taken) / (1.0 + c)))
    size = jnp.maximum(size, jnp.abs(change.voltage))
    cells = jnp.concatenate([new, x.cells[2:] - change.cells[2:]])
    return Unknown(cells, x.voltage - change.voltage, x.last - change.last), size


def along(p: Layer, co_ions: Array | None) -> Callable[[Unknown, Array], tuple[Unknown, Array]]:
    """One Newton step at an imposed voltage, for ``follow``."""

    def step(x: Unknown, voltage: Array) -> tuple[Unknown, Array]:
        x = x._replace(voltage=voltage)
        return updated(x, newton_change(p, Imposed(voltage, None, co_ions), x))

    return step


def begin(p: Layer, co_ions: Array | None) -> Path:
    """Beside the state without current, not yet solved: the first stride does it."""
    start = equilibrium(p, co_ions is not None)
    beside = start.voltage - 1e-6
    return Path(beside, start, jnp.asarray(STRIDES.first), jnp.asarray(0), jnp.asarray(False))


def at_voltage(p: Layer, co_ions: Array | None, path: Path, voltage: Array) -> Path:
    """Follow the path to a voltage."""
    return follow(along(p, co_ions), path, voltage, STRIDES)


def at_current(p: Layer, co_ions: Array | None, path: Path, wanted: Array) -> Path:
    """Follow the path until more current flows than is wanted, then ask for the current itself."""
    way = jnp.where(wanted >= 0.0, 1.0, -1.0)

    def passes(x: Unknown) -> Array:
        return way * current(p, faces(p, x.cells, x.voltage).flux)[0] >= way * wanted

    path = follow(along(p, co_ions), path, way * _FURTHEST, STRIDES, passes)

    def step(x: Unknown, goal: Array) -> tuple[Unknown, Array]:
        return updated(x, newton_change(p, Imposed(None, goal, co_ions), x))

    last = Strides(first=1.0, largest=1.0, smallest=0.9, most=40)
    there = Path(wanted - 1.0, path.state, jnp.asarray(1.0), path.turns, jnp.asarray(False))
    found = follow(step, there, wanted, last)
    keep = lambda new, old: jnp.where(found.arrived & path.arrived, new, old)
    return jax.tree.map(keep, found._replace(arrived=jnp.asarray(True)), path._replace(arrived=jnp.asarray(False)))


def differentiable(p: Layer, given: Imposed, found: Unknown) -> Unknown:
    """The same state, with derivatives to everything in the question, of any order."""
    flat, restore = ravel_pytree(_interleaved(found))
    cells = found.cells.shape[1]

    def equations(x: Array) -> Array:
        return ravel_pytree(_interleaved(misfit(p, given, _stacked(restore(x)))))[0]

    def inverse(linear: Callable[[Array], Array], right: Array) -> Array:
        operator = lx.FunctionLinearOperator(linear, jax.ShapeDtypeStruct(right.shape, right.dtype))
        return lx.linear_solve(operator, right, BorderedBlockTridiagonal(cells, 3, 2), throw=False).value

    root = jax.lax.custom_root(equations, jax.lax.stop_gradient(flat), lambda _, x: x, inverse)
    return _stacked(restore(root))


def answered(p: Layer, given: Imposed, path: Path, start: Unknown) -> Unknown:
    """The state at the end of a path with its derivatives. One that stopped short keeps its last state without any: there the equations may be
    singular, so that those of ``start``, no current, are differentiated in their place, for nothing."""
    keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(path.arrived, a, b), new, old)
    last = jax.lax.stop_gradient(path.state)
    return keep(differentiable(p, given, keep(last, start)), last)


def at_rest(p: Layer, co_ions: Array | None, voltage: Array) -> tuple[Unknown, Path]:
    """The steady state at a voltage, with its derivatives, and the path there; where that stops short, the last state of it."""
    still, held, goal = jax.lax.stop_gradient((p, co_ions, voltage))
    first = begin(still, held)
    path = at_voltage(still, held, first, goal)
    given = Imposed(jnp.where(path.arrived, voltage, first.state.voltage), None, co_ions)
    return answered(p, given, path, first.state), path


def carrying(p: Layer, co_ions: Array | None, imposed: Array) -> tuple[Unknown, Path]:
    """The steady state that carries a current, likewise."""
    still, held, goal = jax.lax.stop_gradient((p, co_ions, imposed))
    first = begin(still, held)
    path = at_current(still, held, first, goal)
    return answered(p, Imposed(None, jnp.where(path.arrived, imposed, 0.0), co_ions), path, first.state), path


def _interleaved(x: Unknown) -> Unknown:
    return x._replace(cells=x.cells.T)


def _stacked(x: Unknown) -> Unknown:
    return x._replace(cells=x.cells.T)
