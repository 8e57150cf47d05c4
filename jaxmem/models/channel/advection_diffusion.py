r"""The advection-diffusion model (ADM) of a layer of solution, by linear finite elements.

    C_t + v C' = (D(C) C')' + R(C, x),    C(0) = C_0,    an outlet condition at x = L

``sign="weak"`` is the weak form of this equation, ``a(C, phi) = int D C' phi' + v C' phi``, with the total flux ``J = v C - D C'``.
``sign="eq23"`` is the element matrix that Najdawi 2025 prints (doi 10.4236/eng.2025.1710029, Eq. 22 and 23), which has the sign of v turned:
its flux is ``J = -D C' - v C`` and its layer sits at the inlet.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._errors import IllPosedBoundaryError, JaxmemError, PhysicalRangeError, ShapeError
from ..._fields import is_concrete, whole
from ..._status import code
from ...case import Case
from ...chemistry.diffusion import ConstantDiffusivity
from ...conditions import Layer
from ...fem.boundary import Dirichlet, Gradient, Permeable, TotalFlux
from ...fem.direct import direct
from ...fem.forms import AdvectionDiffusion, given_shape
from ...fem.grading import uniform
from ...fem.mesh import line_through
from ...fem.problem import Problem
from ...fem.space import Space
from ...fem.time import theta_step
from ...nonlinear.damped_newton import damped_newton
from ..base import AbstractModel
from ..inputs import benign, check_precision, input_status
from ..lanes import known, over_lanes
from .result import LayerResult

BLOCK = 16  # lanes at a time on a CPU, whose eliminations then stay in the cache
REFUSED = 36.04  # ln(1/eps): amplification by which the outlet condition is lost in round-off


class LayerState(NamedTuple):
    """Concentration at the nodes, and how well the equations hold there."""

    position: Array  # (N + 1) m
    concentration: Array  # (N + 1) mol/m3
    residual: Array  # largest, over the largest flux
    amplification: Array  # ln of the growth between the outlet condition and the inlet
    unsteady: Array  # largest |C_t| L/(v C_0) of the last step (without flow D/L for v); 0 in a steady state
    diffusivity: Array  # smallest factor of the diffusivity at the nodes
    status: Array


def no_reaction(concentration: Array, position: Array) -> Array:
    """R = 0."""
    return jnp.zeros_like(concentration)


class ADM(AbstractModel):
    """Advection and diffusion of a salt through a layer (``jm.Layer``), steady or in time; equations at the head of the file.

    The salt is counted in equivalents (mol/m3 of positive charge: of NaCl, its concentration). ``supg=True`` makes nodes exact for constant
    coefficients; ``False`` is Galerkin, which oscillates where ``v h/(2 D) > 1``. ``reaction(C, x)`` adds mol/m3/s. In time: ``steps`` steps
    of the ``theta`` rule (1/2 Crank-Nicolson, 1 backward Euler), the first two as four halves of backward Euler, which damp the jump at the
    inlet (Rannacher 1984, doi 10.1007/BF01390130); steps longer than the time that salt takes through the layer blur what happens before. A steady outlet condition that round-off would decide is refused.
    """

    elements: int = eqx.field(static=True, default=200, converter=whole)
    grading: tuple[float, ...] | None = eqx.field(static=True, default=None)  # N + 1 fractions of the length
    supg: bool = eqx.field(static=True, default=True)
    sign: str = eqx.field(static=True, default="weak")
    diffusivity: Any = ConstantDiffusivity()
    reaction: Any = no_reaction
    element_diffusivity: Any = None  # (N,) factors of D, one an element
    steps: int = eqx.field(static=True, default=200)
    theta: float = eqx.field(static=True, default=0.5)
    lumped: bool = eqx.field(static=True, default=False)
    allow_ill_posed: bool = eqx.field(static=True, default=False)
    precision: str = eqx.field(static=True, default="float64")

    def __check_init__(self) -> None:
        if self.sign not in ("weak", "eq23"):
            raise JaxmemError(f"sign = {self.sign!r} is not known. Write sign='weak' or sign='eq23'.")
        if not isinstance(self.steps, int) or self.steps < 1 or self.theta not in (0.5, 1.0):
            raise JaxmemError(
                f"steps = {self.steps!r}, theta = {self.theta!r}. Write steps=200 (an integer), and theta=0.5 (Crank-Nicolson) or theta=1.0."
            )
        for name in ("diffusivity", "reaction"):
            if not callable(getattr(self, name)):
                raise JaxmemError(f"{name} = {getattr(self, name)!r} is not a function of concentration. Write {name}=jm.ExponentialDiffusivity(1e-4), or leave it out.")  # fmt: skip
        if type(self.elements) is not int or self.elements < 1:
            raise JaxmemError(f"elements = {self.elements!r} is not a number of elements. Write elements=200.")
        if self.grading is not None and len(self.grading) != self.elements + 1:
            raise JaxmemError(
                f"grading has {len(self.grading)} fractions for {self.elements} elements. Write grading=tuple(jm.fem.geometric({self.elements}, 0.95))."
            )

        at = np.asarray(uniform(self.elements) if self.grading is None else self.grading)
        if at[0] != 0.0 or at[-1] != 1.0 or not np.all(np.diff(at) > 0.0):
            raise JaxmemError(
                f"grading does not rise from 0 to 1. Write grading=tuple(jm.fem.geometric({self.elements}, 0.95))."
            )
        factor = self.element_diffusivity
        if factor is not None and jnp.shape(factor) != (self.elements,):
            raise ShapeError(
                f"element_diffusivity has shape {jnp.shape(factor)}; it needs ({self.elements},). Write jnp.ones({self.elements})."
            )
        if is_concrete(factor) and not bool(np.all(np.asarray(factor) > 0.0)):
            raise PhysicalRangeError(
                "element_diffusivity holds a factor that is not positive. Write factors of the diffusivity, such as 0.5."
            )

    def title(self) -> str:
        """Name and options, as printed."""
        scheme = "SUPG" if self.supg else "Galerkin"
        return (
            f"ADM ({self.elements} linear elements, {scheme}, {'Eq. 23 sign' if self.sign == 'eq23' else 'weak form'})"
        )

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return [
            "Najdawi 2025, Engineering 17, 501, doi 10.4236/eng.2025.1710029; Brooks and Hughes 1982, doi 10.1016/0045-7825(82)90071-8"
        ]

    def velocity(self, case: Case) -> Array:
        """With the sign that the elements see, m/s."""
        return case.conditions.velocity * (-1.0 if self.sign == "eq23" else 1.0)

    def amplification(self, case: Case) -> Array:
        """``S``: the outlet condition is felt at the inlet through ``exp(S)``. Beyond 36 it is lost in round-off."""
        layer, v = case.conditions, self.velocity(case)
        fractions = uniform(self.elements) if self.grading is None else np.asarray(self.grading)
        peclet = jnp.abs(v * layer.length / layer.diffusivity)[..., None] * np.diff(fractions) / 2.0
        peclet = peclet if self.element_diffusivity is None else peclet / self.element_diffusivity
        growth = 2.0 * peclet
        if not self.supg:
            growth = jnp.abs(jnp.log(jnp.abs((1.0 + peclet) / jnp.where(peclet == 1.0, 1e-300, 1.0 - peclet))))
        total = jnp.sum(growth, axis=-1)
        felt = isinstance(layer.outlet, Gradient) & (v < 0.0)
        felt |= isinstance(layer.outlet, TotalFlux | Permeable) & (v > 0.0)
        steady = layer.time is None
        return jnp.where(felt & steady, total, 0.0)

    def check(self, case: Case) -> None:
        """Refuse other conditions, and outlet conditions that round-off would decide."""
        if not isinstance(case.conditions, Layer):
            raise JaxmemError(
                f"ADM needs a Layer; Case.conditions is a {type(case.conditions).__name__}. Write jm.Layer(50e-6, velocity=1e-5, diffusivity=1.5e-9)."
            )
        check_precision(case, self.precision)
        places = (jax.ShapeDtypeStruct((self.elements,), float),) * 2
        for name, line, given in (
            ("reaction", "reaction=lambda c, x: -1e-3 * c", places),
            ("diffusivity", "diffusivity=jm.ExponentialDiffusivity(1e-4)", places[:1]),
        ):
            shape = given_shape(name, getattr(self, name), line, *given)
            if shape not in ((), (self.elements,)):
                raise ShapeError(
                    f"{name} gives shape {shape} for {self.elements} concentrations; it needs ({self.elements},). Write {line}."
                )
        amplification = self.amplification(case)
        if is_concrete(amplification) and not self.allow_ill_posed and bool(jnp.all(amplification > REFUSED)):
            s = float(jnp.ravel(amplification)[0])
            outlet = type(case.conditions.outlet).__name__
            raise IllPosedBoundaryError(
                f"The outlet condition {outlet} is amplified by exp({s:.3g}) on its way to the inlet; double precision holds exp({REFUSED:g}), so that "
                "round-off would decide the profile. Write outlet=jm.fem.TotalFlux(...) with sign='eq23', outlet=jm.fem.Dirichlet(...), the other "
                "sign, or take the film's thickness as the length."
            )

    def initial_guess(self, case: Case) -> Array:
        """The feed everywhere, mol/m3, ``(*batch, N + 1)``."""
        return jnp.broadcast_to(salt(case)[..., None], (*case.batch_shape, self.elements + 1))

    @eqx.filter_jit
    def find(self, case: Case) -> LayerState:
        """The profile of every lane."""
        status = input_status(case)
        state = over_lanes(self.profile, benign(case, status == code("successful")), BLOCK)
        sick = (state.amplification > REFUSED) & (not self.allow_ill_posed)
        status = jnp.where((status == 0) & sick, code("ill_posed_boundary"), status)
        status = jnp.where((status == 0) & ~(state.diffusivity > 0.0), code("diffusivity_not_positive"), status)
        return state._replace(
            status=jnp.where((status == 0) & ~(state.residual < 1e-7), code("no_steady_state"), status)
        )

    def problem(self, case: Case) -> Problem:
        """The weak form of one question, for concentrations over that of the inlet; rows over the largest velocity there is."""
        layer, inlet = case.conditions, scale(case)
        fractions = uniform(self.elements) if self.grading is None else self.grading
        space = Space(line_through(layer.length * jnp.asarray(fractions)))
        factor = 1.0 if self.element_diffusivity is None else self.element_diffusivity
        form = AdvectionDiffusion(
            self.velocity(case)[None],
            layer.diffusivity * factor,
            lambda c, _: self.diffusivity(c * inlet),
            lambda c, place: self.reaction(c * inlet, place[0]) / inlet,
            supg=self.supg,
        )
        unit = jnp.maximum(jnp.abs(layer.velocity), layer.diffusivity / layer.length)
        ends = {"left": Dirichlet(salt(case) / inlet), "right": _scaled(layer.outlet, inlet)}
        return Problem(space, form, ends, unit)

    def profile(self, case: Case) -> LayerState:
        """One question."""
        problem, n, layer = self.problem(case), self.elements + 1, case.conditions
        linear = getattr(self.diffusivity, "linear", False) and self.reaction is no_reaction
        if layer.time is None:
            u = damped_newton(problem.residual, jnp.ones(n), direct(problem.space), 1 if linear else 60, problem.matrix)
            residual, unsteady = jnp.max(jnp.abs(problem.residual(u))), jnp.zeros(())
        else:
            damped = min(self.steps, 2)
            sizes = np.concatenate([np.full(2 * damped, 0.5), np.ones(self.steps - damped)])
            thetas = np.where(np.arange(sizes.size) < 2 * damped, 1.0, self.theta)

            def march(before: Array, how: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
                size, theta = how
                step = layer.time / self.steps * size
                u, left = theta_step(problem, before, step, theta, self.lumped, linear)
                return u, (jnp.max(jnp.abs(left)), jnp.max(jnp.abs(u - before)) / step)

            start = jnp.zeros(n).at[0].set(salt(case) / scale(case))
            u, (left, speed) = jax.lax.scan(march, start, (jnp.asarray(sizes), jnp.asarray(thetas)))
            pace = jnp.maximum(jnp.abs(layer.velocity), layer.diffusivity / layer.length) / layer.length
            residual, unsteady = jnp.max(left), speed[-1] / pace
        nodes = problem.space.mesh.nodes
        size = residual / jnp.maximum(jnp.max(jnp.abs(u)), 1.0)
        factor, c = self.element_diffusivity, u * scale(case)
        least = jnp.min(self.diffusivity(c)) * (1.0 if factor is None else jnp.min(factor))
        return LayerState(nodes, c, size, self.amplification(case), unsteady, least, jnp.zeros((), jnp.int32))

    def residual(self, state: LayerState, case: Case) -> Array:
        """Largest row over the largest flux, ``(*batch, 1)``."""
        return state.residual[..., None]

    def observe(self, state: LayerState, case: Case) -> LayerResult:
        """The Result of every lane."""
        solved = state.status == code("successful")
        return LayerResult(case=case, model=self, state=known(state, solved), status=state.status)


def salt(case: Case) -> Array:
    """Equivalents of the feed, mol/m3 of positive charge; of a feed without ions, of everything, ``(*batch)``."""
    z, c = case.feed.species.charge, case.feed.concentration
    charged = jnp.sum(jnp.maximum(z, 0.0) * c, axis=-1)
    return jnp.where(charged > 0.0, charged, jnp.sum(c, axis=-1))


def scale(case: Case) -> Array:
    """What concentrations are counted in: the feed's, or 1 mol/m3 where it holds no salt."""
    inlet = salt(case)
    return jnp.where(inlet > 0.0, inlet, 1.0)


def _scaled(outlet: Any, inlet: Array) -> Any:
    """Values of an outlet condition per unit of the inlet concentration."""
    names = {"Dirichlet": "value", "Gradient": "slope", "TotalFlux": "flux", "Robin": "outside"}
    name = names.get(type(outlet).__name__)
    return outlet if name is None else eqx.tree_at(lambda o: getattr(o, name), outlet, getattr(outlet, name) / inlet)
