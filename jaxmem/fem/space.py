"""A space of finite-element functions on a mesh: which unknowns sit in which cell, and values at quadrature points.

Arrays over cells end in ``(E,)``; quadrature points are gone through one by one. On a grid, unknowns are numbered along the lattice ``(k nx + 1, k ny + 1)``,
and moving between unknowns and cells is slicing and padding; on other meshes it is indexing.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError, unknown
from .elements import CORNERS, DEGREES, FACETS, Element, element
from .mesh import Mesh, Topology, box_cells
from .quadrature import rule


class Points(NamedTuple):
    """What a weak form sees: one quadrature point of all cells, or of the facets of a tag (without gradients, with a normal)."""

    value: Array  # (E,)
    place: Array  # (d, E)
    cell: np.ndarray  # (E,) number of the cell: fields that are constant in cells are indexed by it
    gradient: Array | None = None  # (d, E)
    corners: Array | None = None  # (d, corners, E) gradients of the corners' hat functions: sizes along a direction
    normal: Array | None = None  # (d, E) outward
    held: Array | None = None  # (E,) what the unknown was before a step in time


class Frame(NamedTuple):
    """Shape functions at one quadrature point of every cell."""

    shapes: Any  # (n,)
    gradients: Array  # (d, n, E)
    corners: Array  # (d, corners, E)
    weight: Array  # (E,) quadrature weight times size
    place: Array  # (d, E)


class Numbering(NamedTuple):
    """Unknowns of a topology and a degree."""

    count: int
    dofs: np.ndarray  # (E, n)
    shape: tuple[int, ...] | None  # of the lattice


@lru_cache(maxsize=64)
def numbering(topology: Topology, degree: int) -> Numbering:
    """Numbers of the unknowns of every cell."""
    if topology.shape is not None:
        shape = tuple(degree * n + 1 for n in topology.shape)
        lattice = np.arange(int(np.prod(shape))).reshape(shape)
        return Numbering(lattice.size, np.stack(_slices(topology, degree, lattice), axis=1), shape)
    cells, ref = topology.cells, element(topology.kind, degree)
    dofs, count = np.full((len(cells), len(ref.lattice)), -1), int(cells.max()) + 1
    for local, place in enumerate(ref.lattice):
        at = np.flatnonzero((CORNERS[topology.kind] * degree == place).all(1))
        if at.size:
            dofs[:, local] = cells[:, at[0]]
    if degree == 2:
        ends = np.stack([np.sort(cells[:, list(f)], axis=1) for f in FACETS[topology.kind]], axis=1)
        _, edge = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True)
        edge = edge.reshape(len(cells), -1)
        for f in range(edge.shape[1]):
            dofs[:, ref.on_facet(f)[1]] = count + edge[:, f]
        count += int(edge.max()) + 1
        if (dofs < 0).any():
            dofs[dofs < 0] = count + np.arange(len(cells))
            count += len(cells)
    return Numbering(count, dofs, None)


def shifts(topology: Topology, degree: int) -> np.ndarray:
    """On a grid, where each node of each layer of cells sits within its box, ``(layers, n, d)``."""
    boxes, lattice = box_cells(topology.kind), element(topology.kind, degree).lattice
    axes = np.stack([boxes[:, 1] - boxes[:, 0], boxes[:, -1] - boxes[:, 0]][: boxes.shape[2]], axis=1)
    return degree * boxes[:, :1] + np.einsum("nr,lrd->lnd", lattice, axes)


def _slices(topology: Topology, degree: int, lattice) -> list:
    """Values at the first, second ... node of all cells, each ``(E,)``."""
    grid, found = topology.shape or (), []
    for node in np.moveaxis(shifts(topology, degree), 0, 1):
        layers = [lattice[tuple(slice(s, s + degree * n - degree + 1, degree) for s, n in zip(at, grid, strict=True))] for at in node]  # fmt: skip
        xp = np if isinstance(lattice, np.ndarray) else jnp
        found.append(xp.concatenate([layer.ravel() for layer in layers]))
    return found


class Space(eqx.Module):
    """Continuous functions, polynomials of ``degree`` 1 or 2 in every cell of ``mesh``; ``quadrature`` is the degree integrated exactly."""

    mesh: Any
    degree: int = eqx.field(static=True, default=1)
    quadrature: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if not isinstance(self.mesh, Mesh):
            raise JaxmemError(
                f"A space needs a mesh, not a {type(self.mesh).__name__}. Write fem.Space(fem.line(0.0, 1.0, 100))."
            )
        if self.quadrature is not None and (not isinstance(self.quadrature, int) or self.quadrature < 1):
            raise JaxmemError(f"quadrature = {self.quadrature!r} is not a degree. Write quadrature=4, or leave it out.")
        if self.degree not in DEGREES:
            raise JaxmemError(
                f"degree = {self.degree!r}: elements have degree 1 or 2. Write fem.Space(mesh, degree=1)."
            )

    @property
    def element(self) -> Element:
        """The reference element."""
        return element(self.mesh.topology.kind, self.degree)

    @property
    def numbering(self) -> Numbering:
        """Of the unknowns."""
        return numbering(self.mesh.topology, self.degree)

    def __len__(self) -> int:
        return self.numbering.count

    # ------------------------------------------------------------------ between unknowns and cells

    def take(self, u: Array) -> list[Array]:
        """Values at each node of all cells, ``n`` times ``(E,)``."""
        shape, topology = self.numbering.shape, self.mesh.topology
        if shape is None:
            return list(u[self.numbering.dofs.T])
        return _slices(topology, self.degree, u.reshape(shape))

    def give(self, local: list[Array]) -> Array:
        """Sum of what every cell says of its nodes, ``(N,)``: the transpose of ``take``."""
        shape, topology = self.numbering.shape, self.mesh.topology
        if shape is None:
            return jnp.zeros(len(self), local[0].dtype).at[self.numbering.dofs.T].add(jnp.stack(local))
        total = jnp.zeros(shape, local[0].dtype)
        for node, value in zip(np.moveaxis(shifts(topology, self.degree), 0, 1), local, strict=True):
            for at, layer in zip(node, value.reshape(-1, *(topology.shape or ())), strict=True):
                total = total + self.spread(layer, at)
        return total.reshape(-1)

    def spread(self, boxes: Array, at: np.ndarray) -> Array:
        """On a grid, a value of every box at its node ``at``, zero at other nodes of the lattice."""
        k, shape = self.degree, self.numbering.shape or ()
        ends = [(int(s), int(n - s - k * (m - 1) - 1), k - 1) for s, n, m in zip(at, shape, boxes.shape, strict=True)]
        return jax.lax.pad(boxes, jnp.zeros((), boxes.dtype), ends)

    def _corners(self) -> list[list[Array]]:
        """Corners of the cells, coordinate by coordinate: ``corners`` times ``d`` times ``(E,)``."""
        topology, x, grid = self.mesh.topology, self.mesh.points, self.mesh.topology.shape
        if grid is None:
            return [list(corner.T) for corner in x[topology.cells.T]]
        shape = tuple(n + 1 for n in grid)
        lattice = [axis.reshape(shape) for axis in x.T]
        return [list(corner) for corner in zip(*[_slices(topology, 1, axis) for axis in lattice], strict=True)]

    # ------------------------------------------------------------------ geometry

    def over_points(self, function: Callable[[Frame], Any]) -> Any:
        """The sum of ``function`` of the frame of every quadrature point.

        Lines write their few points out, so that the compiler sees what they share; in the plane one program goes round.
        """
        kind, d = self.mesh.topology.kind, self.mesh.dimension
        # mass of the shape functions by default
        points, weights = rule(kind, 2 * self.degree if self.quadrature is None else self.quadrature)
        tables = [self.element.shapes(points), self.element.gradients(points)]
        tables += [element(kind, 1).shapes(points), element(kind, 1).gradients(points)]
        rows = (weights, *(np.moveaxis(table, -1, 0) for table in tables))
        corners = self._corners()
        if d == 1:
            found = [function(_frame(corners, *row)) for row in zip(*rows, strict=True)]
            return jax.tree.map(lambda *parts: sum(parts), *found)

        def add(total: Any, row: tuple) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, function(_frame(corners, *row))), None

        first, rest = (tuple(jnp.asarray(row[part]) for row in rows) for part in (0, slice(1, None)))
        start = function(_frame(corners, *first))
        return jax.lax.scan(add, start, rest)[0] if len(weights) > 1 else start

    @property
    def coordinates(self) -> Array:
        """Where the unknowns sit, ``(N, d)``."""
        if self.degree == 1:
            return self.mesh.points
        shape, x = element(self.mesh.topology.kind, 1).shapes(self.element.lattice / self.degree), self._corners()
        places = jnp.einsum("cn,cde->end", shape, jnp.stack([jnp.stack(c) for c in x])).reshape(-1, self.mesh.dimension)
        _, first = np.unique(self.numbering.dofs.ravel(), return_index=True)
        return places[first]

    def points(self, local: list[Array], frame: Frame, before: list[Array] | None = None) -> Points:
        """Values ``take``n from the unknowns, and from those before a step in time, at the quadrature point of a frame."""
        held = None if before is None else sum(shape * u for shape, u in zip(frame.shapes, before, strict=True))
        value = sum(shape * u for shape, u in zip(frame.shapes, local, strict=True))
        gradient = sum(frame.gradients[:, n] * u for n, u in enumerate(local))
        return Points(value, frame.place, np.arange(len(self.mesh)), gradient, frame.corners, held=held)

    # ------------------------------------------------------------------ parts

    def facets(self, tag: str) -> np.ndarray:
        """Facets of a tag, ``(F, 2)``."""
        known = self.mesh.topology.facets
        if tag not in known:
            raise unknown("Boundary", tag, known, f"The mesh names {', '.join(known) or 'none'}.")
        return known[tag]

    def nodes_on(self, tag: str) -> np.ndarray:
        """Numbers of the unknowns on a boundary."""
        return np.unique(self.facet_nodes(self.facets(tag)))

    def facet_nodes(self, facets: np.ndarray) -> np.ndarray:
        """Unknowns of each facet, ``(F, k + 1)``, from its first corner to its last."""
        locals_ = np.stack([self.element.on_facet(f) for f in range(len(FACETS[self.mesh.topology.kind]))])
        return self.numbering.dofs[facets[:, :1], locals_[facets[:, 1]]]

    def facet_frames(self, facets: np.ndarray) -> list[tuple[np.ndarray, Array, Array, Array]]:
        """Of each quadrature point of facets: shape functions ``(n,)``, weights ``(F,)``, places ``(d, F)``, outward normals ``(d, F)``."""
        topology = self.mesh.topology
        corners = np.stack([topology.cells[c, list(FACETS[topology.kind][f])] for c, f in facets])
        x = self.mesh.points[corners.T]  # (ends, F, d)
        if self.mesh.dimension == 1:
            outward = np.where(facets[:, 1] == 1, 1.0, -1.0)[None]
            return [(np.ones(1), jnp.ones(len(facets)), x[0].T, jnp.asarray(outward))]
        points, weights = rule("line", 2 * self.degree if self.quadrature is None else self.quadrature)
        shapes, edge = element("line", self.degree), (x[1] - x[0]).T
        length = jnp.sqrt(jnp.sum(edge**2, axis=0))
        normal = jnp.stack([edge[1], -edge[0]]) / length
        along = np.argsort(shapes.lattice[:, 0])  # from the first corner to the last
        values = shapes.shapes(points)[along]
        return [
            (values[:, q], weight * length, x[0].T + points[q, 0] * edge, normal) for q, weight in enumerate(weights)
        ]

    def by_region(self, values: dict[str, float | Array], elsewhere: float | Array | None = None) -> Array:
        """A number for every cell ``(E,)`` from one for every region; cells in no region take ``elsewhere``."""
        regions = self.mesh.topology.regions
        count = np.zeros(len(self.mesh), int)
        total = jnp.zeros(len(self.mesh)) if elsewhere is None else jnp.full(len(self.mesh), elsewhere)
        for name, value in values.items():
            if name not in regions:
                raise unknown("Region", name, regions, f"The mesh names {', '.join(regions) or 'none'}.")
            count[regions[name]] += 1
            total = total.at[regions[name]].set(value)
        if count.max(initial=0) > 1 or (elsewhere is None and count.min() == 0):
            what = "more than one" if count.max(initial=0) > 1 else "no"
            raise JaxmemError(
                f"Some cell of the mesh lies in {what} named region. Name each cell once, or give elsewhere=."
            )
        return total

    def integral(self, u: Array, of: Callable[[Points], Array] = lambda points: points.value) -> Array:
        """Of a function of the values of ``u`` over the mesh."""
        local = self.take(u)
        return self.over_points(lambda frame: jnp.sum(frame.weight * of(self.points(local, frame))))


def _frame(corners: list, weight: Any, shapes: Any, slopes: Any, hats: Any, hat_slopes: Any) -> Frame:
    """Of cells with these corners, at a point where ``weight``, shape functions and their reference gradients are known."""
    d = len(corners[0])
    at = lambda values, i: sum(v * corner[i] for v, corner in zip(values, corners, strict=True))
    size, inverse = _inverse([[at(hat_slopes[j], i) for j in range(d)] for i in range(d)])

    def turned(reference: Any) -> Array:
        """Reference gradients ``(d, n)`` along the axes of space, ``(d, n, E)``."""
        return jnp.stack([sum(inverse[j][i] * reference[j][:, None] for j in range(d)) for i in range(d)])

    place = jnp.stack([at(hats, i) for i in range(d)])
    return Frame(shapes, turned(slopes), turned(hat_slopes), weight * size, place)


def _inverse(jacobian: list[list[Array]]) -> tuple[Array, list[list[Array]]]:
    """Determinant and inverse of one or two rows."""
    if len(jacobian) == 1:
        return jacobian[0][0], [[1.0 / jacobian[0][0]]]
    (a, b), (c, d) = jacobian
    size = a * d - b * c
    return size, [[d / size, -b / size], [-c / size, a / size]]
