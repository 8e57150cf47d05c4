"""What the benchmarks of reverse osmosis share: warm times, rows, and their file."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .report import RESULTS, environment, text_table


def warm(call: Callable[[], Any], repeats: int = 7) -> tuple[float, float, Any]:
    """Seconds of the first call, median of warm ones, and the output."""
    begin = time.perf_counter()
    out = jax.block_until_ready(call())
    first, times = time.perf_counter() - begin, []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begin)
    return first, float(np.median(times)), out


def row(problem: str, lanes: int, first: float, run: float, **others: Any) -> dict[str, Any]:
    """One line of the table."""
    given = {"problem": problem, "lanes": lanes, "compile_s": first - run, "us_per_lane": 1e6 * run / lanes}
    return {**given, "lanes_per_s": lanes / run, "rival_us": None, "ratio": None, "ok": None, "error": None, **others}


def measure(
    text: str | None, folder: str, rows: Callable[[bool], Iterable[dict[str, Any]]], argv: list[str] | None
) -> None:
    """Measure, print, write to ``results/folder``: after every row, so that a run that is cut short leaves what it has."""
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    about = environment()
    out = options.out or RESULTS / folder / f"{about['device']}-{about['date']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    for line in rows(options.quick):
        found.append(line)
        out.write_text(json.dumps({"environment": about, "rows": found}, indent=1) + "\n")
    print(text_table(found))
    print(f"written to {out}", file=sys.stderr)
