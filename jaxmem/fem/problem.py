"""A weak form with conditions on every boundary: the residual of its unknowns, its solution, its march in time."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError
from ..nonlinear.damped_newton import damped_newton
from .assembly import diagonal, hold, integrate, integrate_boundary, matrix, matrix_boundary
from .boundary import Condition, Dirichlet, Integrand, Natural
from .direct import direct
from .forms import Form, unit_mass
from .space import Points, Space


class Problem(eqx.Module):
    """``form`` on ``space`` with ``conditions``: one for each tag of the boundary, none left out.

    ``Dirichlet`` fixes unknowns; ``Natural()`` adds nothing; ``Integrand(g)`` adds ``int g phi``; the others are for forms that say what
    they mean by ``form.through(condition, points)``, as ``AdvectionDiffusion`` does. Where two tags meet, Dirichlet comes first.
    """

    space: Space
    form: Form
    conditions: dict[str, Condition | Integrand]
    scale: Array | float = 1.0  # of the rows: what they are divided by

    def __check_init__(self) -> None:
        covered = {tuple(f) for tag in self.conditions for f in self.space.facets(tag)}
        bare = [tuple(map(int, f)) for f in self.space.mesh.topology.boundary if tuple(f) not in covered]
        if bare:
            known = ", ".join(t for t in self.space.mesh.topology.facets if t not in self.conditions)
            raise JaxmemError(
                f"{len(bare)} facets of the boundary have no condition, the first is facet {bare[0][1]} of cell {bare[0][0]}. Tags without one: "
                f'{known or "none, the mesh leaves these facets untagged"}. Write conditions={{..., "top": fem.Natural()}}.'
            )
        if getattr(self.form, "supg", False) and self.space.degree != 1:
            raise JaxmemError(
                "SUPG is for elements of degree 1: second derivatives are left out. Write fem.Space(mesh, degree=1)."
            )
        for tag, condition in self.conditions.items():
            plain = isinstance(condition, Natural | Dirichlet | Integrand)
            if not plain and not hasattr(self.form, "through"):
                raise JaxmemError(
                    f'The form does not know what {type(condition).__name__} on "{tag}" means. Write fem.Integrand(lambda points: ...), or use '
                    "fem.AdvectionDiffusion."
                )

    @property
    def fixed(self) -> np.ndarray:
        """Which unknowns Dirichlet conditions hold, ``(N,)`` of bool."""
        mask = np.zeros(len(self.space), bool)
        for tag, condition in self.conditions.items():
            if isinstance(condition, Dirichlet):
                mask[self.space.nodes_on(tag)] = True
        return mask

    def spatial(self, u: Array) -> Array:
        """The weak form for every test function, before any is given up to a Dirichlet condition, ``(N,)``."""
        rows = integrate(self.space, self.form, u)
        for facets, flux in self._open():
            rows = rows + integrate_boundary(self.space, facets, flux, u)
        return rows / self.scale

    def _open(self) -> list[tuple[np.ndarray, Callable[[Points], Array]]]:
        """Boundaries that add to the weak form, and what."""
        found = []
        for tag, condition in self.conditions.items():
            if isinstance(condition, Integrand):
                found.append((self.space.facets(tag), condition.function))
            elif not isinstance(condition, Natural | Dirichlet):
                found.append((self.space.facets(tag), partial(self.form.through, condition)))
        return found

    def held(self, rows: Array, u: Array) -> Array:
        """Rows of Dirichlet unknowns replaced by ``u - value``."""
        given = u
        for tag, condition in reversed(self.conditions.items()):
            if isinstance(condition, Dirichlet):
                given = given.at[self.space.nodes_on(tag)].set(condition.value)
        return jnp.where(self.fixed, u - given, rows)

    def residual(self, u: Array) -> Array:
        """Zero at the solution, ``(N,)``."""
        return self.held(self.spatial(u), u)

    def matrix(self, u: Array, theta: float = 1.0, storage: Array | float = 0.0) -> Array:
        """Derivative of ``residual``, in the shape that ``fem.direct`` solves; in time, ``theta`` times it and what ``storage`` holds."""
        found = matrix(self.space, self.form, u)
        for facets, flux in self._open():
            found = matrix_boundary(self.space, facets, flux, u, found)
        return hold(self.space, self.fixed, theta * found / self.scale + storage)

    @eqx.filter_jit
    def solve(self, start: Array | None = None, linear: bool = False) -> Array:
        """The unknowns ``(N,)``; ``linear=True`` where the form is linear in them: one step. Look at ``residual`` of a nonlinear answer."""
        start = jnp.zeros(len(self.space)) if start is None else start
        return damped_newton(self.residual, start, direct(self.space), 1 if linear else 60, self.matrix)

    def stored(self, u: Array, lumped: bool = False) -> Array:
        """``int u phi``, or with the lumped mass ``u int phi``."""
        if lumped:
            return u * integrate(self.space, unit_mass, jnp.ones_like(u)) / self.scale
        return integrate(self.space, unit_mass, u) / self.scale

    def storage(self, lumped: bool = False) -> Array:
        """The matrix of ``stored``."""
        ones = jnp.ones(len(self.space))
        if lumped:
            return diagonal(self.space, self.stored(ones, True))
        return matrix(self.space, unit_mass, ones) / self.scale
