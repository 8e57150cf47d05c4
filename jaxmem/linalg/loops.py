"""Loops whose turns are small: on a CPU one turn at a time, on an accelerator several in one kernel, because there a launch costs more than a turn."""

from collections.abc import Callable
from typing import Any

import jax

TURNS = 16  # of a scan in one kernel


def rows_of(step: Callable, start: Any, rows: Any, reverse: bool = False) -> tuple[Any, Any]:
    """``jax.lax.scan`` over the rows of a system."""
    turns = 1 if jax.default_backend() == "cpu" else TURNS
    return jax.lax.scan(step, start, rows, reverse=reverse, unroll=turns)


def repeated(count: int, step: Callable[[Any, Any], Any], start: Any) -> Any:
    """``jax.lax.fori_loop`` over a small number of turns that is known."""
    return jax.lax.fori_loop(0, count, step, start, unroll=jax.default_backend() != "cpu")


def in_units(total: int | jax.Array, unit: int, step: Callable[[Any, Any], Any], start: Any) -> Any:
    """``jax.lax.fori_loop`` over ``total`` turns, a multiple of ``unit``, traced or not."""
    if jax.default_backend() == "cpu" or unit > TURNS:
        return jax.lax.fori_loop(0, total, step, start)

    def turns(u: Any, carry: Any) -> Any:
        for i in range(unit):
            carry = step(u * unit + i, carry)
        return carry

    return jax.lax.fori_loop(0, total // unit, turns, start)
