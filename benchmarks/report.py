"""``python -m benchmarks.report``: the newest results of each device as the table of the README; also the plain table."""

import json
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

import jaxmem as jm

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent.parent / "README.md"
MOST_ROWS = 14
COLUMNS = (
    ("problem", "{:s}"), ("solver", "{:s}"), ("precision", "{:s}"), ("batch", "{:d}"), ("gradient", "{:s}"),
    ("compile_s", "{:.1f}"), ("run_s", "{:.2e}"), ("us_per_solve", "{:.1f}"), ("solves_per_s", "{:.0f}"), ("ok", "{:.5f}"),
    ("error_median", "{:.1e}"), ("error_p95", "{:.1e}"), ("steps_mean", "{:.1f}"), ("steps_max", "{:d}"),
    ("peak_mb", "{:.0f}"), ("ratio", "{:.2f}"), ("note", "{:s}"),
)  # fmt: skip

RO_FORMS = (
    ("problem", "{:s}"), ("lanes", "{:,d}"), ("us_per_lane", "{:,.1f}"), ("lanes_per_s", "{:,.0f}"), ("rival_us", "{:,.0f}"),
    ("ratio", "{:,.1f}"), ("ok", "{:.2%}"), ("error", "{:.0e}"), ("compile_s", "{:.1f}"), ("note", "{:s}"),
)  # fmt: skip
RO_COLUMNS = tuple(zip(("problem", "lanes", "µs each", "per s", "SciPy µs", "ratio", "ok", "difference", "compile s", "note"), RO_FORMS, strict=True))  # fmt: skip
RO_WIDTHS = (44, 8, 10, 10, 10, 8, 8, 11, 10, 24)

FEM_FORMS = (
    ("problem", "{:s}"), ("unknowns", "{:,d}"), ("assembly_ms", "{:,.1f}"), ("solve_ms", "{:,.1f}"), ("rival_assembly_ms", "{:,.0f}"),
    ("rival_solve_ms", "{:,.0f}"), ("ratio", "{:.1f}"), ("gradient", "{:.1f}"), ("difference", "{:.0e}"), ("compile_s", "{:.1f}"),
)  # fmt: skip
FEM_HEAD = ("problem", "unknowns", "assembly ms", "solve ms", "scikit-fem ms", "SuperLU ms", "ratio", "gradient/value", "difference", "compile s")  # fmt: skip

Row = Mapping[str, Any]


def environment() -> dict[str, Any]:
    """Machine and versions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.processor())
    device = jax.devices()[0]
    return {
        "device": "cpu" if device.platform == "cpu" else re.sub(r"\W+", "-", device.device_kind.lower()),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "jaxmem": jm.__version__,
        **{name: version(name) for name in ("jax", "jaxlib", "numpy", "scipy")},
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def cells(row: Row, columns: Sequence[tuple[str, str]]) -> list[str]:
    """The entries of one row as text; a dash where there is none."""
    return ["-" if row[name] is None else form.format(row[name]) for name, form in columns]


def table(rows: Sequence[Row]) -> str:
    """Aligned text, one line per row."""
    lines = [[name for name, _ in COLUMNS], *(cells(row, COLUMNS) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def text_table(rows: Sequence[Row]) -> str:
    """Aligned text of the rows of ``bench_layer`` and ``bench_element``."""
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, RO_WIDTHS, strict=True)).rstrip() for line in ro_cells(rows)
    )


def ro_cells(rows: Sequence[Row]) -> list[list[str]]:
    """Head and entries of the reverse-osmosis table."""
    lines = [[name for name, _ in RO_COLUMNS]]
    for row in rows:
        lines.append([form.format(row[key]) if row.get(key) is not None else "-" for key, form in RO_FORMS])
    return lines


# -------------------------------------------------------------------------------------------------- README


def newest(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The latest file of each device, CPU first."""
    latest: dict[str, dict[str, Any]] = {}
    for path in folder.glob("*.json"):
        data = json.loads(path.read_text(encoding="utf-8"))
        about = data["environment"]
        if about["device"] not in latest or about["date"] > latest[about["device"]]["environment"]["date"]:
            latest[about["device"]] = data
    return sorted(latest.values(), key=lambda d: (d["environment"]["device"] != "cpu", d["environment"]["device"]))


def chosen(rows: Sequence[Row]) -> list[Row]:
    """The rows worth a reader's time: the largest batch, its gradient, single precision, few ions, rivals; failures too."""
    ours = [r for r in rows if r["solver"] == "jaxmem"]
    main = [r for r in ours if r["problem"] == ours[0]["problem"] and r["precision"] == "float64"] if ours else []
    largest = max((r["batch"] for r in main), default=0)
    picked = [r for r in main if r["batch"] == largest or (r["batch"] == 1 and r["gradient"] == "no")]
    picked += [r for r in ours if r["precision"] == "float32"]
    picked += [r for r in ours if re.search(r"davies|R2: \d ions", r["problem"])]
    picked += [r for r in rows if r["solver"] != "jaxmem"]
    picked += [r for r in ours if r["us_per_solve"] is None and r not in picked]
    return picked


def line(device: str, row: Row) -> str:
    """One line of the markdown table."""
    name = row["problem"] if row["solver"] == "jaxmem" else f"{row['problem']}, **{row['solver']}**"
    name += ", float32" if row["precision"] == "float32" else ""
    name += ", with gradient" if row["gradient"] == "yes" else ""
    forms = (("batch", "{:,d}"), ("us_per_solve", "{:,.1f}"), ("solves_per_s", "{:,.0f}"), ("ok", "{:.3%}"))
    entries = cells(row, (*forms, ("error_median", "{:.0e}"), ("error_p95", "{:.0e}")))
    if row["us_per_solve"] is None:
        entries[1] = f"failed: {row['note']}"
    return "| " + " | ".join([device, name, *entries]) + " |"


def markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """Compact table of all devices, a dozen rows, with what it was measured on."""
    share = max(MOST_ROWS // max(len(found), 1), 1)
    lines = [
        "| device | problem | batch | µs per solve | solves/s | ok | error, median | error, p95 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for data in found:
        about = data["environment"]
        lines += [line(about["device"], row) for row in chosen(data["rows"])[:share]]
        cores = f"{about['cores']} core{'s' if about['cores'] > 1 else ''}"
        versions = ", ".join(f"{name} {about[name]}" for name in ("jax", "numpy", "scipy", "python"))
        notes.append(f"{about['device']}: {about['cpu']}, {cores}, {versions}, {about['date']}.")
    notes.append(
        "Errors are absolute, in observed rejection, the worst ion of each case. `python -m benchmarks` runs it again."
    )
    return "\n".join([*lines, "", *notes])


def ro_markdown(found: Sequence[Mapping[str, Any]], command: str) -> str:
    """Layers or elements: one table for each device."""
    blocks = []
    for data in found:
        blocks += [grid(ro_cells(data["rows"])), "", _measured_on(data, f"benchmarks.{command}")]
    return "\n".join(blocks)


def grid(lines: Sequence[Sequence[str]]) -> str:
    """Head and entries as markdown."""
    head, *rest = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rest))


def _measured_on(data: Mapping[str, Any], module: str) -> str:
    about = data["environment"]
    return f"{about['device']}: {about['cpu']}, {about['cores']} core(s), jax {about['jax']}, {about['date']}; `python -m {module}`."


def training_markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """One training step of the attention ODE in several libraries."""
    blocks = []
    for data in found:
        lines = [("training step, 17,552 numbers", "ms", "times ours", "gradient differs by")]
        lines += [(r["solver"], f"{r['ms']:,.1f}", f"{r['ratio']:.1f}", f"{r['gradient_difference']:.0e}") for r in data["rows"]]  # fmt: skip
        blocks += [grid(lines), "", _measured_on(data, "benchmarks.bench_training")]
    return "\n".join(blocks)


def design_markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """How often each search asked for the same optimum: batches of values and gradients, or single values."""
    blocks = []
    for data in found:
        by_problem: dict[str, dict[str, Row]] = {}
        for r in data["rows"]:
            by_problem.setdefault(r["problem"], {})[r["search"]] = r
        rivals = ("COBYLA", "differential evolution")
        lines = [("best design", "jm.optimise asks", "KKT residual", *(f"{name} asks" for name in rivals))]
        for problem, each in by_problem.items():
            ours = each["jm.optimise"]
            theirs = (f"{r['asked']:,} ({r['ratio']:.1f} x)" if (r := each[name])["asked"] else f"over {data['most']:,}" for name in rivals)  # fmt: skip
            lines.append((problem, str(ours["asked"]), f"{ours['kkt']:.0e}", *theirs))
        blocks += [grid(lines), "", _measured_on(data, "benchmarks.bench_design")]
    return "\n".join(blocks)


def card_markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """Every physics, one table for all devices; ratios are to SciPy on one core of the machine of that row."""
    head = ("device", "problem", "precision", "lanes", "µs each", "per s", "ok", "ratio", "compile s", "note")
    lines: list[Sequence[str]] = [head]
    notes = []
    for data in found:
        about = data["environment"]
        for r in data["rows"]:
            known = lambda name, form, r=r: "-" if r.get(name) is None else format(r[name], form)
            lines.append((about["device"], r["problem"], r["precision"], f"{r['lanes']:,}", f"{r['us_per_lane']:,.2f}", f"{r['lanes_per_s']:,.0f}", known("ok", ".2%"), known("ratio", ",.0f"), known("compile_s", ".1f"), r.get("note") or "-"))  # fmt: skip
        notes.append(_measured_on(data, "benchmarks"))
    return "\n".join([grid(lines), "", *notes])


def fem_table(rows: Sequence[Row]) -> list[list[str]]:
    """Head and entries of the finite-element table."""
    return [list(FEM_HEAD), *([form.format(row[key]) for key, form in FEM_FORMS] for row in rows)]


def fem_markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """Finite elements: one table for each device."""
    blocks = []
    for data in found:
        blocks += [grid(fem_table(data["rows"])), "", _measured_on(data, "benchmarks.bench_fem")]
    return "\n".join(blocks)


def blocks() -> dict[str, str]:
    """What stands between the marks of each name in README.md."""
    of = lambda kind: newest(RESULTS / kind)
    tables = lambda *parts: "\n\n".join(ro_markdown(of(folder), command) for folder, command in parts)
    return {
        "benchmarks": markdown(newest()),
        "benchmarks-ro": tables(("layer", "bench_layer"), ("element", "bench_element")),
        "benchmarks-ec": tables(("electric", "bench_electroconvection")),
        "benchmarks-card": card_markdown(of("card")),
        "benchmarks-fem": fem_markdown(of("fem")),
        "benchmarks-use": "\n\n".join([tables(("fit", "bench_fit"), ("sweep", "bench_sweep")), design_markdown(of("design")), training_markdown(of("training"))]),
    }  # fmt: skip


def main() -> None:
    """Rewrite the tables of README.md."""
    if not newest():
        sys.exit("No results yet. Run python -m benchmarks.bench_dspmde first.")
    readme = README.read_text(encoding="utf-8")
    for name, text in blocks().items():
        mark = re.compile(rf"(<!-- {name} -->).*?(<!-- /{name} -->)", re.DOTALL)
        if not mark.search(readme):
            sys.exit(f"README.md has no <!-- {name} --> and <!-- /{name} -->. Nothing was written.")
        readme = mark.sub(lambda m, text=text: f"{m[1]}\n{text}\n{m[2]}", readme)
    README.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
