"""DSPM-DE: the Donnan-steric pore model with dielectric exclusion."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._errors import JaxmemError, ShapeError, unknown
from ..._fields import whole
from ..._status import code
from ...case import Case
from ...chemistry.activity import Davies, debye_factor
from ...chemistry.mixture import Mixture
from ...conditions import PressureDriven
from ...constants import AVOGADRO, GAS
from ...membranes.charge import ConstantCharge
from ...membranes.layered import LayeredMembrane
from ...membranes.pore import PoreMembrane
from .. import inputs, point
from ..base import AbstractModel
from ..result import PointResult
from . import contact
from .problem import Core, Form, Layer
from .root import Effort, start

FILMS = ("nernst_planck", "suction", "plain")
WATERS = ("interface", "bulk")


class DSPMDE(AbstractModel):
    r"""Ions cross a charged pore by diffusion, migration and convection, behind a polarised film.

    In the pore, x from the feed face to the permeate face, ``j_i = J_v c_p,i``:

        c_i' = (J_v/D_p,i)(K_c,i c_i - c_p,i) - z_i c_i psi'/V_T,      D_p,i = K_d,i D_i,      sum z c + X = 0

    at its faces ``gamma c`` jumps by ``Phi_i B_i exp(-z_i dpsi/V_T)``, zero current is ``sum z c_p = 0``, and
    ``J_v = r_p^2/(8 mu dx_e) (dP - dPi)``. The pore is resolved on nested, graded grids until the estimated error of each
    rejection is below ``tolerance``; no guess is asked for.

    Options. ``film``: ``"nernst_planck"`` (constant field, positive for every input), ``"suction"`` (linear with the suction
    factor of Geraldes and Alves), ``"plain"`` (linear without; meaningless for J_v/k >= 1). ``activity``: ``"davies"``,
    ``"ideal"`` or a ``Davies(...)``; activity in the pore is an assumption. ``cells``: an integer selects equal midpoint cells
    instead (1 is WaterTAP's scheme: wrong by up to 0.06 in rejection on ordinary inputs, more on others); for comparison only, without an estimate
    of the error: ``error_estimate`` is not a number.
    ``pressure_diffusion``: solutes also follow the pressure drop, ``K_c - Y`` (Bowen and Welfoot 2002). ``activity_gradient``: they also diffuse against the
    gradient of their activity coefficient within the pore, ``-D_p c d ln gamma/dx`` (Geraldes and Brites Alves 2008).
    ``charge_reads``: the water that a charge law sees, ``"interface"`` (behind a film the charge and ``c_m`` are then solved
    together, which takes about five solves) or ``"bulk"``; a constant charge is the same for both.

    Sources: Bowen and Welfoot 2002, doi 10.1016/S0009-2509(01)00413-4; Geraldes and Brites Alves 2008,
    doi 10.1016/j.memsci.2008.04.054; Yaroshchuk 2019 on rejections below zero. Breaks down where the pore is a few water
    molecules wide, at ionic strengths above about 0.5 mol/L (Davies), and when X varies along the pore with the local concentration.
    """

    film: str = eqx.field(static=True, default="nernst_planck")
    activity: str | Davies = eqx.field(static=True, default="davies")
    cells: int | None = eqx.field(static=True, default=None, converter=whole)
    tolerance: float = eqx.field(static=True, default=2e-7)
    precision: str = eqx.field(static=True, default="float64")
    refine: bool = eqx.field(static=True, default=True)
    pressure_diffusion: bool = eqx.field(static=True, default=False)
    activity_gradient: bool = eqx.field(static=True, default=False)
    charge_reads: str = eqx.field(static=True, default="interface")

    def __check_init__(self) -> None:
        if self.film not in FILMS:
            raise unknown(
                "Film", self.film, FILMS, 'Write jm.DSPMDE(film="nernst_planck"); for no film leave mass_transfer out.'
            )
        if not isinstance(self.activity, Davies) and self.activity not in ("davies", "ideal"):
            raise unknown("Activity", self.activity, ("davies", "ideal"), 'Write jm.DSPMDE(activity="davies").')
        if self.cells is not None and not (type(self.cells) is int and self.cells >= 1):
            raise JaxmemError(
                f"cells = {self.cells!r} is not a number of cells. Write cells=10, or jm.DSPMDE() for the converged pore."
            )
        if self.charge_reads not in WATERS:
            raise unknown("Water", self.charge_reads, WATERS, 'Write jm.DSPMDE(charge_reads="interface").')
        for name in ("refine", "pressure_diffusion", "activity_gradient"):
            if not isinstance(getattr(self, name), bool):
                raise JaxmemError(
                    f"{name} = {getattr(self, name)!r} is neither yes nor no. Write {name}=True or {name}=False."
                )
        if self.precision not in ("float64", "float32"):
            raise JaxmemError(
                f"precision = {self.precision!r} is not known. Write precision='float64' or precision='float32'."
            )
        point.check_tolerance(self.tolerance)
        davies = self._davies()
        if self.activity_gradient and (davies is None or not davies.in_pore or self.cells is not None):
            raise JaxmemError(
                "activity_gradient=True needs activity coefficients inside of a resolved pore. Write jm.DSPMDE(activity_gradient=True), without cells."
            )

    @classmethod
    def watertap_1_8(cls, cells: int = 1) -> "DSPMDE":
        """The equations of watertap 1.8.0: one midpoint cell, plain film, Davies with molal strength and A = 0.5102092.

        Its hindrance switches hard at 0.95: give the membrane ``hindrance=DechadilokDeen(smooth=False)``.
        """
        return cls(film="plain", activity=Davies(strength="molal", debye=0.5102092), cells=cells)

    def title(self) -> str:
        """Name and options, as printed: results of different options are not comparable."""
        pore = "" if self.cells is None else f", {self.cells} midpoint cell{'s' if self.cells > 1 else ''}"
        davies = self._davies()
        activity = "ideal" if davies is None else f"davies b={davies.b:g} {davies.strength}"
        pore += ", pressure diffusion" if self.pressure_diffusion else ""
        pore += ", activity gradient" if self.activity_gradient else ""
        pore += ", charge by the bulk" if self.charge_reads == "bulk" else ""
        return f"DSPM-DE ({activity}, {self.film} film{pore})"

    def sources(self) -> list[str]:
        """Where the equations come from."""
        return [
            "Bowen and Welfoot 2002, Chem. Eng. Sci. 57, 1121, doi 10.1016/S0009-2509(01)00413-4",
            "Geraldes and Brites Alves 2008, J. Membr. Sci. 321, 172, doi 10.1016/j.memsci.2008.04.054",
        ]

    def reflection(self, case: Case) -> Array:
        """Of the osmotic pressure: 1."""
        return jnp.ones(())

    def effort(self) -> Effort:
        """Static choices of the root finder."""
        single = self.precision == "float32"
        if self.cells is not None:
            return Effort(segments=self.cells, adaptive=False, residual=2e-5 if single else 1e-10)
        tolerance = max(self.tolerance, 1e-4) if single else self.tolerance
        return Effort(tolerance=tolerance, residual=2e-5 if single else 1e-10, adaptive=self.refine)

    def _davies(self) -> Davies | None:
        return self.activity if isinstance(self.activity, Davies) else (Davies() if self.activity == "davies" else None)

    def form(self, case: Case) -> Form:
        """Static form of the equations for this case."""
        davies = self._davies()
        return Form(
            scheme="exponential" if self.cells is None else "midpoint",
            film=self.film if case.conditions.mass_transfer is not None else "none",
            activity=davies is not None,
            pore_activity=davies.in_pore if davies else True,
            davies_b=davies.b if davies else 0.3,
            molal=bool(davies and davies.strength == "molal"),
            activity_gradient=self.activity_gradient,
            pressure=isinstance(case.conditions, PressureDriven),
        )

    def water_permeance(self, case: Case) -> Array:
        """A, m/s/Pa, ``(*batch)``."""
        return case.membrane.water_permeance(case.feed.water_viscosity)

    def core(self, case: Case, form: Form) -> Core:
        """The dimensionless problem of every lane."""
        feed, conditions = case.feed, case.conditions
        z, c = feed.species.charge, feed.concentration
        flux = point.reference_flux(case, self.water_permeance(case))
        total = jnp.sum(c, axis=-1)
        total = jnp.where(total > 0.0, total, 1.0)
        first, *behind = (self._layer(case, wall, flux, total) for wall in _layers(case.membrane))
        film_flux, film_field = point.film_terms(case, flux, form)
        davies = self._davies()
        debye = jnp.zeros_like(total)
        if davies is not None:
            a = debye_factor(feed.water_permittivity, feed.temperature) if davies.debye is None else davies.debye
            debye = a * jnp.log(10.0) + debye
        osmotic = jnp.zeros_like(total)
        if isinstance(conditions, PressureDriven):
            osmotic = GAS * feed.temperature * total / conditions.pressure

        def lanes(x: Array, over_ions: bool = False) -> Array:
            return point.lanes(case, x, over_ions)

        return Core(
            charge=lanes(z, True),
            share=lanes(c / total[..., None], True),
            convection=first.convection,
            exchange=first.exchange,
            log_partition=first.log_partition,
            film_flux=lanes(film_flux, True),
            film_field=lanes(film_field, True),
            wall=first.wall,
            debye=lanes(debye),
            strength=lanes(total / 1000.0),
            solute_mass=lanes(c * feed.species.molar_mass / 1000.0, True),
            osmotic=lanes(osmotic),
            deeper=jax.tree.map(lambda *x: jnp.stack(x), *behind) if behind else None,
            friction=first.friction,
        )

    def _layer(self, case: Case, membrane: PoreMembrane, flux: Array, total: Array) -> Layer:
        """One layer's transport and partition, lanes last; ``flux`` and the total concentration are ``(*batch)``."""
        feed, z = case.feed, case.feed.species.charge
        ratio = _ratio(case, membrane)
        kd, kc = membrane.hindrance(ratio)
        diffusivity = kd * feed.diffusivity / membrane.viscosity(membrane.pore_radius)[0][..., None]
        if self.pressure_diffusion:
            kc = kc - self._pressure_term(feed, membrane, diffusivity)
        exchange = (flux * membrane.thickness_over_porosity)[..., None] / diffusivity
        bulk = feed.water_permittivity
        inside = membrane.permittivity(membrane.pore_permittivity, membrane.pore_radius, bulk)
        warm = feed.temperature[..., None]
        partition = membrane.exclusion(ratio, z, feed.species.born_radius, inside[..., None], bulk[..., None], warm)
        per_ion = (point.lanes(case, x, True) for x in (kc * exchange, exchange, partition))
        wall, friction = point.lanes(case, _wall(membrane, feed) / total, False), None
        if _rubbing(case.membrane):
            friction = point.pairs(case, (flux * membrane.thickness_over_porosity)[..., None, None] * _friction(membrane, feed))  # fmt: skip
        return Layer(*per_ion, wall, friction)

    def walls(self, case: Case, ratio: Array) -> Array:
        """``X/c_total`` of every layer in water of ``ratio (S, N)`` times the bulk concentrations, ``(L, N)``."""
        total, shape = jnp.sum(case.feed.concentration, axis=-1), case.batch_shape
        water = ratio.T.reshape(*shape, -1) * case.feed.concentration
        feed = eqx.tree_at(lambda f: f.concentration, case.feed, water)
        total = jnp.where(total > 0.0, total, 1.0)
        return jnp.stack([point.lanes(case, _wall(m, feed) / total, False) for m in _layers(case.membrane)])

    def _charge_follows(self, case: Case) -> bool:
        """Whether the charge depends on the interface, and the interface on the charge."""
        laws = (type(membrane.charge) for membrane in _layers(case.membrane))
        film = case.conditions.mass_transfer is not None
        return film and self.charge_reads == "interface" and any(law is not ConstantCharge for law in laws)

    def _pressure_term(self, feed: Mixture, membrane: PoreMembrane, diffusivity: Array) -> Array:
        """``Y = D_p V 8 mu_p/(R T r_p^2)``: solutes driven by the pressure drop; ``V`` is the volume of the Stokes sphere."""
        volume = 4.0 / 3.0 * jnp.pi * AVOGADRO * feed.species.stokes_radius**3
        viscosity = feed.water_viscosity * membrane.viscosity(membrane.pore_radius)[1]
        return diffusivity * volume * (8.0 * viscosity / (GAS * feed.temperature * membrane.pore_radius**2))[..., None]

    def blocked(self, case: Case) -> Array:
        """Lanes that no pore model answers, ``(*batch)`` codes."""
        c, z = case.feed.concentration, case.feed.species.charge
        no_ions = jnp.sum(jnp.abs(z) * c, axis=-1) == 0.0
        large = bare = jnp.zeros((), bool)
        for wall in _layers(case.membrane):
            large |= jnp.any(case.feed.species.stokes_radius >= wall.pore_radius[..., None], axis=-1)
            bare |= no_ions & (wall.wall_charge(case.feed) != 0.0)
        empty = jnp.sum(c, axis=-1) == 0.0
        status = jnp.where(large, code("solute_fills_pore"), code("successful"))
        status = jnp.where(bare, code("charge_without_ions"), status)
        return jnp.where(empty, code("no_solute"), status)

    def blocked_message(self, case: Case) -> str:
        """The error for a case of which every lane is blocked by a large solute."""
        radii = [np.asarray(wall.pore_radius) for wall in _layers(case.membrane)]  # NumPy: fewer dispatches per call
        pore = np.min(np.broadcast_arrays(*radii), axis=0)[..., None]
        solute = np.asarray(case.feed.species.stokes_radius)
        large = solute >= pore
        if not np.all(np.any(large, axis=-1)):
            return ""
        lane = np.reshape(large, (-1, large.shape[-1]))[0]
        name = case.feed.species.names[int(np.argmax(lane))]
        radius = float(np.reshape(np.broadcast_to(solute, large.shape), (-1, large.shape[-1]))[0][np.argmax(lane)])
        return (
            f"{name} has a Stokes radius of {radius * 1e9:.3g} nm and the pore one of {float(np.reshape(pore, -1)[0]) * 1e9:.3g} nm. The "
            f"solute must be smaller than the pore: write pore_radius={radius * 1.25e9:.2g} * jm.units.nm, or leave {name} out."
        )

    def check(self, case: Case) -> None:
        """Refuse what DSPM-DE cannot answer."""
        inputs.check_membrane(
            case, PoreMembrane | LayeredMembrane, "DSPMDE", 'jm.Case(feed, jm.membrane("NF270"), conditions)'
        )
        point.check_conditions(case)
        if _rubbing(case.membrane) and (self.cells is not None or self.activity_gradient):
            raise JaxmemError(
                "Friction between ions needs a resolved pore without the gradient of activity. Write jm.DSPMDE(), without cells and activity_gradient."
            )
        inputs.check_precision(case, self.precision)
        for wall in _layers(case.membrane):
            wall.check_charge(case.feed, case.batch_shape)
            wall.check_friction(case.feed)
        point.refuse_blocked(self, case)

    def initial_guess(self, case: Case) -> Array:
        """The zero-flux state ``y = 0``: permeate and feed are one solution; ``(N, K)``."""
        form = self.form(case)
        return start(self.core(case, form), form).T

    def find(self, case: Case) -> point.PointState:
        """Solve every lane."""
        return contact.find(self, case) if self._charge_follows(case) else point.find(self, case)

    def attach(self, state: point.PointState, case: Case) -> point.PointState:
        """A state that was found before, differentiable to the case: what fits solve outside of compiled programs."""
        return (contact if self._charge_follows(case) else point).attach(self, state, case)

    def residual(self, state: point.PointState, case: Case) -> Array:
        """``ln(computed feed/given feed)`` per ion, water balance, ``ln(P/N)`` of the permeate; ``(*batch, K)``."""
        if self._charge_follows(case):
            return contact.residual(self, state, case)
        return point.scaled_residual(self, state, case)

    def observe(self, state: point.PointState, case: Case) -> PointResult:
        """The Result of every lane."""
        return point.observe(self, state, case)


def _layers(membrane: PoreMembrane | LayeredMembrane) -> tuple[PoreMembrane, ...]:
    """Feed side first."""
    return membrane.layers if isinstance(membrane, LayeredMembrane) else (membrane,)


def _rubbing(membrane: PoreMembrane | LayeredMembrane) -> bool:
    return any(layer.friction is not None for layer in _layers(membrane))


def _friction(membrane: PoreMembrane, feed: Mixture) -> Array:
    """``1/D_ij``, ``(*batch, S, S)``, without the diagonal: an ion does not rub against itself."""
    s = len(feed.species)
    found = jnp.zeros((s, s)) if membrane.friction is None else membrane.friction(feed)
    if jnp.shape(found)[-2:] != (s, s):
        raise ShapeError(
            f"friction = {membrane.friction!r} gives an array {jnp.shape(found)} for {s} solutes. Give (*batch, {s}, {s}), symmetric."
        )
    return found * (1.0 - np.eye(s))


def _wall(membrane: PoreMembrane, water: Mixture) -> Array:
    """X in that water, mol/m3; none where there are no ions."""
    ions = jnp.sum(jnp.abs(water.species.charge) * water.concentration, axis=-1) > 0.0
    return jnp.where(ions, membrane.wall_charge(water), 0.0)


def _ratio(case: Case, membrane: PoreMembrane) -> Array:
    """``lambda = r_s/r_p``, kept below 1 in lanes that are reported as blocked."""
    ratio = case.feed.species.stokes_radius / membrane.pore_radius[..., None]
    return jnp.where(ratio < 1.0, ratio, 0.5)
