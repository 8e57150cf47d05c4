"""Meshes: coordinates of points, which are a leaf (shapes have derivatives), and a topology, which is fixed.

Boundaries and regions are known by index, never by comparing coordinates: a grid names its sides, an imported mesh names what its file names.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from .._errors import JaxmemError, ShapeError, unknown
from .._fields import is_concrete
from .elements import CORNERS, DIMENSION, FACETS
from .grading import uniform

Facets = dict[str, np.ndarray]  # of each tag (F, 2): cell, and which of its facets
Regions = dict[str, np.ndarray]  # of each tag (R,): cells


@dataclass(frozen=True, eq=False)
class Topology:
    """Which corners make which cells, and the names of parts of it. Two topologies of the same content are equal.

    On a grid of ``shape`` boxes cells are numbered layer by layer: all boxes' first triangles, then all second ones.
    """

    kind: str
    cells: np.ndarray  # (E, corners)
    facets: Facets
    regions: Regions = field(default_factory=dict)
    shape: tuple[int, ...] | None = None

    @cached_property
    def digest(self) -> str:
        """Of the content."""
        parts = [self.kind.encode(), str(self.shape).encode(), np.ascontiguousarray(self.cells).tobytes()]
        for table in (self.facets, self.regions):
            parts += [part for name, where in sorted(table.items()) for part in (name.encode(), where.tobytes())]
        return hashlib.sha256(b"|".join(parts)).hexdigest()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Topology) and self.digest == other.digest

    @cached_property
    def boundary(self) -> np.ndarray:
        """Facets that belong to one cell only, ``(F, 2)``."""
        corners = [np.sort(self.cells[:, list(f)], axis=1) for f in FACETS[self.kind]]
        each = np.stack(corners, axis=1).reshape(-1, corners[0].shape[1])
        _, index, count = np.unique(each, axis=0, return_inverse=True, return_counts=True)
        if (count > 2).any():
            raise JaxmemError(
                f"A facet of the mesh belongs to {int(count.max())} cells; two share one at most. Look for duplicate cells: write "
                "np.unique(np.sort(cells, axis=1), axis=0)."
            )
        alone = np.flatnonzero(count[index.ravel()] == 1)
        return np.stack(np.divmod(alone, len(FACETS[self.kind])), axis=1)


class Mesh(eqx.Module):
    """Points ``(P, d)`` and a topology of lines, triangles or quadrilaterals."""

    points: Array
    topology: Topology = eqx.field(static=True)

    def __check_init__(self) -> None:
        d = DIMENSION[self.topology.kind]
        shape = getattr(self.points, "shape", None)
        if shape is not None and (len(shape) != 2 or shape[1] != d):
            raise ShapeError(f"Points of a mesh of {self.topology.kind}s have shape {shape}; they need (P, {d}).")
        if not is_concrete(self.points) or shape is None:
            return
        size, x = self.sizes(), np.asarray(self.points)
        if not np.all(size > 0.0):
            bad = int(np.argmin(size))
            what = "has no size" if size[bad] == 0.0 else "is inverted"
            if np.isnan(size).any():
                bad, what = int(np.argmax(np.isnan(size))), "has a corner that is not a number"
            where = ", ".join("(" + ", ".join(f"{v:.6g}" for v in x[p]) + ")" for p in self.topology.cells[bad])
            how = "Nodes of a line must increase: write jnp.sort(jnp.unique(nodes))."
            if d == 2:
                how = "Corners run counter-clockwise: write cells[i] = cells[i][::-1] for a cell that is turned."
            raise JaxmemError(f"Element {bad} of the mesh {what}: corners {where}. {how}")

    @property
    def dimension(self) -> int:
        """1 or 2."""
        return DIMENSION[self.topology.kind]

    @property
    def nodes(self) -> Array:
        """Of a line: its points, ``(P,)``."""
        return self.points[:, 0]

    def sizes(self) -> np.ndarray:
        """The smallest corner's length or parallelogram of each cell: positive where no cell is turned inside out, ``(E,)``."""
        x = np.asarray(self.points)[self.topology.cells]
        if self.dimension == 1:
            return x[:, 1, 0] - x[:, 0, 0]
        ahead, behind = np.roll(x, -1, axis=1) - x, np.roll(x, 1, axis=1) - x
        return np.min(ahead[..., 0] * behind[..., 1] - ahead[..., 1] * behind[..., 0], axis=1)

    def __len__(self) -> int:
        return len(self.topology.cells)


def line(low: float, high: float, n: int, fractions: np.ndarray | None = None) -> Mesh:
    """From ``low`` to ``high`` with ``n`` elements; ``fractions`` of a grading, uniform without. Ends are ``left`` and ``right``."""
    if not isinstance(n, int | np.integer) or n < 1:
        raise JaxmemError(f"n = {n!r} is not a number of elements. Write fem.line(0.0, 1.0, 100).")
    at = uniform(n) if fractions is None else np.asarray(fractions, float)
    if at.shape != (n + 1,) or at[0] != 0.0 or at[-1] != 1.0:
        raise JaxmemError(
            f"fractions of shape {at.shape} must be {n + 1} numbers from 0 to 1. Write fem.geometric({n}, 0.95)."
        )
    return line_through(low + (high - low) * jnp.asarray(at))


def line_through(nodes: ArrayLike) -> Mesh:
    """Elements between increasing nodes ``(N + 1,)``."""
    nodes = jnp.asarray(nodes)
    if nodes.ndim != 1 or nodes.shape[0] < 2:
        raise ShapeError(
            f"A line needs nodes of shape (N + 1,); these are {nodes.shape}. Write fem.line(0.0, 1.0, 100)."
        )
    n = nodes.shape[0] - 1
    cells = np.stack([np.arange(n), np.arange(1, n + 1)], axis=1)
    ends = {"left": np.array([[0, 0]]), "right": np.array([[n - 1, 1]])}
    return Mesh(nodes[:, None], Topology("line", cells, ends, shape=(n,)))


# of one box of a grid, the corners of each cell in it, and which facet lies on each side
_BOXES = {
    "quadrilateral": (CORNERS["quadrilateral"][None], {"bottom": (0, 0), "right": (0, 1), "top": (0, 2), "left": (0, 3)}),
    "triangle": (
        np.array([[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]]),
        {"bottom": (0, 0), "right": (0, 1), "top": (1, 1), "left": (1, 2)},
    ),
}  # fmt: skip


def box_cells(kind: str) -> np.ndarray:
    """Corners of the cells in one box of a grid, ``(layers, corners, d)``."""
    return CORNERS["line"][None] if kind == "line" else _BOXES[kind][0]


def rectangle(
    x: ArrayLike,
    y: ArrayLike,
    kind: str = "triangle",
    regions: dict[str, tuple[slice, slice]] | None = None,
    sides: dict[str, tuple[str, slice]] | None = None,
) -> Mesh:
    """Boxes between increasing ``x`` and ``y``, each a quadrilateral or two triangles.

    Sides are ``left``, ``right``, ``bottom`` and ``top``. ``regions={"feed": (slice(0, 8), slice(None))}`` names boxes by index, and
    ``sides={"inlet": ("left", slice(0, 4))}`` a part of a side; the side keeps the rest, if there is one.
    """
    if kind not in _BOXES:
        raise unknown("Kind of cell", kind, _BOXES, 'Write fem.rectangle(x, y, "triangle").')
    x, y = jnp.asarray(x), jnp.asarray(y)
    if x.ndim != 1 or y.ndim != 1 or min(x.shape[0], y.shape[0]) < 2:
        raise ShapeError(
            f"x and y have shapes {x.shape} and {y.shape}; they need (nx + 1,) and (ny + 1,). Write "
            "fem.rectangle(jnp.linspace(0.0, 1.0, 11), jnp.linspace(0.0, 1.0, 11))."
        )
    nx, ny = x.shape[0] - 1, y.shape[0] - 1
    corners, on = _BOXES[kind]
    number = np.arange((nx + 1) * (ny + 1)).reshape(nx + 1, ny + 1)
    cells = np.stack(
        [[number[i : nx + i, j : ny + j].ravel() for i, j in layer] for layer in corners]
    )  # (layers, corners, boxes)
    boxes = np.arange(nx * ny).reshape(nx, ny)
    edge = {"left": boxes[0], "right": boxes[-1], "bottom": boxes[:, 0], "top": boxes[:, -1]}
    facets = {
        name: np.stack([box + on[name][0] * nx * ny, np.full_like(box, on[name][1])], 1) for name, box in edge.items()
    }
    whole = dict(facets)
    for name, (side, part) in (sides or {}).items():
        facets[name] = np.atleast_2d(whole[_known(side, edge)][part])
        _filled(name, facets[name])
        rest = [f for f in facets[side] if f.tolist() not in facets[name].tolist()]
        facets[side] = np.array(rest).reshape(-1, 2)
    facets = {name: where for name, where in facets.items() if len(where)}
    layers = np.arange(len(corners))[:, None] * nx * ny
    named = {name: (layers + boxes[part].ravel()).ravel() for name, part in (regions or {}).items()}
    for name, where in named.items():
        _filled(name, where)
    points = jnp.stack(jnp.meshgrid(x, y, indexing="ij"), axis=-1).reshape(-1, 2)
    flat = np.moveaxis(cells, 1, 2).reshape(-1, corners.shape[1])
    return Mesh(points, Topology(kind, flat, facets, named, (nx, ny)))


def _known(name: str, among: dict) -> str:
    if name not in among:
        raise unknown("Side", name, among, 'Write for example sides={"inlet": ("left", slice(0, 4))}.')
    return name


def _filled(name: str, where: np.ndarray) -> None:
    if not len(where):
        raise JaxmemError(f'The part "{name}" of the mesh is empty. Write slices that hold boxes, such as slice(0, 4).')


def unstructured(
    points: ArrayLike, cells: np.ndarray, facets: dict[str, np.ndarray], regions: Regions | None = None
) -> Mesh:
    """Any mesh of triangles or quadrilaterals ``(E, 3 or 4)``; ``facets`` names boundary edges by their two corners ``(F, 2)``."""
    cells = np.asarray(cells)
    if cells.ndim != 2 or cells.shape[1] not in (3, 4):
        raise ShapeError(
            f"cells have shape {cells.shape}; they need (E, 3) for triangles or (E, 4) for quadrilaterals."
        )
    kind = "triangle" if cells.shape[1] == 3 else "quadrilateral"
    if not cells.size or not np.issubdtype(cells.dtype, np.integer):
        raise JaxmemError(
            f"cells of type {cells.dtype} and shape {cells.shape} name no points. Write np.array([[0, 1, 2], ...])."
        )
    if cells.min() < 0 or cells.max() >= len(points):
        wrong = int(cells.min() if cells.min() < 0 else cells.max())
        raise JaxmemError(f"cells name point {wrong} of {len(points)}. Points are counted from 0.")
    idle = np.setdiff1d(np.arange(len(points)), cells)
    if idle.size:
        raise JaxmemError(f"Point {int(idle[0])} belongs to no cell. Leave such points out, and count the others anew.")
    _, first, count = np.unique(np.sort(cells, axis=1), axis=0, return_index=True, return_counts=True)
    if (count > 1).any():
        raise JaxmemError(
            f"Cell {int(first[count > 1][0])} of the mesh occurs {int(count.max())} times. Write np.unique(np.sort(cells, axis=1), axis=0)."
        )
    mesh = Mesh(jnp.asarray(points, float), Topology(kind, cells, {}, {}))  # refuses inverted cells
    regions = {name: _cells_of(name, where, len(cells)) for name, where in (regions or {}).items()}
    edge = mesh.topology.boundary
    _apart(cells, kind)
    corners = np.sort(np.array([cells[c, list(FACETS[kind][f])] for c, f in edge]), axis=1)
    place = {tuple(pair): i for i, pair in enumerate(corners)}
    found = {}
    for name, given in facets.items():
        pairs = np.unique(np.sort(np.reshape(np.asarray(given, int), (-1, 2)), axis=1), axis=0)
        _filled(name, pairs)
        missing = [tuple(p) for p in np.sort(np.asarray(pairs), axis=1) if tuple(p) not in place]
        if missing:
            raise JaxmemError(
                f'The edge {tuple(map(int, missing[0]))} tagged "{name}" is not on the boundary of the mesh.'
            )
        found[name] = edge[[place[tuple(p)] for p in np.sort(np.asarray(pairs), axis=1)]]
    return Mesh(mesh.points, Topology(kind, cells, found, regions))


def _apart(cells: np.ndarray, kind: str) -> None:
    """Refuse two cells on the same side of an edge: cells run counter-clockwise, so that neighbours pass their edge in opposite directions."""
    edges = np.stack([cells[:, list(f)] for f in FACETS[kind]], axis=1).reshape(-1, 2)
    _, first, place, count = np.unique(edges, axis=0, return_index=True, return_inverse=True, return_counts=True)
    if (count > 1).any():
        both = np.flatnonzero(place.ravel() == np.argmax(count > 1)) // len(FACETS[kind])
        a, b = map(int, edges[first[np.argmax(count > 1)]])
        raise JaxmemError(
            f"Cells {both[0]} and {both[1]} of the mesh overlap: both lie on one side of the edge from point {a} to point {b}. Leave one of "
            f"them out: write np.delete(cells, {both[1]}, axis=0)."
        )


def _cells_of(name: str, where: np.ndarray, count: int) -> np.ndarray:
    """The cells of a region, each of which there is."""
    where = np.atleast_1d(np.asarray(where))
    _filled(name, where)
    if where.ndim != 1 or not np.issubdtype(where.dtype, np.integer) or where.min() < 0 or where.max() >= count:
        raise JaxmemError(
            f'The region "{name}" = {where.tolist() if where.size < 10 else where.dtype} must list cells by number, 0 to {count - 1}. Write '
            "np.array([0, 1])."
        )
    return where
