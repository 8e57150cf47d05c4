r"""The flux of an ion through a face between two cells: diffusion, migration and advection in one formula.

    J = (D/h) [B(q) c_L - B(-q) c_R],    q = z (phi_R - phi_L) - u h/D,    B(x) = x/(e^x - 1)

Exact for a constant field and flux between the centres (Scharfetter and Gummel 1969, doi 10.1109/T-ED.1969.16566); positive, and of
second order while ``|q| < 2``.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

_SMALL = 1e-2  # below, B and its slope are series


def bernoulli(x: Array) -> tuple[Array, Array, Array]:
    """``B(x)``, ``B(-x) = B(x) + x`` and ``B'(x)``; nothing overflows."""
    small = jnp.abs(x) < _SMALL
    safe = jnp.where(small, 1.0, x)
    far = 600.0 if x.dtype == jnp.float64 else 80.0  # beyond, B(|x|) is as good as zero
    size = jnp.minimum(jnp.abs(safe), far)
    least = size / jnp.expm1(size)  # B(|x|): one exponential serves both signs
    closed = jnp.where(safe > 0.0, least, least - safe)
    square = x * x
    b = jnp.where(small, 1.0 - x / 2.0 + square / 12.0 - square * square / 720.0, closed)
    mirrored = b + x
    slope = jnp.where(small, -0.5 + x / 6.0 - x * square / 180.0, b * (1.0 - mirrored) / safe)
    return b, mirrored, slope


class FaceFlux(NamedTuple):
    """Flux through faces, and its slopes to what stands on either side."""

    flux: Array
    left: Array  # dJ/dc_L
    right: Array  # dJ/dc_R
    drop: Array  # dJ/dq


def face_flux(conductance: Array, left: Array, right: Array, drop: Array) -> FaceFlux:
    """``conductance`` is D/h, ``drop`` is q; slopes in closed form."""
    b, mirrored, slope = bernoulli(drop)
    to_left, to_right = conductance * b, -conductance * mirrored
    # d B(-q)/dq = B'(q) + 1
    return FaceFlux(
        to_left * left + to_right * right, to_left, to_right, conductance * (slope * left - (slope + 1.0) * right)
    )
