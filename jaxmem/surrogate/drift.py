"""How DSPM-DE's permeate moves with the flux: the implicit function of its march, ``dy/df = -F_y^-1 F_f`` (one small solve)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ..linalg.small_dense import apply, inverse
from ..models.dspmde.march import residual
from ..models.dspmde.pore import Levels
from ..models.dspmde.problem import Core, Form, with_flux
from ..models.dspmde.root import mixed

GRID = Levels(2, factor=8)  # 16, 32 and 64 segments, extrapolated


class Drift(NamedTuple):
    """At one state ``y = (ln passages, film field)`` and one share ``f`` of the flux."""

    passages: Array  # (S,) d ln(c_p/c_b)/df
    shift: Array  # (S,) F: ln of the feed that the march implies, over the given one; zero on DSPM-DE's own curve
    slope: Array  # (K, K) F_y
    along: Array  # (K,) F_f
    interface: Array  # (S,) c_m/c_b


def drift(core: Core, form: Form, y: Array, f: Array) -> Drift:
    """``core`` is one lane at its full flux."""
    at = lambda f, jacobian: residual(with_flux(core, f), form, y, GRID, None, jacobian)
    here = at(f, True)
    _, along = jax.jvp(lambda f: at(f, False).value, (f,), (jnp.ones_like(f),))
    dy = -apply(inverse(mixed(core, here.slope)), mixed(core, along))
    s = core.charge.shape[0]
    return Drift(dy[:s], here.value[:s], here.slope, along, here.interface.ratio)


def film_field(core: Core, d: Drift, passages: Array) -> Array:
    """``d zeta/df`` that keeps the implied feed neutral while the log passages move by ``passages``; DSPM-DE's own where they are its own."""
    s = passages.shape[0]
    weight = core.charge * core.share * jnp.exp(jnp.clip(d.shift, -30.0, 30.0))
    change = jnp.sum(weight * (d.slope[:s, :s] @ passages + d.along[:s]))
    by_field = jnp.sum(weight * d.slope[:s, -1])
    return jnp.where(by_field != 0.0, -change / jnp.where(by_field != 0.0, by_field, 1.0), 0.0)


def problem(physics: Any, case: Any) -> tuple[Core, Form]:
    """Lanes of a case as the march reads them, and the form of the equations."""
    form = physics.form(case)
    return physics.core(case, form), form
