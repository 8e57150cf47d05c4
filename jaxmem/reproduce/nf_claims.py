"""The claims of Rehman and Lienhard 2023 (arXiv 2312.02871) on simulated experiments whose answer is known, each with an interval."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import wilcoxon

from ..chemistry.species import pretty
from ..plot.style import COMMON, STYLES, colour, pyplot
from ..progress import Bar, bar
from ..surrogate.rollouts import KINDS, NUMBERS
from ..tables import plain_table
from .nf_arms import (
    FULL,
    GUESS,
    HELD,
    IONS,
    Experiments,
    Plan,
    Trained,
    charge_follows,
    constant,
    experiments,
    measurements,
    train_members,
)

_DRAWS = 10_000
_ENOUGH = 6  # seeds that can carry a p-value


class Effect(NamedTuple):
    """A ratio of mean square errors: geometric mean over seeds, 95 % interval, two-sided p (1 where seeds are too few to tell)."""

    ratio: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f} ({self.low:.2f} to {self.high:.2f})"


def effect(a: np.ndarray, b: np.ndarray, draws: int = _DRAWS) -> Effect:
    """Of errors ``(seeds, feeds)`` of two arms, paired: seeds are drawn again, and feeds within."""
    both = np.isfinite(a).all(0) & np.isfinite(b).all(0)  # a feed that was not solved compares nothing
    a, b, random = a[:, both], b[:, both], np.random.default_rng(0)
    seeds, feeds = a.shape
    s, f = random.integers(0, seeds, (draws, seeds)), random.integers(0, feeds, (draws, 1, feeds))
    drawn = lambda x: np.log(x[s[:, :, None], f].mean(-1)).mean(-1)
    low, high = np.exp(np.quantile(drawn(a) - drawn(b), (0.025, 0.975)))
    each = np.log(a.mean(1)) - np.log(b.mean(1))
    p = float(np.asarray(wilcoxon(each))[1]) if seeds >= _ENOUGH else 1.0
    return Effect(float(np.exp(each.mean())), float(low), float(high), p)


def holm(p: list[float]) -> list[float]:
    """Corrected for several questions, in the order given. Holm 1979, Scand. J. Stat. 6, 65."""
    order, found, most = np.argsort(p), np.ones(len(p)), 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (len(p) - rank) * p[i]))
        found[i] = most
    return found.tolist()


def verdict(e: Effect, claimed_below: bool, seeds: int, p: float | None = None) -> str:
    """What an interval says of a claim. Few seeds decide nothing: of two, a third of the intervals exclude 1 by chance, of ten a tenth."""
    if not all(np.isfinite((e.ratio, e.low, e.high))):
        return "no answer: not a number"
    if e.low <= 1.0 <= e.high:
        return "open: the interval holds 1"
    if p is not None and seeds >= _ENOUGH and p > 0.05:
        return f"open: p {p:.2g}"
    as_claimed = (e.high < 1.0) == claimed_below
    if seeds < _ENOUGH:
        return "points to it" if as_claimed else "points against it"
    return "reproduced" if as_claimed else "refuted"


class Table(NamedTuple):
    """Errors of every network, and of physics, on feeds that nobody has seen."""

    nets: dict[str, Trained]
    physics: dict[str, tuple[int, np.ndarray]]  # numbers fitted, (n_test,)
    plan: Plan

    def arm(self, kind: str, attend: bool = True, hard: bool = True, pretrained: bool = True) -> np.ndarray:
        """``(seeds, n_test)``; of soft arms, each seed with the penalty that held-out feeds prefer."""
        t, found, arm = self.nets[kind], [], (attend, hard, pretrained)
        for seed in range(self.plan.seeds):
            each = enumerate(t.members)
            rows = [i for i, m in each if m.seed == seed and (m.attend, m.hard, m.pretrained) == arm]
            found.append(t.error[min(rows, key=lambda i: t.check[i])])
        return np.stack(found)

    def better_hard(self, kind: str) -> bool:
        """Whether hard charge is the better bias of a pre-trained network with attention, by held-out feeds."""
        t = self.nets[kind]
        mean = lambda hard: np.mean(
            [c for c, m in zip(t.check, t.members, strict=True) if m.attend and m.pretrained and m.hard == hard]
        )
        return bool(mean(True) <= mean(False))


def claims(table: Table) -> list[tuple[str, str, str, str]]:
    """Claim, what the paper says, what came out, verdict."""
    mse, rows, seeds = table.arm, [], table.plan.seeds
    kinds = tuple(KINDS)
    c1 = effect(mse("ODE", pretrained=False), mse("ODE"))
    rows.append(("C1 without pre-training, over with it", "1.4", str(c1), verdict(c1, False, seeds)))
    c2 = effect(mse("ODE"), mse("ODE", hard=False))
    rows.append(("C2 hard charge over soft", "0.80 to 0.90", str(c2), verdict(c2, True, seeds)))
    c3 = [effect(mse(k), mse(k, attend=False)) for k in kinds]
    corrected = holm([e.p for e in c3])
    for kind, e, p in zip(kinds, c3, corrected, strict=True):
        certain = f", p {p:.2g}" if p < 1.0 else ""
        rows.append((f"C3 attention over none, {kind}", "below 1", f"{e}{certain}", verdict(e, True, seeds, p)))
    refitted = np.broadcast_to(table.physics["DSPM-DE, refitted"][1], _shape(table))
    c4 = [effect(mse(k, hard=False, pretrained=False), refitted) for k in kinds]
    worse = sum(e.low > 1.0 for e in c4)
    said = ", ".join(f"{k} {e.ratio:.1f}" for k, e in zip(kinds, c4, strict=True))
    rows.append(
        (
            "C4 raw and soft over DSPM-DE (4 numbers)",
            "above 1, all four",
            said,
            f"{worse} of {len(kinds)} worse",
        )
    )
    for kind in kinds[1:]:
        e = effect(mse("ODE"), mse(kind))
        rows.append((f"C5 ODE over {kind}", "below 1", str(e), verdict(e, True, seeds)))
    ablation = effect(mse("ODE", pretrained=False), mse("ODE", hard=False))  # what both are compared with cancels
    rows.append(
        (
            "C6 pre-training's effect over hard charge's",
            "above 1",
            str(ablation),
            verdict(ablation, False, seeds),
        )
    )
    better = {k: mse(k, hard=table.better_hard(k)) for k in kinds}
    for numbers, error in table.physics.values():
        each = {k: effect(x, np.broadcast_to(error, _shape(table))) for k, x in better.items()}
        said = ", ".join(f"{k} {e.ratio:.1f}" for k, e in each.items())
        ahead, behind = (
            sum(side(e) for e in each.values()) for side in (lambda e: e.high < 1.0, lambda e: e.low > 1.0)
        )
        told = f"{ahead} better, {behind} worse"
        rows.append((f"C7 better bias over DSPM-DE ({numbers} numbers)", "below 1, but for feed-forward", said, told))
    return rows


def _shape(table: Table) -> tuple[int, int]:
    """Seeds and test feeds."""
    return table.plan.seeds, next(iter(table.physics.values()))[1].shape[0]


class Learning:
    """Simulated experiments, physics refitted to them and networks trained on them, on two threads: compiling and small programs keep one core each.

    Starts on entering a ``with``, so that other things can be shown meanwhile; whatever has not begun when the block ends is dropped.
    """

    def __init__(self, plan: Plan, half: Path | None = None) -> None:
        """``half``: a folder for what is trained so far, to go on from after an interruption."""
        self.half = half
        if half is not None:
            half.mkdir(parents=True, exist_ok=True)
        self.plan, self.steps, self._seen, self._done = plan, len(KINDS) * (plan.pretrain + plan.tune), None, 0
        self._lock = Lock()

    def __enter__(self) -> "Learning":
        self._pool = ThreadPoolExecutor(2)
        self.made = self._pool.submit(self._simulated)
        self._nets = {"ODE": self._pool.submit(self._trained, "ODE")}  # the slowest first
        self._physics = {
            "DSPM-DE, refitted": (4, self._pool.submit(self._refitted, constant)),
            "DSPM-DE, charge follows feed": (6, self._pool.submit(self._refitted, charge_follows)),
        }
        self._nets |= {kind: self._pool.submit(self._trained, kind) for kind in KINDS if kind != "ODE"}
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _simulated(self) -> tuple[Any, Any, Experiments]:
        measured, test = measurements(self.plan)
        return measured, test, experiments(self.plan, measured, test, GUESS)

    def _trained(self, kind: str) -> Trained:
        return train_members(kind, self.plan, self.made.result()[2], self._told, self.half)

    def _refitted(self, form: Callable) -> Any:
        return form(self.plan, *self.made.result()[:2])

    def _told(self, steps: int) -> None:
        with self._lock:
            self._done += steps
            if self._seen is not None:
                self._seen.lanes(steps, 0)

    def table(self, progress: Bar) -> Table:
        """All of it, with what is still missing on a bar of ``steps``."""
        with self._lock:
            self._seen = progress
            progress.skip(self._done)
        progress.say("training")
        nets = {kind: made.result() for kind, made in self._nets.items()}
        physics = {name: (numbers, made.result()[1]) for name, (numbers, made) in self._physics.items()}
        return Table(nets, physics, self.plan)


def reproduce_claims(console: Any, out: Path, learning: Learning) -> Table:
    """Prints errors and claims of every arm, draws bars, rollouts and an attention map."""
    plan = learning.plan
    quick = ".\nQuick size: two seeds decide nothing (a third of such intervals exclude 1 by chance); --full runs ten."
    console.print(
        f"\nLearning on simulated experiments with a known answer (charge follows the feed, other hindrance; pre-training knows neither): "
        f"{plan.seeds} seeds, {(plan.measured - HELD) // 2} feeds x {plan.fluxes} fluxes each, {plan.test} unseen feeds"
        f"{'.' if plan == FULL else quick}",
        highlight=False,
    )
    with bar(console, learning.steps) as progress:
        table = learning.table(progress)
    console.print(_errors_table(table))
    shown = plain_table("Claims of Rehman and Lienhard 2023: ratios of test MSE, 95 % intervals over seeds and feeds")
    for heading in ("claim", "paper", "jaxmem", "verdict"):
        shown.add_column(heading)
    rows = claims(table)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    kept = {
        "plan": {**plan._asdict(), "truth": plan.truth.title()},
        "claims": [dict(zip(("claim", "paper", "jaxmem", "verdict"), row, strict=True)) for row in rows],
    }
    (out / "nf_claims.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")
    rollout, attention = draw_rollout(table, learning.made.result()[2], out)
    console.print(f"C8  {attention}\n", highlight=False)
    for path in (draw_bars(table, out), rollout):
        console.print(f"figure  {path}", highlight=False)
    return table


def _errors_table(table: Table) -> Any:
    shown = plain_table(
        f"Test MSE of c_p in equivalents of the feed, x 1e-4; networks of about {NUMBERS:,} numbers, geometric mean over seeds"
    )
    shown.add_column("network", min_width=13)
    for heading in ("pre-trained, hard", "pre-trained, soft", "raw, hard", "raw, soft", "negative c_p %"):
        shown.add_column(heading, justify="right")
    mean = lambda x: f"{1e4 * np.exp(np.log(x.mean(-1)).mean()):.1f}"
    for kind, t in table.nets.items():
        for attend in (True, False):
            arms = (mean(table.arm(kind, attend, h, p)) for p in (True, False) for h in (True, False))
            negative = 100.0 * np.mean([x for x, m in zip(t.negative, t.members, strict=True) if m.attend == attend])
            shown.add_row(f"{kind}{', attention' if attend else ''}", *arms, f"{negative:.2f}")
    for name, (numbers, error) in table.physics.items():
        shown.add_row(f"{name} ({numbers} numbers)", f"{1e4 * error.mean():.1f}", *[""] * 3, "0.00")
    return shown


def draw_bars(table: Table, out: Path) -> Path:
    """Test errors per network with and without attention, and the ablation; DSPM-DE as a line."""
    plt, kinds = pyplot(), tuple(KINDS)
    mean = lambda x: np.exp(np.log(x.mean(-1)).mean())
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, 2, figsize=(12.0, 4.4), layout="constrained", sharey=True)
        at = np.arange(len(kinds))
        for shift, attend, label, shade in (
            (-0.2, True, "attention", "#0072b2"),
            (0.2, False, "no attention", "#56b4e9"),
        ):
            values = [table.arm(k, attend) for k in kinds]
            axes[0].bar(at + shift, [mean(v) for v in values], 0.38, color=shade, label=label)
            for x, v in zip(at + shift, values, strict=True):
                axes[0].plot(np.full(len(v), x), v.mean(-1), "o", ms=3.5, color="0.15")
        arms = (("pre-trained, hard", True, True, "#0072b2"), ("pre-trained, soft", False, True, "#56b4e9"), ("raw, hard", True, False, "#d55e00"), ("raw, soft", False, False, "#e69f00"))  # fmt: skip
        for i, (label, hard, pre, shade) in enumerate(arms):
            values = [table.arm(k, True, hard, pre) for k in kinds]
            axes[1].bar(at + 0.2 * (i - 1.5), [mean(v) for v in values], 0.19, color=shade, label=label)
            for x, v in zip(at + 0.2 * (i - 1.5), values, strict=True):
                axes[1].plot(np.full(len(v), x), v.mean(-1), "o", ms=3, color="0.15")
        for axis, title in zip(axes, ("Pre-trained, hard charge", "With attention"), strict=True):
            for (name, (_, error)), ls in zip(table.physics.items(), ("--", ":"), strict=True):
                axis.axhline(error.mean(), color="0.3", ls=ls, lw=1.2, label=name)
            axis.set(title=title, xticks=at, xticklabels=kinds, yscale="log")
            axis.legend(fontsize=8, ncols=2, loc="upper center")
        axes[0].set_ylim(top=axes[0].get_ylim()[1] * 3.0)  # room for the legends
        axes[0].set_ylabel("Test MSE of $c_p/c_{ref}$ (dots: seeds)")
        path = out / "nf_learning.png"
        figure.savefig(path)
        plt.close(figure)
    return path


def draw_rollout(table: Table, data: Experiments, out: Path) -> tuple[Path, str]:
    """The unseen feed with the most negative rejection: truth and the ODE with its band over seeds; and its attention."""
    plt, t, test = pyplot(), table.nets["ODE"], data.test
    rows = [i for i, m in enumerate(t.members) if m.attend and m.hard and m.pretrained]
    weights, rest = eqx.partition(t.net, eqx.is_inexact_array)
    passage = np.asarray(test.passage)
    major = np.asarray(test.slots.feed)[:, None] > 0.05
    feed = int(np.argmax(np.max(np.where(major, passage, 0.0), axis=(1, 2))))
    x = jax.tree.map(lambda a: a[feed], test.slots)
    said, maps, one = [], [], jnp.ones((), jnp.float32)
    for i in rows:
        net = eqx.combine(jax.tree.map(lambda w, i=i: w[i], weights), rest)
        h = np.asarray(net(x, data.flux, one, one), np.float64)
        said.append(100.0 * (1.0 - h / np.where(np.asarray(x.feed) > 0.0, np.asarray(x.feed), np.nan)))
        maps.append(np.asarray(net.tokens(jnp.asarray(h[-1], jnp.float32), x.present, one)[1]))
    said, weight = np.stack(said), np.mean(maps, axis=0)
    truth, flux = 100.0 * (1.0 - passage[feed]), 216.0 * np.asarray(data.flux)
    there = np.flatnonzero(np.asarray(x.feed) > 0.05)
    with plt.rc_context({**COMMON, **STYLES["screen"], "font.size": 10}):
        figure, axes = plt.subplots(1, 2, figsize=(12.0, 4.6), layout="constrained", width_ratios=(1.5, 1.0))
        for i in there:
            shade = colour(IONS[i], i)
            axes[0].plot(flux, truth[:, i], "o", ms=4.5, color=shade, label=pretty(IONS[i]))
            axes[0].plot(flux, said[:, :, i].mean(0), color=shade, lw=1.7)
            axes[0].fill_between(flux, said[:, :, i].min(0), said[:, :, i].max(0), color=shade, alpha=0.2, lw=0)
        axes[0].set(
            xlabel="Volume flux $J_v$ (L m$^{-2}$ h$^{-1}$)", ylabel="Real rejection (%)", title="An unseen feed"
        )
        axes[0].set_ylim(max(-200.0, truth[:, there].min() - 30.0), 130.0)
        axes[0].legend(fontsize=9, title="points truth, lines ODE, band over seeds", title_fontsize=8)
        present = np.flatnonzero(np.asarray(x.present))
        names = [pretty(IONS[i]) for i in present]
        drawn = axes[1].imshow(weight[np.ix_(present, present)], cmap="viridis")
        axes[1].grid(visible=False)
        axes[1].set(xticks=range(len(names)), yticks=range(len(names)), xticklabels=names, yticklabels=names)
        axes[1].set(title="Attention at the largest flux", xlabel="heard", ylabel="asking")
        figure.colorbar(drawn, ax=axes[1])
        path = out / "nf_rollout.png"
        figure.savefig(path)
        plt.close(figure)
    shown = weight[np.ix_(present, present)]
    lowest = IONS[there[int(np.argmin(truth[:, there].min(0)))]]
    told = (
        f"in the unseen feed where {pretty(lowest)} is rejected by {truth[:, there].min():.0f} %, ions attend to one another with weights of {shown.min():.2f} to "
        f"{shown.max():.2f} (mean of seeds); all alike would be {1.0 / len(present):.2f}"
    )
    return path, told
