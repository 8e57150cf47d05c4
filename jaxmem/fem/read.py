"""Meshes of other programs, by meshio (``pip install meshio``): Gmsh, XDMF, VTK and many more."""

from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataFileError, JaxmemError
from .mesh import Mesh, unstructured

CELLS = {"triangle": "triangle", "quad": "quadrilateral"}


def read_mesh(path: str | Path, scale: float = 1.0) -> Mesh:
    """Triangles or quadrilaterals in a plane, their named boundaries and regions; coordinates times ``scale`` (1e-3 for a file in mm).

    Names come from the file's physical groups or cell sets: of lines for boundaries (names of lines inside are left out), of cells for regions. Cells whose corners run clockwise
    are turned. Raises ``DataFileError`` for a file that cannot be read or holds no such cells.
    """
    try:
        import meshio
    except ImportError:
        raise JaxmemError("Reading a mesh needs meshio. Write: pip install meshio") from None
    if not Path(path).is_file():
        raise DataFileError(f"There is no file {path}. Write the path of a mesh, such as read_mesh('channel.msh').")
    try:
        found = meshio.read(path)
    except (meshio.ReadError, SystemExit, ValueError, KeyError) as error:
        raise DataFileError(f"{path} is not a mesh that meshio reads: {error or 'unknown format'}.") from None
    kinds = [block.type for block in found.cells if block.type in CELLS]
    if len(set(kinds)) != 1:
        raise DataFileError(
            f"{path} holds {sorted(set(kinds)) or 'no triangles or quadrilaterals'}; a mesh has one kind of straight cell."
        )
    points = np.asarray(found.points, float)
    if points.shape[1] == 3 and np.ptp(points[:, 2]) > 0.0:
        raise DataFileError(f"{path} is not plane: z runs from {points[:, 2].min():g} to {points[:, 2].max():g}.")
    cells, used = _joined(found, kinds[0])
    points = points[:, :2] * scale
    x = points[cells]
    turned = np.sum(x[..., 0] * np.roll(x[..., 1], -1, 1) - np.roll(x[..., 0], -1, 1) * x[..., 1], axis=1) < 0.0
    cells[turned] = cells[turned][:, ::-1]
    keep, cells = np.unique(cells, return_inverse=True)  # points of no cell are left out
    number = np.full(len(points), -1)
    number[keep] = np.arange(len(keep))
    cells = cells.reshape(turned.size, -1)
    edges = {name: number[lines] for name, lines in _named(found, "line").items()}
    return unstructured(points[keep], cells, {n: lines for n, lines in edges.items() if _outer(lines, cells)}, used)


def _outer(lines: np.ndarray, cells: np.ndarray) -> bool:
    """Whether all lines are edges of exactly one cell; lines between two cells bound nothing."""
    edges = np.stack([cells, np.roll(cells, -1, axis=1)], axis=-1).reshape(-1, 2)
    pairs, count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    bound = set(map(tuple, pairs[count == 1]))
    return all(tuple(pair) in bound for pair in np.sort(lines[:, :2], axis=1))


def _joined(found: Any, kind: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """All cells of a kind, and the regions among them."""
    blocks = [block.data for block in found.cells if block.type == kind]
    start = np.concatenate([[0], np.cumsum([len(b) for b in blocks])])
    regions: dict[str, np.ndarray] = {}
    for name, parts in _sets(found, 2).items():
        mine = [p for p, block in zip(parts, found.cells, strict=True) if block.type == kind]
        where = np.concatenate([s + np.asarray(p, int) for s, p in zip(start, mine, strict=False)])
        if where.size:
            regions[name] = where
    return np.concatenate(blocks).astype(int), regions


def _named(found: Any, kind: str) -> dict[str, np.ndarray]:
    """Corners of the named cells of a kind."""
    named = {}
    for name, parts in _sets(found, 1).items():
        rows = [
            b.data[np.asarray(p, int)] for p, b in zip(parts, found.cells, strict=True) if b.type == kind and len(p)
        ]
        if rows:
            named[name] = np.concatenate(rows)
    return named


def _sets(found: Any, dimension: int) -> dict[str, list]:
    """Names of parts of a dimension to indices in each block of cells: Gmsh numbers lines and surfaces apart, so that one number may name both."""
    sets = {n: [[] if p is None else p for p in parts] for n, parts in found.cell_sets.items() if "gmsh:" not in n}
    tags = found.cell_data.get("gmsh:physical")
    for name, (tag, of) in found.field_data.items():
        if tags is not None and name not in sets and of == dimension:
            sets[name] = [np.flatnonzero(np.asarray(t) == tag) for t in tags]
    return sets
