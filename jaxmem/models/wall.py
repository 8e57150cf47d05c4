r"""A point of a solution-diffusion membrane under polarisation: the flux that closes water and salt.

    J_w = A [dP - sigma (Pi(c_m) - Pi(c_p))],    J_s = B (c_m - c_p) + (1 - sigma) J_w c_m,    r = J_s/J_w

The interface follows the bulk linearly, ``c_m = alpha c_b - beta r`` (film: ``alpha = exp(J_w/k)``, ``beta = alpha - 1``), so r is
eliminated and one equation in ``J_w`` is left. It increases from ``-A dP`` at no flux to a positive value at ``A dP``: one root.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from ..nonlinear.increasing import root_of_increasing


class Wall(NamedTuple):
    """What happens at a membrane point."""

    flux: Array  # J_w, m/s
    ratio: Array  # r = J_s/J_w, kg per m3 of water that passes
    interface: Array  # c_m, kg/m3
    permeate: Array  # c_p, kg/m3


class Permeances(NamedTuple):
    """A (m/s/Pa), B (m/s) and sigma at the temperature of the case."""

    water: Array
    salt: Array
    reflection: Array


def permeances(membrane, temperature: Array) -> Permeances:
    """The numbers of a ``SolutionDiffusionMembrane`` at a temperature."""
    factor = membrane.temperature(temperature)
    return Permeances(membrane.water_permeance * factor, membrane.salt_permeability * factor, membrane.reflection)


def passage(p: Permeances, flux: Array) -> Array:
    """``c_p/c_m`` at a flux: ``[B + (1 - sigma) J_w]/(J_w + B)``."""
    return (p.salt + (1.0 - p.reflection) * flux) / (flux + p.salt + 1e-300)


def _salt(p: Permeances, polarisation: Callable, permeate: Callable, bulk: Array, flux: Array) -> tuple[Array, ...]:
    """``r``, ``c_m`` and ``c_p`` at a flux."""
    alpha, beta = polarisation(flux)
    leak = p.salt + (1.0 - p.reflection) * flux
    share = jnp.ones_like(
        bulk
    )  # c_p/r, close to one and to its first iterate: 1e-9 from the limit where the membrane rejects
    for _ in range(2):
        ratio = leak * alpha * bulk / (flux + p.salt * share + leak * beta + 1e-300)
        share = permeate(ratio)
    return ratio, alpha * bulk - beta * ratio, ratio * share


def wall_at(p: Permeances, polarisation: Callable, bulk: Array, flux: Array) -> Wall:
    """The point at a given flux."""
    return Wall(flux, *_salt(p, polarisation, jnp.ones_like, bulk, flux))


def wall(
    p: Permeances,
    osmotic: Callable[[Array], Array],
    polarisation: Callable[[Array], tuple[Array, Array]],
    bulk: Array,
    pressure: Array,
    start: Array,
    permeate: Callable[[Array], Array] = jnp.ones_like,
) -> Wall:
    """The point at bulk concentration ``bulk`` (kg/m3) and transmembrane ``pressure`` (Pa, positive), from a first flux.

    ``permeate`` gives ``c_p/r`` where the permeate is counted per volume of solution, not of water.
    """

    def imbalance(flux: Array) -> Array:
        _, interface, behind = _salt(p, polarisation, permeate, bulk, flux)
        return flux / p.water - pressure + p.reflection * (osmotic(interface) - osmotic(behind))

    high = jnp.maximum(p.water * pressure, 1e-30)
    flux = root_of_increasing(imbalance, jnp.zeros_like(high), high, start)
    return Wall(flux, *_salt(p, polarisation, permeate, bulk, flux))
