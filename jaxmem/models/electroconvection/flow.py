r"""Stokes flow under electric force, by a stream function: ``u = dpsi/dy``, ``v = -dpsi/dx``, free of divergence to round-off.

    lap u - grad p + f = 0,    f = -kappa/(2 eps^2) rho grad phi,    no slip at both walls

The curl leaves for every Fourier mode ``A_k psi_k = (curl f)_k`` with the matrix of ``perturbation.py``. Pressure drops out exactly.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ..nernst_planck_poisson.perturbation import across, stokes_matrix
from .domain import Domain, Salt, left, right, to_faces


class Velocity(NamedTuple):
    """On right faces ``(Ny, Nx)`` and on lower faces ``(Ny + 1, Nx)``; both walls included."""

    u: Array
    v: Array


class Creeping(NamedTuple):
    """Stokes flow: force and friction balance at once. ``A_k^-1``, ``(Nx/2 + 1, Ny - 1, Ny - 1)``."""

    inverse: Array


class Inert(NamedTuple):
    """``(1/Sc) du/dt = lap u - grad p + f`` by its decaying modes, ``A V = -M V diag(decay)`` with ``-M psi`` the vorticity; the first axis is k."""

    forward: Array  # V^-1 (-M)^-1, of the curl of the force
    back: Array  # V, from modes to the stream function
    decay: Array  # (K, Ny - 1)
    schmidt: Array


def creeping(d: Domain) -> Creeping:
    """Of a grid in double precision: ``A_k`` is too ill-conditioned for less. The mean flow is left at rest."""
    a = across(d.grid)
    inverse = jax.vmap(lambda k: jnp.linalg.inv(stokes_matrix(a, k)))(d.modes[1:])
    return Creeping(jnp.concatenate([jnp.zeros_like(inverse[:1]), inverse]))


def inert(d: Domain, schmidt: Array) -> Inert:
    """By a symmetric eigenproblem for each k: the gaps between centres make ``A`` and ``-M`` symmetric."""
    a, gaps = across(d.grid), d.gaps[1:-1]

    def modes(k: Array) -> tuple[Array, Array, Array]:
        mass = -gaps * (a.normal - k * k * jnp.eye(gaps.shape[0]))
        stiff = gaps * stokes_matrix(a, k)
        half = jnp.linalg.cholesky(0.5 * (mass + mass.T))
        inner = jax.scipy.linalg.solve_triangular(half, 0.5 * (stiff + stiff.T), lower=True)
        inner = jax.scipy.linalg.solve_triangular(half, inner.T, lower=True)
        decay, turned = jnp.linalg.eigh(0.5 * (inner + inner.T))
        back = jax.scipy.linalg.solve_triangular(half.T, turned, lower=False)
        return back.T * gaps[:, 0], back, decay

    forward, back, decay = jax.vmap(modes)(d.modes[1:])
    none = lambda x: jnp.concatenate([jnp.zeros_like(x[:1]), x])
    return Inert(none(forward), none(back), jnp.concatenate([jnp.ones_like(decay[:1]), decay]), schmidt)


def curl_of_force(d: Domain, salt: Salt, c: Array, phi: Array) -> Array:
    """``d_x f_y - d_y f_x`` at inner corners, ``(Ny - 1, Nx)``."""
    rho = jnp.sum(salt.sign * c, axis=0)
    strength = -salt.kappa / (2.0 * salt.eps**2)
    along = strength * 0.5 * (rho + right(rho)) * (right(phi) - phi) / d.dx
    normal = strength * to_faces(d, rho) * jnp.diff(phi, axis=0) / d.gaps[1:-1]
    return (right(normal) - normal) / d.dx - jnp.diff(along, axis=0) / d.gaps[1:-1]


def at_corners(parts: Array, columns: int) -> Array:
    """From real and imaginary parts ``(K, Ny - 1, 2)`` of the modes to all corners, ``(Ny + 1, Nx)``; zero at both walls."""
    inner = jnp.fft.irfft(jax.lax.complex(parts[..., 0], parts[..., 1]).T, n=columns, axis=-1)
    return jnp.pad(inner, ((1, 1), (0, 0)))


def _modes(curl: Array) -> Array:
    modes = jnp.fft.rfft(curl, axis=-1).T[..., None]  # (K, Ny - 1, 1)
    return jnp.concatenate([modes.real, modes.imag], axis=-1)


def _times(matrix: Array, parts: Array) -> Array:
    return jnp.matmul(matrix, parts, precision="highest")  # an accelerator would else round factors to 10 bits


def stream_function(flow: Creeping | Inert, curl: Array, before: Array | None = None, dt: Array | None = None) -> tuple:
    """At all corners, and the amplitudes of the modes ``(K, Ny - 1, 2)`` where the flow remembers them; without ``dt``, as it stands."""
    if isinstance(flow, Creeping):
        return at_corners(_times(flow.inverse, _modes(curl)), curl.shape[-1]), before
    assert before is not None
    if dt is not None:
        rate = 1.0 / (flow.schmidt * dt)
        before = (_times(flow.forward, _modes(curl)) + rate * before) / (flow.decay[..., None] + rate)
    return at_corners(_times(flow.back, before), curl.shape[-1]), before


def amplitudes(flow: Inert, psi: Array) -> Array:
    """Those of a stream function at corners, ``(K, Ny - 1, 2)``: the inverse of ``stream_function``."""
    return jnp.linalg.solve(flow.back.at[0].set(jnp.eye(flow.back.shape[-1])), _modes(psi[1:-1])).at[0].set(0.0)


def velocity(d: Domain, psi: Array) -> Velocity:
    """From the stream function by corner differences."""
    return Velocity(jnp.diff(psi, axis=0) / d.widths, -(psi - left(psi)) / d.dx)
