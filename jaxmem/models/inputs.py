"""What a model asks of a case before it computes: the right types and precision, sound numbers, harmless ones elsewhere."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._config import double_precision
from .._errors import JaxmemError, PhysicalRangeError, PrecisionError
from .._fields import is_concrete
from .._status import code
from ..case import Case, all_quantities, at_path
from ..chemistry.brine import brine_of
from ..chemistry.mixture import TOLERANCE, imbalance
from ..conditions import FluxDriven

TEMPERATURES = (273.15, 333.15)  # K: beyond, no property of a brine here has been fitted
SOLUBLE = 318.0  # kg/m3 of NaCl
SOLID = "salt at the membrane beyond solubility (26 %)"
LEAKS = "concentrate stronger than the pressure on it: the end passes by leak"
STRONGEST = 250.0  # kg/m3 of salt in a feed


def check_precision(case: Case, precision: str) -> None:
    """Float32 numbers in a float64 solve are refused by name."""
    if precision not in ("float64", "float32"):
        raise JaxmemError(f"precision = {precision!r} is not known. Write precision='float64' or precision='float32'.")
    if precision == "float32":
        return
    if not double_precision():
        raise PrecisionError(
            "float64 is switched off (JAXMEM_X64=0), and physics needs it. Unset JAXMEM_X64, or ask for single precision: "
            "write jm.DSPMDE(precision='float32')."
        )
    for path, value, _ in all_quantities(case):
        if value.dtype != jnp.float64:
            raise PrecisionError(
                f"{path} is {value.dtype}; rejections would lose up to half their digits. Write {path.rsplit('.', 1)[-1]}="
                "jnp.asarray(x, jnp.float64), or ask for single precision: jm.DSPMDE(precision='float32')."
            )


def check_membrane(case: Case, kind: Any, model: str, line: str) -> None:
    """A membrane of the right kind (a type or a union of types)."""
    if not isinstance(case.membrane, kind):
        name = getattr(kind, "__name__", "") or " or ".join(k.__name__ for k in kind.__args__)
        raise JaxmemError(f"{model} needs a {name}; Case.membrane is a {type(case.membrane).__name__}. Write {line}.")


def input_status(case: Case) -> Array:
    """Code of each lane's inputs, ``(*batch)``."""
    shape = case.batch_shape
    sound = jnp.ones(shape, bool)
    for _, value, meta in all_quantities(case):
        fine = jnp.isfinite(value)
        if meta["low"] is not None:
            fine &= value >= meta["low"]
        if meta["high"] is not None:
            fine &= value <= meta["high"]
        sound &= jnp.broadcast_to(jnp.all(fine, axis=-1) if meta["ndim"] else fine, shape)
    neutral = jnp.broadcast_to(
        jnp.abs(imbalance(case.feed.species.charge, case.feed.concentration)) <= TOLERANCE, shape
    )
    status = jnp.where(neutral, code("successful"), code("charge_imbalance"))
    return jnp.where(sound, status, code("outside_model"))


def check_feed(case: Case) -> None:
    """Refuse feeds beyond the range of the properties, where all lanes are."""
    temperature, salt = case.feed.temperature, case.feed.mass_concentration
    if is_concrete(temperature) and not _in(np.asarray(temperature), *TEMPERATURES).any():
        raise PhysicalRangeError(
            f"temperature = {float(np.ravel(temperature)[0]):g} K is outside {TEMPERATURES} K, the range of the properties. For 25 "
            "degrees Celsius write 298.15."
        )
    if is_concrete(salt) and not (np.sum(np.asarray(salt), -1) <= STRONGEST).any():
        raise PhysicalRangeError(
            f"The feed holds {float(np.ravel(np.sum(np.asarray(salt), -1))[0]):g} kg/m3 of salt; osmotic pressure is known up to {STRONGEST:g}. "
            "jaxmem is SI: for mg/L write Mixture.from_mass_concentration with * jm.units.mg_per_L."
        )


def feed_status(case: Case) -> Array:
    """Code of the inputs of every lane, the range of the properties included."""
    status = input_status(case)
    sound = _in(case.feed.temperature, *TEMPERATURES) & (jnp.sum(case.feed.mass_concentration, -1) <= STRONGEST)
    return jnp.where((status == 0) & ~jnp.broadcast_to(sound, status.shape), code("outside_model"), status)


def _in(x: Any, low: float, high: float) -> Any:
    return (x >= low) & (x <= high)


def check_salt(case: Case, given: object | None) -> None:
    """Refuse neutral solutes where the feed is taken for a salt, unless its osmotic law (or brine) is ``given``."""
    names, z = case.feed.species.names, case.feed.species.charge
    if given is None and is_concrete(z) and bool(np.any(np.asarray(z) == 0.0)):
        neutral = [
            n
            for n, none in zip(names, np.ravel(np.all(np.asarray(z) == 0.0, tuple(range(z.ndim - 1)))), strict=True)
            if none
        ]
        raise JaxmemError(
            f"The feed holds {', '.join(neutral)}, which is no salt, and this model would take it for one. Leave it out, or write "
            "jm.solve(jm.DSPMDE(), case) or jm.solve(jm.SDEM(), case), which tell solutes apart."
        )


def below_osmotic(case: Case, pressure: Array, law: Callable | None = None) -> Array:
    """Whether a pressure over the permeate is below the osmotic pressure of the feed, ``(*batch)``."""
    t, brine = case.feed.temperature, brine_of(case.feed)
    c = jnp.sum(case.feed.mass_concentration, axis=-1)
    osmotic = (law or brine.osmotic)(brine.mass_fraction(c, t), c, t)
    return jnp.broadcast_to(pressure <= case.membrane.reflection * osmotic, case.batch_shape)


def benign(case: Case, sound: Array) -> Case:
    """Unsound lanes get harmless numbers before anything is computed or differentiated (0 times NaN is NaN)."""
    for path, value, meta in all_quantities(case):
        low, high = meta["low"], meta["high"]
        middle = (low * high) ** 0.5 if low and high and low > 0.0 else 1.0
        full = jnp.broadcast_to(value, sound.shape + value.shape[value.ndim - meta["ndim"] :])
        mask = sound[..., None] if meta["ndim"] else sound
        case = _set(case, path.split("."), jnp.where(mask, full, middle))
    return case


def held(case: Case, solved: Array) -> Case:
    """The same numbers, without derivatives in the lanes that are not ``solved``; for cases whose numbers are harmless."""
    for path, value, meta in all_quantities(case):
        full = jnp.broadcast_to(value, solved.shape + value.shape[value.ndim - meta["ndim"] :])
        mask = solved.reshape(solved.shape + (1,) * meta["ndim"])
        case = _set(case, path.split("."), jnp.where(mask, full, jax.lax.stop_gradient(full)))
    return case


def _set(case: Case, path: list[str], value: Array) -> Case:
    return eqx.tree_at(lambda tree: at_path(tree, path), case, value)


def as_imposed(case: Case, flux: Array, solved: Array) -> Array:
    """The flux of every lane; in failed ones the one that was imposed, NaN where none was, and no derivative."""
    own = case.conditions.volume_flux if isinstance(case.conditions, FluxDriven) else jnp.full_like(flux, jnp.nan)
    return jnp.where(solved, flux, jax.lax.stop_gradient(jnp.broadcast_to(own, solved.shape)))


def as_fed(case: Case, value: Array, solved: Array) -> Array:
    """Concentrations ``(*batch, S)``; in failed lanes those of the feed as they were given, and no derivative."""
    return jnp.where(solved[..., None], value, jax.lax.stop_gradient(case.feed.concentration))
