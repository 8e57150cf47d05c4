"""A weak form with conditions on every boundary: the residual of its unknowns, its solution, its march in time."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from .._errors import ConvergenceError, JaxmemError, ShapeError
from .._fields import is_concrete
from ..nonlinear.damped_newton import damped_newton
from .assembly import diagonal, hold, integrate, integrate_boundary, matrix, matrix_boundary
from .boundary import Condition, Dirichlet, Integrand, Natural
from .direct import Direct, direct
from .forms import Form, unit_mass
from .iterative import Iterative
from .space import Points, Space


class Problem(eqx.Module):
    """``form`` on ``space`` with ``conditions``: one for each tag of the boundary, none left out.

    ``Dirichlet`` fixes unknowns; ``Natural()`` adds nothing; ``Integrand(g)`` adds ``int g phi``; the others are for forms that say what
    they mean by ``form.through(condition, points)``, as ``AdvectionDiffusion`` does. Where two boundaries meet, Dirichlet holds the corner; of
    two Dirichlet ones, that whose name comes first in the alphabet. Rows are divided by ``scale``.

    Raises ``JaxmemError`` for a boundary without a condition or with two, for conditions the form does not know, and what ``form.check``
    refuses.
    """

    space: Any
    form: Any
    conditions: Any  # by tag
    scale: Array | float = 1.0  # of the rows: what they are divided by

    def __check_init__(self) -> None:
        if not isinstance(self.space, Space) or not callable(self.form):
            raise JaxmemError(
                f"A problem needs a space and a form, not {type(self.space).__name__} and {type(self.form).__name__}. Write "
                "fem.Problem(fem.Space(mesh), fem.AdvectionDiffusion((1.0, 0.0), 0.1), {...})."
            )
        if not isinstance(self.conditions, dict):
            raise JaxmemError('conditions name the boundaries they hold on. Write {"left": fem.Dirichlet(1.0), ...}.')
        for tag, condition in self.conditions.items():
            if not isinstance(condition, Condition | Integrand):
                raise JaxmemError(
                    f'The condition on "{tag}" is {condition!r}. Write fem.Natural(), Dirichlet(1.0), Gradient, TotalFlux, Robin, Permeable or '
                    "Integrand."
                )
            plain = isinstance(condition, Natural | Dirichlet | Integrand)
            if not plain and not hasattr(self.form, "through"):
                raise JaxmemError(
                    f'The form does not know what {type(condition).__name__} on "{tag}" means. Write fem.Integrand(lambda points: ...), or use '
                    "fem.AdvectionDiffusion."
                )
            self._check_value(tag, condition)
        owner: dict[tuple, str] = {}
        for tag in self.conditions:
            for facet in map(tuple, self.space.facets(tag)):
                if facet in owner:
                    raise JaxmemError(
                        f'"{owner[facet]}" and "{tag}" share facet {int(facet[1])} of cell {int(facet[0])}: two conditions for one place. Leave one '
                        "of them out, or tag parts that do not overlap."
                    )
                owner[facet] = tag
        bare = [tuple(map(int, f)) for f in self.space.mesh.topology.boundary if tuple(f) not in owner]
        if bare:
            known = ", ".join(t for t in self.space.mesh.topology.facets if t not in self.conditions)
            raise JaxmemError(
                f"{len(bare)} facets of the boundary have no condition, the first is facet {bare[0][1]} of cell {bare[0][0]}. Tags without one: "
                f'{known or "none, the mesh leaves these facets untagged"}. Write conditions={{..., "top": fem.Natural()}}.'
            )
        if hasattr(self.form, "check"):
            self.form.check(self.space)

    def _check_value(self, tag: str, condition: Condition | Integrand) -> None:
        """Values are numbers, or for Dirichlet one for each unknown of the boundary."""
        allowed = [()]
        if isinstance(condition, Dirichlet):
            allowed.append((len(self.space.nodes_on(tag)),))
        for value in jax.tree.leaves(condition):
            if not hasattr(value, "shape"):
                continue
            if value.shape not in allowed:
                raise ShapeError(
                    f'The condition {type(condition).__name__} on "{tag}" has a value of shape {value.shape}; it needs '
                    f"{' or '.join(map(str, allowed))}. Write jax.vmap over problems for a batch."
                )
            if is_concrete(value) and not bool(np.all(np.isfinite(np.asarray(value)))):
                raise JaxmemError(f'The condition on "{tag}" holds a value that is not a number. Give finite values.')

    @property
    def _sorted(self) -> list[tuple[str, Condition | Integrand]]:
        """By name: what a program that is traced sees too."""
        return sorted(self.conditions.items())

    @property
    def fixed(self) -> np.ndarray:
        """Which unknowns Dirichlet conditions hold, ``(N,)`` of bool."""
        mask = np.zeros(len(self.space), bool)
        for tag, condition in self._sorted:
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
        for tag, condition in self._sorted:
            if isinstance(condition, Integrand):
                found.append((self.space.facets(tag), condition.function))
            elif not isinstance(condition, Natural | Dirichlet):
                found.append((self.space.facets(tag), partial(self.form.through, condition)))
        return found

    def held(self, rows: Array, u: Array) -> Array:
        """Rows of Dirichlet unknowns replaced by ``u - value``."""
        given = u
        for tag, condition in reversed(self._sorted):
            if isinstance(condition, Dirichlet):
                given = given.at[self.space.nodes_on(tag)].set(condition.value)
        return jnp.where(self.fixed, u - given, rows)

    def residual(self, u: Array) -> Array:
        """Zero at the solution, ``(N,)``."""
        return self.held(self.spatial(u), u)

    def matrix(self, u: Array, theta: ArrayLike = 1.0, storage: ArrayLike = 0.0) -> Array:
        """Derivative of ``residual``, in the shape that ``fem.direct`` solves; in time, ``theta`` times it and what ``storage`` holds."""
        found = matrix(self.space, self.form, u)
        for facets, flux in self._open():
            found = matrix_boundary(self.space, facets, flux, u, found)
        return hold(self.space, self.fixed, theta * found / self.scale + storage)

    def solve(
        self,
        start: ArrayLike | None = None,
        linear: bool = False,
        solver: Direct | Iterative | None = None,
    ) -> Array:
        """The unknowns ``(N,)``; ``linear=True`` where the form is linear in them: one step. ``solver=fem.iterative(space)`` for grids that
        are wide in both directions; ``fem.direct(space)`` without.

        Raises ``ConvergenceError`` where no solution was found: not a finite one, or with rows left over 1e-6 of what they were. While
        being traced nothing is raised: look at ``residual``.
        """
        u, left, free = self._solved(self.unknowns(start), linear, solver or direct(self.space))
        if is_concrete(left) and not float(left) < 1e-6:
            raise ConvergenceError(
                f"The equations were not solved: {float(left):.1e} of the residual is left. A problem needs a condition that holds the level "
                "(Dirichlet, Robin or Permeable somewhere), coefficients that stay positive, and from afar a better start."
            )
        if is_concrete(free) and bool(free):
            raise ConvergenceError(
                "The level of the solution is not determined: any constant can be added. Write a condition that holds it, such as "
                "fem.Dirichlet(0.0) on one side."
            )
        return u

    def unknowns(self, start: ArrayLike | None) -> Array:
        """A start of the right shape; zeros without one."""
        if start is None:
            return jnp.zeros(len(self.space))
        u = jnp.asarray(start, jnp.result_type(float))
        if u.shape != (len(self.space),):
            raise ShapeError(
                f"start has shape {u.shape}; the space has ({len(self.space)},) unknowns. Write jnp.ones(len(space))."
            )
        return u

    @eqx.filter_jit
    def _solved(self, start: Array, linear: bool, solver: Direct | Iterative) -> tuple[Array, Array, Array]:
        u = damped_newton(self.residual, start, solver, 1 if linear else 60, self.matrix)
        size = lambda rows: jnp.max(jnp.abs(rows))
        before, left = size(self.residual(start)), size(self.residual(u))
        change = size(self.residual(1.1 * u) - self.residual(u))  # the size of the terms that cancel
        ones, one = jnp.ones_like(u), jnp.zeros_like(u).at[0].set(1.0)
        shifted, moved = (jax.jvp(self.residual, (u,), (way,))[1] for way in (ones, one))
        return u, left / (before + change + jnp.finfo(u.dtype).tiny), size(shifted) < 1e-12 * size(moved)

    def stored(self, u: Array, lumped: bool = False, before: Array | None = None) -> Array:
        """``int u phi``, or with the lumped mass ``u int phi``; forms may weigh it (``form.mass``: partition, SUPG)."""
        if lumped:
            return u * integrate(self.space, self._mass, jnp.ones_like(u), before) / self.scale
        return integrate(self.space, self._mass, u, before) / self.scale

    @property
    def _mass(self) -> Form:
        return getattr(self.form, "mass", unit_mass)

    def storage(self, lumped: bool = False, before: Array | None = None) -> Array:
        """The matrix of ``stored``."""
        ones = jnp.ones(len(self.space))
        if lumped:
            return diagonal(self.space, self.stored(ones, True, before))
        return matrix(self.space, self._mass, ones, before) / self.scale
