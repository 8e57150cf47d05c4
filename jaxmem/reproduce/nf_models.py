"""Models fitted to one part of measured rejections and judged on the rest: physics, physics that follows the feed, and a network."""

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .. import (
    DSPMDE,
    SDEM,
    AbsoluteRejection,
    DonnanShift,
    Free,
    Interval,
    LogInterval,
    MultivalentCharge,
    PermeanceMembrane,
    fit,
    membrane,
)
from ..data.rejection import Dataset
from ..plot.style import COMMON, STYLES, pyplot
from ..progress import bar
from ..surrogate.attention import descriptors
from ..surrogate.ensemble import train_networks
from ..surrogate.neural_ode import FLUX
from ..surrogate.splits import Split, held_out
from ..tables import plain_table

SPLITS = {"S1": "2nd and 5th flux", "S2": "top two fluxes", "S3": "one feed"}
NOISE = AbsoluteRejection(0.05, own=False)  # readings of a figure are sharper than the experiment
STARTS = 6
MEMBERS = 5
NETWORK, MEAN = "network 2 x 64", "mean of the training points"


class Candidate(NamedTuple):
    """A model with what is free in it. The forms were fixed before any of the scores below was computed."""

    name: str
    model: Any
    membrane: Any
    free: Free


class Row(NamedTuple):
    """One model: how many numbers, error in sample, on each split, and what it said of the points of each split."""

    free: int
    sample: float
    error: dict[str, float]
    spread: dict[str, float]  # over seeds
    said: dict[str, np.ndarray]  # (N, S), NaN where not held out


def candidates(species: tuple[str, ...]) -> list[Candidate]:
    """DSPM-DE and SDEM, each with constant numbers and with a charge, or a potential, that follows the feed."""
    pore = {
        "pore_radius": LogInterval(0.36e-9, 0.9e-9), "thickness_over_porosity": LogInterval(1e-7, 1e-4),
        "charge_density": Interval(-500.0, 500.0), "pore_permittivity": Interval(20.0, 78.0),
    }  # fmt: skip
    bound = membrane("NF270", charge=MultivalentCharge(0.0, 0.0))
    follows = {name: Interval(-1000.0, 1000.0) for name in ("cation", "anion")}
    each, permeance = dict.fromkeys(species, 1e-5), LogInterval(1e-9, 1e-2)
    shift = {name: Interval(-5.0, 5.0) for name in ("cation", "anion")}
    shifted = PermeanceMembrane.of(each, law=DonnanShift(0.0, 0.0))
    return [
        Candidate("DSPM-DE", DSPMDE(), membrane("NF270"), Free(**pore)),
        Candidate("DSPM-DE, charge follows feed", DSPMDE(), bound, Free(**pore, **follows)),
        Candidate("SDEM", SDEM(), PermeanceMembrane.of(each), Free(permeance=permeance)),
        Candidate("SDEM, Donnan shift", SDEM(), shifted, Free(permeance=permeance, **shift)),
    ]


def _rmse(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))


def models_by_split(console: Any, points: Dataset, out: Path) -> dict[str, Row]:
    """A table of root mean square errors in rejection, and a parity plot; of "one feed" the root mean square over the feeds."""
    flux, seen = np.asarray(points.case.conditions.volume_flux), np.asarray(points.rejection)
    folds = {name: held_out(name, points.feed_group, flux) for name in SPLITS}
    models, rows, last = candidates(points.case.feed.species.names), {}, None
    with bar(console, (len(models) + 2) * (1 + sum(map(len, folds.values())))) as progress:

        def tried(name: str, free: int, predict: Any) -> Row:
            """``predict(kept) -> (members, N, S)`` from the kept points, on every fold."""
            there, error, spread, said = np.isfinite(seen), {}, {}, {}

            def step(kept: np.ndarray, what: str) -> np.ndarray:
                progress.say(f"{name}: {what}")
                found = predict(kept)
                progress.step()
                return found

            everything = step(np.ones(len(flux), bool), "all points").mean(0)
            for split, tests in folds.items():
                said[split] = np.full(seen.shape, np.nan)
                each = []
                for test in tests:
                    found, on = step(~test, SPLITS[split]), there & test[:, None]
                    said[split][test] = found.mean(0)[test]
                    each.append([_rmse((x - seen)[on]) for x in found])
                by_member = np.sqrt(np.mean(np.square(each), axis=0))
                error[split], spread[split] = float(by_member.mean()), float(by_member.std())
            return Row(free, _rmse((everything - seen)[there]), error, spread, said)

        rows[MEAN] = tried(MEAN, 1, lambda kept: np.full((1, *seen.shape), np.nanmean(seen[kept])))
        x = _inputs(points)
        rows[NETWORK] = tried(NETWORK, (x.shape[-1] + 1) * 64 + 65 * 65, lambda kept: _network(x, seen, kept))
        for one in models:

            def fitted(kept: np.ndarray, one: Candidate = one) -> np.ndarray:
                nonlocal last
                found = fit(one.model, points.on(one.membrane).only(kept), one.free, noise=NOISE, starts=STARTS)
                last = found if kept.all() else last
                return np.asarray(found.result.real_rejection)[None]

            count = len(one.free.labels(points.on(one.membrane).case))
            rows[one.name] = tried(one.name, count, fitted)
    table = plain_table("Fitted to one part, judged on the rest: RMSE in real rejection")
    for heading in ("model", "free", "in sample", *SPLITS.values()):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name, row in rows.items():
        cells = (f"{row.error[s]:.3f}" + (f" ± {row.spread[s]:.3f}" if name == NETWORK else "") for s in SPLITS)
        table.add_row(name, f"{row.free:,}", f"{row.sample:.3f}", *cells)
    console.print(table)
    feeds = len(set(points.feed_group))
    console.print(
        f"{feeds} feeds: the unit of replication is the feed, not the point. Network: {MEMBERS} seeds.", highlight=False
    )
    console.print(str(last), highlight=False)
    console.print(f"figure  {draw_parity(rows, seen, out)}", highlight=False)
    return rows


def _inputs(points: Dataset) -> np.ndarray:
    """``(N, S, k)``: what the ion is and which, the feed in equivalents, its strength, and the flux."""
    feed, s = points.case.feed, len(points.case.feed.species)
    n = points.rejection.shape[0]
    share, strength = np.asarray(feed.equivalent_fraction), np.log(np.asarray(feed.ionic_strength))
    flux = np.broadcast_to(np.asarray(points.case.conditions.volume_flux) / FLUX, (n,))
    parts = (
        np.asarray(descriptors(feed)), np.eye(s), np.broadcast_to(share, (n, s))[:, None], np.broadcast_to(strength, (n,))[:, None, None],
        flux[:, None, None],
    )  # fmt: skip
    return np.concatenate([np.broadcast_to(x, (n, s, x.shape[-1])) for x in parts], axis=-1)


def _network(x: np.ndarray, seen: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """``(members, N, S)`` of networks that saw the kept points; a seventh of them decides when to stop."""
    there = np.isfinite(seen) & kept[:, None]
    group = np.broadcast_to(np.arange(len(x))[:, None], seen.shape)
    stopping = np.random.default_rng(0).choice(np.flatnonzero(kept), max(int(kept.sum()) // 7, 2), replace=False)
    stop = np.isin(group, stopping)
    use = there.reshape(-1)
    flat, y, groups, late = (
        x.reshape(-1, x.shape[-1])[use],
        seen.reshape(-1)[use],
        group.reshape(-1)[use],
        stop.reshape(-1)[use],
    )
    split = Split(~late, late, late, late)
    nets = train_networks(flat, y, groups, split, members=MEMBERS, width=64, depth=2, steps=1500, batch=64)
    return np.asarray(nets.each(jnp.asarray(x)))


def draw_parity(rows: dict[str, Row], seen: np.ndarray, out: Path) -> Path:
    """Predicted against measured rejection of held-out points, a panel for each split; dashed lines are 10 % away."""
    shown = {"DSPM-DE": ("#999999", "s"), NETWORK: ("#d55e00", "^"), "SDEM, Donnan shift": ("#0072b2", "o")}
    plt = pyplot()
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, len(SPLITS), figsize=(13.0, 4.6), layout="constrained", sharey=True)
        low = 100.0 * min(np.nanmin(seen), -0.2) - 10.0
        for axis, (split, title) in zip(axes, SPLITS.items(), strict=True):
            axis.plot([low, 105], [low, 105], color="0.3", lw=1.0)
            for shift in (-10, 10):
                axis.plot([low, 105], [low + shift, 105 + shift], color="0.6", lw=0.8, ls="--")
            for name, (shade, marker) in shown.items():
                said = 100.0 * np.where(np.isfinite(seen), rows[name].said[split], np.nan)
                axis.plot(
                    100.0 * seen.reshape(-1), said.reshape(-1), marker, ms=4.5, color=shade, alpha=0.75, label=name
                )
            axis.set(title=f"Held out: {title}", xlabel="Measured real rejection (%)", xlim=(low, 105), ylim=(low, 105))
        axes[0].set_ylabel("Predicted (%)")
        axes[0].legend(loc="upper left", fontsize=9)
        path = out / "nf_parity.png"
        figure.savefig(path)
        plt.close(figure)
    return path
