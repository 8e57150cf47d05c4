"""Nanofiltration: rejection curves of three waters, the reference cases, and measured points where they are given."""

import json
import time
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from rich.table import Table

from .. import (
    DSPMDE,
    Bowen,
    Case,
    DechadilokDeen,
    FluxDriven,
    Mixture,
    PoreMembrane,
    Species,
    feed,
    film,
    membrane,
    solve,
    species,
)
from ..chemistry.species import pretty
from ..data.rejection_csv import dataset
from ..plot.style import COMMON, STYLES, pyplot
from ..progress import Bar, bar
from ..tables import plain_table, rejection_table
from ..units import LMH
from .nf_arms import FULL, QUICK
from .nf_claims import Learning, reproduce_claims
from .nf_measured import measured
from .nf_models import models_by_split

WATERS = {"seawater": "Seawater", "brackish8": "Brackish water, eight ions", "li_mg_brine": "Lithium-magnesium brine"}
POINTS = 36
NAMES = {
    "Na": "Na+",
    "K": "K+",
    "Li": "Li+",
    "Mg": "Mg+2",
    "Ca": "Ca+2",
    "Cl": "Cl-",
    "SO4": "SO4-2",
    "NO3": "NO3-",
    "HCO3": "HCO3-",
}


def reproduce(console: Any, out: Path, data: Path | None, full: bool = False) -> None:
    """``jaxmem reproduce nf``."""
    begin = time.perf_counter()
    points = None if data is None else dataset(data)  # a file that cannot be read is refused before anything else
    out.mkdir(parents=True, exist_ok=True)
    console.rule("[bold]Nanofiltration: NF270 and three waters")
    console.print(
        "DSPM-DE with suggested NF270 parameters (starting values, not a fit), 25 °C, film k(Na⁺) = 40 µm/s.\n"
    )
    with (
        Learning(FULL, out / "nf_learning") if full else Learning(QUICK)
    ) as learning:  # compiles and trains while the rest is shown
        count = POINTS * len(WATERS) + sum(len(entries) for entries in shown_groups())
        with bar(console, count + (0 if points is None else points.case.batch_shape[0])) as progress:
            progress.say("Three waters (compiling)")
            curves = waters(progress)
            for result, title in zip(curves, WATERS.values(), strict=True):
                console.print(rejection_table(result, title=title, rows=7))
                console.print(negative_rejection(result) + "\n", highlight=False)
            for path in draw_waters(curves, out):
                console.print(f"figure  {path}", highlight=False)
            console.print()
            progress.say("Reference cases")
            table, worst = reference_table(progress)
            console.print(table)
            console.print(f"Largest difference in an observed rejection: {worst:.1e}\n", highlight=False)
            if points is not None:
                progress.say("Measured feeds")
                measured(console, progress, out, points)
        if points is not None:
            models_by_split(console, points, out)
        reproduce_claims(console, out, learning)
    console.print(f"Done in {time.perf_counter() - begin:.0f} s.", highlight=False)


def waters(progress: Bar) -> list[Any]:
    """The three waters as one batch over all species (absent ones at zero): one compilation."""
    mixtures = [feed(name) for name in WATERS]
    names = list(dict.fromkeys(n for m in mixtures for n in m.species.names))
    columns = [[float(m[n]) if n in m.species.names else 0.0 for n in names] for m in mixtures]
    mixture = Mixture(species(*names), jnp.asarray(columns)[:, None, :])
    flux = (1.0 + 99.0 * jnp.linspace(0.0, 1.0, POINTS) ** 1.7) * LMH  # denser where curves bend
    model = DSPMDE()
    case = Case(mixture, membrane("NF270"), FluxDriven(flux, film("D^(2/3)", 4e-5)))
    result = solve(model, case, throw=False)
    progress.add(result)
    return [lane(result, i) for i in range(len(mixtures))]


def lane(result: Any, i: int) -> Any:
    """The Result of one entry of the leading axis."""
    import equinox as eqx
    import jax

    shape = result.case.batch_shape
    n = int(np.prod(shape[1:]))
    flat = slice(i * n, (i + 1) * n)
    state = jax.tree.map(lambda x: x[..., flat], result.state._replace(status=None))._replace(
        status=result.state.status[i]
    )
    names = [f.name for f in fields(result) if f.name not in ("case", "model", "state")]
    arrays = {f: getattr(result, f)[i] for f in names}
    new = eqx.tree_at(lambda r: [getattr(r, f) for f in names], result, [arrays[f] for f in names])
    return eqx.tree_at(lambda r: (r.case, r.state), new, (result.case[i], state))


def negative_rejection(result: Any) -> str:
    """One line on the most negative rejection, or that there is none."""
    rejection = np.where(np.asarray(result.feed) > 0.0, np.asarray(result.observed_rejection), np.inf)
    where, ion = np.unravel_index(np.argmin(rejection), rejection.shape)
    value, flux = 100 * rejection[where, ion], float(result.volume_flux[where]) / LMH
    names, z = result.case.feed.species.names, np.asarray(result.case.feed.species.charge)
    z = z.reshape(-1, z.shape[-1])[0]
    if value >= 0.0:
        return f"No rejection below zero here; the lowest is {pretty(names[ion])} with {value:.1f} % at {flux:.0f} LMH."
    same = [i for i in range(len(names)) if z[i] * z[ion] > 0 and i != ion and np.asarray(result.feed)[0, i] > 0]
    held = max(same, key=lambda i: abs(z[i]) * rejection[where, i])
    return (
        f"{pretty(names[ion])} is rejected at {value:.1f} % ({flux:.0f} LMH), its permeate is stronger than the feed: {pretty(names[held])} is held "
        f"back ({100 * rejection[where, held]:.0f} %), and {pretty(names[ion])} passes in its place so that the permeate stays neutral."
    )


def draw_waters(curves: list[Any], out: Path) -> list[Path]:
    """One panel per water, and the profiles of the brackish water."""
    plt = pyplot()
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, len(curves), figsize=(13.0, 4.2), layout="constrained")
        for axis, result, title in zip(axes, curves, WATERS.values(), strict=True):
            result.plot.rejection(axis)
            axis.set_title(title, loc="left", fontsize=11)
        paths = [out / "nf_rejection.png", out / "nf_profiles.png"]
        figure.savefig(paths[0])
        figure.savefig(paths[0].with_suffix(".svg"))
        paths.append(paths[0].with_suffix(".svg"))
        plt.close(figure)
        axis = curves[1].plot.profiles(lane=POINTS // 3)
        axis.set_title(
            f"Brackish water through NF270 at {float(curves[1].volume_flux[POINTS // 3]) / LMH:.0f} LMH",
            loc="left",
            fontsize=11,
        )
        axis.figure.savefig(paths[1])
        plt.close(axis.figure)
    return paths


# ------------------------------------------------------------------------------------------ reference cases


def reference_cases() -> list[dict]:
    """The 27 cases that ship with the package: inputs, rejections, permeate."""
    return json.loads((files("jaxmem") / "data/nf_reference.json").read_text(encoding="utf-8"))["cases"]


def reference_case(entries: list[dict]) -> tuple[Case, np.ndarray]:
    """Reference entries of one model as one batch over all their species, and the expected observed rejections."""
    ions = list(dict.fromkeys(n for e in entries for n in e["inputs"]["ions"]))
    facts = {n: e["inputs"]["ions"][n] for e in entries for n in e["inputs"]["ions"]}
    z, d, r = (jnp.asarray([facts[n][k] for n in ions]) for k in range(3))
    which = Species(tuple(NAMES.get(n, n) for n in ions), z, d, r, r, jnp.full(len(ions), 0.03))

    def column(key: str) -> Any:
        return jnp.asarray([e["inputs"][key] for e in entries])

    c = jnp.asarray([[e["inputs"]["feed"].get(n, 0.0) for n in ions] for e in entries])
    mixture = Mixture(which, c, column("T"), viscosity=column("mu"), permittivity=column("eps_w"))
    hindrance = Bowen() if entries[0]["inputs"]["hindrance"] == "bowen" else DechadilokDeen()
    wall = PoreMembrane(column("r_p"), column("dx_eff"), column("X"), column("eps_p"), hindrance=hindrance)
    transfer = None
    if entries[0]["inputs"]["k"] is not None:
        transfer = film("each", jnp.asarray([[e["inputs"]["k"].get(n, 1e-4) for n in ions] for e in entries]))
    expected = np.array([[e["R_obs"].get(n, np.nan) for n in ions] for e in entries])
    return Case(mixture, wall, FluxDriven(column("J_v"), transfer)), expected


def reference_groups() -> dict[tuple[str, str, str], list[dict]]:
    """Entries that share film, activity and hindrance, and so one batch."""
    groups: dict[tuple[str, str, str], list[dict]] = {}
    for entry in reference_cases():
        i = entry["inputs"]
        groups.setdefault((i["film"], i["activity"], i["hindrance"]), []).append(entry)
    return groups


def shown_groups() -> list[list[dict]]:
    """The two largest groups (25 of the 27 cases): two programs to compile instead of four."""
    return sorted(reference_groups().values(), key=lambda entries: -len(entries))[:2]


def reference_table(progress: Bar) -> tuple[Table, float]:
    """Reference against jaxmem, worst ion of each case."""
    count = sum(len(entries) for entries in shown_groups())
    table = plain_table(
        "Reference cases: observed rejection of the ion that differs most",
        caption=f"{count} of {len(reference_cases())} cases; the others, of two more models, are in the tests",
    )
    for name, justify in (
        ("case", "left"),
        ("ion", "left"),
        ("reference %", "right"),
        ("jaxmem %", "right"),
        ("diff.", "right"),
    ):
        table.add_column(name, justify=justify, no_wrap=True)  # pyright: ignore[reportArgumentType]
    worst = 0.0
    for entries in shown_groups():
        film_law, activity = (entries[0]["inputs"][key] for key in ("film", "activity"))
        case, expected = reference_case(entries)
        model = DSPMDE(film="nernst_planck" if film_law == "none" else film_law, activity=activity)
        result = solve(model, case, throw=False)
        progress.add(result)
        ours = np.asarray(result.observed_rejection)
        difference = np.where(np.isnan(expected), -1.0, np.abs(ours - expected))
        for row, entry in enumerate(entries):
            ion = int(np.argmax(difference[row]))
            worst = max(worst, float(difference[row, ion]))
            cells = f"{100 * expected[row, ion]:.6f}", f"{100 * ours[row, ion]:.6f}", f"{difference[row, ion]:.0e}"
            table.add_row(entry["name"], pretty(case.feed.species.names[ion]), *cells)
    return table, worst
