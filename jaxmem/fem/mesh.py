"""Meshes of a line: coordinates are a leaf, so that shapes have derivatives; ends are known by index."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError, ShapeError
from .._fields import is_concrete


class LineMesh(eqx.Module):
    """``N + 1`` increasing nodes and the N elements between them."""

    nodes: Array  # (N + 1,)

    def __check_init__(self) -> None:
        if getattr(self.nodes, "ndim", 1) != 1 or self.nodes.shape[0] < 2:
            raise ShapeError(
                f"A line mesh has nodes of shape {self.nodes.shape}; it needs (N + 1,). Write fem.line(0.0, 1.0, 100)."
            )
        if is_concrete(self.nodes):
            width = np.diff(np.asarray(self.nodes))
            if not np.all(width > 0.0):
                bad = int(np.argmin(width))
                what = "has no length" if width[bad] == 0.0 else "is inverted"
                raise JaxmemError(
                    f"Element {bad} of the mesh {what}: nodes {float(self.nodes[bad]):g} and {float(self.nodes[bad + 1]):g}. Nodes must "
                    "increase: write jnp.sort(jnp.unique(nodes))."
                )

    @property
    def widths(self) -> Array:
        """``(N,)``."""
        return jnp.diff(self.nodes)

    def __len__(self) -> int:
        return self.nodes.shape[0] - 1


def uniform(n: int) -> np.ndarray:
    """N + 1 equal fractions of a line."""
    return np.linspace(0.0, 1.0, n + 1)


def geometric(n: int, ratio: float, end: str = "right") -> np.ndarray:
    """Elements that shrink by ``ratio`` (below 1) towards one end, ``"left"`` or ``"right"``."""
    if not 0.0 < ratio <= 1.0 or end not in ("left", "right"):
        raise JaxmemError(f"ratio = {ratio!r}, end = {end!r}. Write geometric(100, 0.95, end='right').")
    at = np.concatenate([[0.0], np.cumsum(ratio ** np.arange(n))])
    at = at / at[-1]
    return at if end == "right" else 1.0 - at[::-1]


def shishkin(n: int, width: float, end: str = "right") -> np.ndarray:
    """Half of the elements within ``width`` (a fraction of the line) of one end: the mesh of a boundary layer."""
    if not 0.0 < width < 1.0 or end not in ("left", "right"):
        raise JaxmemError(f"width = {width!r}, end = {end!r}. Write shishkin(100, 0.05, end='right').")
    half = n // 2
    at = np.concatenate([np.linspace(0.0, 1.0 - width, n - half + 1), np.linspace(1.0 - width, 1.0, half + 1)[1:]])
    return at if end == "right" else 1.0 - at[::-1]


def line(low: float, high: float, n: int, fractions: np.ndarray | None = None) -> LineMesh:
    """From ``low`` to ``high`` with ``n`` elements; ``fractions`` of a grading, uniform without."""
    at = uniform(n) if fractions is None else fractions
    return LineMesh(low + (high - low) * jnp.asarray(at))
