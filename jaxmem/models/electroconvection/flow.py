r"""Stokes flow under electric force, by a stream function: ``u = dpsi/dy``, ``v = -dpsi/dx``, free of divergence to round-off.

    lap u - grad p + f = 0,    f = -kappa/(2 eps^2) rho grad phi,    no slip at both walls

The curl leaves for every Fourier mode ``A_k psi_k = (curl f)_k``, ``A_k = D_n (L_u - k'^2) D_c - k'^2 (L_v - k'^2)``: D_c takes corners to
rows, D_n rows to corners, L_u and L_v are Laplacians across the layer. Pressure drops out exactly.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .domain import Domain, Salt, left, right, to_faces


class Velocity(NamedTuple):
    """On right faces ``(Ny, Nx)`` and on lower faces ``(Ny + 1, Nx)``; both walls included."""

    u: Array
    v: Array


def across(d: Domain) -> tuple[Array, Array, Array, Array]:
    """``D_c (Ny, Ny - 1)``, ``D_n (Ny - 1, Ny)``, ``L_u (Ny, Ny)``, ``L_v (Ny - 1, Ny - 1)``, dense."""
    widths, gaps = d.grid.widths, d.grid.gaps
    n = widths.shape[0]
    up = jnp.eye(n, n - 1) - jnp.eye(n, n - 1, -1)  # psi above less psi below; psi is zero at the walls
    to_rows = up / widths[:, None]
    to_corners = -up.T / gaps[1:-1, None]
    outer = jnp.zeros((n, n)).at[0, 0].set(-1.0 / gaps[0]).at[-1, -1].add(-1.0 / gaps[-1])
    return to_rows, to_corners, (up @ to_corners + outer) / widths[:, None], -(up.T / gaps[1:-1, None]) @ to_rows


def stokes_operator(d: Domain) -> Array:
    """``A_k``, ``(Nx/2 + 1, Ny - 1, Ny - 1)``; the mean flow (k = 0) is left at rest."""
    to_rows, to_corners, along, normal = across(d)
    square = (d.modes**2)[:, None, None]
    n = to_rows.shape[0]
    return to_corners @ (along - square * jnp.eye(n)) @ to_rows - square * (normal - square * jnp.eye(n - 1))


def stokes_inverse(d: Domain) -> Array:
    """``A_k^-1``, in double precision whatever it is used in: ``A_k`` is too ill-conditioned for less."""
    inverse = jnp.linalg.inv(stokes_operator(d)[1:])
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
    psi = inverse @ parts
    inner = jnp.fft.irfft((psi[..., 0] + 1j * psi[..., 1]).T, n=curl.shape[-1], axis=-1)
    return jnp.pad(inner, ((1, 1), (0, 0)))


def velocity(d: Domain, psi: Array) -> Velocity:
    """From the stream function by corner differences."""
    return Velocity(jnp.diff(psi, axis=0) / d.widths, -(psi - left(psi)) / d.dx)


def driven(d: Domain, salt: Salt, inverse: Array, c: Array, phi: Array) -> Velocity:
    """The flow that the charge drives."""
    return velocity(d, stream_function(inverse, curl_of_force(d, salt, c, phi)))


def mean_kinetic(d: Domain, flow: Velocity) -> Array:
    """``<u^2 + v^2>`` over the box."""
    v = 0.5 * (flow.v[1:] ** 2 + flow.v[:-1] ** 2)
    return jnp.mean(jnp.sum((flow.u**2 + v) * d.widths, axis=0))


def largest(flow: Velocity) -> tuple[Array, Array]:
    """Largest ``|u|`` and ``|v|``."""
    return jnp.max(jnp.abs(flow.u)), jnp.max(jnp.abs(flow.v))


stokes_inverse_once = jax.jit(stokes_inverse)
