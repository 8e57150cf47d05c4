"""Dormand and Prince 1980 (doi 10.1016/0771-050X(80)90013-3) over equal steps: fifth order, with an error estimate.

The rate stands in one place of one loop, so that a rate as large as a pore model is compiled once.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# The state that each stage is evaluated at, from the rates of those before it; the last is the step of fifth order itself.
_STAGES = np.array(
    [
        [1 / 5, 0, 0, 0, 0, 0, 0],
        [3 / 40, 9 / 40, 0, 0, 0, 0, 0],
        [44 / 45, -56 / 15, 32 / 9, 0, 0, 0, 0],
        [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729, 0, 0, 0],
        [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656, 0, 0],
        [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0],
    ]
)
_ERROR = np.array([71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])  # fifth less fourth


def dormand_prince(rate: Callable[[Any, Any], tuple[Any, Any, Any]], state: Any, memory: Any, cells: int) -> tuple:
    """From 0 to 1 in ``cells`` steps: the last state, what was seen at the ``cells + 1`` nodes, the summed error estimates.

    ``rate(state, memory)`` gives the derivative, what the next call is to remember, and what is seen there.
    """
    h, dtype = 1.0 / cells, jax.tree.leaves(state)[0].dtype

    def moved(state: Any, rates: Any, weights: Array) -> Any:
        return jax.tree.map(lambda x, k: x + h * jnp.tensordot(weights, k, 1), state, rates)

    def step(carry: tuple, row: tuple) -> tuple:
        begin, here, rates, error, memory = carry
        slot, weights = row
        now, memory, seen = rate(here, memory)
        rates = jax.tree.map(lambda k, new: k.at[slot].set(new), rates, now)
        whole = slot == 6  # the last stage of a step is the first of the next
        left = jax.tree.map(lambda k: jnp.abs(h * jnp.tensordot(jnp.asarray(_ERROR, dtype), k, 1)), rates)
        error = jax.tree.map(lambda e, new: jnp.where(whole, e + new, e), error, left)
        begin = jax.tree.map(lambda a, b: jnp.where(whole, b, a), begin, here)
        rates = jax.tree.map(lambda k: jnp.where(whole, k.at[0].set(k[6]), k), rates)
        return (begin, moved(begin, rates, weights), rates, error, memory), (seen, here)

    slots = np.concatenate([[0], np.tile(np.arange(1, 7), cells)])
    rows = (jnp.asarray(slots), jnp.asarray(_STAGES[slots % 6], dtype))
    none = jax.tree.map(jnp.zeros_like, state)
    rates = jax.tree.map(lambda x: jnp.zeros((7, *x.shape), x.dtype), state)
    (*_, error, _), (seen, states) = jax.lax.scan(step, (state, state, rates, none, memory), rows)
    return jax.tree.map(lambda x: x[-1], states), jax.tree.map(lambda x: x[::6], seen), error
