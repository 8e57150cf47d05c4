"""Numerical experiments for the networks: current-voltage curves with vortices over the similarity criteria, a sweep on disk.

One lane is one set of criteria, drawn by Sobol's sequence; its curve runs downwards, each voltage from the vortices of the one above.
The first voltage grows them and is not looked at.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import qmc

from .. import Electroconvection, Groups, IonExchangeMembrane, NernstPlanckPoisson, Study, plateau, solve, sweep
from ..surrogate.vortices import Curves
from ..surrogate.vortices_result import EXCESS

RANGES = {
    "eps": (2e-3, 1e-2),
    "kappa": (0.25, 0.8),
    "peclet": (0.0, 30.0),
    "diffusivity_ratio": (0.7, 1.4),
    "box": (1.2, 2.0),
}
LOGARITHMIC = ("eps", "kappa", "diffusivity_ratio")
VOLTAGES = (38.0, 35.0, 32.0, 29.0, 27.0, 25.0, 23.0, 21.0, 19.0, 17.0)
RISE = 4.0  # RT/F: overlimiting, from where the current exceeds that at rest by EXCESS
WINDOWS = {"ohmic": (0.5, 1.5), "flat": (8.0, 15.0), "overlimiting": (15.1, 99.0)}
MODEL = Electroconvection(
    32, 64, duration=0.25, longest=2e-4, precision="float32", window=0.3, samples=40, amplitude=0.1
)
MOVES = 1.0  # D/L: slower normal flow is no vortex


def draw(count: int, seed: int = 0, ranges: dict[str, tuple[float, float]] = RANGES) -> dict[str, np.ndarray]:
    """Criteria of so many lanes."""
    unit = qmc.Sobol(len(ranges), seed=seed).random(count)
    found = {}
    for x, (name, (low, high)) in zip(unit.T, ranges.items(), strict=True):
        found[name] = low * (high / low) ** x if name in LOGARITHMIC else low + (high - low) * x
    return found


def generate(
    store: Path, count: int, *, seed: int = 0, chunk: int = 16, ranges: dict[str, tuple[float, float]] = RANGES, model: Any = MODEL, console: Any = None, told: Any = None
) -> Study:  # fmt: skip
    """The sweep; call it again after an interruption."""
    criteria = draw(count, seed, ranges)
    box = criteria.pop("box")
    case = Groups(**criteria).case(
        IonExchangeMembrane(), sweep=np.broadcast_to(VOLTAGES, (count, len(VOLTAGES))), box=box
    )
    notes = {
        "design": "sobol",
        "family": "before a stirred bulk; one cation exchanger, 1:1 salt",
        "debye": "eps = Debye length over L, Poisson coefficient 2 eps^2; scaled by RT/F, F D c0/L, L, L^2/D",
        "seed": seed,
        "ranges": {k: list(v) for k, v in ranges.items()},
        "voltages": list(VOLTAGES),
    }
    notes["criteria"] = {name: x.tolist() for name, x in {**criteria, "box": box}.items()}
    return sweep(model, case, store=store, chunk=chunk, notes=notes, console=console, told=told)


def curves(study: "Study | Packed") -> Curves:
    """Criteria and targets of a study; curves at rest are solved anew, they take milliseconds."""
    criteria = study.manifest["notes"]["criteria"]
    good = study.status == 0
    x = np.stack([np.asarray(criteria[name])[good] for name in RANGES], axis=-1)
    take = lambda name: study[name][good].astype(float)[:, 1:]
    volts, current, interval = (take(n) for n in ("scaled_voltage", "scaled_current.value", "scaled_current.interval"))
    moves = take("normal_speed") > MOVES
    low = np.linspace(0.4, 15.0, 74)
    whole = np.concatenate([low, volts[0][::-1]])
    case = Groups(x[:, 0], x[:, 1], diffusivity_ratio=x[:, 3]).case(
        IonExchangeMembrane(), sweep=np.broadcast_to(whole, (len(x), len(whole)))
    )
    still = np.asarray(solve(NernstPlanckPoisson(), case).scaled_current)
    rest = still[:, len(low) :][:, ::-1]
    onset = np.array([_first(v[::-1], (i / r - 1.0)[::-1]) for v, i, r in zip(volts, current, rest, strict=True)])
    above = np.where(np.isfinite(onset), onset, 20.0)[:, None] + np.linspace(0.0, RISE, 17)
    over = np.stack([np.interp(a, v[::-1], i[::-1]) for a, v, i in zip(above, volts, current, strict=True)])
    v = np.concatenate([np.broadcast_to(low, (len(x), len(low))), above], axis=1)
    parts = plateau(v, np.concatenate([still[:, : len(low)], over], axis=1), **WINDOWS)
    sound = np.asarray(parts.ordered) & np.isfinite(onset) & (above[:, -1] <= volts[:, 0])
    length = np.where(sound, np.asarray(parts.length), np.nan)
    seen = lambda name: np.where(moves, take(name), np.nan)
    d1, d2 = seen("vortex_diameter"), seen("vortex_height")
    return Curves(x, volts, current, interval, rest, d1, d2, onset, length, np.asarray(parts.misfit))


def _first(voltage: np.ndarray, excess: np.ndarray) -> float:
    """Where the excess current, over rising voltages, last crosses ``EXCESS`` on its way up."""
    below = np.flatnonzero(excess < EXCESS)
    if len(below) == 0 or below[-1] == len(voltage) - 1:
        return np.nan
    k = below[-1]
    return float(np.interp(EXCESS, excess[k : k + 2], voltage[k : k + 2]))


# ---------------------------------------------------------------------------------- the experiments that come with the package

SHIPPED = Path(__file__).parent.parent / "data" / "electroconvection.npz"
_KEPT = ("scaled_voltage", "scaled_current.value", "scaled_current.interval", "vortex_diameter", "vortex_height", "normal_speed", "kind")  # fmt: skip


class Packed(NamedTuple):
    """A study in one file: manifest, status and some of its quantities."""

    manifest: dict[str, Any]
    status: np.ndarray
    quantities: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.quantities[name]


def pack(study: Study, path: Path) -> None:
    """What the networks need of a study, in single precision."""
    found = {name: study[name].astype(np.float32) for name in _KEPT}
    np.savez_compressed(path, manifest=json.dumps(study.manifest), status=study.status, **found)


def shipped() -> Packed:
    """512 curves, marched in 24 minutes on one core by ``generate(store, 512)``; on an H200 in 49 s, with the same currents (2e-7 in the median)."""
    with np.load(SHIPPED, allow_pickle=False) as file:
        return Packed(json.loads(str(file["manifest"])), file["status"], {name: file[name] for name in _KEPT})
