"""Batches of one shape, ``N`` lanes of ``S`` species: every lane may hold other ions, so many tests share one program."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from jaxmem.chemistry.species import canonical, records

S, N = 4, 32
IDEAL = jm.DSPMDE(activity="ideal")
DEFAULT = {"J": 1e-5, "rp": 0.5e-9, "dx": 1.33e-6, "X": -27.0, "eps": 41.3, "k": 3e-5}


def ion(name: str, c: float, **changes: float) -> dict[str, Any]:
    """One species of a lane: the table's numbers, some of them replaced (``z``, ``D``, ``r``, ``k``)."""
    record = records()[canonical(name)]
    own = {"z": record["charge"], "D": record["diffusivity"], "r": record["stokes_radius"], "M": record["molar_mass"]}
    return {**own, "c": c, **changes}


def lane(*ions: dict[str, Any], **numbers: float) -> dict[str, Any]:
    """One lane: its ions and its membrane and conditions."""
    return {"ions": list(ions), **DEFAULT, **numbers}


def nacl(c: float = 20.0, **changes: float) -> tuple[dict[str, Any], ...]:
    return ion("Na+", c, **changes), ion("Cl-", c, **changes)


def batch(lanes: list[dict[str, Any]], film: bool = False, pressure: Any = None, fill: str = "K+") -> jm.Case:
    """One Case of N lanes and S species. Missing species are ``fill`` at concentration zero; the last lane is repeated."""
    assert len(lanes) <= N
    lanes = lanes + [lanes[-1]] * (N - len(lanes))
    ions = [[*one["ions"], *[ion(fill, 0.0)] * (S - len(one["ions"]))] for one in lanes]

    def per_ion(key: str, default: float = 0.0) -> jnp.ndarray:
        return jnp.asarray([[float(i.get(key, default)) for i in row] for row in ions])

    def column(key: str) -> jnp.ndarray:
        return jnp.asarray([float(one[key]) for one in lanes])

    radius = per_ion("r")
    which = jm.Species(tuple(f"ion {i}" for i in range(S)), per_ion("z"), per_ion("D"), radius, radius, per_ion("M"))
    transfer = None
    if film:
        transfer = jm.film(
            "each", jnp.asarray([[i.get("k", one["k"]) for i in row] for one, row in zip(lanes, ions, strict=True)])
        )
    wall = jm.PoreMembrane(column("rp"), column("dx"), column("X"), column("eps"))
    conditions = jm.FluxDriven(column("J"), transfer) if pressure is None else jm.PressureDriven(pressure, transfer)
    return jm.Case(jm.Mixture(which, per_ion("c")), wall, conditions)


def rejection(lanes: list[dict[str, Any]], film: bool = False, fill: str = "K+") -> np.ndarray:
    """Observed rejections of the given lanes, ``(len(lanes), S)``."""
    return np.asarray(jm.solve(IDEAL, batch(lanes, film, fill=fill)).observed_rejection)[: len(lanes)]
