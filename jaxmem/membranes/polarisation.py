"""What a feed channel does to the membrane: mass transfer to the wall, and friction along it.

Each closure is called with a ``Flow``, the local state of the channel. A fit of A and B belongs to the closures it was made with.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from .._errors import JaxmemError
from .._fields import check, field

_LARGEST = 200.0  # J_w/k of the film: exp stays finite whatever an iteration tries


class Flow(NamedTuple):
    """The feed channel at one position."""

    velocity: Array  # between the filaments, m/s
    density: Array  # kg/m3
    reynolds: Array
    schmidt: Array
    diffusivity: Array  # m2/s
    hydraulic_diameter: Array  # m
    length: Array  # of the channel, m


def check_transfer(law: Any) -> None:
    """Refuse what is no mass-transfer closure: ``law(flow)`` gives ``flux -> (alpha, beta)``."""
    answer = _tried(law, lambda flow: law(flow)(flow.velocity))
    if isinstance(law, type) or not callable(law) or not (isinstance(answer, tuple) and len(answer) == 2):
        raise JaxmemError(
            f"mass_transfer = {law!r} is no closure: called with a jm.membranes.polarisation.Flow it gives a law of the flux, alpha and beta of "
            "c_m = alpha c_b - beta r. Write mass_transfer=jm.SpacerTransfer(), or jm.ConstantTransfer(2e-5) for k in m/s."
        )


def check_friction(law: Any) -> None:
    """Refuse what is no friction closure: ``law(flow)`` gives dP/dx."""
    if isinstance(law, type) or not callable(law) or not isinstance(_tried(law, law), jax.ShapeDtypeStruct):
        raise JaxmemError(
            f"friction = {law!r} is no closure: called with a jm.membranes.polarisation.Flow it gives dP/dx in Pa/m. Write "
            "friction=jm.SpiralFriction()."
        )


def _tried(law: Any, call: Callable) -> Any:
    """The shape of what a law of the user's answers, None where it fails; of those of the package, as they should."""
    if type(law).__module__.startswith("jaxmem."):
        return jax.ShapeDtypeStruct((), float) if call is law else (None, None)
    with suppress(TypeError, AttributeError, ValueError):
        return jax.eval_shape(lambda x: call(Flow(*(x,) * len(Flow._fields))), jax.ShapeDtypeStruct((), float))
    return None


def film_law(k: Array | float) -> Callable[[Array], tuple[Array, Array]]:
    """``c_m = alpha c_b - beta r`` of film theory, ``alpha = exp(J_w/k)``, ``beta = alpha - 1``, for k in m/s."""

    def law(flux: Array) -> tuple[Array, Array]:
        reach = jnp.minimum(flux / k, _LARGEST)
        return jnp.exp(reach), jnp.expm1(reach)

    return law


def _factor(doc: str, value: float) -> Any:
    """The number in front of a correlation, which may be measured or fitted for one's own spacer."""
    return field(unit="1", low=1e-6, high=1e6, symbol="a", doc=doc, default=value)


class SpacerTransfer(eqx.Module):
    """``Sh = a (Re Sc)^0.36``, ``a = sherwood_factor`` of 0.46: spacer-filled channels, as in WaterTAP (open source)."""

    sherwood_factor: Array = _factor("factor of the Sherwood number", 0.46)

    def __check_init__(self) -> None:
        check(self)

    def coefficient(self, flow: Flow) -> Array:
        """k, m/s."""
        return (
            self.sherwood_factor * (flow.reynolds * flow.schmidt) ** 0.36 * flow.diffusivity / flow.hydraulic_diameter
        )

    def __call__(self, flow: Flow) -> Callable:
        return film_law(self.coefficient(flow))


class SchockMiquel(eqx.Module):
    """``Sh = a Re^0.875 Sc^0.25``, ``a = sherwood_factor`` of 0.065: spacers. Schock and Miquel 1987, doi 10.1016/0011-9164(87)90107-X (from memory of the source)."""

    sherwood_factor: Array = _factor("factor of the Sherwood number", 0.065)

    def __check_init__(self) -> None:
        check(self)

    def coefficient(self, flow: Flow) -> Array:
        """k, m/s."""
        sherwood = self.sherwood_factor * flow.reynolds**0.875 * flow.schmidt**0.25
        return sherwood * flow.diffusivity / flow.hydraulic_diameter

    def __call__(self, flow: Flow) -> Callable:
        return film_law(self.coefficient(flow))


class Leveque(eqx.Module):
    """``Sh = a (Re Sc d_h/L)^(1/3)``, ``a = sherwood_factor`` of 1.85: short empty laminar channels (from memory of the textbooks)."""

    sherwood_factor: Array = _factor("factor of the Sherwood number", 1.85)

    def __check_init__(self) -> None:
        check(self)

    def coefficient(self, flow: Flow) -> Array:
        """k, m/s."""
        graetz = flow.reynolds * flow.schmidt * flow.hydraulic_diameter / flow.length
        return self.sherwood_factor * graetz ** (1.0 / 3.0) * flow.diffusivity / flow.hydraulic_diameter

    def __call__(self, flow: Flow) -> Callable:
        return film_law(self.coefficient(flow))


class ConstantTransfer(eqx.Module):
    """One mass-transfer coefficient all along."""

    k: Array = field(
        unit="m/s", low=1e-9, high=1e12, usual=20e-6, symbol="k", hint="um_per_s", doc="mass-transfer coefficient"
    )

    def __check_init__(self) -> None:
        check(self)

    def coefficient(self, flow: Flow) -> Array:
        """k, m/s."""
        return self.k

    def __call__(self, flow: Flow) -> Callable:
        return film_law(self.k)


class ConstantModulus(eqx.Module):
    """``c_m = modulus c_b`` whatever the flux; 1 for no polarisation."""

    modulus: Array = field(unit="1", low=1.0, high=100.0, symbol="CP", doc="polarisation modulus", default=1.0)

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, flow: Flow) -> Callable:
        return lambda flux: (self.modulus * jnp.ones_like(flux), jnp.zeros_like(flux))


class SpiralFriction(eqx.Module):
    """``f = a Re^-0.3``, ``a = friction_factor`` of 6.23: spacers. Schock and Miquel 1987, doi 10.1016/0011-9164(87)90107-X, as in WaterTAP."""

    friction_factor: Array = _factor("factor of the friction", 6.23)

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, flow: Flow) -> Array:
        """Pressure gradient ``-f rho v^2/(2 d_h)``, Pa/m."""
        return (
            -self.friction_factor
            * flow.reynolds**-0.3
            * flow.density
            * flow.velocity**2
            / (2.0 * flow.hydraulic_diameter)
        )


class FlatFriction(eqx.Module):
    """``f = 0.42 + 189.3/Re``: flat sheets with spacer, as in WaterTAP (open source)."""

    def __call__(self, flow: Flow) -> Array:
        """Pressure gradient ``-f rho v^2/(2 d_h)``, Pa/m."""
        f = 0.42 + 189.3 / flow.reynolds
        return -f * flow.density * flow.velocity**2 / (2.0 * flow.hydraulic_diameter)


class ConstantDrop(eqx.Module):
    """A given pressure drop over the element, spread evenly; 0 for no friction."""

    drop: Array = field(unit="Pa", low=0.0, high=1e7, symbol="dP", hint="bar", doc="pressure drop", default=0.0)

    def __check_init__(self) -> None:
        check(self)

    def __call__(self, flow: Flow) -> Array:
        """Pressure gradient, Pa/m."""
        return -self.drop / flow.length
