"""Potentials and profiles of a point result, computed when asked for."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from .dspmde.kernels import exponential
from .dspmde.march import at_flux
from .dspmde.observe import points, pore_drop, pore_profile
from .dspmde.problem import layers
from .result import PointResult, Profiles


class Inside(NamedTuple):
    """Potentials in RT/F, concentrations as ratios to the bulk; ``(*batch)`` or ``(*batch, S)``."""

    peclet: Array
    donnan_feed: Array
    donnan_permeate: Array
    pore_drop: Array
    film_field: Array
    pore_in: Array
    pore_out: Array


def _ions(x: Array, shape: tuple[int, ...]) -> Array:
    """``(S, N)`` to ``(*batch, S)``."""
    return x.T.reshape(*shape, x.shape[0])


@eqx.filter_jit
def inside(result: PointResult) -> Inside:
    """Potentials (in RT/F) and concentration ratios at the faces."""
    state, shape = result.state, result.case.batch_shape
    form, y = result.model.form(result.case), state.root.y
    place = points(state.core, form, y, state.root.interface)
    segments = result.model.cells or 16
    drop = pore_drop(state.core, form, y, state.root.grading, segments)
    field = y[-1]
    if form.linear_film:
        feed = result.case.feed
        length = feed.diffusivity[..., 0] / result.case.conditions.mass_transfer.of(feed)[..., 0]
        field = field / jnp.broadcast_to(length, shape).reshape(-1)
    flat = lambda x: x.reshape(shape)
    return Inside(
        _ions(jnp.sum(layers(at_flux(state.core, form, y)).convection, axis=0), shape),
        flat(place.donnan_feed),
        flat(place.donnan_permeate),
        flat(drop),
        flat(field),
        _ions(place.pore_in, shape),
        _ions(place.pore_out, shape),
    )


@eqx.filter_jit
def profiles(result: PointResult, count: int) -> Profiles:
    """Concentrations (mol/m3) and potential (V) through film, pore and permeate."""
    state, shape = result.state, result.case.batch_shape
    form, y, core = result.model.form(result.case), state.root.y, state.core
    inner = inside(result)
    pore = pore_profile(core, form, y, state.root.grading, result.model.cells or count)
    at = at_flux(core, form, y)
    fractions = jnp.linspace(0.0, 1.0, 17, dtype=y.dtype)
    if form.linear_film:  # a linear law has no profile of its own: straight lines
        film = 1.0 + fractions[:, None, None] * (state.root.interface - 1.0)
    else:

        def backwards(share: Array) -> Array:  # from the interface, a share of the film towards the bulk
            k = exponential((at.film_flux - core.charge * core.film_field * y[-1]) * share)
            return k.decay * state.root.interface + at.film_flux * share * k.source * jnp.exp(y[: core.charge.shape[0]])

        film = jax.vmap(backwards)(1.0 - fractions)

    def to_batch(x: Array) -> Array:  # (M, S, N) or (M, N) to (*batch, M[, S])
        return jnp.moveaxis(x, -1, 0).reshape(*shape, *x.shape[:-1])

    bulk = result.feed[..., None, :]
    volts = result.thermal_voltage[..., None] * (to_batch(pore.potential) + inner.donnan_feed[..., None])
    return Profiles(
        to_batch(pore.position),
        bulk * to_batch(pore.ratio),
        volts,
        fractions - 1.0,
        bulk * to_batch(film),
        result.permeate,
    )
