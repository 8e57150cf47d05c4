"""ADM and SDM solved together: the layer of solution that advection and diffusion shape, on the membrane whose flux moves it.

    (D(C) C')' = J_w C',    C(0) = C_0,    J_w C - D C' = J_w c_p at the membrane
    J_w = A [dP - sigma (Pi(C_m) - Pi(c_p))],    J_w c_p = B (C_m - c_p) + (1 - sigma) J_w C_m

The layer is solved by finite elements at every flux that is tried; the water balance increases with the flux and has one root. With a
constant diffusivity this is film theory with ``k = D/delta``; Najdawi 2025 (doi 10.4236/eng.2025.1710029) takes the two one after the other.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._errors import JaxmemError
from ..._status import code, tally
from ...case import Case
from ...chemistry.brine import brine_of
from ...conditions import Layer, PressedLayer
from ...fem.boundary import Permeable
from ...membranes.solution_diffusion import SolutionDiffusionMembrane
from ...nonlinear.increasing import root_of_increasing
from ..base import AbstractModel
from ..inputs import (
    SOLID,
    SOLUBLE,
    below_osmotic,
    benign,
    check_feed,
    check_membrane,
    check_precision,
    check_salt,
    feed_status,
)
from ..lanes import known, over_lanes
from ..wall import passage, permeances
from .advection_diffusion import ADM, BLOCK, LayerState, salt, scale

_PROFILE = 1e-7  # largest row of a profile that is one


class CoupledState(NamedTuple):
    """The flux and the layer that belong together."""

    flux: Array  # m/s
    permeate: Array  # mol/m3, equivalents
    layer: LayerState
    residual: Array  # water balance over dP
    status: Array


class CoupledResult(eqx.Module):
    """Answer for one layer on its membrane or a batch, SI."""

    case: Case
    model: Any
    state: CoupledState
    status: Array

    @property
    def ok(self) -> Array:
        """Solved."""
        return self.status == code("successful")

    @property
    def volume_flux(self) -> Array:
        """J_w, m/s."""
        return self.state.flux

    @property
    def position(self) -> Array:
        """m from the bulk."""
        return self.state.layer.position

    @property
    def concentration(self) -> Array:
        """mol/m3 of salt along the layer, the last at the membrane."""
        return self.state.layer.concentration

    @property
    def polarisation_modulus(self) -> Array:
        """``c_m/c_b``; 1 for pure water."""
        clean = benign(self.case, self.ok)
        return jnp.where(salt(clean) > 0.0, self.concentration[..., -1] / scale(clean), 1.0)

    @property
    def observed_rejection(self) -> Array:
        """``1 - c_p/c_b``; 1 for pure water."""
        clean = benign(self.case, self.ok)
        return jnp.where(salt(clean) > 0.0, 1.0 - self.state.permeate / scale(clean), 1.0)

    def messages(self) -> dict[str, int]:
        """Sentences of the codes that occur, and how often."""
        return tally(self.status)

    def warnings(self) -> dict[str, int]:
        """What makes an answer doubtful, and in how many of the solved lanes."""
        clean = benign(self.case, self.ok)
        mass = jnp.sum(clean.feed.mass_concentration, axis=-1) * self.polarisation_modulus
        strong = np.asarray(mass > SOLUBLE) & np.asarray(self.ok)
        return {SOLID: int(strong.sum())} if strong.any() else {}

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with units; failed lanes are NaN, ``status`` says why."""
        from ..export import need

        dims, ok = tuple(f"batch_{i}" for i in range(len(self.case.batch_shape))), np.asarray(self.ok)
        columns = {
            "volume_flux": ("m s-1", ()),
            "observed_rejection": ("1", ()),
            "polarisation_modulus": ("1", ()),
            "concentration": ("mol m-3", ("node",)),
            "position": ("m", ("node",)),
        }
        variables: dict[str, tuple] = {
            name: (
                (*dims, *inner),
                np.where(ok[..., None] if inner else ok, getattr(self, name), np.nan),
                {"units": unit},
            )
            for name, (unit, inner) in columns.items()
        }
        variables["status"] = (dims, np.asarray(self.status), {"long_name": "0 is solved; see jaxmem.STATUS"})
        return need("xarray").Dataset(variables, attrs={"model": self.model.title()})

    @property
    def plot(self) -> Any:
        """``.plot.profile()`` returns matplotlib Axes."""
        from ...plot.channel import LayerPlots

        return LayerPlots(self)

    def __str__(self) -> str:
        if not hasattr(self.status, "__array__"):
            return "CoupledResult (traced)"
        ok = np.asarray(self.ok).reshape(-1)
        lines = [f"{self.model.title()}: {int(ok.sum())}/{ok.size} solved"]
        for label, value, unit in (
            ("flux", self.volume_flux * 3.6e6, "LMH"),
            ("rejection", self.observed_rejection * 100.0, "%, observed"),
            ("c_m/c_b", self.polarisation_modulus, ""),
        ):
            good = np.asarray(value).reshape(-1)[ok]
            if good.size:
                span = f"{good.min():.5g}" if good.size == 1 else f"{good.min():.5g} to {good.max():.5g}"
                lines.append(f"  {label:<12}{span} {unit}".rstrip())
        lines += [f"  {n} x {text}" for text, n in self.warnings().items()]
        return "\n".join(
            lines + [f"  {n} x {text}"[:150] for text, n in self.messages().items() if text != "Solved."][:4]
        )


class ADMSDM(AbstractModel):
    """Advection-diffusion in the layer and solution-diffusion in the membrane, to convergence; equations at the head of the file."""

    adm: ADM = ADM(elements=100)
    osmotic: Callable | None = None
    precision: str = eqx.field(static=True, default="float64")

    def title(self) -> str:
        """Name and options, as printed."""
        return f"ADM-SDM ({self.adm.title()})"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return [*self.adm.sources(), "Wijmans and Baker 1995, J. Membr. Sci. 107, 1, doi 10.1016/0376-7388(95)00102-I"]

    def check(self, case: Case) -> None:
        """Refuse other membranes and conditions."""
        line = "jm.Case(feed, jm.SolutionDiffusionMembrane(3e-12, 3e-8), jm.PressedLayer(55 * bar, 50e-6, 1.5e-9))"
        check_membrane(case, SolutionDiffusionMembrane, "ADMSDM", line)
        if not isinstance(case.conditions, PressedLayer):
            raise JaxmemError(
                f"ADMSDM needs a PressedLayer; Case.conditions is a {type(case.conditions).__name__}. Write {line}."
            )
        if not isinstance(self.adm, ADM) or self.adm.sign != "weak":
            raise JaxmemError(
                "ADMSDM solves its layer with a jm.ADM of the weak form: the printed sign of Eq. 23 dilutes at the membrane. Write "
                "adm=jm.ADM(elements=100)."
            )
        check_precision(case, self.precision)
        check_feed(case)
        check_salt(case, self.osmotic)

    def initial_guess(self, case: Case) -> Array:
        """Half the flux of pure water."""
        return 0.5 * permeances(case.membrane, case.feed.temperature).water * case.conditions.pressure

    def _lane(self, case: Case) -> CoupledState:
        given, t, brine = case.conditions, case.feed.temperature, brine_of(case.feed)
        p = permeances(case.membrane, t)
        bulk = jnp.sum(case.feed.mass_concentration, axis=-1)
        per_mole = bulk / scale(case)

        def osmotic(c: Array) -> Array:
            mass = c * per_mole
            return (self.osmotic or brine.osmotic)(brine.mass_fraction(mass, t), mass, t)

        def layer(flux: Array) -> tuple[LayerState, Array]:
            share = passage(p, flux)
            conditions = Layer(given.length, flux, given.diffusivity, Permeable(flux * share))
            state = self.adm.profile(Case(case.feed, None, conditions))
            return state, share * state.concentration[-1]

        def imbalance(flux: Array) -> Array:
            state, permeate = layer(flux)
            short = p.reflection * (osmotic(state.concentration[-1]) - osmotic(permeate))
            # a layer without a steady profile cannot carry the flux away: too high
            return jnp.where(state.residual < _PROFILE, flux / p.water - given.pressure + short, jnp.nan)

        high = p.water * given.pressure
        bulk_flux = jnp.maximum(p.water * (given.pressure - osmotic(salt(case))), 0.02 * high)
        flux = root_of_increasing(imbalance, jnp.zeros_like(high), high, 0.5 * bulk_flux)
        state, permeate = layer(flux)
        return CoupledState(flux, permeate, state, imbalance(flux) / given.pressure, jnp.zeros((), jnp.int32))

    @eqx.filter_jit
    def find(self, case: Case) -> CoupledState:
        """Flux and layer of every lane."""
        status = feed_status(case)
        state = over_lanes(self._lane, benign(case, status == code("successful")), BLOCK)
        missed = ~(jnp.abs(state.residual) < 1e-8) | ~(state.layer.residual < _PROFILE)
        sound = status == code("successful")
        weak = below_osmotic(case, case.conditions.pressure, self.osmotic)
        status = jnp.where(sound & missed, code("no_steady_state"), status)
        status = jnp.where(sound & ~(state.layer.diffusivity > 0.0), code("diffusivity_not_positive"), status)
        return state._replace(status=jnp.where(sound & weak, code("below_osmotic_pressure"), status))

    def residual(self, state: CoupledState, case: Case) -> Array:
        """Water balance over dP, and the largest row of the layer, ``(*batch, 2)``."""
        return jnp.stack([state.residual, state.layer.residual], axis=-1)

    def observe(self, state: CoupledState, case: Case) -> CoupledResult:
        """The Result of every lane."""
        solved = state.status == code("successful")
        return CoupledResult(case=case, model=self, state=known(state, solved), status=state.status)
