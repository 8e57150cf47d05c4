"""An augmented Lagrangian over optimistix' BFGS, every start a lane of one compiled program: the other way to constrain a design.

    L = f + sum_i [max(0, lambda_i - rho c_i)^2 - lambda_i^2]/(2 rho),      lambda_i <- max(0, lambda_i - rho c_i)         (c_i >= 0)

Nocedal and Wright 2006, doi 10.1007/978-0-387-40065-5, section 17.4. Bounds by the logistic function.
"""

import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax import Array

import jaxmem as jm
from jaxmem.design.lockstep import Look, kkt
from jaxmem.design.optimise import Problem

_TURNS, _STEPS, _EDGE, _POOR = 12, 60, 1e-3, 1e6


class Found(NamedTuple):
    """What came out for each start, and what it took."""

    kkt: np.ndarray
    steps: int  # of the slowest lane, summed over turns: each is a batch of solves with gradients
    compiled: float  # s, with one turn
    seconds: float


def augmented(problem: Problem, x: np.ndarray) -> Found:
    """Shares ``x (B, n)`` to start from; inequality constraints only."""
    scale, sign, shift = (jnp.asarray(a) for a in (problem.scale, problem.sign, problem.shift))

    def values(u: Array) -> Array:
        result = jm.solve(problem.model, problem.free.apply(problem.case, u), throw=False)
        value = jnp.stack([jnp.asarray(quantity(result)) for quantity in problem.quantities])
        return jnp.where(jnp.all(result.ok), value, jnp.nan) * sign / scale - shift / scale

    def lagrangian(u: Array, given: tuple[Array, Array]) -> Array:
        (price, rho), value = given, values(u)
        pull = jnp.maximum(price - rho * value[1:], 0.0)
        total = value[0] + jnp.sum(pull**2 - price**2) / (2.0 * rho)
        return jnp.where(jnp.isfinite(total), total, _POOR)

    @eqx.filter_jit
    def turn(u: Array, price: Array, rho: Array) -> tuple[Any, ...]:
        def one(u: Array, price: Array) -> tuple[Array, Array]:
            done = optx.minimise(lagrangian, optx.BFGS(1e-9, 1e-9), u, (price, rho), max_steps=_STEPS, throw=False)
            return done.value, done.stats["num_steps"]

        u, steps = jax.vmap(one)(u, price)
        return u, steps, jax.vmap(values)(u)

    inside = np.clip(x, _EDGE, 1.0 - _EDGE)
    u, rho = jnp.asarray(np.log(inside / (1.0 - inside))), jnp.asarray(10.0)
    price, begin = jnp.zeros((len(x), len(problem.sign) - 1)), time.perf_counter()
    jax.block_until_ready(turn(u, price, rho))
    compiled, begin, total = time.perf_counter() - begin, time.perf_counter(), 0
    for i in range(_TURNS):
        u, steps, value = turn(u, price, rho)
        price, total = jnp.maximum(price - rho * value[:, 1:], 0.0), total + int(steps.max())
        rho = rho * (4.0 if i % 3 == 2 else 1.0)
    seconds, share = time.perf_counter() - begin, np.asarray(jax.nn.sigmoid(u))
    look = problem.scaled(share)
    each = [kkt(a, Look(v, s), problem.equality).residual for a, v, s in zip(share, *look, strict=True)]
    return Found(np.asarray(each), total, compiled, seconds)
