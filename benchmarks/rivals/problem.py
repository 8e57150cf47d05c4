"""One nanofiltration case and its algebraic laws (faces, activity, film), shared by the rival solvers.

Concentrations are mol/m3 (divided by the feed total inside the solvers), potentials are in units of RT/F, the pore
coordinate runs from 0 (feed face) to 1. Laws broadcast over trailing axes and accept complex numbers, so that they
can be differentiated by complex steps.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = np.ndarray
FILMS = ("nernst_planck", "suction", "plain", "none")
DAVIES_B = 0.3


@dataclass(frozen=True)
class Problem:
    """Arrays over S solutes, SI units. The feed must be neutral; ``film="none"`` goes with ``mass_transfer=None``."""

    charge: Array  # z
    diffusivity: Array  # D in the bulk, m2/s
    hindered_diffusion: Array  # K_d
    hindered_convection: Array  # K_c
    partition: Array  # Phi times the Born factor
    concentration: Array  # c_b, mol/m3
    volume_flux: float  # J_v, m/s
    thickness: float  # active layer over porosity, m
    wall_charge: float  # X, mol/m3 of pore fluid
    mass_transfer: Array | None = None  # k, m/s
    film: str = "none"
    debye: float = 0.0  # A ln 10 of the Davies formula at molar strength; 0 is ideal

    def __post_init__(self) -> None:
        """Refuse a film that is unknown or has no mass transfer coefficients."""
        if self.film not in FILMS:
            raise ValueError(f"film must be one of {FILMS}, got {self.film!r}")
        if self.film != "none" and self.mass_transfer is None:
            raise ValueError(f"film={self.film!r} needs mass_transfer")

    @property
    def present(self) -> NDArray[np.bool_]:
        """Solutes with a concentration above zero."""
        return self.concentration > 0.0

    @property
    def total(self) -> float:
        """Sum of the feed concentrations, the unit of concentration inside the solvers."""
        return float(self.concentration.sum())

    def without_absent(self) -> "Problem":
        """The same case without solutes of zero concentration."""
        keep = self.present
        if not np.any(self.charge[keep] != 0.0):
            raise ValueError("the rivals need at least one salt in the feed")
        if keep.all():
            return self
        names = ("charge", "diffusivity", "hindered_diffusion", "hindered_convection", "partition", "concentration")
        k = None if self.mass_transfer is None else self.mass_transfer[keep]
        return replace(self, mass_transfer=k, **{name: getattr(self, name)[keep] for name in names})

    def restored(self, values: Array) -> Array:
        """Values of the present solutes among all solutes, NaN for the absent ones."""
        out = np.full(self.concentration.shape, np.nan)
        out[self.present] = values
        return out


def column(x: Array, like: Array) -> Array:
    """``x (S,)`` with trailing axes of length one, to broadcast against ``like (S, ...)``."""
    return x.reshape(x.shape + (1,) * (like.ndim - 1))


def strength(problem: Problem, c: Array) -> Array:
    """Ionic strength in mol/L, ``I = 1/2 sum z^2 c``, of concentrations in units of the feed total."""
    return np.tensordot(problem.charge**2, c, 1) * (0.5e-3 * problem.total)


def ln_gamma(problem: Problem, ionic: Array, like: Array) -> Array:
    """Davies (section Closures): ``ln gamma = -A ln10 z^2 (sqrt(I)/(1 + sqrt(I)) - 0.3 I)``."""
    root = np.sqrt(ionic)
    return column(-problem.debye * problem.charge**2, like) * (root / (1.0 + root) - DAVIES_B * ionic)


def peclet(problem: Problem, flux: float) -> tuple[Array, Array]:
    """``A = K_c J dx/D_p`` and ``B = J dx/D_p`` of the pore (section Pore)."""
    exchange = flux * problem.thickness / (problem.hindered_diffusion * problem.diffusivity)
    return problem.hindered_convection * exchange, exchange


def film_law(problem: Problem, flux: float, c_m: Array, c_p: Array, zeta: Array) -> Array:
    """Residual of the film per solute, relative to the bulk (section Decisions, D5).

    ``nernst_planck``: ``c_b = c_m exp(-a) + F c_p (1 - exp(-a))/a``, ``a = F - z zeta``, ``F = J/k``;
    ``none``: the same with ``F = 0``, where neutrality makes zeta zero;
    ``suction`` and ``plain``: ``J c_p = -k* (c_m - c_b) + J c_m - z c_m D xi``, with zeta the largest ``D xi/k*``.
    """
    bulk = column(problem.concentration / problem.total, c_m)
    if problem.film == "none" or problem.mass_transfer is None:
        return np.log(c_m / bulk) + column(problem.charge, c_m) * zeta
    z, ratio = problem.charge, flux / problem.mass_transfer
    if problem.film == "nernst_planck":
        f = column(ratio, c_m)
        a = f - column(z, c_m) * zeta
        small = np.abs(a) < 1e-3
        safe = np.where(small, 1.0, a)
        series = 1.0 - a / 2.0 * (1.0 - a / 3.0 * (1.0 - a / 4.0 * (1.0 - a / 5.0)))
        mean = np.where(small, series, -np.expm1(-safe) / safe)
        return np.log((c_m * np.exp(-a) + f * c_p * mean) / bulk)
    factor = ratio + (1.0 + 0.26 * ratio**1.4) ** -1.7 if problem.film == "suction" else np.ones_like(ratio)
    weight = problem.diffusivity / (problem.mass_transfer * factor)
    f = column(ratio / factor, c_m)
    return (c_m * (1.0 - f + column(z * weight / weight.max(), c_m) * zeta) + f * c_p) / bulk - 1.0


def imbalance(problem: Problem, c: Array, wall: float = 0.0) -> Array:
    """``(sum z c + X)/(sum |z| c + |X|)`` with X in units of the feed total."""
    z = problem.charge
    return (np.tensordot(z, c, 1) + wall) / (np.tensordot(np.abs(z), c, 1) + abs(wall))


def donnan(problem: Problem) -> tuple[float, Array]:
    """Donnan potential and pore concentrations at equilibrium with the feed: the state of zero flux.

    Newton on ``ln(positive charge) - ln(negative charge)``, the wall counted on its side; activity coefficients of
    the pore by a few repeated substitutions, enough for a start.
    """
    z, wall, bulk = problem.charge, problem.wall_charge / problem.total, problem.concentration / problem.total
    log_in = np.log(bulk * problem.partition) + ln_gamma(problem, strength(problem, bulk), bulk)
    psi, pore, shift = 0.0, bulk, log_in
    for _ in range(8 if problem.debye else 1):
        if problem.debye:
            shift = log_in - ln_gamma(problem, np.minimum(strength(problem, pore), 2.0), pore)
        for _ in range(60):
            pore = np.exp(shift - z * psi)
            positive, negative = z @ (pore * (z > 0)) + max(wall, 0.0), -z @ (pore * (z < 0)) + max(-wall, 0.0)
            slope = -(z**2 @ (pore * (z > 0))) / positive - (z**2 @ (pore * (z < 0))) / negative
            step = -np.log(positive / negative) / slope
            psi += float(np.clip(step, -20.0, 20.0))
            if abs(step) < 1e-6:
                break
    return psi, np.exp(shift - z * psi)
