r"""Along the feed channel of an element: what stays in the feed, and its pressure.

    d m_w/ds = -A_m rho_0 J_w,    d m_s/ds = -A_m J_w r,    dP/ds = L dP/dx        (s from 0 at the inlet to 1 at the outlet)

with ``J_w`` and ``r = J_s/J_w`` of the local wall (``wall.py``). Water that passes is counted at ``rho_0`` = 1000 kg/m3.
Two ways along: Dormand and Prince (``dormand_prince.py``), fifth order with an error estimate; or cells with
``theta`` = 1 (backward differences) or 1/2 (mean of the ends), the schemes of WaterTAP.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ...chemistry.brine import Brine
from ...membranes.element import SpiralElement
from ...membranes.polarisation import Flow
from ...nonlinear.small_system import root_of_small
from ..wall import Permeances, Wall, wall
from .dormand_prince import dormand_prince

WATER_DENSITY = 1000.0  # kg/m3 of the water that passes
_DRY = 0.5  # kg of water per kg of salt: less is no solution


class Physics(NamedTuple):
    """What the march needs to know of one lane."""

    element: SpiralElement
    permeances: Permeances
    temperature: Array
    permeate_pressure: Array
    brine: Brine


class Stream(NamedTuple):
    """The feed side at one position."""

    water: Array  # kg/s
    salt: Array  # kg/s
    pressure: Array  # Pa, absolute


class Local(NamedTuple):
    """A position along the channel, seen in full."""

    stream: Stream
    concentration: Array  # c_b, kg/m3
    flow: Flow
    wall: Wall


class March(NamedTuple):
    """One element: its outlet, its nodes from inlet to outlet, and the estimated error of the outlet relative to the inlet."""

    outlet: Any  # Stream, or one of ions
    nodes: Any  # Local, or that of ions
    error: Array


def volume(brine: Brine, water: Array, salt: Array, temperature: Array) -> Array:
    """Of water and salt in kg (or kg/s), m3 (or m3/s); of nothing, nothing."""
    mass = water + salt
    return mass / brine.density(salt / jnp.where(mass != 0.0, mass, 1.0), temperature)


def leaks(outlet: Stream, permeate_pressure: Array, reflection: Array, brine: Brine, temperature: Array) -> Array:
    """Whether the concentrate is stronger than the pressure on it: the end of the vessel passes by leak alone."""
    w = outlet.salt / (outlet.water + outlet.salt)
    osmotic = brine.osmotic_pressure(w * brine.density(w, temperature), temperature)
    return outlet.pressure - permeate_pressure <= reflection * osmotic


def local(p: Physics, stream: Stream, start: Array) -> Local:
    """Flow, polarisation and flux at a position, from a first flux."""
    e, t = p.element, p.temperature
    floor = _DRY * jnp.abs(stream.salt) + 1e-30  # whatever a step tries, there is water
    water, salt = jnp.maximum(stream.water, floor), jnp.where(stream.salt >= 0.0, stream.salt, 0.0)
    mass = water + salt
    w = salt / mass
    density, viscosity, diffusivity = p.brine.density(w, t), p.brine.viscosity(w, t), p.brine.diffusivity(w, t)
    velocity = mass / (density * e.spacer_height * e.width * e.porosity)
    d_h = e.hydraulic_diameter
    flow = Flow(
        velocity, density, density * velocity * d_h / viscosity, viscosity / (density * diffusivity), diffusivity, d_h, e.length
    )  # fmt: skip

    def share(ratio: Array) -> Array:
        """``c_p/r``: kg per m3 of solution over kg per m3 of water."""
        inside = ratio / (ratio + WATER_DENSITY)
        return p.brine.density(inside, t) / (ratio + WATER_DENSITY)

    pressure = jnp.maximum(stream.pressure - p.permeate_pressure, 0.0)
    found = wall(
        p.permeances,
        lambda c: p.brine.osmotic_pressure(c, t),
        e.mass_transfer(flow),
        density * w,
        pressure,
        start,
        share,
    )
    return Local(stream, density * w, flow, found)


def _rate(p: Physics, stream: Stream, start: Array) -> tuple[Stream, Local]:
    """``d stream/ds``."""
    here = local(p, stream, start)
    area, flux = p.element.area, here.wall.flux
    return Stream(
        -area * WATER_DENSITY * flux, -area * flux * here.wall.ratio, p.element.length * p.element.friction(here.flow)
    ), here


def first_flux(p: Physics, stream: Stream) -> Array:
    """A flux to start from: half of that without polarisation, where there is any."""
    w = stream.salt / (stream.water + stream.salt)
    c = w * p.brine.density(w, p.temperature)
    drive = stream.pressure - p.permeate_pressure
    free = drive - p.permeances.reflection * p.brine.osmotic_pressure(c, p.temperature)
    return 0.5 * p.permeances.water * jnp.maximum(free, 0.02 * drive)


def explicit(p: Physics, inlet: Stream, cells: int, start: Array) -> March:
    """Dormand-Prince over ``cells`` equal steps; each position starts from the flux of the one before."""

    def rate(stream: Stream, flux: Array) -> tuple[Stream, Array, Local]:
        change, here = _rate(p, stream, flux)
        return change, here.wall.flux, here

    outlet, nodes, error = dormand_prince(rate, inlet, start, cells)
    return March(outlet, nodes, error.water / inlet.water)


def implicit(p: Physics, inlet: Stream, cells: int, start: Array, theta: float) -> March:
    """``cells`` equal cells: outlet less inlet is the rate, weighted ``theta`` at the outlet, over each."""
    h = 1.0 / cells
    scale = Stream(inlet.water, jnp.maximum(inlet.salt, 1e-12 * inlet.water), inlet.pressure)

    def pack(s: Stream) -> Array:
        return jnp.stack([s.water / scale.water, s.salt / scale.salt, s.pressure / scale.pressure])

    def unpack(y: Array) -> Stream:
        return Stream(y[0] * scale.water, y[1] * scale.salt, y[2] * scale.pressure)

    def step(carry: tuple, _) -> tuple:
        stream, flux = carry
        before = pack(_rate(p, stream, flux)[0]) if theta < 1.0 else jnp.zeros(3)

        def balance(y: Array) -> Array:
            return y - pack(stream) - h * (theta * pack(_rate(p, unpack(y), flux)[0]) + (1.0 - theta) * before)

        outlet = unpack(root_of_small(balance, pack(stream) * jnp.array([0.9, 1.0, 0.999])))
        there = _rate(p, outlet, flux)[1]
        return (outlet, there.wall.flux), there

    here = local(p, inlet, start)
    (outlet, _), later = jax.lax.scan(step, (inlet, here.wall.flux), None, length=cells)
    nodes = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), here, later)
    return March(outlet, nodes, jnp.zeros_like(start))
