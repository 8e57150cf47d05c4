"""Marching a problem in time: the theta rule with a fixed step, or the stiff solvers of diffrax with their own steps."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from .._errors import JaxmemError
from .._fields import is_concrete
from ..nonlinear.damped_newton import damped_newton
from .direct import direct
from .problem import Problem


def theta_step(
    problem: Problem, before: ArrayLike, step: ArrayLike, theta: ArrayLike, lumped: bool = False, linear: bool = False
) -> tuple[Array, Array]:
    """One step of ``M u' + spatial(u) = 0``: ``theta`` 1/2 is Crank and Nicolson's, 1 backward Euler. The new unknowns, and their residual."""
    before = problem.unknowns(before)
    for name, value, good in (("step", step, lambda x: x > 0.0), ("theta", theta, lambda x: (x >= 0.0) & (x <= 1.0))):
        if is_concrete(jnp.asarray(value)) and not bool(np.all(good(np.asarray(value)))):
            raise JaxmemError(
                f"{name} = {value} is not possible. Write step > 0 in seconds, and theta=0.5 or theta=1.0."
            )
    store = lambda u: problem.stored(u, lumped, before) / step
    old = store(before) - (1.0 - theta) * problem.spatial(before)
    storage = problem.storage(lumped, before) / step

    def rows(u: Array) -> Array:
        return problem.held(store(u) + theta * problem.spatial(u) - old, u)

    tangent = lambda u: problem.matrix(u, theta, storage)
    u = damped_newton(rows, before, direct(problem.space), 1 if linear else 60, tangent)
    return u, rows(u)


def evolve(
    problem: Problem,
    start: ArrayLike,
    times: Any,
    solver: Any = None,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    max_steps: int = 4096,
) -> Any:
    """``M u' + spatial(u) = 0`` with the lumped mass, from ``start (N,)`` at ``times[0]``; ``.ys (T, N)`` at all ``times``: a ``diffrax.Solution``.

    ``solver`` is any of diffrax, ``Kvaerno5`` without; its linear systems are solved by ``fem.direct``. Unknowns that Dirichlet conditions
    hold keep the value of the condition. Raises where the steps fail or run out, and inside a program that is being traced says so in
    ``.result``.
    """
    import diffrax

    start, times = problem.unknowns(start), jnp.asarray(times, jnp.result_type(float))
    if problem.space.degree != 1:
        raise JaxmemError(
            "The lumped mass of elements of degree 2 is not positive. Write fem.Space(mesh, degree=1), or use theta_step."
        )
    if (
        times.ndim != 1
        or times.shape[0] < 2
        or (is_concrete(times) and not bool(np.all(np.diff(np.asarray(times)) > 0.0)))
    ):
        raise JaxmemError(f"times = {times} do not increase. Write jnp.linspace(0.0, 1.0, 11).")
    mass = problem.stored(jnp.ones_like(start), True, start)

    def rate(t: Array, u: Array, args: Any) -> Array:
        return jnp.where(problem.fixed, 0.0, -problem.spatial(u) / mass)

    if solver is None:
        finder = diffrax.VeryChord(rtol=rtol, atol=atol, linear_solver=direct(problem.space))
        solver = diffrax.Kvaerno5(root_finder=finder)
    return diffrax.diffeqsolve(
        diffrax.ODETerm(rate),
        solver,
        times[0],
        times[-1],
        None,
        jnp.where(problem.fixed, start - problem.held(jnp.zeros_like(start), start), start),
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=max_steps,
    )
