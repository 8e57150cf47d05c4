"""What is imposed: the type says which unknown is given. And the mass transfer of the feed side."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from ._errors import JaxmemError, ShapeError, unknown
from ._fields import check, field, is_concrete
from .chemistry.mixture import Mixture
from .chemistry.species import canonical, species
from .fem.boundary import Gradient, Outlet
from .units import LMH, m3_per_h

SCALINGS = {"D^(2/3)": 2.0 / 3.0, "D": 1.0, "same": 0.0}


class MassTransfer(eqx.Module):
    """Mass-transfer coefficients of the feed side: one value at a reference ion, scaled with diffusivity; or one per ion."""

    coefficient: Array = field(
        unit="m/s", low=1e-9, high=1.0, usual=40e-6, symbol="k", hint="um_per_s", doc="mass-transfer coefficient"
    )
    exponent: float = eqx.field(static=True, default=2.0 / 3.0)
    reference: str | None = eqx.field(static=True, default="Na+")
    per_species: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        check(self)

    def check(self, feed: Mixture) -> None:
        """One coefficient for each species, where they are given one by one."""
        if self.per_species and self.coefficient.shape[-1:] != (len(feed.species),):
            raise ShapeError(
                f"The film has coefficients of shape {self.coefficient.shape} for {len(feed.species)} species {feed.species.names}. "
                f'The last axis must be {len(feed.species)}: write jm.film("each", array), or jm.film("D^(2/3)", 4e-5).'
            )

    def of(self, feed: Mixture) -> Array:
        """k for each species of the feed, m/s, ``(*batch, S)``: ``k_i = k (D_i/D_ref)^exponent``."""
        if self.per_species:
            return self.coefficient
        k = self.coefficient[..., None]
        if self.exponent == 0.0:
            return k * jnp.ones(len(feed.species))
        reference = species(self.reference).diffusivity if self.reference else feed.species.diffusivity[..., :1]
        return k * (feed.species.diffusivity / reference) ** self.exponent


def film(scaling: str, coefficient, reference: str = "Na+") -> MassTransfer:
    """``jm.film("D^(2/3)", 4e-5)``: k of 4e-5 m/s for Na+, others by ``(D_i/D_ref)^(2/3)``. Scalings: ``D^(2/3)``, ``D``,
    ``same`` (one k for all) and ``each`` (an array ``(*batch, S)`` in the order of the feed's species)."""
    if scaling == "each":
        return MassTransfer(coefficient, per_species=True)
    if scaling not in SCALINGS:
        raise unknown("Mass-transfer scaling", scaling, (*SCALINGS, "each"), 'Write jm.film("D^(2/3)", 4e-5).')
    return MassTransfer(coefficient, SCALINGS[scaling], canonical(reference))


def _check(conditions: "FluxDriven | PressureDriven") -> None:
    check(conditions)
    if not isinstance(conditions.mass_transfer, MassTransfer | None):
        raise JaxmemError(
            f"mass_transfer = {conditions.mass_transfer!r} is not a film. It says which ion it is for and how it scales: write "
            'mass_transfer=jm.film("D^(2/3)", 4e-5).'
        )


class FluxDriven(eqx.Module):
    """The volume flux is imposed; the pressure follows. ``mass_transfer=None``: no film, the membrane meets the bulk."""

    volume_flux: Array = field(
        unit="m/s",
        low=0.0,
        high=1e-2,
        usual=20 * LMH,
        symbol="J_v",
        hint="LMH",
        doc="superficial volume flux to the permeate",
    )
    mass_transfer: MassTransfer | None = None

    def __check_init__(self) -> None:
        _check(self)


class PressureDriven(eqx.Module):
    """The transmembrane pressure is imposed; the flux follows from ``J_v = A (dP - dPi)``, and is positive for every dP > 0."""

    pressure: Array = field(
        unit="Pa", low=1e3, high=1e9, usual=8e5, symbol="dP", hint="bar", doc="transmembrane pressure difference"
    )
    mass_transfer: MassTransfer | None = None

    def __check_init__(self) -> None:
        _check(self)


# ------------------------------------------------------------------------------ elements and vessels

ATMOSPHERE = 101325.0


class Pump(eqx.Module):
    """The high-pressure pump and what recovers energy from the concentrate; ``energy_recovery=0``: nothing does."""

    pump_efficiency: Array = field(
        unit="1", low=0.01, high=1.0, symbol="eta", doc="efficiency of the pump", default=1.0
    )
    energy_recovery: Array = field(
        unit="1", low=0.0, high=1.0, symbol="eta_ERD", doc="efficiency of energy recovery", default=0.0
    )

    def __check_init__(self) -> None:
        check(self)


def _check_pump(pump: Any) -> None:
    if not isinstance(pump, Pump):
        raise JaxmemError(
            f"pump = {pump!r} is not a pump. Write pump=jm.Pump(pump_efficiency=0.88, energy_recovery=0.95)."
        )


_FLOW = {"unit": "m3/s", "low": 1e-12, "high": 1e3, "usual": 9.0 * m3_per_h, "symbol": "Q_f", "hint": "m3_per_h"}
_PERMEATE = {"unit": "Pa", "low": 0.0, "high": 1e8, "symbol": "P_p", "hint": "bar", "default": ATMOSPHERE}


class _OfElement(eqx.Module):
    """What the conditions of an element check alike."""

    def __check_init__(self) -> None:
        check(self)
        _check_pump(getattr(self, "pump", None))


class FeedPressure(_OfElement):
    """The pressure (absolute) and the flow of the feed of one element or vessel are imposed; recovery follows."""

    pressure: Array = field(
        unit="Pa", low=1e3, high=1e8, usual=55e5, symbol="P_f", hint="bar", doc="feed pressure, absolute"
    )
    flow: Array = field(doc="feed flow of one vessel", **_FLOW)
    permeate_pressure: Array = field(doc="permeate pressure, absolute", **_PERMEATE)
    pump: Any = Pump()


class Recovery(_OfElement):
    """The volume of permeate per volume of feed, and the flow of the feed, are imposed; the pressure follows."""

    recovery: Array = field(unit="1", low=1e-6, high=0.99, usual=0.45, symbol="Y", doc="permeate flow over feed flow")
    flow: Array = field(doc="feed flow of one vessel", **_FLOW)
    permeate_pressure: Array = field(doc="permeate pressure, absolute", **_PERMEATE)
    pump: Any = Pump()


class MeanFlux(_OfElement):
    """The mean flux over all membrane area, and the flow of the feed, are imposed; the pressure follows."""

    flux: Array = field(
        unit="m/s", low=1e-9, high=1e-2, usual=15 * LMH, symbol="J", hint="LMH", doc="permeate flow over area"
    )
    flow: Array = field(doc="feed flow of one vessel", **_FLOW)
    permeate_pressure: Array = field(doc="permeate pressure, absolute", **_PERMEATE)
    pump: Any = Pump()


class RequiredArea(_OfElement):
    """Pressure, recovery and flow are imposed; the membrane area of each element follows: wider channels of the same length."""

    recovery: Array = field(unit="1", low=1e-6, high=0.99, usual=0.45, symbol="Y", doc="permeate flow over feed flow")
    pressure: Array = field(
        unit="Pa", low=1e3, high=1e8, usual=55e5, symbol="P_f", hint="bar", doc="feed pressure, absolute"
    )
    flow: Array = field(doc="feed flow of one vessel", **_FLOW)
    permeate_pressure: Array = field(doc="permeate pressure, absolute", **_PERMEATE)
    pump: Any = Pump()


# ------------------------------------------------------------------------------ a layer of solution


class Layer(eqx.Module):
    """A layer of solution from ``x = 0``, which holds the feed, to an outlet at ``x = length`` (``jaxmem/fem/boundary.py``).

    ``time=None`` asks for the steady state; else the layer starts without salt and is seen at that time.
    """

    length: Array = field(
        unit="m", low=1e-9, high=1e3, usual=50e-6, symbol="L", hint="um", doc="thickness of the layer"
    )
    velocity: Array = field(
        unit="m/s", low=-1e2, high=1e2, usual=20 * LMH, symbol="v", hint="LMH", doc="velocity towards the outlet"
    )
    diffusivity: Array = field(
        unit="m2/s", low=1e-14, high=1.0, usual=1.5e-9, symbol="D", doc="diffusivity of the salt, dilute"
    )
    outlet: Outlet = Gradient()
    time: Array | None = field(
        unit="s", low=1e-12, usual=10.0, symbol="t", doc="time since the feed came", optional=True
    )

    def __check_init__(self) -> None:
        check(self)
        if not isinstance(self.outlet, Outlet):
            raise JaxmemError(
                f"outlet = {self.outlet!r} is no boundary condition. Write outlet=jm.fem.TotalFlux(0.0), Gradient, Dirichlet, Robin or "
                "Permeable."
            )


class PressedLayer(eqx.Module):
    """A layer of solution on a membrane, under a transmembrane pressure: the water that passes is its velocity."""

    pressure: Array = field(
        unit="Pa", low=1e3, high=1e8, usual=55e5, symbol="dP", hint="bar", doc="transmembrane pressure difference"
    )
    length: Array = field(
        unit="m", low=1e-9, high=1e-2, usual=50e-6, symbol="delta", hint="um", doc="thickness of the layer"
    )
    diffusivity: Array = field(
        unit="m2/s", low=1e-14, high=1.0, usual=1.5e-9, symbol="D", doc="diffusivity of the salt, dilute"
    )

    def __check_init__(self) -> None:
        check(self)


_SLIT = {
    "velocity": {
        "unit": "m/s",
        "low": 1e-6,
        "high": 1e2,
        "usual": 0.1,
        "symbol": "ubar",
        "doc": "mean velocity at the inlet",
    },
    "half_height": {
        "unit": "m",
        "low": 1e-6,
        "high": 1e-1,
        "usual": 0.5e-3,
        "symbol": "h",
        "hint": "mm",
        "doc": "half the height",
    },
    "length": {"unit": "m", "low": 1e-6, "high": 1e3, "usual": 0.1, "symbol": "L", "doc": "length of the slit"},
    "diffusivity": {"unit": "m2/s", "low": 1e-14, "high": 1.0, "symbol": "D", "doc": "diffusivity of the salt"},
    "viscosity": {"unit": "Pa s", "low": 1e-5, "high": 1.0, "symbol": "mu", "doc": "dynamic viscosity"},
}


class SlitPressure(eqx.Module):
    """A slit between two membranes with its feed at a pressure over that of the permeate."""

    pressure: Array = field(
        unit="Pa", low=1e3, high=1e8, usual=55e5, symbol="P", hint="bar", doc="inlet over permeate pressure"
    )
    velocity: Array = field(**_SLIT["velocity"])
    half_height: Array = field(**_SLIT["half_height"])
    length: Array = field(**_SLIT["length"])
    diffusivity: Array = field(**_SLIT["diffusivity"], default=1.5e-9)
    viscosity: Array = field(**_SLIT["viscosity"], default=9e-4)

    def __check_init__(self) -> None:
        check(self)


class SlitFlux(eqx.Module):
    """A slit whose walls let through the same volume flux everywhere."""

    flux: Array = field(
        unit="m/s", low=0.0, high=1e-2, usual=20 * LMH, symbol="v_w", hint="LMH", doc="volume flux of each wall"
    )
    velocity: Array = field(**_SLIT["velocity"])
    half_height: Array = field(**_SLIT["half_height"])
    length: Array = field(**_SLIT["length"])
    diffusivity: Array = field(**_SLIT["diffusivity"], default=1.5e-9)
    viscosity: Array = field(**_SLIT["viscosity"], default=9e-4)

    def __check_init__(self) -> None:
        check(self)


# ------------------------------------------------------------------------------ current through a layer or gap

_GAP = {
    "unit": "m", "low": 1e-9, "high": 1.0, "usual": 100e-6, "symbol": "L", "hint": "um", "doc": "layer from the membrane to the stirred bulk, or gap",
}  # fmt: skip
_VOLTAGE = {"unit": "V", "low": -10.0, "high": 10.0, "usual": 0.5, "symbol": "V", "hint": "mV"}
_BOX = {
    "unit": "m", "low": 1e-9, "high": 1.0, "usual": 200e-6, "symbol": "L_x", "hint": "um", "doc": "period along the membrane, in the plane", "optional": True,
}  # fmt: skip
_FLOW_ALONG = {
    "unit": "m/s",
    "low": 0.0,
    "high": 10.0,
    "symbol": "V_0",
    "doc": "mean velocity along the membrane",
    "default": 0.0,
}


class _OfLayer(eqx.Module):
    """What conditions of a current check alike."""

    def __check_init__(self) -> None:
        check(self)


class Voltage(_OfLayer):
    """The voltage from y = 0 to the far end is imposed; positive drives cations to y = 0, negative anions: beside an anion exchanger the curve lies
    at negative voltages and currents. The Donnan jump at y = 0 is inside it.
    Across a ``FixedChargeMembrane`` it is that from bulk to bulk.

    ``length`` and ``velocity`` belong to models of the plane (``jm.Electroconvection``); a layer in one dimension knows neither.
    """

    voltage: Array = field(doc="potential of the far end over y = 0", **_VOLTAGE)
    thickness: Array = field(**_GAP)
    length: Array | None = field(**_BOX)
    velocity: Array = field(**_FLOW_ALONG)


class VoltageSweep(_OfLayer):
    """A whole current-voltage curve in one question: voltages ``(*batch, V)``, each solved from the one before."""

    voltage: Array = field(ndim=1, doc="potentials of the far end", **_VOLTAGE)
    thickness: Array = field(**_GAP)
    length: Array | None = field(**_BOX)
    velocity: Array = field(**_FLOW_ALONG)

    def __check_init__(self) -> None:
        if is_concrete(self.voltage) and self.voltage.ndim and self.voltage.shape[-1] == 0:
            raise ShapeError(
                f"VoltageSweep.voltage has shape {self.voltage.shape}: nothing is in it. Write jnp.linspace(0.02, 1.5, 40)."
            )


class VoltageRamp(_OfLayer):
    """The voltage rises (or falls) in proportion to time, from ``start`` to ``end`` over the duration of the model."""

    start: Array = field(doc="potential of the far end at first", **_VOLTAGE)
    end: Array = field(doc="potential of the far end at last", **_VOLTAGE)
    thickness: Array = field(**_GAP)
    length: Array | None = field(**_BOX)
    velocity: Array = field(**_FLOW_ALONG)


class CurrentDriven(_OfLayer):
    """The current density is imposed, positive where cations go to y = 0; the voltage follows."""

    current: Array = field(
        unit="A/m2", low=-1e5, high=1e5, usual=10.0, symbol="i", doc="current density, a mean over the membrane"
    )
    thickness: Array = field(**_GAP)
    length: Array | None = field(**_BOX)
    velocity: Array = field(**_FLOW_ALONG)
