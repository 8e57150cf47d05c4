"""One pore segment, solved for a constant field: the two rules that carry concentrations across it.

Across a segment of width ``h`` the extended Nernst-Planck equation with constant field ``U`` reads, marching from the
permeate side to the feed side,

    g_new = decay(a) g + h B e^t source(a),        a = (A - z U) h

* exponential fitting (Scharfetter and Gummel 1969, doi 10.1109/T-ED.1969.16566): ``decay = exp(-a)``,
  ``source = (1 - exp(-a))/a``. Exact for a constant field, positive for every input.
* midpoint: ``decay = (1 - a/2)/(1 + a/2)``, ``source = 1/(1 + a/2)``. With one segment it is the discretisation of
  WaterTAP; it loses positivity beyond ``abs(a) = 2`` and serves comparison only.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array


class Kernel(NamedTuple):
    """Values of one segment rule at ``a``: decay, source and their derivatives to ``a``."""

    decay: Array
    source: Array
    decay_slope: Array
    source_slope: Array


_SMALL = 0.02  # below it the closed form of the source loses more than a digit or two
_SOURCE = (1.0 / 5040, -1.0 / 720, 1.0 / 120, -1.0 / 24, 1.0 / 6, -0.5, 1.0)  # Taylor, highest power first
_SLOPE = (7.0 / 40320, -6.0 / 5040, 5.0 / 720, -4.0 / 120, 3.0 / 24, -2.0 / 6, 0.5)  # of minus its derivative


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    total = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        total = total * x + c
    return total


def exponential(a: Array) -> Kernel:
    """Exponentially fitted segment; ``a`` of any shape. Below about -700 (-80 in float32) it overflows, and says so."""
    small = jnp.abs(a) < _SMALL
    near, inverse = jnp.where(small, a, 0.0), 1.0 / jnp.where(small, 1.0, a)
    decay = jnp.exp(-a)
    source = (1.0 - decay) * inverse
    slope = jnp.where(small, -_horner(_SLOPE, near), (decay - source) * inverse)
    return Kernel(decay, jnp.where(small, _horner(_SOURCE, near), source), -decay, slope)


def midpoint(a: Array) -> Kernel:
    """Arithmetic-mean segment (compatibility); ``a`` is bounded away from -2, where the rule has a pole."""
    a = jnp.maximum(a, -1.98)
    inverse = 1.0 / (1.0 + 0.5 * a)
    return Kernel((1.0 - 0.5 * a) * inverse, inverse, -inverse * inverse, -0.5 * inverse * inverse)


SCHEMES: dict[str, Callable[[Array], Kernel]] = {"exponential": exponential, "midpoint": midpoint}
