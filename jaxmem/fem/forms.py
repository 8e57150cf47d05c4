"""Weak forms: plain functions of what is known at quadrature points.

A form returns ``(f, F)`` and stands for ``int f phi + F . grad phi`` over the mesh, for every test function ``phi``.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError, PhysicalRangeError, ShapeError
from .._fields import is_concrete
from .boundary import Condition, outflow
from .space import Points, Space
from .stabilisation import along, optimal_tau

Form = Callable[[Points], tuple[Array, Array]]


def constant(value: Array, place: Array) -> Array:
    """1: the diffusivity is ``scale`` alone."""
    return jnp.ones_like(value)


def nothing(value: Array, place: Array) -> Array:
    """0: no source."""
    return jnp.zeros_like(value)


def unit_mass(points: Points) -> tuple[Array, Array]:
    """``int u phi``: what time derivatives multiply."""
    return points.value, jnp.zeros_like(points.gradient)


class AdvectionDiffusion(eqx.Module):
    r"""``v . grad c = div(D grad c) + R``, D(c, x) = ``scale`` times ``diffusivity(c, x)``, R = ``source(c, x)``.

    ``int D grad c . grad phi + v . grad c phi - R phi``: nothing said of a boundary means ``D dc/dn = 0``. With ``conservative=True``
    ``int (D grad c - v c) . grad phi - R phi``: there it means that nothing passes. ``supg=True`` adds ``tau (v . grad c - div(D grad c) - R)
    v . grad phi``, for elements of degree 1 and a velocity without divergence.

    ``velocity`` is ``(d,)``, ``(d, E)`` cell by cell, or a function of places ``(d, E)``; ``scale`` a number or ``(E,)``.
    ``partition`` (a number or ``(E,)``) is the concentration in a cell over the unknown: an unknown that is continuous where two phases meet
    makes concentrations jump by the ratio of their partition coefficients, and keeps the flux.
    """

    velocity: Any
    scale: Any = 1.0
    diffusivity: Any = constant
    source: Any = nothing
    partition: Any = 1.0
    supg: bool = eqx.field(static=True, default=False)
    conservative: bool = eqx.field(static=True, default=False)

    def velocity_at(self, points: Points) -> Array:
        """``(d, E)``, broadcast."""
        if callable(self.velocity):
            return jnp.asarray(self.velocity(points.place))
        v = jnp.asarray(self.velocity)
        if v.ndim == 1:
            return v[:, None]
        return v if points.normal is None else v[:, points.cell]

    def concentration(self, points: Points) -> Array:
        """The unknown times the partition coefficient of its cell."""
        return _of_cell(self.partition, points) * points.value

    def diffusivity_at(self, concentration: Array, points: Points) -> Array:
        """D, ``(E,)``."""
        return _of_cell(self.scale, points) * self.diffusivity(concentration, points.place)

    def __call__(self, points: Points) -> tuple[Array, Array]:
        c, slope = self.concentration(points), _of_cell(self.partition, points) * points.gradient
        v, ones = self.velocity_at(points), jnp.ones_like(c)
        d, d_slope = jax.jvp(lambda c: self.diffusivity_at(c, points), (c,), (ones,))
        source = self.source(c, points.place)
        carried = jnp.sum(v * slope, axis=0)
        f, flux = carried - source, d * slope
        if self.supg:
            strong = carried - d_slope * jnp.sum(slope * slope, axis=0) - source
            flux = flux + self.tau(points, d) * strong * v
        if self.conservative:
            f, flux = f - carried, flux - v * c
        return f, flux

    def tau(self, points: Points, diffusivity: Array) -> Array:
        """Of SUPG, s."""
        speed, width = along(self.velocity_at(points), points.corners)
        return optimal_tau(speed, diffusivity, width)

    def mass(self, points: Points) -> tuple[Array, Array]:
        """What a time derivative multiplies: the concentration, seen by the same test functions as the rest (of SUPG, as the unknowns before
        the step make them)."""
        c = self.concentration(points)
        if not self.supg:
            return c, jnp.zeros_like(points.gradient)
        before = points if points.held is None else points._replace(value=points.held)
        d = self.diffusivity_at(self.concentration(before), points)
        return c, self.tau(points, d) * c * self.velocity_at(points)

    def check(self, space: Space) -> None:
        """Refuse coefficients that do not belong to a space."""
        d, cells = space.mesh.dimension, len(space.mesh)
        if not callable(self.velocity):
            shape = _shape("velocity", self.velocity)
            if shape not in ((d,), (d, cells)):
                raise ShapeError(
                    f"velocity has shape {shape} on a mesh of {cells} cells in {d} dimensions; it needs ({d},) or ({d}, {cells}). Write "
                    f"velocity=({'1.0,' if d == 1 else '1.0, 0.0'}), or a function of places ({d}, E)."
                )
        else:
            line = "jnp.ones_like(x)" if d == 1 else "jnp.stack([1.0 - x[1] ** 2, 0.0 * x[1]])"
            line = f"velocity=lambda x: {line}"
            shape = given_shape("velocity", self.velocity, line, jax.ShapeDtypeStruct((d, cells), float))
            if shape not in ((d, cells), (d, 1)):
                raise ShapeError(
                    f"velocity gives shape {shape} at {cells} places in {d} dimensions; it needs ({d}, {cells}). Write {line}."
                )
        for name in ("scale", "partition"):
            value = getattr(self, name)
            shape = _shape(name, value)
            if shape not in ((), (cells,)):
                raise ShapeError(
                    f"{name} has shape {shape}; it needs () or ({cells},), one number for a cell. Write space.by_region({{...}})."
                )
            if is_concrete(jnp.asarray(value)) and not bool(np.all(np.asarray(value) > 0.0)):
                raise PhysicalRangeError(
                    f"{name} = {float(np.min(np.asarray(value))):g} is not positive. Write {name}=1.0."
                )
        for name in ("diffusivity", "source"):
            if not callable(getattr(self, name)):
                raise JaxmemError(
                    f"{name} = {getattr(self, name)!r} is not a function. Write {name}=lambda c, place: jnp.ones_like(c)."
                )
            places = jax.ShapeDtypeStruct((cells,), float), jax.ShapeDtypeStruct((d, cells), float)
            line = f"{name}=lambda c, place: jnp.ones_like(c)"
            shape = given_shape(name, getattr(self, name), line, *places)
            if shape not in ((), (cells,)):
                raise ShapeError(
                    f"{name} gives shape {shape} for {cells} concentrations; it needs ({cells},). Write {line}."
                )
        if self.supg and space.degree != 1:
            raise JaxmemError(
                "SUPG is for elements of degree 1: second derivatives are left out. Write fem.Space(mesh, degree=1)."
            )

    def through(self, condition: Condition, points: Points) -> Array:
        """What the condition adds to the weak form on its facets, times ``phi``."""
        c = self.concentration(points)
        normal_velocity = jnp.sum(self.velocity_at(points) * points.normal, axis=0)
        gradient_part = outflow(condition, c, normal_velocity, self.diffusivity_at(c, points))
        return normal_velocity * c - gradient_part if self.conservative else -gradient_part


def _shape(name: str, value: Any) -> tuple[int, ...]:
    try:
        array = jnp.asarray(value)
        if jnp.issubdtype(array.dtype, jnp.number):
            return array.shape
    except (TypeError, ValueError):
        pass
    raise JaxmemError(f"{name} = {value!r} is not a number or an array of numbers. Write {name}=1.0.")


def given_shape(name: str, law: Callable, line: str, *places: jax.ShapeDtypeStruct) -> tuple[int, ...]:
    """The shape of what a function of the user's gives at these places; one that cannot be called with them, or gives no numbers, is refused."""
    try:
        found = jax.eval_shape(law, *places)
    except TypeError as error:
        raise JaxmemError(
            f"{name} cannot be called with arrays of shapes {[p.shape for p in places]}: {error}. Write {line}."
        ) from error
    if not isinstance(found, jax.ShapeDtypeStruct):
        raise JaxmemError(f"{name} gives {found!r}, which is no array. Write {line}.")
    return found.shape


def _of_cell(field: Array | float, points: Points) -> Array:
    """A number, or the number of each cell at hand."""
    field = jnp.asarray(field)
    return field if field.ndim == 0 or points.normal is None else field[points.cell]
