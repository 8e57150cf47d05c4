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
BLOCK = re.compile(r"(<!-- benchmarks -->).*?(<!-- /benchmarks -->)", re.DOTALL)
CARD_BLOCK = re.compile(r"(<!-- benchmarks-card -->).*?(<!-- /benchmarks-card -->)", re.DOTALL)
EC_BLOCK = re.compile(r"(<!-- benchmarks-ec -->).*?(<!-- /benchmarks-ec -->)", re.DOTALL)
RO_BLOCK = re.compile(r"(<!-- benchmarks-ro -->).*?(<!-- /benchmarks-ro -->)", re.DOTALL)
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

FEM_BLOCK = re.compile(r"(<!-- benchmarks-fem -->).*?(<!-- /benchmarks-fem -->)", re.DOTALL)
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
        head, *lines = ro_cells(data["rows"])
        about = data["environment"]
        blocks += ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines)]
        blocks += ["", f"{about['device']}: {about['cpu']}, {about['cores']} core(s), jax {about['jax']}, {about['date']}; `python -m benchmarks.{command}`."]  # fmt: skip
    return "\n".join(blocks)


def card_markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """Every physics, one table for all devices; ratios are to SciPy on one core of the machine of that row."""
    head = ("device", "problem", "precision", "lanes", "µs each", "per s", "ok", "ratio", "compile s", "note")
    lines = [head, ("---",) * len(head)]
    notes = []
    for data in found:
        about = data["environment"]
        for r in data["rows"]:
            known = lambda name, form, r=r: "-" if r.get(name) is None else format(r[name], form)
            lines.append((about["device"], r["problem"], r["precision"], f"{r['lanes']:,}", f"{r['us_per_lane']:,.2f}", f"{r['lanes_per_s']:,.0f}", known("ok", ".2%"), known("ratio", ",.0f"), known("compile_s", ".1f"), r.get("note") or "-"))  # fmt: skip
        notes.append(
            f"{about['device']}: {about['cpu']}, {about['cores']} core(s), jax {about['jax']}, {about['date']}; `python -m benchmarks`."
        )
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", *notes])


def fem_table(rows: Sequence[Row]) -> list[list[str]]:
    """Head and entries of the finite-element table."""
    return [list(FEM_HEAD), *([form.format(row[key]) for key, form in FEM_FORMS] for row in rows)]


def fem_markdown(found: Sequence[Mapping[str, Any]]) -> str:
    """Finite elements: one table for each device."""
    blocks = []
    for data in found:
        head, *lines = fem_table(data["rows"])
        about = data["environment"]
        blocks += ["| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines)]
        blocks += ["", f"{about['device']}: {about['cpu']}, {about['cores']} core(s), jax {about['jax']}, {about['date']}; `python -m benchmarks.bench_fem`."]  # fmt: skip
    return "\n".join(blocks)


def main() -> None:
    """Rewrite the block of README.md, or print it when there is no such block."""
    found = newest()
    if not found:
        sys.exit("No results yet. Run python -m benchmarks.bench_dspmde first.")
    text = markdown(found)
    readme = README.read_text(encoding="utf-8") if README.exists() else ""
    if not BLOCK.search(readme):
        print(text)
        return
    readme = BLOCK.sub(lambda m: f"{m[1]}\n{text}\n{m[2]}", readme)
    parts = (("layer", "bench_layer"), ("element", "bench_element"))
    osmosis = "\n\n".join(ro_markdown(newest(RESULTS / folder), command) for folder, command in parts)
    readme = RO_BLOCK.sub(lambda m: f"{m[1]}\n{osmosis}\n{m[2]}", readme)
    electric = ro_markdown(newest(RESULTS / "electric"), "bench_electroconvection")
    readme = EC_BLOCK.sub(lambda m: f"{m[1]}\n{electric}\n{m[2]}", readme)
    readme = CARD_BLOCK.sub(lambda m: f"{m[1]}\n{card_markdown(newest(RESULTS / 'card'))}\n{m[2]}", readme)
    elements = fem_markdown(newest(RESULTS / "fem"))
    README.write_text(FEM_BLOCK.sub(lambda m: f"{m[1]}\n{elements}\n{m[2]}", readme), encoding="utf-8")


if __name__ == "__main__":
    main()
