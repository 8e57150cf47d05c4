r"""The potential after a step, with the charge that conduction brings in the meantime (implicit charge).

    -div[(2 eps^2 + dt sigma) grad delta] = rho + 2 eps^2 lap phi - dt div I,    phi* = phi + delta

sigma is the exact slope of the current to the drop of potential over each face, so that no step limit of order eps^2 is left. Conjugate
gradients with a fixed number of iterations, behind the same operator with its coefficients averaged along x.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ...linalg.tridiagonal_rows import factor, solve
from .domain import Domain, Salt, left, right
from .transport import Fluxes, divergence, with_walls


class Coefficients(NamedTuple):
    """Of the operator on every face, times the height of a row: right faces ``(Ny, Nx)``, lower faces ``(Ny + 1, Nx)``."""

    along: Array
    across: Array


def coefficients(d: Domain, salt: Salt, f: Fluxes, dt: Array) -> Coefficients:
    """``2 eps^2 + dt sigma`` over the distance of centres."""
    slope = jnp.abs(salt.charge)[:, None, None]
    conducted = [-dt * jnp.sum(slope * part.drop, axis=0) for part in (f.along, f.across)]
    stiff = 2.0 * salt.eps**2
    return Coefficients((stiff / d.dx + conducted[0]) * d.widths / d.dx, stiff / d.gaps + conducted[1])


def apply(k: Coefficients, x: Array, top: Array | float = 0.0) -> Array:
    """The operator on ``x``, zero at the lower wall and ``top`` at the upper one."""
    across = -k.across * jnp.diff(with_walls(x, jnp.zeros((), x.dtype), jnp.asarray(top, x.dtype)), axis=0)
    along = -k.along * (right(x) - x)
    return along - left(along) + jnp.diff(across, axis=0)


def change(
    d: Domain, salt: Salt, k: Coefficients, source: Array, start: Array, top: Array, charge: Array, iterations: int
) -> tuple:
    """``delta``, and the residual that was left over ``charge``, the norm of the charge in the cells; ``source`` is the right-hand side times the height of rows."""
    lifted = source - apply(k, start, top)
    along, across = jnp.mean(k.along, axis=1), jnp.mean(k.across, axis=1)
    ladder = (d.modes * d.dx) ** 2
    main = (across[1:] + across[:-1])[:, None] + along[:, None] * ladder.astype(along.dtype)
    off = jnp.broadcast_to(-across[:, None], (across.shape[0], main.shape[1]))
    factors = factor(*(x[:, None, :] for x in (off[:-1], main, off[1:])))

    def precondition(r: Array) -> Array:
        modes = jnp.fft.rfft(r, axis=1)
        x = solve(factors, jnp.stack([modes.real, modes.imag], axis=1))
        return jnp.fft.irfft(jax.lax.complex(x[:, 0], x[:, 1]), n=r.shape[1], axis=1)

    def conjugate_gradients(_: object, b: Array) -> Array:
        def step(carry: tuple, _: None) -> tuple:
            x, r, p, old = carry
            ap = apply(k, p)
            alpha = old / _safe(jnp.vdot(p, ap))
            x, r = x + alpha * p, r - alpha * ap
            z = precondition(r)
            new = jnp.vdot(r, z)
            return (x, r, z + new / _safe(old) * p, new), None

        z = precondition(b)
        return jax.lax.scan(step, (jnp.zeros_like(b), b, z, jnp.vdot(b, z)), None, length=iterations)[0][0]

    found = start + jax.lax.custom_linear_solve(lambda x: apply(k, x), lifted, conjugate_gradients, symmetric=True)
    left_over = jnp.linalg.norm(source - apply(k, found, top)) / _safe(charge)
    return found, left_over


def response(d: Domain, salt: Salt, k: Coefficients, iterations: int) -> Array:
    """What a unit of voltage more does to the potential, at once."""
    zero = jnp.zeros_like(k.along)
    start = jnp.broadcast_to(d.grid.centres[:, None], zero.shape)
    return change(d, salt, k, zero, start, jnp.ones((), zero.dtype), jnp.ones((), zero.dtype), iterations)[0]


def right_hand_side(d: Domain, salt: Salt, c: Array, phi: Array, voltage: Array, f: Fluxes, dt: Array) -> Array:
    """``rho + 2 eps^2 lap phi - dt div I``, times the height of rows."""
    stiff = 2.0 * salt.eps**2
    poisson = Coefficients(
        stiff / d.dx * d.widths / d.dx * jnp.ones_like(phi), stiff / d.gaps * jnp.ones((1, phi.shape[1]), phi.dtype)
    )
    rho = jnp.sum(salt.sign * c, axis=0) * d.widths
    carried = jnp.sum(salt.sign * divergence(d, f.along.flux, f.across.flux), axis=0)
    return rho - apply(poisson, phi, voltage) - dt * carried * d.widths


def _safe(x: Array) -> Array:
    return jnp.where(x == 0.0, 1.0, x)
