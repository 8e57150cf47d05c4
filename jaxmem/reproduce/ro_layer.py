"""Figures 6 to 10 of Najdawi 2025: profiles, fluxes, outlets, and what a mesh study can show."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import ADM, Case, Layer, Mixture, solve
from .._errors import IllPosedBoundaryError
from ..fem.boundary import Dirichlet, Gradient, TotalFlux
from ..fem.forms import AdvectionDiffusion
from ..fem.mesh import line
from ..fem.problem import Problem
from ..fem.space import Space
from ..plot.style import COMMON, STYLES, pyplot
from ..progress import Bar
from ..tables import plain_table

LENGTH, VELOCITY, DIFFUSIVITY, SALT = 0.356, 0.01, 1e-5, 32.0 / 0.05844  # m, m/s, m2/s, mol/m3
MESHES, FINER = (50, 100, 500, 1000), (2000, 4000)


def layer(outlet: Any, velocity: float = VELOCITY) -> Case:
    """The paper's layer with an outlet condition."""
    feed = Mixture.from_concentration({"Na+": SALT, "Cl-": SALT})
    return Case(feed, None, Layer(LENGTH, velocity, DIFFUSIVITY, outlet))


def layers(console: Any, progress: Bar, out: Path, full: bool) -> None:
    """Print and draw; ``full`` adds finer meshes, and orders in three norms."""
    matrices(console)
    outlets(console, progress, out)
    mesh_study(console, progress, full)
    console.print(f"figure  {draw_meshes(out)}\n", highlight=False)
    if full:
        orders(console)


def matrices(console: Any) -> None:
    """Eq. 22 and 23 from the shape functions."""
    h, v, d = 0.5, 3.0, 2.0
    diffusion, advection = d / h * np.array([[1, -1], [-1, 1]]), v / 2 * np.array([[-1, 1], [-1, 1]])
    text = lambda m: "[" + ", ".join(f"[{r[0]:+.2f}, {r[1]:+.2f}]" for r in m) + "]"
    console.print("Eq. 22-23, the element matrix at D = 2, v = 3, h = 0.5:", highlight=False)
    console.print(f"  weak form of Eq. 7 (sign='weak')  {text(diffusion + advection)}", highlight=False)
    console.print(f"  as printed, that of Eq. 1 ('eq23') {text(diffusion - advection)}  (E10)\n", highlight=False)


def outlets(console: Any, progress: Bar, out: Path) -> None:
    """Fig. 6 and 7: the four outlets with the exact solutions beside them."""
    model = ADM(elements=2000, sign="eq23")
    inlet_flux = VELOCITY * SALT
    shown = {"q = 0": 0.0, "q = +0.1 v C0": 0.1, "q = -0.1 v C0": -0.1}
    plt = pyplot()
    table = plain_table("Fig. 6 and 7: the layer at D = 1e-5 m2/s, v = 0.01 m/s, L = 0.356 m (2000 elements)")
    for name in ("outlet", "C(L)/C0", "error at nodes", "-D C' / v C0, 1st el.", "total flux / v C0"):
        table.add_column(name, justify="left" if name == "outlet" else "right")
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, 2, figsize=(10.0, 3.8), layout="constrained")
        for i, (name, q) in enumerate(shown.items()):
            result = solve(model, layer(TotalFlux(q * inlet_flux)))
            progress.add(result)
            x, c = np.asarray(result.position), np.asarray(result.concentration) / SALT
            closed = -q + (1.0 + q) * np.exp(-VELOCITY * x / DIFFUSIVITY)
            flux = [np.asarray(f) / inlet_flux for f in result.fluxes[1:]]
            colour = ("#0072B2", "#D55E00", "#009E73")[i]
            axes[1].plot(1e3 * x, c, color=colour, label=name)
            table.add_row(
                name,
                f"{c[-1] + 1e-9:.4f}",
                f"{np.abs(c - closed).max():.0e}",
                f"{flux[1][0]:.3f}",
                f"{flux[2].mean():+.4f}",
            )
            if q == 0.0:
                place = 1e3 * np.asarray(result.fluxes.position)
                for part, label, style in zip(flux, ("advective", "diffusive", "total"), ("-", "-", "--"), strict=True):
                    axes[0].plot(place, part, style, label=label)
        axes[0].set(
            xlim=(0, 10),
            xlabel="Position (mm)",
            ylabel="Flux over $v C_0$",
            title="Fluxes with no total flux: they cancel",
        )
        axes[1].set(xlim=(0, 10), xlabel="Position (mm)", ylabel="$C/C_0$", title="Outlets by total flux")
        for axis in axes:
            axis.legend(fontsize=8)
        figure.savefig(out / "ro_layer.png")
        plt.close(figure)
    constant = solve(ADM(elements=500), layer(Gradient(0.0)))
    progress.add(constant)
    spread = float(np.ptp(np.asarray(constant.concentration))) / SALT
    table.add_row("C'(L) = 0, as stated (weak form)", "1.0000", f"{spread:.0e}", "0.000", "+1.0000")
    console.print(table)
    console.print(
        "The paper's words match the outlets by total flux; the condition it states, C'(L) = 0, has the constant solution (E14).\n"
        f"figure  {out / 'ro_layer.png'}\n", highlight=False
    )  # fmt: skip


def mesh_study(console: Any, progress: Bar, full: bool) -> None:
    """Fig. 8 to 10: first nodes, observed orders, condition numbers, and the refusal of what round-off would decide."""
    table = plain_table("Fig. 8 to 10: first node of Eq. 23 with C(L) = 0, and the condition C'(L) = 0")
    for name in (
        "cells", "cell\nPéclet", "Galerkin", "SUPG", "exact", "order", "worst\nSUPG", "cond.\nnumber", "C'(L) = 0",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    for n in MESHES if not full else (*MESHES, *FINER):
        first, worst = zip(*(nodes(n, supg, progress) for supg in (False, True)), strict=True)
        peclet = VELOCITY * LENGTH / n / (2 * DIFFUSIVITY)
        order = np.log2(worst[0] / nodes(2 * n, False, None)[1])
        table.add_row(
            str(n),
            f"{peclet:.3f}",
            f"{first[0]:+.4f}",
            f"{first[1]:+.4f}",
            f"{np.exp(-2.0 * peclet):+.4f}",
            f"{order:.2f}",
            f"{worst[1]:.0e}",
            f"{condition(n):.0e}" if n <= MESHES[-1] else "-",
            verdict(n),
        )
    console.print(table)
    console.print(
        "Galerkin undershoots above a cell Péclet number of 1 (E30) and shows its order, 2 in the worst node (from these cells to twice as many), well "
        "below it; SUPG is exact in the nodes. With C'(L) = 0 the answer is constant, and LU returns a decay made of round-off: jaxmem warns beyond an "
        "amplification of e^27.6 and refuses beyond e^36. A mesh study that improves with larger elements is a sign of it.", highlight=False
    )  # fmt: skip


def exact(x: np.ndarray) -> np.ndarray:
    """C/C0 of Eq. 23 with C(L) = 0."""
    rate = VELOCITY / DIFFUSIVITY
    return np.exp(-rate * x) * np.expm1(-rate * (LENGTH - x)) / np.expm1(-rate * LENGTH)


def nodes(n: int, supg: bool, progress: Bar | None) -> tuple[float, float]:
    """The first node of Eq. 23 with C(L) = 0 and the largest error of a node, over the inlet."""
    result = solve(ADM(elements=n, sign="eq23", supg=supg), layer(Dirichlet(0.0)))
    if progress is not None:
        progress.add(result)
    found, x = np.asarray(result.concentration) / SALT, np.asarray(result.position)
    return float(found[1]), float(np.max(np.abs(found - exact(x))))


def draw_meshes(out: Path) -> Path:
    """Fig. 8 to 10: Galerkin's profiles at the inlet, the total flux that should be constant, and the worst node by mesh."""
    plt, inlet_flux, errors = pyplot(), VELOCITY * SALT, []
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.7), layout="constrained")
        for i, n in enumerate(MESHES):
            result = solve(ADM(elements=n, sign="eq23", supg=False), layer(Dirichlet(0.0)))
            x, c = np.asarray(result.position), np.asarray(result.concentration) / SALT
            shade = plt.get_cmap("viridis")(i / len(MESHES))
            errors.append(np.abs(c - exact(x)).max())
            keep = x < 0.03
            axes[0].plot(1e3 * x[keep], c[keep], "o-", ms=2.5, lw=1.0, color=shade, label=f"{n} elements")
            place, flux = 1e3 * np.asarray(result.fluxes.position), np.asarray(result.fluxes[3]) / inlet_flux
            axes[1].plot(place[place < 30.0], flux[place < 30.0], color=shade)
        fine = np.linspace(0.0, 0.03, 400)
        axes[0].plot(1e3 * fine, exact(fine), "--", color="0.2", lw=1.0, label="exact, and SUPG in its nodes")
        axes[0].set(xlabel="Position (mm)", ylabel="$C/C_0$", title="Fig. 8: Galerkin")
        axes[0].legend(fontsize=8)
        axes[1].set(xlabel="Position (mm)", ylabel="Total flux over $v C_0$", title="Fig. 9: exact is 0")
        axes[2].loglog(MESHES, errors, "o-", color="#0072B2", label="Galerkin")
        axes[2].loglog(
            MESHES[1:], errors[-1] * (MESHES[-1] / np.array(MESHES[1:])) ** 2, "--", color="0.5", label="slope 2"
        )
        axes[2].set(xlabel="Elements", ylabel="Worst node, over $C_0$", title="Fig. 10: error by mesh")
        axes[2].legend(fontsize=8)
        figure.savefig(out / "ro_mesh.png")
        plt.close(figure)
    return out / "ro_mesh.png"


SCHEMES = {"P1": (1, False), "P2": (2, False), "P1 SUPG": (1, True)}
SINE = (20, 40, 80, 160, 320)  # elements


def orders(console: Any) -> None:
    """``--mesh``: errors and orders in L2, H1 and the nodes for ``-D u'' + v u' = f`` whose answer is ``sin(pi x)``, D = 0.1, v = 1."""
    table = plain_table("Mesh study: sin(pi x), D = 0.1, v = 1, L = 1: errors and orders")
    for name in ("scheme", "cells", "cell\nPéclet", "L2", "order", "H1", "order", "nodes", "order"):
        table.add_column(name, justify="left" if name == "scheme" else "right", no_wrap=True)
    for scheme, (degree, supg) in SCHEMES.items():
        before = None
        for n in SINE:
            errors = sine(n, degree, supg)
            steps = ["-"] * 3 if before is None else [f"{x:.2f}" for x in np.log2(before / errors)]
            cells = [text for e, o in zip(errors, steps, strict=True) for text in (f"{e:.2e}", o)]
            table.add_row(scheme, str(n), f"{0.5 / n / 0.1:.3f}", *cells)
            before = errors
    console.print(table)
    console.print()


def sine(n: int, degree: int, supg: bool) -> np.ndarray:
    """Errors of one mesh, in L2, H1 and the nodes."""
    d = 0.1
    wave = lambda x: jnp.sin(jnp.pi * x)
    rise = lambda x: jnp.pi * jnp.cos(jnp.pi * x)
    source = lambda c, place: d * jnp.pi**2 * wave(place[0]) + rise(place[0])
    space = Space(line(0.0, 1.0, n), degree, quadrature=6)
    form = AdvectionDiffusion(jnp.ones(1), d, source=source, supg=supg)
    u = Problem(space, form, {"left": Dirichlet(0.0), "right": Dirichlet(0.0)}).solve(linear=True)
    value = space.integral(u, lambda p: (p.value - wave(p.place[0])) ** 2)
    slope = space.integral(u, lambda p: jnp.sum((p.gradient - rise(p.place)) ** 2, axis=0))
    worst = jnp.max(jnp.abs(u - wave(space.coordinates.T[0])))
    return np.array([np.sqrt(float(value)), np.sqrt(float(slope)), float(worst)])


def verdict(n: int) -> str:
    """What becomes of Eq. 23 with the gradient condition."""
    try:
        result = solve(ADM(elements=n, sign="eq23", supg=False), layer(Gradient(0.0)))
    except IllPosedBoundaryError:
        return "refused"
    return f"e^{float(result.state.amplification):.0f}: " + ("warned" if result.warnings() else "solved")


def condition(n: int) -> float:
    """Of Eq. 23 with the gradient condition, by dense singular values."""
    h = LENGTH / n
    lower, upper = -DIFFUSIVITY / h + VELOCITY / 2, -DIFFUSIVITY / h - VELOCITY / 2
    matrix = (
        np.diag(np.full(n + 1, 2 * DIFFUSIVITY / h)) + np.diag(np.full(n, upper), 1) + np.diag(np.full(n, lower), -1)
    )
    matrix[0], matrix[0, 0] = 0.0, DIFFUSIVITY / h
    matrix[-1, -1] = DIFFUSIVITY / h - VELOCITY / 2
    return float(np.linalg.cond(matrix))
