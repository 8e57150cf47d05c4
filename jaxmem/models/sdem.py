"""Solution-diffusion-electromigration: DSPM-DE's sibling without a pore."""

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._errors import unknown
from .._status import code
from ..case import Case
from ..conditions import PressureDriven
from ..constants import GAS
from ..membranes.permeance import PermeanceMembrane
from . import inputs, point
from .base import AbstractModel
from .dspmde.problem import Core, Form
from .dspmde.root import Effort, start
from .result import PointResult


class SDEM(AbstractModel):
    r"""One permeance per ion and a field that keeps the barrier neutral; no convective coupling.

    Virtual concentrations c_i over the barrier coordinate xi in 0..1, phi in RT/F:

        j_i = -P_i (dc_i/dxi + z_i c_i dphi/dxi) = J_v c_p,i,      sum z c = 0,      c_i(0) = c_m,i,      c_i(1) = c_p,i

    One salt gives ``c_m/c_p = 1 + J_v/P_s`` with ``P_s = (z_+ - z_-) P_+ P_-/(z_+ P_+ - z_- P_-)``. It is the DSPM-DE march
    without convection, partition and fixed charge, and is solved by the same code. Yaroshchuk, Bruening and Licon Bernal 2013,
    doi 10.1016/j.memsci.2013.07.047. Breaks down where permeances follow the concentration.
    """

    film: str = eqx.field(static=True, default="nernst_planck")
    tolerance: float = eqx.field(static=True, default=2e-7)
    precision: str = eqx.field(static=True, default="float64")
    cells: None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.film not in ("nernst_planck", "suction", "plain"):
            raise unknown(
                "Film", self.film, ("nernst_planck", "suction", "plain"), 'Write jm.SDEM(film="nernst_planck").'
            )
        point.check_tolerance(self.tolerance)

    def title(self) -> str:
        """Name and options, as printed."""
        return f"SDEM ({self.film} film)"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return ["Yaroshchuk, Bruening and Licon Bernal 2013, J. Membr. Sci. 447, 463, doi 10.1016/j.memsci.2013.07.047"]

    def effort(self) -> Effort:
        """Static choices of the root finder."""
        single = self.precision == "float32"
        return Effort(
            tolerance=max(self.tolerance, 1e-4) if single else self.tolerance, residual=2e-5 if single else 1e-10
        )

    def form(self, case: Case) -> Form:
        """Static form of the equations for this case."""
        film = self.film if case.conditions.mass_transfer is not None else "none"
        return Form(film=film, pressure=isinstance(case.conditions, PressureDriven))

    def water_permeance(self, case: Case) -> Array:
        """A, m/s/Pa."""
        return case.membrane.water_permeance

    def reflection(self, case: Case) -> Array:
        """Of the osmotic pressure: 1."""
        return jnp.ones(())

    def core(self, case: Case, form: Form) -> Core:
        """The dimensionless problem of every lane."""
        feed = case.feed
        z, c = feed.species.charge, feed.concentration
        flux = point.reference_flux(case, case.membrane.water_permeance)
        exchange = flux[..., None] / case.membrane.in_contact_with(feed)
        total = jnp.sum(c, axis=-1)
        total = jnp.where(total > 0.0, total, 1.0)
        film_flux, film_field = point.film_terms(case, flux, form)
        nothing, none = jnp.zeros_like(c), jnp.zeros_like(total)
        osmotic = GAS * feed.temperature * total / case.conditions.pressure if form.pressure else none
        per_ion = (z, c / total[..., None], nothing, exchange, nothing, film_flux, film_field)
        ions = [point.lanes(case, x, True) for x in per_ion]
        rest = [point.lanes(case, x, False) for x in (none, none, total / 1000.0)]
        return Core(*ions, *rest, point.lanes(case, nothing, True), point.lanes(case, osmotic, False))

    def blocked(self, case: Case) -> Array:
        """Lanes without any solute, ``(*batch)`` codes."""
        empty = jnp.sum(case.feed.concentration, axis=-1) == 0.0
        return jnp.where(empty, code("no_solute"), code("successful"))

    def blocked_message(self, case: Case) -> str:
        """No case is refused."""
        return ""

    def check(self, case: Case) -> None:
        """Refuse what SDEM cannot answer."""
        inputs.check_membrane(
            case,
            PermeanceMembrane,
            "SDEM",
            'jm.Case(feed, jm.PermeanceMembrane.of({"Na+": 7e-4, "Cl-": 5e-6}), conditions)',
        )
        point.check_conditions(case)
        inputs.check_precision(case, self.precision)
        case.membrane.of_species(case.feed.species)

    def initial_guess(self, case: Case) -> Array:
        """The zero-flux state; ``(N, K)``."""
        form = self.form(case)
        return start(self.core(case, form), form).T

    def find(self, case: Case) -> point.PointState:
        """Solve every lane."""
        return point.find(self, case)

    def attach(self, state: point.PointState, case: Case) -> point.PointState:
        """A state that was found before, differentiable to the case: what fits solve outside of compiled programs."""
        return point.attach(self, state, case)

    def residual(self, state: point.PointState, case: Case) -> Array:
        """Scaled residual rows, ``(*batch, K)``."""
        return point.scaled_residual(self, state, case)

    def observe(self, state: point.PointState, case: Case) -> PointResult:
        """The Result of every lane."""
        return point.observe(self, state, case)
