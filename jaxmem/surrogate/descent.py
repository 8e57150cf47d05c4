"""Adam in rounds, for all that learns here: one dispatch a round, the best state by what is not trained on, and a file to go on from."""

import hashlib
import io
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from equinox import filter_eval_shape, filter_jit
from jax import Array

from .._config import quick_to_compile
from .._errors import JaxmemError, StoreMismatchError

ROUND = 20  # steps in one dispatch
_ADAM = optax.scale_by_adam()
_MOST_FAILED = 0.5  # share of solves that may fail before training stops


class Descent(NamedTuple):
    """Where a training ended."""

    best: Any  # weights of the lowest check
    least: Array  # that check; one for each member where ``look`` gives several
    train: np.ndarray  # (rounds,) mean losses
    check: np.ndarray  # (rounds,) or (rounds, members)
    told: str  # why it stopped early, if it did


class _Now(NamedTuple):
    weights: Any
    moments: Any
    best: Any
    least: Array


def descend(
    loss: Callable[[Any, Array], tuple[Array, Array]],
    look: Callable[[Any], Array],
    weights: Any,
    *,
    steps: int,
    rate: float,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    told: Callable[[int, float, float], None] | None = None,
    progress: bool = False,
    patience: int | None = None,
) -> Descent:
    """``loss(weights, key) -> (scalar, share of failed solves)``; ``look(weights) -> scalar or (members,)`` chooses the best state.

    Both are Modules, so that a second training of the same shapes compiles nothing. The rate falls as a cosine to a fiftieth. Keys follow from
    the seed and the number of the round: a training that was interrupted goes on from ``checkpoint`` as if it had not been. A loss that is no
    number or has a derivative that is none, or too many failed solves, end it: the best state so far is returned, and ``told`` says so. ``patience``: so many
    steps without a better state end it too (``told`` is empty then). ``progress``: a bar with loss, rate and time left.
    """
    _check(steps, rate, checkpoint, patience)
    rounds, key = max(steps // ROUND, 1), jax.random.key(seed)
    weights = jax.tree.map(
        lambda x: jax.lax.convert_element_type(x, x.dtype), weights
    )  # no weak types: one program for all rounds
    judged = filter_eval_shape(look, weights)
    first = jnp.full(judged.shape, jnp.inf, judged.dtype)
    now, train, check = _Now(weights, _ADAM.init(weights), weights, first), [], []
    mark = _fingerprint((loss, look, weights), (rounds, rate, seed)) if checkpoint is not None else ""
    if checkpoint is not None and Path(checkpoint).exists():
        now, train, check = _restored(Path(checkpoint), mark, now)
    why = ""
    with _shown(progress, rounds * ROUND, len(train) * ROUND, told) as tell:
        for i in range(len(train), rounds):
            if patience is not None and _stalled(check) * ROUND >= patience:
                break
            pace = jnp.asarray(rate * (0.02 + 0.98 * 0.5 * (1.0 + np.cos(np.pi * i / rounds))))
            after, mean, failed = _program()(loss, look, now, jax.random.fold_in(key, i), pace)
            if not np.isfinite(float(mean)) or float(failed) > _MOST_FAILED:
                cause = (
                    f"{float(failed):.0%} of the solves failed"
                    if np.isfinite(float(mean))
                    else "the loss, or a derivative of it, is no number"
                )
                why = f"stopped after {i * ROUND} steps: {cause}. Write a smaller rate, such as rate={rate / 3:.1g}."
                break
            now, seen = _Now(*after[:4]), np.asarray(after[4])
            train.append(float(mean))
            check.append(seen)
            if checkpoint is not None:
                _store(Path(checkpoint), mark, now, train, check)
            tell((i + 1) * ROUND, float(mean), float(np.mean(seen)))
    return Descent(now.best, now.least, np.array(train), np.array(check), why)


@cache
def _program() -> Callable:
    return filter_jit(_round, compiler_options=quick_to_compile())


def _round(loss: Callable, look: Callable, now: _Now, key: Array, pace: Array) -> tuple:
    def step(carry: tuple, key: Array) -> tuple:
        weights, moments = carry
        (value, failed), slope = jax.value_and_grad(loss, has_aux=True)(weights, key)
        sound = jnp.isfinite(value) & jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(slope)]))
        with jax.numpy_dtype_promotion("standard"):  # optax raises a float to the number of the step
            update, after = _ADAM.update(slope, moments)
        moved = jax.tree.map(lambda w, u: w - pace.astype(w.dtype) * u.astype(w.dtype), weights, update)
        carry = jax.tree.map(lambda new, old: jnp.where(sound, new, old), (moved, after), (weights, moments))
        return carry, (jnp.where(sound, value, jnp.nan), failed)

    (weights, moments), (values, failed) = jax.lax.scan(step, (now.weights, now.moments), jax.random.split(key, ROUND))
    seen = look(weights)
    better = seen < now.least
    keep = lambda a, b: jnp.where(better.reshape(better.shape + (1,) * (a.ndim - better.ndim)), a, b)
    best = jax.tree.map(keep, weights, now.best)
    return (weights, moments, best, jnp.where(better, seen, now.least), seen), jnp.mean(values), jnp.mean(failed)


def _stalled(check: list) -> int:
    """Rounds since the last better state, of any member."""
    if not check:
        return 0
    each = np.stack([np.reshape(c, -1) for c in check])
    return len(check) - 1 - int(np.argmin(np.where(np.isnan(each), np.inf, each), axis=0).max())


def _all(listeners: list[Callable]) -> Callable[[int, float, float], None]:
    def tell(step: int, loss: float, check: float) -> None:
        for hear in listeners:
            hear(step, loss, check)

    return tell


@contextmanager
def _shown(
    progress: bool, steps: int, done: int, told: Callable | None
) -> Iterator[Callable[[int, float, float], None]]:
    """What hears of every round: ``told``, and a bar where one is asked for."""
    listeners = [] if told is None else [told]
    if not progress:
        yield _all(listeners)
        return
    try:
        from rich.console import Console
    except ImportError as error:
        raise JaxmemError("A bar needs rich. Type: pip install 'jaxmem[all]', or leave progress=True out.") from error

    from ..progress import bar

    with bar(Console(), steps) as shown:
        shown.skip(done)
        shown.say("compiling")

        def look(step: int, loss: float, check: float) -> None:
            shown.say(f"loss {loss:.4g}, judged {check:.4g}")
            shown.lanes(ROUND, 0)

        yield _all([look, *listeners])


def _check(steps: int, rate: float, checkpoint: str | Path | None, patience: int | None) -> None:
    if patience is not None and not (type(patience) is int and patience >= ROUND):
        raise JaxmemError(
            f"patience = {patience!r} must be a whole number of steps, {ROUND} or more, or None. Write patience=200."
        )
    if not (isinstance(steps, int) and steps >= 1):
        raise JaxmemError(f"steps = {steps!r} must be a whole number above zero. Write steps=1000.")
    if not 0.0 < rate < math.inf:
        raise JaxmemError(f"rate = {rate!r} must be a number above zero. Write rate=1e-2.")
    if checkpoint is not None and (Path(checkpoint).is_dir() or not Path(checkpoint).parent.is_dir()):
        raise JaxmemError(
            f"checkpoint = {str(checkpoint)!r} must be a file in a folder that exists. Write checkpoint='half.npz'."
        )


def _fingerprint(parts: Any, options: tuple) -> str:
    """Of everything that a training follows from."""
    leaves, tree = jax.tree.flatten(parts)
    made = hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", repr((options, str(tree)))).encode())  # no addresses
    for leaf in leaves:
        made.update(
            np.asarray(leaf).tobytes()
            if isinstance(leaf, jax.Array | np.ndarray)
            else re.sub(r"0x[0-9a-f]+", "", repr(leaf)).encode()
        )
    return made.hexdigest()


def _store(path: Path, mark: str, now: _Now, train: list, check: list) -> None:
    """Aside, then renamed: a file is whole or not there."""
    leaves = {f"a{i}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(now))}
    made = io.BytesIO()
    np.savez(made, mark=np.array(mark), train=np.array(train), check=np.array(check), **leaves)
    half = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        half.write_bytes(hashlib.sha256(made.getvalue()).digest() + made.getvalue())
        half.replace(path)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise JaxmemError(f"{path} cannot be written: {error}. Give another checkpoint.") from error


def _restored(path: Path, mark: str, like: _Now) -> tuple[_Now, list, list]:
    whole = path.read_bytes()
    if hashlib.sha256(whole[32:]).digest() != whole[:32]:
        raise StoreMismatchError(f"{path} is damaged, or no checkpoint. Give another name: nothing was overwritten.")
    with np.load(io.BytesIO(whole[32:]), allow_pickle=False) as found:
        if str(found["mark"]) != mark:
            raise StoreMismatchError(
                f"{path} belongs to another training: other data, network, weights of the loss, steps, rate or seed. Give another name: nothing was overwritten."
            )
        leaves, tree = jax.tree.flatten(like)
        now = jax.tree.unflatten(tree, [jnp.asarray(found[f"a{i}"]) for i in range(len(leaves))])
        return now, list(found["train"]), list(found["check"])
