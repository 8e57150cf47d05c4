"""Problems from the entries of the reference file (section Reference file, ``exact_cases``)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .problem import Problem

ELEMENTARY, BOLTZMANN, AVOGADRO, VACUUM = 1.602176634e-19, 1.380649e-23, 6.02214076e23, 8.8541878128e-12


def davies_slope(temperature: float, permittivity: float, density: float = 1000.0) -> float:
    """``A ln 10 = sqrt(2 pi N_A rho) (e^2/(4 pi eps0 eps k T))^(3/2)`` (section Closures)."""
    length = ELEMENTARY**2 / (4.0 * np.pi * VACUUM * permittivity * BOLTZMANN * temperature)
    return float(np.sqrt(2.0 * np.pi * AVOGADRO * density) * length**1.5)


def problem(entry: Mapping[str, Any]) -> Problem:
    """The case of one entry; solutes in the order of its feed."""
    given = entry["inputs"]
    names = list(given["feed"])
    ions, coefficients = ([given[key][name] for name in names] for key in ("ions", "coefficients"))
    ideal, k = given["activity"] == "ideal", given["k"]
    return Problem(
        charge=np.array([ion["z"] for ion in ions], dtype=float),
        diffusivity=np.array([ion["D"] for ion in ions]),
        hindered_diffusion=np.array([c["Kd"] for c in coefficients]),
        hindered_convection=np.array([c["Kc"] for c in coefficients]),
        partition=np.array([c["Phi"] * c["born"] for c in coefficients]),
        concentration=np.array([given["feed"][name] for name in names], dtype=float),
        volume_flux=given["J_v"],
        thickness=given["dx_eff"],
        wall_charge=given["X"],
        mass_transfer=None if k is None else np.array([k[name] for name in names]),
        film=given["film"],
        debye=0.0 if ideal else davies_slope(given["T"], given["eps_w"]),
    )


def observed_rejection(entry: Mapping[str, Any], key: str = "outputs") -> np.ndarray:
    """``R_obs`` of the entry in the order of its feed; key ``outputs``, ``midpoint_1_cell`` or ``midpoint_10_cell``."""
    return np.array([entry[key]["R_obs"][name] for name in entry["inputs"]["feed"]])
