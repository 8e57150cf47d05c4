r"""A slit between two membranes in two dimensions: polarisation resolved, no mass-transfer coefficient.

    u c_x + v c_y = D c_yy,    u = 3/2 ubar(x) (1 - eta^2),    v = v_w(x) eta (3 - eta^2)/2,    eta = y/h
    d ubar/dx = -v_w/h,    dP/dx = -3 mu ubar/h^2
    wall: v_w c - D c_y = v_w c_p = B (c - c_p) + (1 - sigma) v_w c,    v_w = A [P - sigma (Pi(c) - Pi(c_p))]

The flow is Berman's for small wall Reynolds numbers (1953, doi 10.1063/1.1721476). With a membrane on the upper side only
``v = v_w [1 + eta (3 - eta^2)/2]/2`` and ``d ubar/dx = -v_w/(2 h)``. Diffusion along x is left out, so that the equations are
marched from the inlet: linear finite elements across (graded to the wall, conservative form), the trapezoidal rule along (backward Euler for
the first steps), one root for the wall flux at every position. Salt and water balance to round-off.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._errors import JaxmemError
from ..._fields import whole
from ..._status import code
from ...case import Case
from ...chemistry.brine import brine_of
from ...conditions import SlitFlux, SlitPressure
from ...fem.grading import geometric
from ...linalg.block_tridiagonal import tridiagonal
from ...membranes.solution_diffusion import SolutionDiffusionMembrane
from ...nonlinear.increasing import root_of_increasing
from ..base import AbstractModel
from ..inputs import below_osmotic, benign, check_feed, check_membrane, check_precision, check_salt, feed_status
from ..lanes import known, over_lanes
from ..wall import passage, permeances
from .slit_result import START, SlitResult

_DENSITY = 1000.0  # kg/m3, of the wall Reynolds number
_GAUSS, _WEIGHTS = np.polynomial.legendre.leggauss(
    4
)  # exact: the weights u and v are cubics times two linear functions


class Position(NamedTuple):
    """Everything at one x."""

    concentration: Array  # (N + 1) kg/m3, from the middle of the slit to the wall
    velocity: Array  # mean, m/s
    pressure: Array  # Pa over the permeate
    flux: Array  # v_w, m/s
    permeate: Array  # c_p, kg/m3


class SlitState(NamedTuple):
    """All positions, and the code of the inputs."""

    x: Array  # (M + 1) m
    at: Position  # (M + 1, ...)
    status: Array


class Bands(NamedTuple):
    """Tridiagonal matrices of the elements across the slit, lower, main and upper diagonal."""

    mass: np.ndarray  # int 3/2 (1 - eta^2) phi phi
    advection: np.ndarray  # -int phi' eta (3 - eta^2)/2 phi
    diffusion: np.ndarray  # int phi' phi'


def bands(eta: np.ndarray, sides: int = 2) -> Bands:
    """Exact element integrals on the nodes ``eta``, assembled; each ``(3, N + 1)``, row r holding offset r - 1."""
    h = np.diff(eta)
    found = np.zeros((3, 3, eta.size))
    for g, weight in zip(_GAUSS, _WEIGHTS, strict=True):
        xi, w = 0.5 * (g + 1.0), 0.5 * weight * h
        place = eta[:-1] + xi * h
        value, slope = ((1.0 - xi) * np.ones_like(h), xi * np.ones_like(h)), (-1.0 / h, 1.0 / h)
        u, v = 1.5 * (1.0 - place**2), place * (3.0 - place**2) / 2.0
        v = v if sides == 2 else 0.5 * (1.0 + v)
        for i in range(2):
            for j in range(2):
                terms = (w * u * value[i] * value[j], -w * v * slope[i] * value[j], w * slope[i] * slope[j])
                for k, term in enumerate(terms):
                    found[k, 1 + j - i, i : eta.size - 1 + i] += term
    return Bands(*found)


def _times(b: Array, c: Array) -> Array:
    """Matrix of diagonals ``(3, N + 1)`` times a vector."""
    return b[1] * c + jnp.pad(b[0, 1:] * c[:-1], (1, 0)) + jnp.pad(b[2, :-1] * c[1:], (0, 1))


class SlitRO(AbstractModel):
    """A slit with membranes on both sides, or with ``sides=1`` on the upper one (``SlitPressure``, or ``SlitFlux`` for an imposed wall
    flux); equations at the head of the file.

    ``osmotic=None`` takes the law of the feed's brine. ``steps`` positions grow as the cube of their number, ``elements`` shrink by
    ``ratio`` towards the wall. Breaks down where the slit runs dry, and where Re_w = v_w h/nu exceeds about 1.
    """

    elements: int = eqx.field(static=True, default=160, converter=whole)
    ratio: float = eqx.field(static=True, default=0.9625)
    steps: int = eqx.field(static=True, default=200)
    sides: int = eqx.field(static=True, default=2)
    osmotic: Callable | None = None
    precision: str = eqx.field(static=True, default="float64")

    def __check_init__(self) -> None:
        if (
            not isinstance(self.elements, int)
            or self.elements < 4
            or not isinstance(self.steps, int)
            or self.steps < START
        ):
            raise JaxmemError(
                f"elements = {self.elements!r}, steps = {self.steps!r}. A slit needs 4 elements across and {START} steps along it or more: write "
                "elements=160, steps=200."
            )
        if self.sides not in (1, 2):
            raise JaxmemError(f"sides = {self.sides!r}. A slit has membranes on 2 sides or on 1: write sides=2.")

    def title(self) -> str:
        """Name and options, as printed."""
        return f"Slit in two dimensions ({self.elements} x {self.steps})"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return ["flow: Berman 1953, J. Appl. Phys. 24, 1232, doi 10.1063/1.1721476"]

    @property
    def eta(self) -> np.ndarray:
        """Nodes across, from 0 in the middle, or from -1 at the closed wall, to 1 at the membrane."""
        at = geometric(self.elements, self.ratio)
        return at if self.sides == 2 else 2.0 * at - 1.0

    @property
    def bands(self) -> Bands:
        """Matrices across the slit."""
        return bands(self.eta, self.sides)

    def check(self, case: Case) -> None:
        """Refuse other membranes and conditions."""
        line = "jm.Case(feed, jm.SolutionDiffusionMembrane(3e-12, 3e-8), jm.SlitPressure(55 * bar, ...))"
        check_membrane(case, SolutionDiffusionMembrane, "SlitRO", line)
        if not isinstance(case.conditions, SlitPressure | SlitFlux):
            raise JaxmemError(
                f"SlitRO needs SlitPressure or SlitFlux, not a {type(case.conditions).__name__}. Write {line}."
            )
        check_precision(case, self.precision)
        check_feed(case)
        check_salt(case, self.osmotic)

    def initial_guess(self, case: Case) -> Array:
        """The feed everywhere, kg/m3."""
        bulk = jnp.sum(case.feed.mass_concentration, axis=-1)
        return jnp.broadcast_to(bulk[..., None], (*case.batch_shape, self.elements + 1))

    def _lane(self, case: Case) -> SlitState:
        """One question."""
        given, t, brine = case.conditions, case.feed.temperature, brine_of(case.feed)
        p, h, d = permeances(case.membrane, t), given.half_height, given.diffusivity
        bulk = jnp.sum(case.feed.mass_concentration, axis=-1)
        b = Bands(*(jnp.asarray(x, bulk.dtype) for x in self.bands))

        def osmotic(c: Array) -> Array:
            return (self.osmotic or brine.osmotic)(brine.mass_fraction(c, t), c, t)

        def share(flux: Array) -> Array:
            return passage(p, flux)  # c_p/c_m

        def across(flux: Array) -> Array:
            """What moves across at a wall flux, per length of the channel, over h: diagonals."""
            matrix = flux / h * b.advection + d / h**2 * b.diffusion
            return matrix.at[1, -1].add(flux * share(flux) / h)

        def walled(pressure: Array, wall: Array, flux: Array) -> Array:
            """Water balance of the wall, Pa; increases with the flux."""
            return flux / p.water - pressure + p.reflection * (osmotic(wall) - osmotic(share(flux) * wall))

        def step(before: Position, move: tuple[Array, Array]) -> tuple[Position, Position]:
            dx, theta = move
            old = before.velocity * _times(b.mass, before.concentration)
            old = old - (1.0 - theta) * dx * _times(across(before.flux), before.concentration)

            def after(flux: Array) -> Position:
                lost = 0.5 * self.sides / h * dx * (theta * flux + (1.0 - theta) * before.flux)
                velocity = before.velocity - lost
                mean = theta * velocity + (1.0 - theta) * before.velocity
                matrix = velocity * b.mass + theta * dx * across(flux)
                c = tridiagonal(matrix[0, 1:], matrix[1], matrix[2, :-1], old)
                pressure = before.pressure - dx * 3.0 * given.viscosity * mean / h**2
                return Position(c, velocity, pressure, flux, share(flux) * c[-1])

            if isinstance(given, SlitFlux):
                new = after(given.flux)
            else:

                def imbalance(flux: Array) -> Array:
                    at = after(flux)
                    return walled(at.pressure, at.concentration[-1], flux)

                high = p.water * jnp.maximum(before.pressure, 1.0)
                new = after(root_of_increasing(imbalance, jnp.zeros_like(high), high, before.flux))
            return new, new

        if isinstance(given, SlitFlux):
            flux, pressure = given.flux, jnp.zeros_like(given.flux)
        else:
            pressure = given.pressure
            high = p.water * pressure
            flux = root_of_increasing(lambda j: walled(pressure, bulk, j), jnp.zeros_like(high), high, 0.5 * high)
        c = bulk * jnp.ones(self.elements + 1)
        inlet = Position(c, given.velocity, pressure, flux, share(flux) * bulk)
        grid = np.linspace(0.0, 1.0, self.steps + 1) ** 3
        theta = jnp.asarray(np.where(np.arange(self.steps) < START, 1.0, 0.5), bulk.dtype)
        _, rest = jax.lax.scan(step, inlet, (given.length * jnp.diff(jnp.asarray(grid)), theta))
        at = jax.tree.map(lambda first, later: jnp.concatenate([first[None], later]), inlet, rest)
        return SlitState(given.length * jnp.asarray(grid), at, jnp.zeros((), jnp.int32))

    @eqx.filter_jit
    def find(self, case: Case) -> SlitState:
        """March every lane."""
        status = feed_status(case)
        state = over_lanes(self._lane, benign(case, status == code("successful")))
        at = state.at
        finite = jnp.all(jnp.isfinite(at.concentration), axis=(-2, -1)) & (jnp.min(at.velocity, axis=-1) > 0.0)
        status = jnp.where((status == 0) & ~finite, code("channel_runs_dry"), status)
        given, sound = case.conditions, status != code("outside_model")
        largest = jnp.max(at.flux, axis=-1)
        thin = largest * given.half_height * (self.eta[-1] - self.eta[-2]) > given.diffusivity
        thin = thin | (jnp.min(at.concentration, axis=(-2, -1)) < 0.0)
        status = jnp.where((status == 0) & thin, code("layer_unresolved"), status)
        fast = largest * given.half_height * _DENSITY / given.viscosity > 1.0
        status = jnp.where((status == 0) & fast, code("wall_reynolds_number"), status)
        if isinstance(given, SlitPressure):
            weak = below_osmotic(case, given.pressure, self.osmotic)
            status = jnp.where(sound & weak, code("below_osmotic_pressure"), status)
            status = jnp.where((status == 0) & (jnp.min(at.pressure, axis=-1) <= 0.0), code("pressure_spent"), status)
        return state._replace(status=status)

    def residual(self, state: SlitState, case: Case) -> Array:
        """Salt balance, relative, ``(*batch, 1)``."""
        return self.observe(state, case).salt_closure[..., None]

    def observe(self, state: SlitState, case: Case) -> SlitResult:
        """The Result of every lane."""
        solved = state.status == code("successful")
        return SlitResult(case=case, model=self, state=known(state, solved), status=state.status)
