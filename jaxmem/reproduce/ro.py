"""Reverse osmosis: every table and figure of Najdawi 2025 (doi 10.4236/eng.2025.1710029), a slit, and a vessel.

Numbers of the paper stand in this file as printed there; everything else is computed.
"""

import textwrap
import time
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import (
    ADMSDM,
    Case,
    FeedPressure,
    Mixture,
    PressedLayer,
    PressureDriven,
    Pump,
    SolutionDiffusion,
    SolutionDiffusionMembrane,
    SpiralWound,
    Vessel,
    element,
    solve,
    species,
)
from ..chemistry.osmotic import VanTHoff
from ..membranes.solution_diffusion import NoTemperature, rejection_to_permeability
from ..plot.element import ElementPlots
from ..progress import Bar, bar
from ..tables import element_table, plain_table
from ..units import LMH_per_bar, day, m3_per_h, um
from ..units import bar as bars
from .ro_layer import FINER, layers
from .ro_regions import regions
from .ro_slit import slit

AREA = 0.60506  # m2, the only one that gives all 20 flows
SEED_OSMOTIC = VanTHoff(gas_constant=8.314, molar_mass=float(species("Na+", "Cl-").molar_mass.sum()))  # mol for mol
PRINTED = {  # mg/L: NDP in MPa, and flows in m3/day at 1, 1.25 .. 2 LMH/bar
    32_000: (2.79, (0.405, 0.506, 0.607, 0.708, 0.809)),
    33_000: (2.71, (0.392, 0.490, 0.589, 0.687, 0.785)),
    34_000: (2.62, (0.380, 0.475, 0.570, 0.665, 0.760)),
    35_000: (2.53, (0.368, 0.460, 0.552, 0.644, 0.735)),
}
PERMEANCES = np.array([1.0, 1.25, 1.5, 1.75, 2.0]) * LMH_per_bar
TABLE3 = ((0.0245, 31.800, 31.960), (0.0310, 30.610, 30.815), (0.0445, 30.410, 30.536))  # m, kg/m3, kg/m3
CASES, STEPS = 20 + 6 + 4 + 6 + 1, 14  # of the progress bar


def reproduce(console: Any, out: Path, data: Path | None, mesh: bool = False) -> None:
    """``jaxmem reproduce ro``; ``mesh`` adds finer meshes and orders in three norms."""
    begin = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    console.rule("[bold]Reverse osmosis: a finite-element seed paper, and a vessel")
    console.print("Najdawi 2025, doi 10.4236/eng.2025.1710029: paper | jaxmem | note.\n", highlight=False)
    with bar(console, CASES + STEPS + (2 * len(FINER) if mesh else 0)) as progress:
        progress.say("Tables 4 to 6 (compiling)")
        table_4(console, progress)
        tables_5_and_6(console, progress)
        rejections(console)
        table_3(console)
        progress.say("Figures 6 to 10")
        layers(console, progress, out, mesh)
        progress.say("Figures 11 and 12 (compiling)")
        regions(console, progress, out)
        progress.say("Figures 13 to 15, ADM-SDM")
        figures_13_to_15(console, progress, out)
        coupled(console, progress)
        errata(console)
        progress.say("Slit (compiling)")
        slit(console, progress, out)
        progress.say("Vessel (compiling)")
        vessel(console, progress, out)
    console.print(f"Done in {time.perf_counter() - begin:.0f} s.", highlight=False)


def seed_case(milligrams: Any, permeance: Any, temperature: float = 298.0) -> Case:
    """Plain SDM of the paper: complete rejection, 55 bar, "ppm" read as g/m3."""
    salt = jnp.asarray(milligrams) / 58.44
    feed = Mixture.from_concentration({"Na+": salt, "Cl-": salt}, temperature=temperature)
    membrane = SolutionDiffusionMembrane(permeance, 0.0, temperature=NoTemperature())
    return Case(feed, membrane, PressureDriven(5.5e6))


def seed_flow(progress: Bar, milligrams: Any, permeance: Any, area: Any, temperature: float = 298.0) -> np.ndarray:
    """m3/day."""
    result = solve(SolutionDiffusion(SEED_OSMOTIC), seed_case(milligrams, permeance, temperature))
    progress.add(result)
    return np.asarray(result.volume_flux) * area * day


def table_4(console: Any, progress: Bar) -> None:
    """NDP and flow against salinity and permeance."""
    salinity = np.array(list(PRINTED))
    flow = seed_flow(progress, salinity[:, None] * 1.0, PERMEANCES[None], AREA)
    table = plain_table(
        "Table 4: net driving pressure and flow (m3/day), SW30-2514", caption=f"area {AREA} m2, nowhere stated (E8)"
    )
    table.add_column("mg/L", justify="right")
    table.add_column("")
    table.add_column("NDP\nMPa", justify="right", no_wrap=True)
    for permeance in PERMEANCES:
        table.add_column(f"{permeance / LMH_per_bar:g}\nLMH/bar", justify="right", no_wrap=True)
    equal = 0
    for ours, (milligrams, (pressure, printed)) in zip(flow, PRINTED.items(), strict=True):
        driving = ours[0] / (PERMEANCES[0] * AREA * day) / 1e6
        equal += int(np.sum(np.abs(np.round(ours, 3) - np.array(printed)) < 1e-9))
        table.add_row(f"{milligrams:,}", "paper", f"{pressure:.2f}", *(f"{q:.3f}" for q in printed))
        table.add_row("", "jaxmem", f"{driving:.4f}", *(f"{q:.5f}" for q in ours))
    console.print(table)
    console.print(
        f"{equal} of 20 flows are equal at three decimals; the printed NDP 2.71 is 2.70 (E5). Plain SDM: ADM does not enter.\n",
        highlight=False,
    )


def tables_5_and_6(console: Any, progress: Bar) -> None:
    """The two comparisons with data sheets."""
    a, salty = 4.17e-12, np.array([35_000.0, 35_000.0, 32_000.0, 32_000.0, 32_000.0])
    areas = np.array([7.9, 7.9, 7.9, 7.4, 3.1])
    warm = [seed_flow(progress, salty[:1], a, areas[:1], 298.15)[0], *seed_flow(progress, salty[1:], a, areas[1:])]
    small = float(seed_flow(progress, 32_000.0, 1.5 * LMH_per_bar, AREA))
    table = plain_table("Tables 5 and 6: flow against data sheets, m3/day")
    for name, justify in (
        ("case", "left"),
        ("paper", "right"),
        ("jaxmem", "right"),
        ("sheet", "right"),
        ("note", "left"),
    ):
        table.add_column(name, justify=justify)  # pyright: ignore[reportArgumentType]
    table.add_row(
        "SW30-2514, 32,000 mg/L",
        "0.607",
        f"{small:.4f}",
        "0.60",
        f"error {100 * (small / 0.6 - 1):.2f} %, not 0.7 (E1)",
    )
    notes = ("7.204", "35,000 mg/L, 7.9 m2, 298.15 K", "7.4", "the printed number"), ("7.204", "the same at 298 K", "7.4", ""), (
        "-", "32,000 mg/L, as in Table 5", "7.4", f"{100 * (warm[2] / 7.4 - 1):+.1f} %"), ("-", "and 7.4 m2, the older 4040", "7.4", f"{100 * (warm[3] / 7.4 - 1):+.1f} %"), (
        "-", "and 3.1 m2, the true 4021", "3.0", f"{100 * (warm[4] / 3.0 - 1):+.1f} % (E3)")  # fmt: skip
    for flow, (paper, what, sheet, note) in zip(warm, notes, strict=True):
        table.add_row(what, paper, f"{flow:.4f}", sheet, note)
    console.print(table)
    console.print("Nominal flows carry +/-20 %: agreement within a few percent is no validation.\n", highlight=False)


def rejections(console: Any) -> None:
    """Two experiments, and the salt permeability that each figure asks for."""
    table = plain_table("Rejection: salt permeability that each figure needs, A = 4.17e-12 m/s/Pa, R = J/(J + B)")
    for name in ("case", "R of", "%", "B, 1e-8 m/s"):
        table.add_column(name, justify="left" if name in ("case", "R of") else "right")
    for pressure, salt, seen, paper in ((1.1e6, 2_000.0, 0.975, 0.968), (4.0e6, 30_000.0, 0.99, 0.9878)):
        osmotic = 2.0 * 8.314 * 298.0 * salt / 58.44
        flux = 1.5 * LMH_per_bar * (pressure - osmotic)
        for who, value in (("experiment", seen), ("paper", paper)):
            table.add_row(
                f"{pressure / 1e6:.1f} MPa, {salt / 1e3:g} kg/m3",
                who,
                f"{100 * value:.2f}",
                f"{1e8 * rejection_to_permeability(value, flux):.3f}",
            )
    console.print(table)
    console.print("The paper's two figures need B in the ratio 1.71: one membrane cannot give both.\n", highlight=False)


def table_3(console: Any) -> None:
    """What can be checked of the comparison with the commercial solver."""
    table = plain_table(
        "Table 3: concentration against thickness, kg/m3",
        caption="inputs are not determinable from the paper; only the error column can be checked",
    )
    for name in ("thickness, m", "COMSOL", "paper", "difference %"):
        table.add_column(name, justify="right")
    for thickness, commercial, paper in TABLE3:
        table.add_row(f"{thickness:.4f}", f"{commercial:.3f}", f"{paper:.3f}", f"{100 * (paper / commercial - 1):.3f}")
    console.print(table)
    console.print()


def figures_13_to_15(console: Any, progress: Bar, out: Path) -> None:
    """Flow over salinity and permeance; its slope by automatic differentiation."""
    import jax

    from ..plot.style import COMMON, STYLES, pyplot

    salinity = np.linspace(32_000.0, 35_000.0, 31)
    flux = lambda c: solve(SolutionDiffusion(SEED_OSMOTIC), seed_case(c, 1.5 * LMH_per_bar), throw=False).volume_flux
    slope = float(jax.grad(flux)(33_500.0)) * AREA * day
    exact = -day * AREA * 1.5 * LMH_per_bar * 2.0 * 8.314 * 298.0 / 58.44
    result = solve(SolutionDiffusion(SEED_OSMOTIC), seed_case(salinity[:, None], PERMEANCES[None]))
    flow = np.asarray(result.volume_flux) * AREA * day
    plt = pyplot()
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.6), layout="constrained")
        drive = np.asarray(result.volume_flux)[:, 0] / PERMEANCES[0] / 1e6
        axes[2].plot(salinity / 1e3, drive, color="#0072B2")
        axes[2].set(xlabel="Salt (g L$^{-1}$)", ylabel="Net driving pressure (MPa)")
        for i, permeance in enumerate(PERMEANCES):
            axes[0].plot(salinity / 1e3, flow[:, i], color=plt.get_cmap("viridis")(i / 5))
            axes[0].text(35.05, flow[-1, i], f"{permeance / LMH_per_bar:g}", va="center", fontsize=9)
        axes[0].set(xlabel="Salt (g L$^{-1}$)", ylabel="Flow (m$^3$ day$^{-1}$)")
        axes[0].set_title("Labels: A in LMH/bar", loc="left", fontsize=10)
        shown = axes[1].contourf(salinity / 1e3, PERMEANCES / LMH_per_bar, flow.T, levels=12)
        axes[1].set(xlabel="Salt (g L$^{-1}$)", ylabel="A (LMH/bar)")
        figure.colorbar(shown, label="Flow (m$^3$ day$^{-1}$)")
        figure.savefig(out / "ro_flow.png")
        plt.close(figure)
    console.print(
        f"Fig. 13-15: dQ/dS = {slope:.10e} by differentiation, {exact:.10e} in closed form. figure  {out / 'ro_flow.png'}\n",
        highlight=False,
    )


def coupled(console: Any, progress: Bar) -> None:
    """ADM and SDM together: what polarisation does to Table 5."""
    salt = 32_000.0 / 58.44
    feed = Mixture.from_concentration({"Na+": salt, "Cl-": salt}, temperature=298.0)
    membrane = SolutionDiffusionMembrane(4.1667e-12, 7e-8, temperature=NoTemperature())
    transfer, diffusivity = np.array([2e-5, 3e-5, 5e-5, 1e-2]), 1.5e-9
    case = Case(feed, membrane, PressedLayer(5.5e6, diffusivity / transfer, diffusivity))
    result = solve(ADMSDM(osmotic=SEED_OSMOTIC), case)
    progress.add(result)
    table = plain_table("ADM and SDM solved together: Table 5 with the layer that the paper leaves out, B = 7e-8 m/s")
    for name in ("layer, um", "k, m/s", "c_m/c_b", "flow, m3/day", "R %"):
        table.add_column(name, justify="right")
    rows = zip(transfer, result.polarisation_modulus, result.volume_flux, result.observed_rejection, strict=True)
    for k, modulus, flux, rejection in rows:
        table.add_row(
            f"{diffusivity / k / um:.1f}",
            f"{k:.0e}",
            f"{modulus:.3f}",
            f"{float(flux) * 0.605 * day:.3f}",
            f"{100 * rejection:.2f}",
        )
    console.print(table)
    console.print("Polarisation is the largest effect that the comparison leaves out (E32).\n", highlight=False)


def errata(console: Any) -> None:
    """One line each."""
    lines = tomllib.loads((files("jaxmem") / "data/ro_errata.toml").read_text(encoding="utf-8"))
    console.print(f"[bold]Errata of the paper ({len(lines)})")
    for name, text in lines.items():
        told = textwrap.fill(text, 79, initial_indent=f"{name:>4}  ", subsequent_indent=" " * 6)
        console.print(told, highlight=False, soft_wrap=True)
    console.print()


def vessel(console: Any, progress: Bar, out: Path) -> None:
    """Six 8-inch elements on seawater, element by element."""
    salt = 35.0 * 1.0236 / 0.05844
    feed = Mixture.from_concentration({"Na+": salt, "Cl-": salt})
    pump = Pump(pump_efficiency=0.88, energy_recovery=0.95)
    conditions = FeedPressure(60.0 * bars, 9.0 * m3_per_h, pump=pump)
    result = solve(SpiralWound(), Case(feed, Vessel(element("SW30HRLE-400"), 6), conditions))
    progress.add(result)
    console.print(element_table(result, title="Vessel of six SW30HRLE-400, 35 g/kg NaCl, 60 bar, 9 m3/h, 25 degC"))
    console.print(str(result), highlight=False)
    least = float(result.minimum_energy) / 3.6e6
    console.print(
        f"Thermodynamic minimum at this recovery {least:.3f} kWh/m3; energy recovery 95 %, pump 88 %.", highlight=False
    )
    axes = ElementPlots(result).profiles()
    axes[0].figure.savefig(out / "ro_vessel.png")
    console.print(f"figure  {out / 'ro_vessel.png'}\n", highlight=False)
