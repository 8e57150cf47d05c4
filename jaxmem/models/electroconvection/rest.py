r"""Vortices that stand still: the fixed point of many steps by Newton and GMRES, with derivatives of the fixed point.

With ``F`` so many steps of equal length, ``x = F(x, p)`` gives ``dx/dp = (I - F_x)^-1 F_p``, whatever way led there. The steady state does not depend
on the length of a step. A shift along the membrane is no difficulty where the vortices are symmetric, as those of a cosine are: the right-hand
sides are then symmetric, and the null vector is not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import gmres as sparse_gmres

from .step import Fields, Setting, Want, step

_VECTORS = 25  # that GMRES keeps between restarts
_INNER = 1e-2  # of the change: what GMRES leaves in a turn of Newton
_NEWTON = 8


class Rest(NamedTuple):
    """Fields that stand still, and how still: the change over the window, relative, at most."""

    fields: Fields
    moves: Array


def frozen(tree: Any) -> Any:
    """The same numbers without derivatives."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, tree)


def later(s: Setting, f: Fields, want: Want, dt: Array, steps: int) -> Fields:
    """``F``."""
    body = jax.checkpoint(lambda f, _: (step(s, f, want, dt)[0], None))
    return jax.lax.scan(body, f, None, length=steps)[0]


def at_rest(s: Setting, f: Fields, want: Want, dt: Array, steps: int) -> Rest:
    """From fields nearby."""
    still, wanted, dt, trend = frozen((s, want, dt, jnp.zeros_like(f.trend)))
    flat, restore = ravel_pytree(frozen((f.c, f.phi, f.voltage, f.flow)))
    exact = 1e-9 if flat.dtype == jnp.float64 else 1e-5

    def change(s: Setting, want: Want, x: Array) -> Array:
        c, phi, voltage, flow = restore(x)
        new = later(s, Fields(c, phi, trend, voltage, flow), want, dt, steps)
        return x - ravel_pytree((new.c, new.phi, new.voltage, new.flow))[0]

    def gmres(linear: Callable[[Array], Array], right: Array, left: float = 10.0 * exact, most: int = 4) -> Array:
        return sparse_gmres(
            linear, right, tol=left, atol=0.0, restart=_VECTORS, maxiter=most, solve_method="incremental"
        )[0]

    def solve(linear: Callable[[Array], Array], right: Array) -> Array:
        return jax.lax.custom_linear_solve(linear, right, gmres, gmres)

    def go(carry: tuple) -> Array:
        _, left, count = carry
        return (left > exact) & (count < _NEWTON)

    def turn(carry: tuple) -> tuple:
        x, left, count = carry
        value, linear = jax.linearize(lambda x: change(still, wanted, x), x)
        new = x - gmres(linear, value, _INNER, 1)
        now = jnp.max(jnp.abs(change(still, wanted, new)))
        better = jnp.isfinite(now) & (now < left)
        return jnp.where(better, new, x), jnp.where(better, now, left), jnp.where(better, count + 1, _NEWTON)

    first = jnp.max(jnp.abs(change(still, wanted, flat)))
    x, left, _ = jax.lax.while_loop(go, turn, (flat, first, 0))
    root = jax.lax.custom_root(lambda x: change(s, want, x), x, lambda _, x: x, solve)
    c, phi, voltage, flow = restore(root)
    return Rest(Fields(c, phi, trend, voltage, flow), left)
