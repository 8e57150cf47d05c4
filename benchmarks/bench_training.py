"""One training step of the flux ODE (forward, backward, Adam) against torchdiffeq and torchode: the same weights, loss and gradients, in one process.

Needs the rivals: ``pip install torch torchdiffeq torchode``. ``python -m benchmarks.bench_training`` prints the table and writes JSON.
"""

import argparse
import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxmem.surrogate.rollouts import FluxODE, Slots, network
from jaxmem.tables import plain_table

from .report import environment

IONS, FLUXES, BATCH = 8, 20, 32
IN_A_ROW = 5  # steps of one solver before the next has its turn: who comes behind another finds none of its memory in the cache


def problem(seed: int = 0) -> tuple[FluxODE, Slots, jax.Array, jax.Array]:
    """The network of the paper's size, random feeds, a ladder of fluxes, and targets."""
    net = network("ODE", IONS, jax.random.key(seed))
    random = np.random.default_rng(seed)
    z = np.array([1, 1, 1, 2, 2, -1, -2, -1], np.float32)
    feed = random.uniform(0.05, 0.3, (BATCH, IONS)).astype(np.float32)
    plus, minus = (np.sum(np.abs(z) * feed * side, axis=1, keepdims=True) for side in (z > 0, z < 0))
    feed = np.where(z < 0, feed * plus / minus, feed)
    x = Slots(
        jnp.asarray(feed),
        jnp.broadcast_to(jnp.asarray(z), feed.shape),
        jnp.ones(feed.shape, bool),
        jnp.zeros(BATCH, jnp.float32),
    )
    flux = jnp.linspace(0.05, 1.0, FLUXES, dtype=jnp.float32)
    target = x.feed[:, None] * jnp.exp(
        -flux[:, None] * jnp.asarray(random.uniform(0.2, 3.0, (BATCH, 1, IONS)).astype(np.float32))
    )
    return net, x, flux, target


def rollout(net: FluxODE, x: Slots, flux: jax.Array, rtol: float, adjoint: Any, stacked: bool) -> jax.Array:
    """``(B, k, S)`` by Tsitouras 5(4): one ODE of all feeds, or one for each."""
    one = np.ones((), np.float32)

    def all_at_once(j: jax.Array, h: jax.Array, args: Any) -> jax.Array:
        net, x = args
        return jax.vmap(lambda h, x: net.slope(h, j, x, one, one))(h, x)

    def alone(j: jax.Array, h: jax.Array, args: Any) -> jax.Array:
        net, x = args
        return net.slope(h, j, x, one, one)

    def solve(x: Slots, slope: Any) -> jax.Array:
        control = diffrax.PIDController(rtol=rtol, atol=rtol)
        done = diffrax.diffeqsolve(
            diffrax.ODETerm(slope), diffrax.Tsit5(), jnp.zeros((), jnp.float32), flux[-1], jnp.asarray(0.05, jnp.float32), x.feed, (net, x),
            saveat=diffrax.SaveAt(ts=flux), stepsize_controller=control, max_steps=128, adjoint=adjoint,
        )  # fmt: skip
        assert done.ys is not None
        return done.ys

    return jnp.moveaxis(solve(x, all_at_once), 0, 1) if stacked else jax.vmap(lambda x: solve(x, alone))(x)


def ours(rtol: float, adjoint: Any, stacked: bool = True) -> Any:
    """``step() -> (loss, gradients)`` after one Adam step, and what the first step gave."""
    net, x, flux, target = problem()
    weights, rest = eqx.partition(net, eqx.is_inexact_array)
    adam = optax.adam(1e-3)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(weights: Any, moments: Any) -> tuple:
        loss = lambda w: jnp.mean((rollout(eqx.combine(w, rest), x, flux, rtol, adjoint, stacked) - target) ** 2)
        value, slope = jax.value_and_grad(loss)(weights)
        update, moments = adam.update(slope, moments)
        return eqx.apply_updates(weights, update), moments, value, slope

    state = [weights, adam.init(weights)]
    begin = time.perf_counter()
    first = jax.block_until_ready(step(*state))
    compile_time = time.perf_counter() - begin
    state[:] = first[:2]

    def once() -> None:
        state[0], state[1], value, _ = step(*state)
        value.block_until_ready()

    return once, float(first[2]), first[3], compile_time


def torch_net(net: FluxODE) -> Any:
    """The same network in PyTorch, with the same weights."""
    import torch

    array = lambda a: torch.nn.Parameter(torch.tensor(np.asarray(a)))

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lift, self.embedding = array(net.tokens.lift), array(net.tokens.embedding)
            self.qkv = array(net.tokens.attention.qkv.weight)
            self.weights = torch.nn.ParameterList([array(layer.weight) for layer in net.layers])
            self.biases = torch.nn.ParameterList([array(layer.bias) for layer in net.layers])
            self.z: Any = None

        def forward(self, j: Any, h: Any) -> Any:  # h (B, S)
            tokens = h[..., None] * self.lift + self.embedding
            q, k, v = (tokens @ self.qkv.T).chunk(3, dim=-1)
            heard = torch.softmax(q @ k.transpose(-1, -2) / 8.0**0.5, dim=-1) @ v
            flat = (tokens + heard).flatten(-2)
            j = j.reshape(-1, 1).expand(len(h), 1)
            y = torch.cat([flat, j, torch.zeros_like(j)], dim=-1)
            for i, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
                y = torch.nn.functional.linear(y, w, b)
                y = torch.tanh(y) if i < len(self.weights) - 1 else y
            z = self.z
            return y - z * (y @ z)[:, None] / (z @ z)

    return Net()


def torch_step(rtol: float, how: str) -> Any:
    """``torchdiffeq`` (``odeint``, ``odeint_adjoint``) or ``torchode``; as ``ours``."""
    import torch

    torch.set_num_threads(1)
    net, x, flux, target = problem()
    model = torch_net(net)
    tensor = lambda a: torch.tensor(np.asarray(a))
    model.z, feed, goal = tensor(x.charge[0]), tensor(x.feed), tensor(target)
    ts = torch.cat([torch.zeros(1), tensor(flux)])
    adam = torch.optim.Adam(model.parameters(), 1e-3)

    def paths() -> Any:
        if how == "torchode":
            import torchode

            term = torchode.ODETerm(lambda j, h: model(j, h))
            control = torchode.IntegralController(atol=rtol, rtol=rtol, term=term)
            adjoint = torchode.AutoDiffAdjoint(torchode.Tsit5(term=term), control)
            ask = torchode.InitialValueProblem(y0=feed, t_eval=ts.expand(len(feed), -1))
            return adjoint.solve(ask, dt0=torch.full((len(feed),), 0.05)).ys[:, 1:]
        import torchdiffeq

        solve = torchdiffeq.odeint_adjoint if how == "adjoint" else torchdiffeq.odeint
        return solve(model, feed, ts, rtol=rtol, atol=rtol, method="dopri5")[1:].transpose(0, 1)

    def step() -> float:
        adam.zero_grad()
        loss = ((paths() - goal) ** 2).mean()
        loss.backward()
        adam.step()
        return float(loss)

    value = step()
    slopes = {n: p.grad.clone().numpy() for n, p in model.named_parameters()}
    return step, value, slopes, 0.0


ROWS = {
    "diffrax, stacked, recursive checkpoints": lambda r: ours(r, diffrax.RecursiveCheckpointAdjoint()),
    "diffrax, one ODE a feed": lambda r: ours(r, diffrax.RecursiveCheckpointAdjoint(), False),
    "diffrax, stacked, direct": lambda r: ours(r, diffrax.DirectAdjoint()),
    "diffrax, stacked, backsolve": lambda r: ours(r, diffrax.BacksolveAdjoint()),
    "torchdiffeq odeint": lambda r: torch_step(r, "odeint"),
    "torchdiffeq odeint_adjoint": lambda r: torch_step(r, "adjoint"),
    "torchode Tsit5": lambda r: torch_step(r, "torchode"),
}


def difference(slope: Any, theirs: Any) -> float:
    """Largest difference of gradients to the embedding and the last layer, over the largest gradient."""
    if isinstance(theirs, dict):
        pairs = [(slope.tokens.embedding, theirs["embedding"]), (slope.layers[-1].weight, theirs["weights.4"])]
    else:
        pairs = [(slope.tokens.embedding, theirs.tokens.embedding), (slope.layers[-1].weight, theirs.layers[-1].weight)]
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(a)).max()) for a, b in pairs)


def main() -> None:
    """Alternates the rivals, a few steps of each; medians of the times and of the paired ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--rtol", type=float, default=1e-4)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    made = {}
    for name, make in ROWS.items():
        made[name] = make(given.rtol)
        print(f"ready: {name}", flush=True)
    times: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(given.rounds):
        for name, (step, *_rest) in made.items():
            begin = time.perf_counter()
            for _ in range(IN_A_ROW):
                step()
            times[name].append((time.perf_counter() - begin) / IN_A_ROW)
    first = next(iter(made))
    table = plain_table(
        f"One training step: {BATCH} feeds x {FLUXES} fluxes, 17,552 numbers, float32, rtol {given.rtol:g}, one thread"
    )
    for heading in ("solver", "ms", "ratio", "compile s", "loss", "gradient differs by"):
        table.add_column(heading, justify="left" if heading == "solver" else "right")
    rows = []
    for name, (_, loss, slope, compile_time) in made.items():
        ratio = float(np.median(np.array(times[name]) / np.array(times[first])))
        apart = 0.0 if name == first else difference(made[first][2], slope)
        rows.append({
            "solver": name, "ms": 1e3 * float(np.median(times[name])), "ratio": ratio, "compile_s": compile_time, "loss": loss, "gradient_difference": apart,
        })  # fmt: skip
        table.add_row(
            name, f"{rows[-1]['ms']:.2f}", f"{ratio:.2f}", f"{compile_time:.1f}", f"{loss:.7f}", f"{apart:.1e}"
        )
    from rich.console import Console

    Console(width=140).print(table)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        options = {"rtol": given.rtol, "rounds": given.rounds, "steps_in_a_row": IN_A_ROW}
        found = {"environment": environment(), **options, "rows": rows}
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
