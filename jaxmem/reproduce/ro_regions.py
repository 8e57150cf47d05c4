"""Figures 11 and 12: feed, membrane and permeate as three rectangles in two dimensions, by finite elements.

v . grad c = div(D grad c),    D and v by region;    c in the membrane = K c beside it
"""

from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import fem
from ..plot.field import contours
from ..plot.style import COMMON, STYLES, pyplot
from ..progress import Bar
from ..tables import plain_table

WIDTHS, HEIGHT = (0.0508, 0.0254, 0.0508), 0.254  # m: feed, membrane, permeate
EDGES = np.concatenate([[0.0], np.cumsum(WIDTHS)])
BOXES, ROWS = (24, 16, 24), 128
FEED, OPEN, MEMBRANE, VELOCITY = 547.57, 1e-5, 1e-6, 0.01  # mol/m3, m2/s, m2/s, m/s
NAMES = ("feed", "membrane", "permeate")


def mesh() -> fem.Mesh:
    """Regions and inlets by index of the boxes."""
    parts = [np.linspace(EDGES[i], EDGES[i + 1], n + 1)[int(i > 0) :] for i, n in enumerate(BOXES)]
    ends = np.concatenate([[0], np.cumsum(BOXES)])
    slices = {name: slice(int(ends[i]), int(ends[i + 1])) for i, name in enumerate(NAMES)}
    return fem.rectangle(
        np.concatenate(parts),
        np.linspace(0.0, HEIGHT, ROWS + 1),
        regions={name: (part, slice(None)) for name, part in slices.items()},
        sides={f"{name} {end}": (end, part) for name, part in slices.items() for end in ("bottom", "top")},
    )


def velocity(place: Array) -> Array:
    """Poiseuille flow upwards in feed and permeate, with the mean that the paper gives for its inlet, ``(2, E)``."""
    up = jnp.zeros_like(place[0])
    for i in (0, 2):
        s = (place[0] - EDGES[i]) / WIDTHS[i]
        up = up + jnp.where((s >= 0.0) & (s <= 1.0), 6.0 * VELOCITY * s * (1.0 - s), 0.0)
    return jnp.stack([jnp.zeros_like(up), up])


@eqx.filter_jit
def solved(space: fem.Space, partition: Array | float) -> tuple[Array, Array]:
    """The unknown (the concentration outside the membrane that would be in equilibrium), and salt that diffuses in at every unknown, mol/m/s."""
    diffusivity = space.by_region({"feed": OPEN, "membrane": MEMBRANE, "permeate": OPEN})
    inside = space.by_region({"membrane": partition}, elsewhere=1.0)
    form = fem.AdvectionDiffusion(velocity, diffusivity, partition=inside, supg=True)
    tops = [f"{name} top" for name in NAMES]
    closed = {side: fem.Natural() for side in ("left", "right", "membrane bottom", *tops)}
    problem = fem.Problem(
        space, form, {"feed bottom": fem.Dirichlet(FEED), "permeate bottom": fem.Dirichlet(0.0), **closed}
    )
    u = problem.solve(linear=True)
    return u, problem.spatial(u)


def leaving(space: fem.Space, u: Array, side: str) -> float:
    """Salt that flows out through a part of the top, mol/m/s."""
    facets, total = space.facets(side), 0.0
    nodes = space.facet_nodes(facets)
    for shapes, weight, place, normal in space.facet_frames(facets):
        through = jnp.sum(velocity(place) * normal, axis=0) * jnp.tensordot(shapes, u[nodes.T], 1)
        total = total + jnp.sum(weight * through)
    return float(total)


def regions(console: Any, progress: Bar, out: Path) -> None:
    """Run K = 1, the paper's, and a membrane that salt dislikes."""
    space = fem.Space(mesh(), quadrature=4)
    table = plain_table(
        "Figures 11 and 12: three regions in two dimensions (the paper prints pictures only)",
        caption=f"D {OPEN:g} and {MEMBRANE:g} m2/s, mean velocity {VELOCITY:g} m/s in feed and permeate, {FEED:g} mol/m3, {len(space):,} unknowns",
    )
    for name in ("K", "feed outlet\nmol/m3", "permeate outlet\nmol/m3", "passed\n% of feed", "balance"):
        table.add_column(name, justify="right")
    drawn = {}
    for partition in (1.0, 0.1):
        u, enters = solved(space, jnp.asarray(partition))
        drawn[partition] = u
        outlets = [leaving(space, u, f"{name} top") for name in ("feed", "permeate")]
        inflow = float(
            jnp.sum(enters[space.nodes_on("feed bottom")]) + jnp.sum(enters[space.nodes_on("permeate bottom")])
        )
        advected = FEED * VELOCITY * WIDTHS[0]
        # rows of the weak form at the inlets are what diffuses in there, beside what flows in
        balance = (outlets[0] + outlets[1] - advected - inflow) / advected
        per = VELOCITY * np.array([WIDTHS[0], WIDTHS[2]])
        table.add_row(f"{partition:g}", *(f"{q / w:.3f}" for q, w in zip(outlets, per, strict=True)), f"{100 * outlets[1] / advected:.3f}", f"{balance:.0e}")  # fmt: skip
        progress.step(failed=abs(balance) > 1e-9)
    console.print(table)
    console.print(
        "K = 1 means no rejection by partition (E26); D is 700 and 7000 times that of NaCl in water (E24).",
        highlight=False,
    )
    draw(space, drawn, out)
    console.print(f"figure  {out / 'ro_fig11_12.png'}\n", highlight=False)


def draw(space: fem.Space, drawn: dict[float, Array], out: Path) -> None:
    """Maps with streamlines, and a cut at half the height."""
    plt = pyplot()
    x, y = np.asarray(space.coordinates).T
    strict = (x > EDGES[1] + 1e-9) & (x < EDGES[2] - 1e-9)
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, 3, figsize=(11.0, 4.4), layout="constrained")
        for axis, (partition, u) in zip(axes, drawn.items(), strict=False):
            concentration = np.where(strict, partition, 1.0) * np.asarray(u)
            image = contours(axis, space, concentration, cmap="viridis")
            for i in (0, 2):
                for s in np.linspace(0.15, 0.85, 4):
                    at = EDGES[i] + s * WIDTHS[i]
                    axis.annotate(
                        "",
                        (at, 0.9 * HEIGHT),
                        (at, 0.1 * HEIGHT),
                        arrowprops={"arrowstyle": "->", "color": "white", "lw": 0.7},
                    )
            for edge in EDGES[1:3]:
                axis.axvline(edge, color="white", lw=1.0)
            axis.set(title=f"K = {partition:g}", xlabel="x (m)", ylabel="y (m)")
            figure.colorbar(image, ax=axis, label="Salt (mol m$^{-3}$)")
        rows = int(np.argmin(np.abs(np.unique(y) - 0.5 * HEIGHT)))
        middle = np.abs(y - np.unique(y)[rows]) < 1e-9
        for colour, (partition, u) in zip(("#0072B2", "#D55E00"), drawn.items(), strict=True):
            for i in range(3):  # two-sided at the edges of the membrane: concentrations jump there
                part = middle & (x >= EDGES[i] - 1e-9) & (x <= EDGES[i + 1] + 1e-9)
                factor = partition if i == 1 else 1.0
                axes[2].plot(
                    x[part], factor * np.asarray(u)[part], color=colour, label=f"K = {partition:g}" if i == 0 else None
                )
        axes[2].set(xlabel="x at half the height (m)", ylabel="Salt (mol m$^{-3}$)", ylim=(0.0, None))
        axes[2].legend()
        figure.savefig(out / "ro_fig11_12.png")
