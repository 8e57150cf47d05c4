"""Electroconvection: what Kazakovtseva et al. 2026 (doi 10.3390/membranes16010041) compute, with the numbers of this package.

The paper's simulator gives current-voltage curves, vortices and two targets for networks, plateau length and vortex diameter; its tables of accuracy
are its own. Reference numbers here are closed forms, and collocation (SciPy's ``solve_bvp``, tolerance 1e-8 below 10 RT/F, 1e-4 above).
"""

import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import (
    Electroconvection,
    FixedChargeMembrane,
    Groups,
    IonExchangeMembrane,
    NernstPlanckPoisson,
    debye,
    growth_rate,
    onset,
    plateau,
    solve,
)
from ..plot.plane import curve_with_parts, side_by_side
from ..plot.style import SPARE, new_axes
from ..progress import Bar, bar
from ..tables import plain_table
from .ec_networks import STEPS as NETWORK_STEPS
from .ec_networks import networks

COLLOCATION = {  # i(V) before a stirred bulk, c_w = 2, equal diffusivities
    1e-2: {1.0: 0.286605, 2.0: 0.972615, 4.0: 1.668334, 8.0: 2.131061, 20.0: 2.6790, 40.0: 3.4652},
    1e-3: {1.0: 0.284684, 2.0: 0.960784, 4.0: 1.622320, 8.0: 1.968798, 20.0: 2.1072, 40.0: 2.2218},
}
SECOND_METHOD = {
    (1e-2, 0.5): (22.37, 3.63),
    (2e-3, 0.5): (18.99, 4.39),
    (1e-3, 0.5): (19.04, 4.75),
    (1e-3, 0.1): (30.22, 4.49),
}
MEMBRANE = IonExchangeMembrane()
SWEEP = (40.0, 35.0, 30.0, 27.0, 25.0, 24.0, 23.0, 22.0, 21.0)  # downwards: vortices need no time to grow
MARCH = Electroconvection(32, 48, duration=0.3)
WINDOWS = {"ohmic": (0.5, 1.5), "flat": (8.0, 18.0), "overlimiting": (24.0, 35.0)}
STEPS = 3 + 1 + 5 + 2 + len(SWEEP)  # of the progress bar


def reproduce(console: Any, out: Path, data: Path | None, experiments: int = 0) -> None:
    """``jaxmem reproduce ec``; with ``experiments`` so many curves are marched anew for the networks, in a sweep that resumes."""
    begin = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    console.rule("[bold]Electroconvection: curves at rest, onset, vortices, plateau, networks")
    console.print(
        "Kazakovtseva et al. 2026, doi 10.3390/membranes16010041. Scaled: RT/F, F D c0/L, L; V holds the Donnan jump.\n",
        highlight=False,
    )
    with bar(console, STEPS + NETWORK_STEPS + experiments) as progress:
        progress.say("Curves at rest (compiling)")
        at_rest(console, progress, out)
        membrane_charge(console, progress, out)
        progress.say("Onset (compiling)")
        thresholds(console, progress, out)
        progress.say("Vortices (compiling)")
        vortices(console, progress, out)
        progress.say("Plateau (compiling)")
        curve(console, progress, out)
        networks(console, progress, out, experiments, MARCH, len(SWEEP))
    console.print(f"Done in {time.perf_counter() - begin:.0f} s.", highlight=False)


def at_rest(console: Any, progress: Bar, out: Path) -> None:
    """Currents of one dimension against collocation and the closed form of a vanishing Debye length."""
    table = plain_table(
        "Current at rest, before a stirred bulk",
        caption="closed form: 2 (1 - sqrt(2) exp(-V/2)), eps to 0; error of 512 cells",
    )
    for heading in ("eps", "V", "closed form", "collocation", "128 cells", "512 cells", "error"):
        table.add_column(heading, justify="right", no_wrap=True)
    axes = new_axes()
    for eps, known in COLLOCATION.items():
        volts = np.asarray(list(known))
        coarse, fine = (
            np.asarray(
                solve(NernstPlanckPoisson(cells), Groups(debye(eps=eps)).case(MEMBRANE, sweep=volts)).scaled_current
            )
            for cells in (128, 512)
        )
        for v, a, b in zip(known, coarse, fine, strict=True):
            closed = f"{2.0 * (1.0 - np.sqrt(2.0) * np.exp(-v / 2.0)):.4f}" if v <= 4.0 else ""
            table.add_row(
                f"{eps:g}", f"{v:g}", closed, f"{known[v]:.5g}", f"{a:.5g}", f"{b:.5g}", f"{b / known[v] - 1.0:+.1e}"
            )
        progress.step()
    progress.step()
    console.print(table)
    for n, eps in enumerate((1e-2, 1e-3, 1e-4)):
        result = solve(NernstPlanckPoisson(), Groups(debye(eps=eps)).case(MEMBRANE, sweep=np.linspace(0.7, 60.0, 60)))
        axes.plot(
            np.asarray(result.scaled_voltage), np.asarray(result.scaled_current), color=SPARE[n], label=f"eps = {eps:g}"
        )
    axes.axhline(2.0, color="0.5", ls="--", lw=0.9, label="limiting current")
    axes.set(xlabel="voltage (RT/F)", ylabel="current at rest (F D c₀/L)", ylim=(0.0, None))
    axes.legend(loc="lower right")
    axes.figure.savefig(out / "ec_at_rest.png")


def membrane_charge(console: Any, progress: Bar, out: Path) -> None:
    """How much charge a membrane needs for a plateau: resolved with its inside, between two layers."""
    groups, charge = Groups(1e-3), np.asarray([0.3, 1.0, 3.0, 10.0, 100.0])
    salt = float(groups.mixture().concentration[0])
    membrane = FixedChargeMembrane("cations", jnp.asarray(charge * salt), thickness=2e-5, diffusion=0.3)
    volts = np.linspace(0.0, 40.0, 41)
    result = solve(NernstPlanckPoisson(), groups.case(membrane, sweep=np.broadcast_to(volts, (len(charge), 41))))
    i, share = np.asarray(result.scaled_current), np.asarray(result.transport_number)
    table = plain_table(
        "Membranes of little and much charge, at rest, eps 1e-3",
        caption="X: fixed charge over that of the solution; conductance: di/dV from 20 to 40 RT/F over that from 0 to 1",
    )
    for heading in ("X", "current\nat 20", "current\nat 40", "carried by\ncounter-ions", "conductance"):
        table.add_column(heading, justify="right", no_wrap=True)
    axes = new_axes()
    for k, x in enumerate(charge):
        flat = (i[k, 40] - i[k, 20]) / 20.0 / (i[k, 1] - i[k, 0])
        table.add_row(f"{x:g}", f"{i[k, 20]:.3f}", f"{i[k, 40]:.3f}", f"{share[k, 40]:.1%}", f"{flat:.1%}")
        axes.plot(volts, i[k], color=SPARE[k], label=f"X = {x:g}")
    progress.step()
    console.print(table)
    console.print(
        "Little charge, no plateau: below that of the solution the curve hardly bends, at ten times it lies flat as before an ideal membrane, which carries less.\n"
    )
    axes.axhline(2.0, color="0.5", ls="--", lw=0.9, label="limiting, ideal")
    axes.set(xlabel="voltage between the bulks (RT/F)", ylabel="current at rest (F D c₀/L)", ylim=(0.0, 10.0))
    axes.legend(loc="upper right", ncols=3)
    axes.figure.savefig(out / "ec_membrane_charge.png")


def thresholds(console: Any, progress: Bar, out: Path) -> None:
    """Onset of electroconvection, and growth rates above it."""
    model = NernstPlanckPoisson()
    table = plain_table(
        "Onset of electroconvection, before a stirred bulk",
        caption="second method: other cells, fluxes and code; k continuous",
    )
    for heading in ("eps", "kappa", "V\nhere", "V\nsecond", "k\nhere", "k\nsecond", "current", "pair of\nvortices"):
        table.add_column(heading, justify="right", no_wrap=True)
    for (eps, kappa), (v, k) in SECOND_METHOD.items():
        found = onset(model, Groups(debye(eps=eps), kappa).case(MEMBRANE, voltage=20.0))
        mine, wave = float(found.scaled_voltage), float(found.scaled_wavenumber)
        table.add_row(
            f"{eps:g}",
            f"{kappa:g}",
            f"{mine:.2f}",
            f"{v:.2f}",
            f"{wave:.2f}",
            f"{k:.2f}",
            f"{float(found.scaled_current):.3f}",
            f"{2.0 * np.pi / wave:.2f} L",
        )
        progress.step()
    console.print(table)
    axes = new_axes()
    waves = jnp.linspace(1.0, 20.0, 24)
    for n, v in enumerate((20.0, 22.0, 25.0)):
        case = Groups(debye(eps=1e-3), 0.5).case(MEMBRANE, voltage=v)
        rates = growth_rate(model, case, waves / case.conditions.thickness)
        axes.plot(
            np.asarray(rates.scaled_wavenumber), np.asarray(rates.scaled_rate), color=SPARE[n], label=f"V = {v:g} RT/F"
        )
    axes.axhline(0.0, color="0.5", lw=0.9)
    axes.set(xlabel="wavenumber (1/L)", ylabel="growth rate (D/L²)", title="eps = 1e-3, kappa = 0.5")
    axes.legend()
    axes.figure.savefig(out / "ec_growth.png")
    progress.step()


def vortices(console: Any, progress: Bar, out: Path) -> None:
    """One pair of vortices at rest in the mean, and its picture."""
    table = plain_table(
        "A steady pair of vortices",
        caption="second method: coupled implicit steps of second order; d1 = 2 y of the stream function's extremum",
    )
    for heading in (
        "eps",
        "V",
        "box",
        "current\nhere",
        "current\nsecond",
        "at rest",
        "u max\nhere",
        "u max\nsecond",
        "d1",
        "state",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for eps, box, cells, second in (
        (1e-2, 1.73, (32, 64), ("4.12-4.14", "23.2")),
        (1e-3, 1.32, (64, 96), ("4.42", "68.2")),
    ):
        model = Electroconvection(*cells, duration=0.5 if eps == 1e-2 else 0.36, window=0.2)
        case = Groups(debye(eps=eps), 0.5).case(MEMBRANE, voltage=30.0, box=box)
        result = solve(model, case)
        if eps == 1e-2:
            rate = growth_rate(NernstPlanckPoisson(), case, 2.0 * np.pi / case.conditions.length).scaled_rate[0]
            result.plot.growth(rate=rate).figure.savefig(out / "ec_vortex_growth.png")
        i, kind = result.scaled_current, ("quiescent", "steady", "slow drift", "unsteady")[int(result.kind)]
        table.add_row(
            f"{eps:g}", "30", f"{box:g}", f"{float(i.value):.3f}", second[0], f"{float(result.state.at_rest):.3f}", f"{float(result.speed):.1f}", second[1],
            f"{float(result.vortex_diameter):.2f}", kind,
        )  # fmt: skip
        progress.add(result)
    console.print(table)
    side_by_side(result).savefig(out / "ec_vortices.png")


def curve(console: Any, progress: Bar, out: Path) -> None:
    """A curve with its plateau and the vortex diameter."""
    groups = Groups(debye(eps=1e-2), 0.5)
    rest = solve(NernstPlanckPoisson(), groups.case(MEMBRANE, sweep=np.linspace(0.0, 40.0, 81)))
    moving = solve(MARCH, groups.case(MEMBRANE, sweep=SWEEP, box=1.73))
    v, i, d = (np.asarray(x) for x in (moving.scaled_voltage, moving.scaled_current.value, moving.vortex_diameter))
    table = plain_table(
        "Curve with electroconvection, eps 0.01, kappa 0.5, box 1.73",
        caption="each voltage starts from the vortices of the one above it",
    )
    for heading in ("V", "current", "at rest", "excess %", "d1", "d2", "u max"):
        table.add_column(heading, justify="right", no_wrap=True)
    still = np.interp(v, np.asarray(rest.scaled_voltage), np.asarray(rest.scaled_current))
    for k in np.argsort(v):
        excess, speed, height = 100.0 * (i[k] / still[k] - 1.0), float(moving.speed[k]), float(moving.vortex_height[k])
        moves = speed > 0.05 * float(jnp.max(moving.speed))
        table.add_row(
            f"{v[k]:g}",
            f"{i[k]:.3f}",
            f"{still[k]:.3f}",
            f"{excess:.1f}",
            *((f"{d[k]:.3f}", f"{height:.3f}") if moves else ("-", "-")),
            f"{speed:.1f}",
        )
        progress.step()
    console.print(table)
    low = np.asarray(rest.scaled_voltage) < v.min()
    whole_v = np.concatenate([np.asarray(rest.scaled_voltage)[low], v[::-1]])
    whole_i = np.concatenate([np.asarray(rest.scaled_current)[low], i[::-1]])
    parts = plateau(whole_v, whole_i, **WINDOWS)
    windows = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in WINDOWS.items())
    thermal = 0.025693
    console.print(
        f"Plateau {float(parts.length):.2f} RT/F ({float(parts.length) * thermal:.2f} V), lines fitted over V: {windows}.\n",
        highlight=False,
    )
    axes = curve_with_parts(whole_v, whole_i, parts, rest=(rest.scaled_voltage, rest.scaled_current))
    axes.figure.savefig(out / "ec_curve.png")
