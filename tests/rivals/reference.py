"""The reference file as batched cases; entries of one model and ion set share a batch."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from jaxmem.reproduce.nf import NAMES

FILE = Path(__file__).parent.parent / "reference" / "dspm_de.json"


@lru_cache
def reference() -> dict:
    return json.loads(FILE.read_text())


def _inputs(part: Any) -> Iterator[dict]:
    """Every record of inputs in a part of the file."""
    if isinstance(part, dict):
        if isinstance(part.get("ions"), dict):
            yield part
        part = list(part.values())
    for inner in part if isinstance(part, list) else ():
        yield from _inputs(inner)


@lru_cache
def facts() -> dict[str, dict]:
    """Every ion of the file: all batches hold all of them, so that they share their programs."""
    return {name: fact for e in _inputs(reference()) for name, fact in e["ions"].items()}


SMALL = 1e-10  # m: the radius of an ion that a lane does not hold, so that it never fills the pore


def batch(
    entries: list[dict],
    flux: list[float] | None = None,
    feeds: list[dict] | None = None,
    transfer: list[dict] | None = None,
    pressure: bool = False,
):
    """``inputs`` of several entries as one Case over all ions of the file, and their names there."""
    ions = list(facts())

    def per_ion(key: str, default: float = 0.03) -> jnp.ndarray:  # a property may differ between entries
        return jnp.asarray(
            [[e["ions"].get(n, {**facts()[n], "r_s": SMALL}).get(key, default) for n in ions] for e in entries]
        )

    radius = per_ion("r_s")
    which = jm.Species(
        tuple(NAMES.get(n, n) for n in ions), per_ion("z"), per_ion("D"), radius, radius, per_ion("molar_mass")
    )
    feeds = feeds or [e["feed"] for e in entries]

    def column(key: str) -> jnp.ndarray:
        return jnp.asarray([float(e[key]) for e in entries])

    c = jnp.asarray([[f.get(n, 0.0) for n in ions] for f in feeds])
    # the file rounds to eight digits: the last digit of neutrality belongs to the ion that the file adjusted
    charge = (which.charge * c).sum(-1)
    adjusted = jnp.asarray(
        [
            ions.index(e.get("neutrality_adjusted_on", ions[int(np.argmax([abs(f.get(n, 0.0)) for n in ions]))]))
            for e, f in zip(entries, feeds, strict=True)
        ]
    )
    rows = jnp.arange(len(entries))
    c = c.at[rows, adjusted].add(-charge / which.charge[rows, adjusted])
    feed = jm.Mixture(which, c, column("T"), viscosity=column("mu"), permittivity=column("eps_w"))
    bowen = entries[0].get("hindrance") == "bowen"
    wall = jm.PoreMembrane(
        column("r_p"),
        column("dx_eff"),
        column("X"),
        column("eps_p"),
        hindrance=jm.Bowen() if bowen else jm.DechadilokDeen(smooth=False),
    )
    transfer = transfer or [e.get("k") for e in entries]
    film = None
    if transfer[0] is not None:
        film = jm.film("each", jnp.asarray([[k.get(n, 1e-4) for n in ions] for k in transfer]))
    if pressure:
        conditions = jm.PressureDriven(jnp.asarray([e["P_feed_Pa"] - e["P_permeate_Pa"] for e in entries]), film)
    else:
        conditions = jm.FluxDriven(jnp.asarray(flux if flux is not None else [e["J_v"] for e in entries]), film)
    return jm.Case(feed, wall, conditions), ions


def table(rows: list[dict], ions: list[str]) -> np.ndarray:
    """Values per ion, NaN where an entry has none."""
    return np.array([[row.get(n, np.nan) for n in ions] for row in rows])


def worst(ours: np.ndarray, theirs: np.ndarray) -> float:
    ours, theirs = np.broadcast_arrays(np.asarray(ours), theirs)
    if np.isnan(ours[np.isfinite(theirs)]).any():
        return float("nan")  # compares as not below any tolerance
    return float(np.nanmax(np.abs(ours - theirs)))


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest relative difference where the file has a value."""
    scale = np.where(np.isnan(theirs), 1.0, theirs)
    return worst(np.asarray(ours) / scale, np.where(np.isnan(theirs), np.nan, 1.0))
