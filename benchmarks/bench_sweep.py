"""A million DSPM-DE cases to disk: ``python -m benchmarks.bench_sweep [--quick] [--out FILE]``.

Run time after compilation, the store included, by a process that sees one device and by one that sees two (two cores), and what the store costs:
the same chunks solved without being written. Four ions behind a film, ideal: 65,536 membranes at 16 fluxes. Nothing is deleted before the end: where ext4
has just deleted thousands of files, it takes up to a millisecond to make a new one (60 times as long as else), for some minutes. Written is what the
system has taken over; when it lies on the medium is left to it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from jaxmem.sweep.sweep import _answers, _lanes

from .timing import measure, row

CHUNK = 16_384  # the default


def question(lanes: int) -> tuple[Any, jm.Case, jm.Free, jm.Sobol]:
    """A model, a case at 16 fluxes, what varies, and a design of ``lanes`` / 16 membranes."""
    flux = jm.FluxDriven(jnp.linspace(2e-6, 3e-5, 16), jm.film("D^(2/3)", 4e-5))
    case = jm.Case(jm.feed("mix4"), jm.membrane("NF270"), flux)
    free = jm.Free(
        pore_radius=jm.LogInterval(0.42e-9, 0.8e-9),
        charge_density=jm.Interval(-100.0, 50.0),
        pore_permittivity=jm.Interval(30.0, 70.0),
    )
    return jm.DSPMDE(activity="ideal"), case, free, jm.Sobol(lanes // 16)


def timed(lanes: int, store: str) -> dict[str, float]:
    """Seconds until the second chunk is solved, from there to the end, of the same chunks without a store, share solved, bytes.

    The sweep tells of a chunk when it is on disk, and the next one is solved by then: from the first word to the last all chunks but two are solved, all
    but one written.
    """
    model, case, free, design = question(lanes)
    marks = [time.perf_counter()]
    study = jm.sweep(model, case, free=free, design=design, store=store, chunk=CHUNK, told=lambda *_: marks.append(time.perf_counter()))  # fmt: skip
    stored = sum(p.stat().st_size for p in Path(store).rglob("*") if p.is_file())
    ok = float((study.status == 0).mean())
    cases, answers = design.apply(case, free), _answers(model, tuple(study.manifest["keep"]))
    answers(_lanes(cases, np.arange(CHUNK)))  # compiles
    begin = time.perf_counter()
    for at in range(2 * CHUNK, lanes, CHUNK):
        answers(_lanes(cases, at + np.arange(CHUNK)))
    bare = time.perf_counter() - begin
    return {"first": marks[2] - marks[0], "run": marks[-1] - marks[2], "bare": bare, "ok": ok, "bytes": stored}


def rows(quick: bool) -> list[dict[str, Any]]:
    """One device, and two in one process."""
    lanes, found = (1 << 16) if quick else (1 << 20), []
    with tempfile.TemporaryDirectory() as folder:
        for devices in (1, 2):
            flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
            store = str(Path(folder) / f"{devices}.zarr")
            program = (
                f"import json\nfrom benchmarks.bench_sweep import timed\nprint(json.dumps(timed({lanes}, {store!r})))"
            )
            done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True, check=True)  # fmt: skip
            x = json.loads(done.stdout.splitlines()[-1])
            note = f"store {100 * (x['run'] / x['bare'] - 1):.1f} % of the time, {x['bytes'] / lanes:.0f} bytes a lane"
            whole = x["run"] * lanes / (lanes - 2 * CHUNK)
            found.append(
                row(f"sweep to disk, {devices} device(s)", lanes, x["first"] + whole, whole, ok=x["ok"], note=note)
            )
    return found


if __name__ == "__main__":
    measure(__doc__, "sweep", rows, None)
