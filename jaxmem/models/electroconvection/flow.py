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


def stokes_inverse(d: Domain) -> Array:
    """``A_k^-1``, ``(Nx/2 + 1, Ny - 1, Ny - 1)``, of a grid in double precision: ``A_k`` is too ill-conditioned for less. The mean flow is left
    at rest."""
    a = across(d.grid)
    inverse = jax.vmap(lambda k: jnp.linalg.inv(stokes_matrix(a, k)))(d.modes[1:])
    return jnp.concatenate([jnp.zeros_like(inverse[:1]), inverse])


def curl_of_force(d: Domain, salt: Salt, c: Array, phi: Array) -> Array:
    """``d_x f_y - d_y f_x`` at inner corners, ``(Ny - 1, Nx)``."""
    rho = jnp.sum(salt.sign * c, axis=0)
    strength = -salt.kappa / (2.0 * salt.eps**2)
    along = strength * 0.5 * (rho + right(rho)) * (right(phi) - phi) / d.dx
    normal = strength * to_faces(d, rho) * jnp.diff(phi, axis=0) / d.gaps[1:-1]
    return (right(normal) - normal) / d.dx - jnp.diff(along, axis=0) / d.gaps[1:-1]


def stream_function(inverse: Array, curl: Array) -> Array:
    """At all corners, ``(Ny + 1, Nx)``; zero at both walls."""
    modes = jnp.fft.rfft(curl, axis=-1).T[..., None]  # (K, Ny - 1, 1)
    parts = jnp.concatenate([modes.real, modes.imag], axis=-1)
    psi = jnp.matmul(inverse, parts, precision="highest")  # an accelerator would else round factors to 10 bits
    inner = jnp.fft.irfft(jax.lax.complex(psi[..., 0], psi[..., 1]).T, n=curl.shape[-1], axis=-1)
    return jnp.pad(inner, ((1, 1), (0, 0)))


def velocity(d: Domain, psi: Array) -> Velocity:
    """From the stream function by corner differences."""
    return Velocity(jnp.diff(psi, axis=0) / d.widths, -(psi - left(psi)) / d.dx)


def driven(d: Domain, salt: Salt, inverse: Array, c: Array, phi: Array) -> Velocity:
    """The flow that the charge drives."""
    return velocity(d, stream_function(inverse, curl_of_force(d, salt, c, phi)))
