"""Spiegler-Kedem: reflection and permeability of a salt as a whole, in closed form."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import ElectroneutralityError
from .._fields import is_concrete
from .._status import code
from ..case import Case
from ..conditions import FluxDriven
from ..constants import GAS
from ..membranes.permeance import SpieglerKedemMembrane
from . import inputs, point
from .base import AbstractModel
from .lanes import known
from .result import PointResult

_STEPS = 60  # bisections of the flux at a given pressure: beyond float64


class SpieglerKedem(AbstractModel):
    r"""``c_p/c_m = (1 - sigma)/(1 - sigma F)``, ``F = exp(-(1 - sigma) J_v/P_s)``; film theory ``(c_m - c_p)/(c_b - c_p) = exp(J_v/k)``.

    With a pressure, ``J_v = A (dP - sigma dPi)``, one monotone root. All ions of a mixture share sigma, P_s and k (the
    smallest given): Spiegler-Kedem knows salts, not ions; use ``SDEM`` or ``DSPMDE`` to separate ions.
    Spiegler and Kedem 1966, doi 10.1016/S0011-9164(00)80018-1. Breaks down where sigma or P_s follow the concentration.
    """

    precision: str = eqx.field(static=True, default="float64")

    def title(self) -> str:
        """Name and options, as printed."""
        return "Spiegler-Kedem (film theory)"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return ["Spiegler and Kedem 1966, Desalination 1, 311, doi 10.1016/S0011-9164(00)80018-1"]

    def water_permeance(self, case: Case) -> Array:
        """A, m/s/Pa."""
        return case.membrane.water_permeance

    def reflection(self, case: Case) -> Array:
        """Of the osmotic pressure of each species, ``(*batch, S)``."""
        return case.membrane.reflection

    def check(self, case: Case) -> None:
        """Refuse membranes that would charge the permeate."""
        inputs.check_membrane(
            case,
            SpieglerKedemMembrane,
            "SpieglerKedem",
            "jm.Case(feed, jm.SpieglerKedemMembrane(0.95, 1e-6), conditions)",
        )
        point.check_conditions(case)
        inputs.check_precision(case, self.precision)
        charge = case.feed.species.charge
        for name in ("reflection", "permeability"):
            value = getattr(case.membrane, name)
            if is_concrete(value) and is_concrete(charge) and value.shape[-1] > 1 and np.any(np.asarray(charge)):
                of_ions = np.where(np.asarray(charge) != 0.0, np.asarray(value), np.nan)
                if bool(np.any(np.nanmax(of_ions, -1) - np.nanmin(of_ions, -1) > 1e-12)):
                    raise ElectroneutralityError(
                        f"SpieglerKedemMembrane.{name} differs between ions, so the permeate would carry a charge. It must be "
                        "equal for all ions: write one number, or use jm.SDEM() with a PermeanceMembrane."
                    )

    def _film(self, case: Case, flux: Array) -> Array:
        """``J_v/k``, the smallest k for all, ``(*batch, 1)``."""
        transfer = case.conditions.mass_transfer
        if transfer is None:
            return jnp.zeros_like(flux)[..., None]
        return flux[..., None] / jnp.min(transfer.of(case.feed), axis=-1, keepdims=True)

    def _ratios(self, case: Case, flux: Array) -> tuple[Array, Array]:
        """``c_p/c_b`` and ``c_m/c_b`` at a flux."""
        sigma, permeability = case.membrane.reflection, case.membrane.permeability
        peclet = jnp.minimum((1.0 - sigma) * flux[..., None] / jnp.maximum(permeability, 1e-300), 700.0)
        # (1 - sigma)/(1 - sigma F), finite for sigma -> 1 where it tends to 1/(1 + J_v/P)
        rest = 1.0 - sigma
        safe = rest > 1e-9
        passage = jnp.where(
            safe,
            rest / (jnp.where(safe, rest, 1.0) - sigma * jnp.expm1(-peclet)),
            permeability / (permeability + flux[..., None]),
        )
        growth = jnp.exp(jnp.minimum(self._film(case, flux), 700.0))
        # c_m - c_p = (c_b - c_p) growth with c_p = passage c_m
        interface = growth / (1.0 - passage + passage * growth)
        return passage * interface, interface

    def _imbalance(self, case: Case, flux: Array) -> Array:
        """``J_v - A (dP - sigma dPi)``, increasing in the flux."""
        permeate, interface = self._ratios(case, flux)
        c = case.feed.concentration
        osmotic = jnp.sum(case.membrane.reflection * (interface - permeate) * c, axis=-1) * GAS * case.feed.temperature
        return flux - case.membrane.water_permeance * (case.conditions.pressure - osmotic)

    def initial_guess(self, case: Case) -> Array:
        """No flux."""
        return jnp.zeros(case.batch_shape)

    def find(self, case: Case) -> Array:
        """The flux of every lane."""
        shape = case.batch_shape
        case = inputs.benign(case, inputs.input_status(case) == code("successful"))
        if isinstance(case.conditions, FluxDriven):
            return jnp.broadcast_to(case.conditions.volume_flux, shape)
        held = jax.lax.stop_gradient(case)
        low = jnp.zeros(shape)
        high = jnp.broadcast_to(held.membrane.water_permeance * held.conditions.pressure, shape)

        def halve(_, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            middle = 0.5 * (bounds[0] + bounds[1])
            above = self._imbalance(held, middle) > 0.0
            return jnp.where(above, bounds[0], middle), jnp.where(above, middle, bounds[1])

        low, high = jax.lax.fori_loop(0, _STEPS, halve, (low, high))
        flux = jax.lax.stop_gradient(0.5 * (low + high))
        for _ in range(2):  # Newton steps carry the implicit derivative, exact to third order
            value, slope = jax.jvp(lambda j: self._imbalance(case, j), (flux,), (jnp.ones_like(flux),))
            flux = flux - value / slope
        return flux

    def residual(self, state: Array, case: Case) -> Array:
        """Water balance over ``A dP`` (zero when the flux is given), ``(*batch, 1)``."""
        if isinstance(case.conditions, FluxDriven):
            return jnp.zeros((*case.batch_shape, 1))
        scale = case.membrane.water_permeance * case.conditions.pressure
        return (self._imbalance(case, state) / scale)[..., None]

    def observe(self, state: Array, case: Case) -> PointResult:
        """The Result of every lane."""
        shape, s = case.batch_shape, len(case.feed.species)
        status = inputs.input_status(case)
        sound = status == code("successful")
        clean = inputs.benign(case, sound)
        flux = jnp.where(sound, state, 0.0)
        permeate, interface = (jnp.broadcast_to(x, (*shape, s)) for x in self._ratios(clean, flux))
        residual = jnp.broadcast_to(jnp.max(jnp.abs(self.residual(flux, clean)), axis=-1), shape)
        solved = sound & jnp.isfinite(residual)
        flux, permeate, interface = known((flux, permeate, interface), solved)
        feed = jnp.broadcast_to(clean.feed.concentration, (*shape, s))
        return PointResult(
            case=case,
            model=self,
            state=state,
            volume_flux=inputs.as_imposed(case, flux, solved),
            feed=inputs.as_fed(case, feed, solved),
            interface=inputs.as_fed(case, feed * interface, solved),
            permeate=inputs.as_fed(case, feed * permeate, solved),
            passage=permeate,
            interface_ratio=interface,
            status=jnp.where(solved, code("successful"), jnp.where(sound, code("no_solution_found"), status)),
            steps=jnp.zeros(shape, jnp.int32),
            residual=residual,
            error_estimate=jnp.zeros((*shape, s)),
            closure=jnp.where(solved, 0.0, jnp.inf),
        )
