"""From a state that is known to one that is asked for, along a parameter, in strides that the problem itself sets."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array


class Path(NamedTuple):
    """Where a continuation stands."""

    reached: Array  # the parameter of ``state``
    state: Any  # the last that converged
    stride: Array  # the next one
    turns: Array  # Newton steps so far
    arrived: Array  # whether the end, or enough, was reached


class Strides(NamedTuple):
    """How a path goes on: a stride doubles after few Newton steps, and halves where they fail."""

    first: float
    largest: float
    smallest: float
    close: float = 1e-8  # Newton's change, as ``step`` measures it, after which its error is the square of that
    most: int = 14  # Newton steps of one stride
    turns: int = 2000  # of all


def follow(
    step: Callable[[Any, Array], tuple[Any, Array]],
    path: Path,
    end: Array,
    strides: Strides,
    enough: Callable[[Any], Array] = lambda _: jnp.asarray(False),
) -> Path:
    """Newton steps ``step(state, parameter) -> (state, size of the change)`` until ``end`` or a state that is ``enough``.

    One loop of single Newton steps, so that lanes of a batch do not wait for each other at every stride. Not to be differentiated.
    """

    def toward(reached: Array, stride: Array) -> Array:
        return reached + jnp.clip(end - reached, -stride, stride)

    def turn(carry: tuple) -> tuple:
        path, x, trial, count = carry
        x, size = step(x, trial)
        solved = size < strides.close
        lost = ~jnp.isfinite(size) | (~solved & (count + 1 >= strides.most))
        keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(solved, a, b), new, old)
        state, reached = keep(x, path.state), jnp.where(solved, trial, path.reached)
        grown = jnp.where(count < 6, jnp.minimum(2.0 * path.stride, strides.largest), path.stride)
        stride = jnp.where(solved, grown, jnp.where(lost, 0.5 * path.stride, path.stride))
        arrived = solved & ((reached == end) | enough(state))
        over = solved | lost
        x = jax.tree.map(lambda a, b: jnp.where(over, a, b), state, x)
        trial = jnp.where(over, toward(reached, stride), trial)
        new = Path(reached, state, stride, path.turns + 1, arrived)
        return new, x, trial, jnp.where(over, 0, count + 1)

    def going(carry: tuple) -> Array:
        path = carry[0]
        return ~path.arrived & (path.stride >= strides.smallest) & (path.turns < strides.turns)

    arrived = (path.reached == end) | enough(path.state)
    begin = (path._replace(arrived=arrived), path.state, toward(path.reached, path.stride), jnp.asarray(0))
    return jax.lax.while_loop(going, turn, begin)[0]
