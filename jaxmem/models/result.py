"""The Result of a membrane point: what passes, what stays, and how far to trust it."""

import re
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError
from .._fields import whole
from .._status import code, message, names, tally
from ..case import Case
from ..chemistry.mixture import Mixture
from ..chemistry.osmotic import van_t_hoff
from ..chemistry.species import pretty
from ..constants import FARADAY, GAS
from .beyond import beyond
from .inputs import benign


class Profiles(NamedTuple):
    """Concentrations and potential through film, pore and permeate; jumps at the faces. Leading axes are the batch.

    A pore of L layers has N = L (M + 1) nodes, its inner faces twice; every layer takes an equal share of the position. Derivatives are
    those at a fixed position, although the nodes of the pore follow the inputs.
    """

    position: Array  # (*batch, N) 0 at the feed face of the pore, 1 at the permeate face
    pore: Array  # (*batch, N, S) mol/m3 of pore fluid
    potential: Array  # (*batch, N) V, zero at the interface
    film_position: Array  # (K) -1 at the bulk, 0 at the interface, of each ion's film thickness
    film: Array  # (*batch, K, S) mol/m3
    permeate: Array  # (*batch, S) mol/m3


class PointResult(eqx.Module):
    """Answer to one question or a batch; arrays ``(*batch)`` or ``(*batch, S)``, SI.

    Failed lanes keep their last finite state and say why in ``status``; exports write NaN for them.
    """

    kept: ClassVar[dict[str, tuple[str, ...]]] = {
        "observed_rejection": ("species",), "permeate": ("species",), "error_estimate": ("species",), "volume_flux": (), "pressure": (), "residual": (),
    }  # fmt: skip  # what a sweep stores

    case: Case
    model: Any
    state: Any
    volume_flux: Array  # J_v, m/s
    feed: Array  # bulk concentration, mol/m3
    interface: Array  # concentration at the membrane, solution side, mol/m3
    permeate: Array  # mol/m3
    passage: Array  # c_p/c_b, finite for absent ions too
    interface_ratio: Array  # c_m/c_b
    status: Array  # integer codes of jm.STATUS
    steps: Array  # Newton and chord steps
    residual: Array  # largest scaled residual, re-evaluated at the returned state
    error_estimate: Array  # of each observed rejection: discretisation, and round-off (500 units in the last place); 0 for absent species, NaN for midpoint cells
    closure: Array  # largest relative charge left in permeate, interface or pore; infinite in failed lanes

    # --- how it went

    @property
    def ok(self) -> Array:
        """Solved, accurate or not: the accuracy is in ``error_estimate``."""
        return (self.status == code("successful")) | (self.status == code("accuracy_not_reached"))

    def messages(self) -> dict[str, int]:
        """Sentences of the codes that occur, and how often."""
        return tally(self.status)

    def warnings(self) -> dict[str, int]:
        """Ranges that are left, and in how many of the solved lanes."""
        ok = np.asarray(self.ok)
        doubts = {"beyond 0.5 mol/L ionic strength, where Davies is not trusted": ~np.asarray(self.activity_in_range)}
        if getattr(self.model, "film", "") == "plain" and self.case.conditions.mass_transfer is not None:
            k = jnp.min(self.case.conditions.mass_transfer.of(self.case.feed), axis=-1)
            doubts["with J_v/k of 1 or more, where the plain film means nothing"] = np.asarray(self.volume_flux >= k)
        for wall in getattr(self.case.membrane, "layers", (self.case.membrane,)):
            highest = getattr(getattr(wall, "hindrance", None), "highest", 1.0)
            if highest < 1.0:
                ratio = self.case.feed.species.stokes_radius / wall.pore_radius[..., None]
                text = f"with solutes above {highest:g} of the pore radius, beyond the fit of {type(wall.hindrance).__name__}"
                doubts[text] = np.asarray(jnp.any((ratio > highest) & (self.feed > 0.0), axis=-1))
        lanes = {text: int((np.broadcast_to(over, ok.shape) & ok).sum()) for text, over in doubts.items()}
        return {text: n for text, n in lanes.items() if n}

    def title(self) -> str:
        """The model's, which knows of no film where the conditions have none."""
        told = self.model.title()
        return told if self.case.conditions.mass_transfer is not None else re.sub(r"\w+ film", "no film", told)

    # --- rejection

    @property
    def observed_rejection(self) -> Array:
        """``1 - c_p/c_b``. Negative values are physics, not errors."""
        return 1.0 - self.passage

    @property
    def real_rejection(self) -> Array:
        """``1 - c_p/c_m`` (intrinsic), local."""
        return 1.0 - self.passage / self.interface_ratio

    @property
    def polarisation_modulus(self) -> Array:
        """``c_m/c_b``."""
        return self.interface_ratio

    @property
    def solute_flux(self) -> Array:
        """``j_i = J_v c_p,i``, mol/m2/s."""
        return self.volume_flux[..., None] * self.permeate

    # --- pressure

    @property
    def osmotic_pressure_interface(self) -> Array:
        """By the model's own law, else van 't Hoff, Pa."""
        return self._osmotic(self.interface)

    @property
    def osmotic_pressure_permeate(self) -> Array:
        """By the model's own law, else van 't Hoff, Pa."""
        return self._osmotic(self.permeate)

    def _osmotic(self, concentration: Array) -> Array:
        def law(case: Case) -> Array:
            if hasattr(self.model, "osmotic_pressure"):
                return self.model.osmotic_pressure(case, concentration)
            return van_t_hoff(concentration, case.feed.temperature)

        return self._answer(law)

    def _answer(self, law: Callable[[Case], Array], failed: Any = jnp.nan) -> Array:
        """``law`` of the case, ``(*batch)``; in failed lanes ``failed``, and nothing that can be differentiated: their inputs may be anything."""
        ok = self.ok
        return jnp.where(ok, law(benign(self.case, ok)), jax.lax.stop_gradient(failed))

    @property
    def osmotic_difference(self) -> Array:
        """``Pi_m - Pi_p``, Pa; negative where the permeate is the stronger solution."""
        return self.osmotic_pressure_interface - self.osmotic_pressure_permeate

    @property
    def pressure(self) -> Array:
        """Transmembrane pressure: ``J_v/A + sum sigma_i dPi_i``, Pa (sigma is 1 but for Spiegler-Kedem). In failed lanes that which was
        imposed, or NaN."""

        def law(case: Case) -> Array:
            reflection = self.model.reflection(case)
            if hasattr(self.model, "osmotic_pressure"):  # of the solution as a whole: one reflection
                of = lambda concentration: self.model.osmotic_pressure(case, concentration)
                osmotic = reflection[..., 0] * (of(self.interface) - of(self.permeate))
            else:
                osmotic = van_t_hoff(reflection * (self.interface - self.permeate), case.feed.temperature)
            return self.volume_flux / self.model.water_permeance(case) + osmotic

        return self._answer(law, getattr(self.case.conditions, "pressure", jnp.nan))

    @property
    def ionic_strength(self) -> Array:
        """At the interface, mol/L. Davies is trusted up to about 0.5."""
        return self._answer(lambda c: 5e-4 * jnp.sum(c.feed.species.charge**2 * self.interface, axis=-1))

    @property
    def activity_in_range(self) -> Array:
        """False where Davies is used beyond its range (0.5 mol/L); always True for ideal solutions."""
        return ~(self.ionic_strength > 0.5) | (getattr(self.model, "activity", "ideal") == "ideal")

    # --- inside

    @property
    def thermal_voltage(self) -> Array:
        """RT/F, V."""
        return self._answer(lambda case: GAS * case.feed.temperature / FARADAY)

    @property
    def peclet(self) -> Array:
        """``K_c J_v dx_e/D_p`` per species, ``(*batch, S)``; of layers, the sum."""
        return self._inside().peclet

    @property
    def donnan_feed(self) -> Array:
        """psi(pore entrance) - psi(interface), V."""
        return self._inside().donnan_feed * self.thermal_voltage

    @property
    def donnan_permeate(self) -> Array:
        """psi(pore exit) - psi(permeate), V."""
        return self._inside().donnan_permeate * self.thermal_voltage

    @property
    def pore_drop(self) -> Array:
        """psi(pore exit) - psi(pore entrance), V."""
        return self._inside().pore_drop * self.thermal_voltage

    @property
    def membrane_potential(self) -> Array:
        """psi(permeate) - psi(interface), V."""
        return self.donnan_feed + self.pore_drop - self.donnan_permeate

    @property
    def film_field(self) -> Array:
        """Field at the interface for the linear films, V/m; for the exponential film the drop over the film, V."""
        return self._inside().film_field * self.thermal_voltage

    @property
    def pore_entrance(self) -> Array:
        """Concentrations just inside the feed face, mol/m3 of pore fluid."""
        return self.feed * self._inside().pore_in

    @property
    def pore_exit(self) -> Array:
        """Concentrations just inside the permeate face, mol/m3 of pore fluid."""
        return self.feed * self._inside().pore_out

    def profiles(self, points: int = 64) -> Profiles:
        """Profiles through film, pore and permeate, with the jumps at both faces; ``points`` segments in each layer."""
        from .inside import profiles

        self._needs_inside()
        if type(whole(points)) is not int or not 1 <= points <= 100_000:
            raise JaxmemError(
                f"points = {points!r} is not a number of segments, 1 to 100,000. Write result.profiles(64)."
            )
        return profiles(self, whole(points))

    def _needs_inside(self) -> None:
        if not hasattr(self.model, "form"):
            raise JaxmemError(
                f"{self.model.title()} has no inside: no pore, no potentials. Ask jm.DSPMDE() or jm.SDEM() for them."
            )

    def _inside(self) -> Any:
        from .inside import inside

        self._needs_inside()

        return inside(self)

    # --- of a network

    @property
    def attention(self) -> Array:
        """Weights of the attention at the flux of each lane, ``(*batch, S, S)``: row i is what ion i attends to; absent ions are zero."""
        return self._of_network("attention")

    @property
    def water(self) -> Mixture:
        """The solution at the membrane."""
        return eqx.tree_at(lambda m: m.concentration, self.case.feed, self.interface)

    @property
    def outside(self) -> Array:
        """Whether a lane lies beyond what the networks of the model and of the membrane's closures have learned from, ``(*batch)``."""
        found = self._beyond()
        if not found:
            raise JaxmemError(
                f"{self.model.title()} has no outside: no network has a part in this answer. Ask jm.train(...).result for one."
            )
        return self.ok & jnp.any(jnp.stack(jnp.broadcast_arrays(*found)), axis=0)

    @property
    def learned(self) -> bool:
        """Whether a network has a part in this answer, so that ``outside`` says something."""
        return bool(self._beyond())

    def _beyond(self) -> list[Array]:
        """What every network says of it; nothing without any."""
        found = beyond(self.case.membrane, self.water, self.volume_flux)
        return [*found, *([self.model.outside(self)] if hasattr(self.model, "outside") else [])]

    def _of_network(self, name: str) -> Array:
        if not hasattr(self.state, name):
            raise JaxmemError(
                f"{self.model.title()} has no {name}: it is no network. Ask jm.AttentionNeuralODE(key=key) for it."
            )
        value = getattr(self.state, name)
        return value.reshape(*self.case.batch_shape, *value.shape[1:])

    # --- out

    def to_xarray(self, potentials: bool = True) -> Any:
        """An ``xarray.Dataset`` with units; failed lanes are NaN, ``status`` says why."""
        from .export import to_xarray

        return to_xarray(self, potentials)

    def to_dataframe(self) -> Any:
        """A long ``pandas.DataFrame``: one row per lane and species; failed lanes are NaN."""
        from .export import to_dataframe

        return to_dataframe(self)

    @property
    def plot(self) -> Any:
        """``.plot.rejection()`` and ``.plot.profiles()`` return matplotlib Axes."""
        from ..plot.point import PointPlots

        return PointPlots(self)

    def __str__(self) -> str:
        if any(not hasattr(x, "__array__") for x in (self.status, self.steps)):
            return "PointResult (traced)"
        status, steps, ok = np.asarray(self.status), np.asarray(self.steps), np.asarray(self.ok)
        total, good = status.size, int(ok.sum())
        rejection = np.asarray(self.observed_rejection)
        lines = [
            f"{self.title()}, {good}/{total} converged, {steps.min()}-{steps.max()} Newton steps, "
            f"observed rejection {rejection.dtype} {rejection.shape}"
        ]
        rejection = rejection.reshape(total, -1)[ok.reshape(-1)]
        if good:
            error = np.asarray(self.error_estimate).reshape(total, -1)[ok.reshape(-1)]
            residual = np.asarray(self.residual).reshape(-1)[ok.reshape(-1)]
            labels = [pretty(n) for n in self.case.feed.species.names]
            width = max(8, *(len(label) + 1 for label in labels))
            lines.append("  species      " + "".join(f"{label:>{width}}" for label in labels))
            lines.append("  R min  %     " + "".join(f"{100 * r:>{width}.2f}" for r in rejection.min(0)))
            lines.append("  R max  %     " + "".join(f"{100 * r:>{width}.2f}" for r in rejection.max(0)))
            told = (
                f"estimated error of a rejection <= {error.max():.1e}"
                if np.isfinite(error).any()
                else "error of the cells not estimated"
            )
            lines.append(f"  residual <= {residual.max():.1e}, {told}")
        if self.learned and (count := int(np.asarray(self.outside).sum())):
            lines.append(f"  {count} beyond what the network was trained on: look at result.outside")
        lines += [f"  {count} {text}" for text, count in self.warnings().items()]
        for number, name in names().items():
            count = int((status == number).sum())
            if count and name != "successful" and len(lines) < 8:
                lines.append(f"  {count} x {name}: {message(number)}"[:150])
        return "\n".join(lines)

    def __len__(self) -> int:
        if not self.case.batch_shape:
            raise JaxmemError(
                "This Result answers a single question and has no length. Batch the case: jnp.linspace(...) for a field."
            )
        return self.case.batch_shape[0]
