"""Random cases, seeded: ``r1`` (wide), ``r2`` (ordinary nanofiltration), ``edges`` (one input of ``r2`` pushed outward).

Every sampler returns one batched ``jm.Case``. The ions of a lane are a random subset of eight with at least one cation and
one anion; the others have concentration zero. Within each sign the charge is shared log-uniformly over two decades, and
both signs carry the same charge. All films give k at Na+ and scale it with ``D^(2/3)``.
"""

from collections.abc import Callable, Sequence

import numpy as np

import jaxmem as jm

IONS = ("Na+", "K+", "Li+", "Mg+2", "Ca+2", "Cl-", "SO4-2", "NO3-")
FEW = {2: ("Na+", "Cl-"), 3: ("Na+", "Mg+2", "Cl-"), 4: ("Na+", "Mg+2", "Cl-", "SO4-2")}
EDGES = ("charge", "flux", "radius", "neutral")
SHARES = (1e-2, 1.0)  # of the charge of one sign, before they are normalised

Array = np.ndarray
Random = np.random.Generator


def log_uniform(random: Random, low: float, high: float, shape: int | tuple[int, ...]) -> Array:
    """Uniform in the logarithm between ``low`` and ``high``."""
    return np.exp(random.uniform(np.log(low), np.log(high), shape))


def _present(random: Random, charge: Array, count: Array) -> Array:
    """``count`` ions of each lane, among them at least one cation and one anion; ``(n, S)``."""
    score = random.random((count.size, charge.size))
    lane = np.arange(count.size)
    for sign in (charge > 0.0, charge < 0.0):
        score[lane, np.argmax(np.where(sign, score, -1.0), axis=1)] += 1.0
    rank = np.argsort(np.argsort(-score, axis=1), axis=1)
    return rank < count[:, None]


def _charge_shares(random: Random, charge: Array, present: Array) -> Array:
    """Concentrations of electroneutral mixtures in which each sign carries a charge of one; ``(n, S)``."""
    weight = np.where(present, log_uniform(random, *SHARES, present.shape), 0.0)
    for sign in (charge > 0.0, charge < 0.0):
        weight[:, sign] /= weight[:, sign].sum(axis=1, keepdims=True)
    return weight / np.abs(charge)


def _concentration(random: Random, n: int, which: jm.Species, fixed: bool) -> Array:
    """Electroneutral mixtures of 2 to S ions (of all S when ``fixed``), a charge of one on each side; ``(n, S)``."""
    charge = np.asarray(which.charge)
    size = charge.size
    count = np.full(n, size) if fixed else random.integers(2, size + 1, n)
    return _charge_shares(random, charge, _present(random, charge, count))


def _case(
    which: jm.Species, c: Array, flux: Array, radius: Array, thickness: Array, wall: Array, pore: Array, k: Array
) -> jm.Case:
    membrane = jm.PoreMembrane(radius, thickness, charge_density=wall, pore_permittivity=pore)
    return jm.Case(jm.Mixture(which, c), membrane, jm.FluxDriven(flux, jm.film("D^(2/3)", k, reference="Na+")))


def _wide(n: int, seed: int, ions: Sequence[str], fixed: bool) -> jm.Case:
    """R1 over a list of ions; the "total charge" is that of the cations."""
    random, which = np.random.default_rng(seed), jm.species(*ions)
    charge = log_uniform(random, 1.0, 600.0, n)
    sign = np.where(random.random(n) < 0.5, -1.0, 1.0)
    return _case(
        which,
        charge[:, None] * _concentration(random, n, which, fixed),
        flux=log_uniform(random, 1e-7, 1.5e-4, n),
        radius=log_uniform(random, 0.36e-9, 1e-9, n),
        thickness=log_uniform(random, 0.3e-6, 5e-6, n),
        wall=sign * log_uniform(random, 0.5, 800.0, n),
        pore=random.uniform(32.0, 78.0, n),
        k=log_uniform(random, 5e-6, 2e-4, n),
    )


def r1(n: int, seed: int) -> jm.Case:
    """R1, wide: 2 to 8 ions, charge 1 to 600 mol/m3, J_v 1e-7 to 1.5e-4 m/s, either sign of X."""
    return _wide(n, seed, IONS, fixed=False)


def r1_few(n: int, seed: int, ions: int) -> jm.Case:
    """R1 with exactly 2, 3 or 4 ions, all present, none padded."""
    return _wide(n, seed, FEW[ions], fixed=True)


def _ordinary(
    n: int,
    seed: int,
    change: Callable[[Random, dict[str, Array]], None] | None = None,
    ions: Sequence[str] = IONS,
    fixed: bool = False,
) -> jm.Case:
    """R2, with some inputs replaced."""
    random, which = np.random.default_rng(seed), jm.species(*ions)
    c = _concentration(random, n, which, fixed)
    total = log_uniform(random, 10.0, 2000.0, n)
    given = {
        "flux": log_uniform(random, 1e-6, 4e-5, n),
        "radius": log_uniform(random, 0.38e-9, 0.70e-9, n),
        "thickness": log_uniform(random, 1e-6, 5e-6, n),
        "wall": np.where(random.random(n) < 0.1, 0.0, random.uniform(-200.0, 50.0, n)),
        "pore": random.uniform(38.0, 50.0, n),
        "k": log_uniform(random, 1e-5, 2e-4, n),
    }
    if change is not None:
        change(random, given)
    return _case(which, c * (total / c.sum(axis=1))[:, None], **given)


def r2(n: int, seed: int) -> jm.Case:
    """R2: 2 to 8 ions, 10 to 2000 mol/m3, J_v 1e-6 to 4e-5 m/s, r_p 0.38 to 0.70 nm, X -200 to 50 (a tenth exactly 0)."""
    return _ordinary(n, seed)


def r2_few(n: int, seed: int, ions: int) -> jm.Case:
    """R2 with exactly 2, 3 or 4 ions, all present, none padded."""
    return _ordinary(n, seed, ions=FEW[ions], fixed=True)


def edges(n: int, seed: int, kind: str) -> jm.Case:
    """R2 with one input at the edge: ``"charge"`` (abs X 1000 to 5000, either sign), ``"flux"`` (J_v 4e-5 to 4e-4 m/s),
    ``"radius"`` (r_p 0.352 to 0.38 nm) or ``"neutral"`` (X = 0)."""
    if kind not in EDGES:
        raise ValueError(f"kind must be one of {EDGES}, got {kind!r}")

    def change(random: Random, given: dict[str, Array]) -> None:
        if kind == "charge":
            given["wall"] = np.where(random.random(n) < 0.5, -1.0, 1.0) * log_uniform(random, 1000.0, 5000.0, n)
        elif kind == "flux":
            given["flux"] = log_uniform(random, 4e-5, 4e-4, n)
        elif kind == "radius":
            given["radius"] = log_uniform(random, 0.352e-9, 0.38e-9, n)
        else:
            given["wall"] = np.zeros(n)

    return _ordinary(n, seed, change)
