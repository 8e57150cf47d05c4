"""Fluxes of both ions through all faces of the box, and the charge they carry."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ..nernst_planck_poisson.flux import FaceFlux, face_flux
from .domain import Domain, Salt, left, right
from .flow import Velocity


class Fluxes(NamedTuple):
    """Along x through right faces ``(2, Ny, Nx)``, along y through lower faces and the upper wall ``(2, Ny + 1, Nx)``."""

    along: FaceFlux
    across: FaceFlux


def conductances(d: Domain, salt: Salt) -> tuple[Array, Array]:
    """``D/dx (2, 1, 1)`` and ``D/h (2, Ny + 1, 1)``; zero where a wall stops an ion."""
    diffusivity = salt.diffusivity[:, None, None]
    passes = (
        jnp.ones((2, d.gaps.shape[0]), diffusivity.dtype).at[:, 0].set(salt.low.passes).at[:, -1].set(salt.high.passes)
    )
    return diffusivity / d.dx, diffusivity * (passes[..., None] / d.gaps)


def with_walls(x: Array, low: Array, high: Array) -> Array:
    """Rows with the values of both walls, ``(..., Ny + 2, Nx)``."""
    shape = (*x.shape[:-2], 1, x.shape[-1])
    return jnp.concatenate([jnp.broadcast_to(low, shape), x, jnp.broadcast_to(high, shape)], axis=-2)


def across_layer(d: Domain, salt: Salt, c: Array, phi: Array, voltage: Array, v: Array) -> FaceFlux:
    """Through the faces between rows and both walls."""
    _, conductance = conductances(d, salt)
    wide = with_walls(c, salt.low.concentration[:, None, None], salt.high.concentration[:, None, None])
    drop = jnp.diff(with_walls(phi, jnp.zeros((), phi.dtype), voltage), axis=-2)
    q = salt.charge[:, None, None] * drop - v * d.gaps / salt.diffusivity[:, None, None]
    return face_flux(conductance, wide[:, :-1], wide[:, 1:], q)


def along_layer(d: Domain, salt: Salt, c: Array, phi: Array, u: Array, central: bool) -> FaceFlux:
    """Through the right faces; ``central`` takes the mean concentration for drift and advection instead of the upwind-leaning flux."""
    conductance, _ = conductances(d, salt)
    q = salt.charge[:, None, None] * (right(phi) - phi) - u * d.dx / salt.diffusivity[:, None, None]
    if not central:
        return face_flux(conductance, c, right(c), q)
    mean = 0.5 * (c + right(c))
    flux = conductance * (c - right(c) - q * mean)
    return FaceFlux(flux, conductance * (1.0 - 0.5 * q), -conductance * (1.0 + 0.5 * q), -conductance * mean)


def fluxes(d: Domain, salt: Salt, c: Array, phi: Array, voltage: Array, flow: Velocity, central: bool) -> Fluxes:
    """All of them."""
    return Fluxes(along_layer(d, salt, c, phi, flow.u, central), across_layer(d, salt, c, phi, voltage, flow.v))


def divergence(d: Domain, along: Array, across: Array) -> Array:
    """Of a flux, per volume."""
    return (along - left(along)) / d.dx + jnp.diff(across, axis=-2) / d.widths
