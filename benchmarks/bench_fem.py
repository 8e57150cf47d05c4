"""``python -m benchmarks.bench_fem [--quick] [--out FILE]``: one large problem of advection and diffusion, assembly and solution apart,
beside scikit-fem with SuperLU in the same process; and the gradient of its integral."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmem import fem

from .report import RESULTS, environment, fem_table
from .rivals import scikit_fem
from .timing import warm

WIND, D = np.array([1.0, 0.5]), 0.05


def channel(nx: int, ny: int, kind: str) -> fem.Mesh:
    """Square boxes, one high."""
    return fem.rectangle(np.linspace(0.0, nx / ny, nx + 1), np.linspace(0.0, 1.0, ny + 1), kind)


def measure(problem: str, mesh: fem.Mesh, degree: int, repeats: int) -> dict[str, Any]:
    """One line of the table."""
    space, wind = fem.Space(mesh, degree), jnp.asarray(WIND[: mesh.dimension])
    ends = {side: fem.Dirichlet(0.0) for side in mesh.topology.facets}

    def ask(d: Any) -> fem.Problem:
        return fem.Problem(space, fem.AdvectionDiffusion(wind, d, source=lambda c, place: jnp.sin(place[0])), ends)

    zero = jnp.zeros(len(space))
    assemble = jax.jit(lambda d: (ask(d).matrix(zero), ask(d).residual(zero)))
    solve = jax.jit(lambda matrix, right: -fem.direct(space).compute(matrix, right, {})[0])
    whole = jax.jit(lambda d: ask(d).solve(linear=True))
    gradient = jax.jit(jax.grad(lambda d: space.integral(ask(d).solve(linear=True))))
    d = jnp.asarray(D)
    begin, assembly, (matrix, right) = warm(lambda: assemble(d), repeats)
    begin_2, solution, u = warm(lambda: solve(matrix, right), repeats)
    _, value, whole_u = warm(lambda: whole(d), repeats)
    _, slope, _ = warm(lambda: gradient(d), repeats)
    theirs = [scikit_fem.solve(mesh, degree, WIND[: mesh.dimension], D) for _ in range(3)]
    places, answer = theirs[0][2:]
    order = lambda x: np.lexsort(np.round(x, 9).T)
    difference = np.abs(np.asarray(whole_u)[order(np.asarray(space.coordinates))] - answer[order(places)]).max()
    rival = [float(np.median([t[i] for t in theirs])) for i in (0, 1)]
    return {
        "problem": problem, "unknowns": len(space), "assembly_ms": 1e3 * assembly, "solve_ms": 1e3 * solution,
        "rival_assembly_ms": 1e3 * rival[0], "rival_solve_ms": 1e3 * rival[1], "ratio": sum(rival) / value,
        "gradient": slope / value, "difference": float(difference / np.abs(answer).max()),
        "residual": float(jnp.abs(ask(d).residual(u)).max()), "compile_s": begin + begin_2 - assembly - solution,
    }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    cut = 10 if options.quick else 1
    sizes = {
        "line, 10,000 elements": (fem.line(0.0, 1.0, 10_000 // cut), 1),
        "line, 300,000 elements": (fem.line(0.0, 1.0, 300_000 // cut), 1),
        "channel 2500 x 40, P1 triangles": (channel(2500 // cut, 40, "triangle"), 1),
        "channel 1000 x 100, P1 triangles": (channel(1000 // cut, 100, "triangle"), 1),
        "channel 2500 x 40, Q1": (channel(2500 // cut, 40, "quadrilateral"), 1),
        "channel 1250 x 20, P2 triangles": (channel(1250 // cut, 20, "triangle"), 2),
        "channel 500 x 50, P2 triangles": (channel(500 // cut, 50, "triangle"), 2),
    }
    about = environment()
    rows = [measure(name, mesh, degree, 5) for name, (mesh, degree) in sizes.items()]
    print(
        "\n".join("  ".join(c.ljust(w) for c, w in zip(line, (34, *[13] * 9), strict=True)) for line in fem_table(rows))
    )
    out = options.out or RESULTS / "fem" / f"{about['device']}-{about['date']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"environment": about, "rows": rows}, indent=1) + "\n")
    print(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
