"""An augmented Lagrangian over optimistix' BFGS, every start a lane of one compiled program: nothing returns to the host but the turns.

    L = f + sum_i [p_i^2 - lambda_i^2]/(2 rho),    p_i = lambda_i - rho c_i, no less than zero for c_i >= 0,    lambda_i <- p_i

Nocedal and Wright 2006, doi 10.1007/978-0-387-40065-5, section 17.4. Bounds by the logistic function. It reaches the optima of SLSQP in lockstep for 46 to 72
times as many batches of solves (``benchmarks/bench_design.py``): for many starts on a device that waits for its host.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax import Array

from ..models.solve import solve

_TURNS, _EDGE, _POOR, _RHO = 12, 1e-3, 1e6, 10.0


def augmented(problem: Any, x: np.ndarray, steps: int = 60) -> tuple[np.ndarray, int]:
    """Shares ``x (B, n)`` to start from, ``steps`` of BFGS a turn: where each start ended, and the steps of the slowest lane over all turns."""
    scale, sign, shift = (jnp.asarray(a) for a in (problem.scale, problem.sign, problem.shift))
    equal = jnp.asarray(problem.equality)

    def values(u: Array) -> Array:
        result = solve(problem.model, problem.free.apply(problem.case, u[None]), throw=False)  # a batch of one design
        value = jnp.stack([jnp.reshape(quantity(result), ()) for quantity in problem.quantities])
        return jnp.where(jnp.all(result.ok), value, jnp.nan) * sign / scale - shift / scale

    def pulls(price: Array, rho: Array, value: Array) -> Array:
        pull = price - rho * value[..., 1:]
        return jnp.where(equal, pull, jnp.maximum(pull, 0.0))

    def lagrangian(u: Array, given: tuple[Array, Array]) -> Array:
        (price, rho), value = given, values(u)
        total = value[0] + jnp.sum(pulls(price, rho, value) ** 2 - price**2) / (2.0 * rho)
        return jnp.where(jnp.isfinite(total), total, _POOR)

    @eqx.filter_jit
    def turn(u: Array, price: Array, rho: Array) -> tuple[Array, Array, Array]:
        def one(u: Array, price: Array) -> tuple[Array, Array, Array]:
            done = optx.minimise(lagrangian, optx.BFGS(1e-9, 1e-9), u, (price, rho), max_steps=steps, throw=False)
            return done.value, done.stats["num_steps"], pulls(price, rho, values(done.value))

        return jax.vmap(one)(u, price)

    inside, total = np.clip(x, _EDGE, 1.0 - _EDGE), 0
    u, price = jnp.asarray(np.log(inside / (1.0 - inside))), jnp.zeros((len(x), len(problem.equality)))
    for i in range(_TURNS):
        u, taken, price = turn(u, price, jnp.asarray(_RHO * 4.0 ** (i // 3)))
        price, total = jnp.where(jnp.isfinite(price), price, 0.0), total + int(taken.max())
    return np.asarray(jax.nn.sigmoid(u)), total
