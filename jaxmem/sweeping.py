"""What ``jaxmem sweep case.toml`` does: bounds as people write them, a design, a study on disk."""

from pathlib import Path
from typing import Any

from ._errors import DataFileError, JaxmemError, unknown
from .casefile import read
from .freetext import free_of
from .sweep.designs import AbstractDesign, Grid, LatinHypercube, Random, Sobol
from .sweep.sweep import sweep

SAMPLES = {"sobol": Sobol, "lhs": LatinHypercube, "random": Random}
_TYPE = (
    "Type: jaxmem sweep case.toml --free 'pore_radius=0.35..0.8 nm, charge_density=-80..20 mol/m3' --store study.zarr"
)


def design_of(name: str, points: str, seed: int) -> AbstractDesign:
    """``"sobol", "1024"`` or ``"grid", "20x30"``."""
    try:
        counts = [int(x) for x in points.lower().split("x")]
    except ValueError as error:
        raise JaxmemError(f"--points {points!r} is no number of points. Type: --points 1024, or --design grid --points 20x30") from error  # fmt: skip
    if name == "grid":
        return Grid(*counts)
    if name not in SAMPLES:
        raise unknown("Design", name, ("grid", *SAMPLES), "Type: --design sobol --points 1024")
    if len(counts) != 1:
        raise JaxmemError(f"--points {points!r} is for a grid. Type: --design grid --points {points}, or --points 1024")
    return SAMPLES[name](counts[0], seed=seed)


def shard_of(text: str | None) -> tuple[int, int] | None:
    """``"0/4"`` is the first of four."""
    if text is None:
        return None
    i, slash, n = text.partition("/")
    if not (slash and i.strip().isdigit() and n.strip().isdigit()):
        raise JaxmemError(f"--shard {text!r} is no part of a whole. Type: --shard 0/4 for the first of four")
    return int(i), int(n)


def report(console: Any, path: Path, free: str, design: str, points: str, seed: int, store: Path, chunk: int, shard: str | None, dry_run: bool) -> bool:  # fmt: skip
    """Sweep and say what is there; whether every lane that was computed has an answer."""
    question = read(path)
    if question.case.batch_shape == () and not free:
        raise JaxmemError(f"{path} is one case, and nothing is free. {_TYPE}")
    if not store.absolute().parent.is_dir():
        raise DataFileError(f"{store}: there is no folder {store.parent}. Type: mkdir -p {store.parent}")
    given: dict[str, Any] = {}
    if free:
        given = {"free": free_of(free, question.case, _TYPE), "design": design_of(design, points, seed)}
    which = shard_of(shard)
    try:
        found = sweep(question.model, question.case, store=store, chunk=chunk, shard=which, dry_run=dry_run,
                      console=None if dry_run else console, notes={"title": question.title}, **given)  # fmt: skip
    except JaxmemError as error:
        raise type(error)(f"{path}: {error}") from error
    console.print(str(found), highlight=False, markup=False, soft_wrap=True)
    return dry_run or bool((found.status <= 0).all())
