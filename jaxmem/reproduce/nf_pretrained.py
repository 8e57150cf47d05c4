"""The network of ions that comes with the package: random feeds through random pores, solved by DSPM-DE, learnt by an attention neural ODE.

    python -m jaxmem.reproduce.nf_pretrained [--feeds 20000] [--steps 5000] [--store FOLDER] [--out FILE]

Both parts go on where they were interrupted. ``jaxmem/data/ions.jaxmem`` is a copy of what it writes.
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from .. import DSPMDE, AttentionNeuralODE, Study, corpus, pretrain, random_case, save, solve, sweep
from ..progress import bar
from ..surrogate.corpus import Corpus
from ..surrogate.pretrain import paths

FLUXES, HELD = 20, 1000


def generate(store: Path, feeds: int, *, seed: int = 0, console: Any = None) -> Study:
    """``feeds`` ladders of fluxes on disk; call it again after an interruption."""
    notes = {"feeds": feeds, "fluxes": FLUXES, "seed": seed}
    case = random_case(feeds, FLUXES, seed=seed)
    return sweep(DSPMDE(), case, store=store, keep=("passage",), notes=notes, console=console)


def learnable(study: Study) -> Corpus:
    """The corpus of a study that ``generate`` made; its questions are drawn again from the seed in its notes."""
    asked = study.manifest["notes"]
    case = random_case(asked["feeds"], asked["fluxes"], seed=asked["seed"])
    return corpus(case, _Found(jnp.asarray(study["passage"]), jnp.asarray(study.status == 0)))


class _Found(NamedTuple):
    """What ``corpus`` reads of a Result."""

    passage: jax.Array
    ok: jax.Array


def errors(net: AttentionNeuralODE, data: Corpus, size: int = 250) -> dict[str, float]:
    """Of ``c_p/c_feed``, where there is an answer; ``rmse_of_the_mean`` is that of the mean at each flux."""
    gaps: list[np.ndarray] = []
    ask = jax.jit(lambda net, lane, flux: paths(net, lane, flux, rtol=1e-4, atol=1e-6))
    whole = np.asarray(data.passage)
    there = np.asarray(data.lane.present)[:, None] & np.asarray(data.ok)[..., None]
    mean = np.sum(np.where(there, whole, 0.0), axis=(0, 2)) / there.sum(axis=(0, 2))
    for begin in range(0, len(whole), size):
        rows = slice(begin, begin + size)
        lane = jax.tree.map(lambda x, rows=rows: x[rows], data.lane)
        feed = np.where(lane.present, lane.feed, 1.0)[:, None]
        gaps.append((np.asarray(ask(net, lane, data.flux)) / feed - whole[rows])[there[rows]])
    off = np.abs(np.concatenate(gaps))
    unanswered, off = float(np.mean(~np.isfinite(off))), off[np.isfinite(off)]
    return {
        "rmse": float(np.sqrt(np.mean(off**2))), "rmse_of_the_mean": float(np.sqrt(np.mean((whole - mean[:, None])[there] ** 2))),
        "median": float(np.median(off)), "p95": float(np.quantile(off, 0.95)), "unanswered": unanswered,
    }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Generate, learn, judge, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeds", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, default=Path("out/ions.zarr"))
    parser.add_argument("--out", type=Path, default=Path("out/ions.jaxmem"))
    options = parser.parse_args(argv)
    if options.feeds < 100:
        parser.error(f"--feeds {options.feeds} are too few to learn from: give 100 or more")
    console = Console()
    for place in (options.store, options.out):
        place.parent.mkdir(parents=True, exist_ok=True)
    half = options.store.with_name(options.store.name + ".half")
    fresh = not options.store.exists() and not half.exists()
    begin = time.perf_counter()
    study = generate(options.store, options.feeds, seed=options.seed, console=console)
    generated = time.perf_counter() - begin
    console.print(f"{study}\n{generated:.0f} s", highlight=False)
    data, net = learnable(study), AttentionNeuralODE(key=jax.random.key(options.seed), width=64)
    begin, busy = time.perf_counter(), time.process_time()
    with bar(console, options.steps) as progress:
        done = [0]

        def told(step: int, loss: float, check: float) -> None:
            progress.say(f"loss {loss:.4f}, held out {check:.4f}")
            progress.lanes(step - done[0], 0)
            done[0] = step

        found = pretrain(
            net, data, steps=options.steps, batch=options.batch, rate=options.rate, seed=options.seed,
            checkpoint=half, told=told,
        )  # fmt: skip
    learnt, busy = time.perf_counter() - begin, time.process_time() - busy
    unseen = random_case(HELD, FLUXES, seed=options.seed + 1)
    judged = errors(found.net, corpus(unseen, solve(DSPMDE(), unseen, throw=False)))
    notes = {
        "corpus": f"{options.feeds} feeds x {FLUXES} fluxes of jm.random_case(seed={options.seed}), DSPM-DE with activity",
        "made by": f"python -m jaxmem.reproduce.nf_pretrained --feeds {options.feeds} --steps {options.steps} --batch {options.batch} "
        f"--rate {options.rate:g} --seed {options.seed}",
        f"errors of c_p/c_feed in {HELD} feeds never seen": judged,
    }
    if fresh:  # else some of it was done before
        notes["seconds"] = {
            "generate": round(generated, 1),
            "learn": round(learnt, 1),
            "learn, all cores together": round(busy, 1),
        }
    save(found.net, options.out, notes)
    console.print(f"learnt in {learnt:.0f} s; {judged}\nwritten to {options.out}", highlight=False)


if __name__ == "__main__":
    main()
