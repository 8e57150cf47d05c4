"""From a weak form to its residual and its matrix: cell by cell, without a loop over cells.

The matrix of a cell is ``sum_q w B^T C B``: B holds shape functions and their gradients, C is the derivative of the form at the quadrature
point. Matrices are collected in the shape that ``direct`` solves: a stencil on a grid, nonzeros elsewhere.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .direct import nonzeros
from .forms import Form
from .space import Frame, Points, Space, shifts
from .stencil import offsets

Flux = Callable[[Points], Array]


def integrate(space: Space, form: Form, u: Array, before: Array | None = None) -> Array:
    """``int f phi + F . grad phi`` for every test function, ``(N,)``; the form may look at the unknowns ``before`` a step in time."""
    taken, earlier = space.take(u), None if before is None else space.take(before)

    def at(frame: Frame) -> list[Array]:
        f, flux = form(space.points(taken, frame, earlier))
        return [
            frame.weight * (frame.shapes[n] * f + jnp.sum(frame.gradients[:, n] * flux, axis=0))
            for n in range(len(taken))
        ]

    return space.give(space.over_points(at))


def integrate_boundary(space: Space, facets: np.ndarray, flux: Flux, u: Array) -> Array:
    """``int flux phi`` over facets for every test function, ``(N,)``."""
    nodes = space.facet_nodes(facets)
    ends, local = u[nodes.T], jnp.zeros(())
    for shapes, weight, place, normal in space.facet_frames(facets):
        points = Points(jnp.tensordot(shapes, ends, 1), place, facets[:, 0], normal=normal)
        local = local + shapes[:, None] * weight * flux(points)
    return jnp.zeros_like(u).at[nodes.T].add(local)


def matrix(space: Space, form: Form, u: Array, before: Array | None = None) -> Array:
    """Derivative of ``integrate`` with respect to ``u``, as a stencil ``(offsets, *lattice)`` or nonzeros."""
    taken, earlier = space.take(u), None if before is None else space.take(before)

    def of_cells(frame: Frame) -> Array:
        points = space.points(taken, frame, earlier)
        still, one = (jnp.zeros_like(points.value), jnp.zeros_like(points.gradient)), jnp.ones_like(points.value)
        basis = [(one, still[1]), *((still[0], still[1].at[j].set(1.0)) for j in range(len(points.place)))]
        at = lambda value, slope: form(points._replace(value=value, gradient=slope))
        columns = [jax.jvp(at, (points.value, points.gradient), direction)[1] for direction in basis]
        trial = [jnp.asarray(frame.shapes)[:, None], *frame.gradients]  # of every trial function: value and gradient
        f = sum((b * column[0] for b, column in zip(trial, columns, strict=True)), jnp.zeros(()))  # (n, E)
        flux = sum((b[None] * column[1][:, None] for b, column in zip(trial, columns, strict=True)), jnp.zeros(()))
        here = sum((s[:, None] * part[None] for s, part in zip(frame.gradients, flux, strict=True)), jnp.zeros(()))
        return frame.weight * (here + trial[0][:, None] * f[None])

    return _collect(space, space.over_points(of_cells))


def matrix_boundary(space: Space, facets: np.ndarray, flux: Flux, u: Array, into: Array) -> Array:
    """``into``, a matrix, with the derivative of ``integrate_boundary`` added."""
    nodes = space.facet_nodes(facets)
    ends, total = u[nodes.T], jnp.zeros(())
    for shapes, weight, place, normal in space.facet_frames(facets):
        at = lambda value, place=place, normal=normal: flux(Points(value, place, facets[:, 0], normal=normal))
        value = jnp.tensordot(shapes, ends, 1)
        slope = jax.jvp(at, (value,), (jnp.ones_like(value),))[1]
        total = total + shapes[:, None, None] * shapes[None, :, None] * (weight * slope)
    row, column = np.broadcast_arrays(nodes.T[:, None], nodes.T[None])
    shape = space.numbering.shape
    if shape is None:
        return into.at[nonzeros(space.mesh.topology, space.degree, row, column)].add(total)
    step = np.stack(np.unravel_index(column, shape)) - np.stack(np.unravel_index(row, shape)) + space.degree
    which = np.ravel_multi_index(tuple(step), [2 * space.degree + 1] * len(shape))
    return into.reshape(len(into), -1).at[which, row].add(total).reshape(into.shape)


def hold(space: Space, fixed: np.ndarray, into: Array) -> Array:
    """Rows of fixed unknowns become those of the identity."""
    if space.numbering.shape is None:
        every = np.arange(len(space))
        row = nonzeros(space.mesh.topology, space.degree)[0]
        diagonal = nonzeros(space.mesh.topology, space.degree, every[fixed], every[fixed])
        return jnp.where(fixed[row], 0.0, into).at[diagonal].set(1.0)
    identity = np.zeros((len(into),) + (1,) * (into.ndim - 1))
    identity[len(into) // 2] = 1.0
    return jnp.where(fixed.reshape(space.numbering.shape), identity, into)


def diagonal(space: Space, values: Array) -> Array:
    """The matrix with ``values (N,)`` on its diagonal."""
    shape, topology, degree = space.numbering.shape, space.mesh.topology, space.degree
    if shape is None:
        every = np.arange(len(space))
        return jnp.zeros(len(nonzeros(topology, degree)[0])).at[nonzeros(topology, degree, every, every)].set(values)
    count = len(offsets(degree, len(shape)))
    return jnp.zeros((count, *shape)).at[count // 2].set(values.reshape(shape))


def _collect(space: Space, local: Array) -> Array:
    """Matrices of all cells ``(n, n, E)``, summed."""
    topology, degree, shape = space.mesh.topology, space.degree, space.numbering.shape
    if shape is None:
        dofs = space.numbering.dofs.T
        row, column = np.broadcast_arrays(dofs[:, None], dofs[None])
        place = nonzeros(topology, degree, row, column)
        return jnp.zeros(len(nonzeros(topology, degree)[0])).at[place].add(local)
    grid, steps = topology.shape or (), offsets(degree, len(shape))
    found = [jnp.zeros(shape) for _ in steps]
    index = {tuple(step): i for i, step in enumerate(steps)}
    for layer, nodes in enumerate(shifts(topology, degree)):
        for n, row in enumerate(nodes):
            for m, column in enumerate(nodes):
                value = local[n, m].reshape(-1, *grid)[layer]
                i = index[tuple(column - row)]
                found[i] = found[i] + space.spread(value, row)
    return jnp.stack(found)
