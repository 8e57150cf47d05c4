"""The slit in two dimensions: how far the film formulas of 1965 are from it, and the mass transfer that it implies."""

from pathlib import Path
from typing import Any

import numpy as np

from .. import (
    Case,
    Mixture,
    PressureDriven,
    SlitFlux,
    SlitPressure,
    SlitRO,
    SolutionDiffusion,
    SolutionDiffusionMembrane,
    solve,
)
from .. import film as law
from ..plot.style import COMMON, STYLES, pyplot
from ..progress import Bar
from ..tables import plain_table
from ..units import LMH, bar

HALF, VELOCITY, DIFFUSIVITY = 5e-4, 0.1, 1.5e-9  # m, m/s, m2/s
ALPHAS = np.array([1.0, 0.1, 0.05])  # D/(v_w h)
SHOWN = (0.001, 0.01, 0.1, 0.2)
PRESSED = np.array([40.0, 55.0, 70.0])  # bar
AT = np.array([5, 20, 50, 100, 150, 200])  # positions of the march


def film_formula(x: np.ndarray, alpha: float) -> np.ndarray:
    """``c_w/c_b - 1`` of Sherwood et al. 1965 (from memory of the source), for complete rejection."""
    xi = x / (3.0 * alpha**2)
    near = 1.536 * np.cbrt(xi)
    return np.where(xi < 0.02, near, xi + 5.0 * (1.0 - np.exp(-np.sqrt(xi / 3.0))))


def slit(console: Any, progress: Bar, out: Path) -> None:
    """Complete rejection against the formulas, and seawater under pressure."""
    feed = Mixture.from_concentration({"Na+": 100.0, "Cl-": 100.0})
    flux = DIFFUSIVITY / (ALPHAS * HALF)
    closed = SolutionDiffusionMembrane(4e-12, 0.0)
    case = Case(feed, closed, SlitFlux(flux, VELOCITY, HALF, 0.2 * VELOCITY * HALF / flux, DIFFUSIVITY))
    result = solve(SlitRO(), case)
    progress.add(result)
    x = np.asarray(result.position) * (flux / (VELOCITY * HALF))[:, None]
    modulus = np.asarray(result.wall_concentration / result.wall_concentration[:, :1])
    table = plain_table("Slit, complete rejection: c_wall/c_0 in two dimensions, and how far the film formula is off")
    table.add_column("X", justify="right")
    for alpha in ALPHAS:
        table.add_column(f"α = {alpha:g}", justify="right")
        table.add_column("film", justify="right")
    for at in SHOWN:
        cells = []
        for i, alpha in enumerate(ALPHAS):
            ours = np.interp(at, x[i], modulus[i])
            formula = (1.0 + film_formula(np.array(at), alpha)) / (1.0 - at)
            cells += [f"{ours:.4f}", f"{100 * (formula / ours - 1):+.1f} %"]
        table.add_row(f"{at:g}", *cells)
    console.print(table)
    sea = Mixture.from_concentration({"Na+": 32.0 / 0.05844, "Cl-": 32.0 / 0.05844})
    membrane = SolutionDiffusionMembrane(4.2e-12, 3.5e-8)
    coupled = solve(SlitRO(), Case(sea, membrane, SlitPressure(PRESSED * bar, VELOCITY, HALF, 0.1, DIFFUSIVITY)))
    progress.add(coupled)
    flux, one = np.asarray(coupled.volume_flux) / LMH, list(PRESSED).index(55.0)
    film = film_with_sherwood(coupled, membrane) / LMH
    console.print(
        f"Seawater at 55 bar over 0.1 m: flux {flux[one, 0]:.1f} at the inlet, {flux[one, -1]:.1f} at the outlet, mean "
        f"{float(coupled.mean_flux[one]) / LMH:.2f} LMH; wall {float(coupled.wall_concentration[one, -1]):.1f} kg/m3; salt balance "
        f"{abs(float(coupled.salt_closure[one])):.0e}.\nThe film law with the Sherwood number of the plane gives its fluxes back within "
        f"{np.abs(film / flux[:, AT] - 1.0).max():.0e} ({PRESSED[0]:g} to {PRESSED[-1]:g} bar).",
        highlight=False,
    )
    draw(x, modulus, coupled, film, out)
    console.print(f"figure  {out / 'ro_slit.png'}\n", highlight=False)


def film_with_sherwood(coupled: Any, membrane: SolutionDiffusionMembrane) -> np.ndarray:
    """What film theory says of the fluxes at some positions, with the mass transfer that the plane has there, m/s."""
    k = coupled.sherwood[:, AT] * DIFFUSIVITY / (4.0 * HALF)
    salt = coupled.bulk_concentration[:, AT] / 0.05844
    feed = Mixture.from_concentration({"Na+": salt, "Cl-": salt})
    conditions = PressureDriven(coupled.state.at.pressure[:, AT], law("same", k))
    return np.asarray(solve(SolutionDiffusion(), Case(feed, membrane, conditions)).volume_flux)


def draw(x: np.ndarray, modulus: np.ndarray, coupled: Any, film: np.ndarray, out: Path) -> None:
    """Wall concentration with the formulas beside it; flux of the coupled slit with the film law on it, and its Sherwood number."""
    plt = pyplot()
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, 3, figsize=(12.0, 3.6), layout="constrained")
        for i, (alpha, colour) in enumerate(zip(ALPHAS, ("#0072B2", "#D55E00", "#009E73"), strict=True)):
            keep = x[i] > 1e-5
            axes[0].loglog(x[i][keep], modulus[i][keep], color=colour, label=f"α = {alpha:g}")
            formula = (1.0 + film_formula(x[i][keep], alpha)) / (1.0 - x[i][keep])
            axes[0].loglog(x[i][keep], formula, "--", color=colour, lw=1.0)
        axes[0].set(xlabel="X, fraction of the feed that has passed", ylabel="$c_{wall}/c_0$")
        axes[0].legend(title="lines 2-D, dashes film", fontsize=8, title_fontsize=8)
        flux, velocity = np.asarray(coupled.volume_flux), np.asarray(coupled.state.at.velocity)
        passed = 1.0 - velocity / velocity[:, :1]
        for i, (pressure, colour) in enumerate(zip(PRESSED, ("#0072B2", "#D55E00", "#009E73"), strict=True)):
            alpha = DIFFUSIVITY / (flux[i, [0, -1]] * HALF)
            told = f"{pressure:g} bar, α {alpha[0]:.2g} to {alpha[1]:.2g}"
            axes[1].semilogx(passed[i, 1:], flux[i, 1:] / LMH, color=colour, label=told)
            axes[1].semilogx(passed[i, AT], film[i], "o", ms=4, color=colour, mfc="none")
            axes[2].loglog(1e3 * np.asarray(coupled.position[i])[5:], np.asarray(coupled.sherwood)[i, 5:], color=colour)
        axes[1].set(
            xlabel="X, fraction of the feed that has passed",
            ylabel="Water flux (L m$^{-2}$ h$^{-1}$)",
            ylim=(0.0, None),
        )
        axes[1].legend(title="lines 2-D, circles film with its Sherwood", fontsize=8, title_fontsize=8)
        axes[2].set(xlabel="Position (mm)", ylabel="Sherwood number")
        figure.savefig(out / "ro_slit.png")
        plt.close(figure)
