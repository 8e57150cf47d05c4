r"""Steady Nernst-Planck-Poisson of a binary salt between two walls, scaled, in finite volumes.

    J_i = -D_i (dc_i/dy + z_i c_i dphi/dy),    dJ_i/dy = 0,    2 eps^2 d2phi/dy2 = -(s (c_1 - c_2) + X)

Lengths in L, potentials in RT/F, concentrations in equivalents of the bulk, diffusivities in that of the salt; X is fixed charge, s the sign of the counter-ions. Unknowns
are ``(c_1, c_2, phi)`` of every cell, stacked ``(3, N)``, counter-ions first, and at most two numbers more (``Border``): the wall-to-wall voltage where
the current is imposed, and the co-ions of the last cell where only their mean is known.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ...linalg.unrolled import thomas_unrolled
from .flux import FaceFlux, face_flux
from .grid import Grid


class Wall(NamedTuple):
    """One end: what concentration each ion has there, and whether it passes (1) or not (0)."""

    concentration: Array  # (2,)
    passes: Array  # (2,)


class Body(NamedTuple):
    """Where cells lie in a membrane and where in solution."""

    fixed: Array  # X, equivalents of fixed charge in every cell, with its sign, (N,)
    mobility: Array  # diffusivities over those in solution, (N,)


class Layer(NamedTuple):
    """One question, scaled."""

    grid: Grid
    charge: Array  # z of counter-ions and co-ions, (2,)
    diffusivity: Array  # (2,)
    eps: Array
    low: Wall
    high: Wall
    body: "Body | None" = None  # of a membrane within the layer

    @property
    def sign(self) -> Array:
        """Of the counter-ions."""
        return jnp.sign(self.charge[0])


class Imposed(NamedTuple):
    """What is given: the voltage or the current, and the mean co-ions where no wall holds them."""

    voltage: Array | None
    current: Array | None
    co_ions: Array | None


class Unknown(NamedTuple):
    """A state: cells ``(3, N)``, the voltage, the co-ions of the last cell (a dummy where they are not asked for)."""

    cells: Array
    voltage: Array
    last: Array


def faces(p: Layer, cells: Array, voltage: Array) -> FaceFlux:
    """Fluxes of both ions through all faces, walls included, ``(2, N + 1)``."""
    c, phi = cells[:2], cells[2]
    wide = jnp.concatenate([p.low.concentration[:, None], c, p.high.concentration[:, None]], axis=1)
    potential = jnp.concatenate([jnp.zeros((1,), phi.dtype), phi, voltage[None]])
    conductance = p.diffusivity[:, None] / (p.grid.gaps if p.body is None else _resistance(p.grid, p.body))[None]
    ends = jnp.ones_like(conductance).at[:, 0].set(p.low.passes).at[:, -1].set(p.high.passes)
    return face_flux(conductance * ends, wide[:, :-1], wide[:, 1:], p.charge[:, None] * jnp.diff(potential)[None])


def _resistance(grid: Grid, body: Body) -> Array:
    """From centre to centre: half cells in series, ``(N + 1,)``."""
    half = 0.5 * grid.widths / body.mobility
    return jnp.concatenate([half[:1], half[:-1] + half[1:], half[-1:]])


def current(p: Layer, flux: Array) -> Array:
    """At every face: ``-s (J_1 - J_2)``, positive where cations go to the lower wall."""
    return p.sign * (flux[1] - flux[0])


def residual(p: Layer, cells: Array, voltage: Array, flux: Array) -> Array:
    """Of every cell ``(3, N)``: what leaves less what enters, and Gauss's law."""
    potential = jnp.concatenate([jnp.zeros((1,), cells.dtype), cells[2], voltage[None]])
    field = jnp.diff(potential) / p.grid.gaps
    charge = p.sign * (cells[0] - cells[1]) + (0.0 if p.body is None else p.body.fixed)
    gauss = 2.0 * p.eps**2 * jnp.diff(field) + charge * p.grid.widths
    return jnp.concatenate([jnp.diff(flux, axis=1), gauss[None]])


def misfit(p: Layer, given: Imposed, x: Unknown) -> Unknown:
    """All equations: zero at the solution."""
    flux = faces(p, x.cells, x.voltage).flux
    rows = residual(p, x.cells, x.voltage, flux)
    last = jnp.zeros_like(x.last) if given.co_ions is None else _mean(p, x) - given.co_ions
    if given.co_ions is not None:
        rows = rows.at[1, -1].set(x.cells[1, -1] - x.last)
    end = x.voltage - given.voltage if given.current is None else current(p, flux)[0] - given.current
    return Unknown(rows, end, last if given.co_ions is not None else x.last)


def _mean(p: Layer, x: Unknown) -> Array:
    return jnp.sum(x.cells[1] * p.grid.widths)


def newton_change(p: Layer, given: Imposed, x: Unknown) -> Unknown:
    """What Newton takes off ``x``: block elimination, with the numbers more, where there are any, as a border."""
    f = faces(p, x.cells, x.voltage)
    off = misfit(p, given, x)
    zero = jnp.zeros_like(x.cells)
    border = []  # of each number more: its column (in the last cell alone), its row times a change of the cells, its own equation
    if given.current is not None:
        column = zero.at[:2, -1].set(f.drop[:, -1] * p.charge).at[2, -1].set(2.0 * p.eps**2 / p.grid.gaps[-1])
        border.append((column, lambda u: _current_change(p, f, u), off.voltage))
    if given.co_ions is not None:
        border.append((zero.at[1, -1].set(-1.0), lambda u: jnp.sum(u[1] * p.grid.widths), off.last))
    blocks = _blocks(p, f, given.co_ions is not None)
    right = jnp.stack([off.cells, *(column for column, *_ in border)], axis=1)
    plain, *answers = jnp.moveaxis(thomas_unrolled(*blocks, right), 1, 0)
    if not border:
        return Unknown(plain, off.voltage, off.last)
    matrix = jnp.stack([jnp.stack([-row(answer) for answer in answers]) for _, row, _ in border])
    wanted = jnp.stack([own - row(plain) for _, row, own in border])
    more = wanted / matrix[0] if len(border) == 1 else _two(matrix, wanted)
    cells = plain - sum(amount * answer for amount, answer in zip(more, answers, strict=True))
    voltage = more[0] if given.current is not None else off.voltage
    return Unknown(cells, voltage, more[-1] if given.co_ions is not None else off.last)


def _current_change(p: Layer, f: FaceFlux, u: Array) -> Array:
    """Of the current at the lower wall with a change of the cells."""
    flux = f.right[:, 0] * u[:2, 0] + f.drop[:, 0] * p.charge * u[2, 0]
    return p.sign * (flux[1] - flux[0])


def _two(matrix: Array, right: Array) -> Array:
    (a, b), (c, d) = matrix
    return jnp.stack([d * right[0] - b * right[1], a * right[1] - c * right[0]]) / (a * d - b * c)


def _blocks(p: Layer, f: FaceFlux, hold_last: bool) -> tuple:
    """Lower, main and upper blocks; None where an entry is zero."""
    toward = f.drop * p.charge[:, None]  # dJ/d(phi_R - phi_L)
    stiff = 2.0 * p.eps**2 / p.grid.gaps
    lower: list = [[None] * 3 for _ in range(3)]
    main: list = [[None] * 3 for _ in range(3)]
    upper: list = [[None] * 3 for _ in range(3)]
    for i in range(2):
        lower[i][i], lower[i][2] = -f.left[i, :-1], toward[i, :-1]
        main[i][i], main[i][2] = f.left[i, 1:] - f.right[i, :-1], -toward[i, 1:] - toward[i, :-1]
        upper[i][i], upper[i][2] = f.right[i, 1:], toward[i, 1:]
    lower[2][2], main[2][2], upper[2][2] = stiff[:-1], -stiff[1:] - stiff[:-1], stiff[1:]
    main[2][0], main[2][1] = p.sign * p.grid.widths, -p.sign * p.grid.widths
    if hold_last:
        lower[1][1], lower[1][2] = lower[1][1].at[-1].set(0.0), lower[1][2].at[-1].set(0.0)
        main[1][1], main[1][2] = main[1][1].at[-1].set(1.0), main[1][2].at[-1].set(0.0)
    return lower, main, upper
