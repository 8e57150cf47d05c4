"""Answers to many cases with their derivatives to a few numbers: what fits and designs ask for, with little to compile."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .._errors import ShapeError, unknown
from ..case import Case
from .base import AbstractModel
from .solve import solve


def found(model: AbstractModel, case: Case) -> Any:
    """The state of every lane, for ``answer``, where the model can go on from one; else None. Outside of compiled programs: loops are slow to compile."""
    return model.find(case) if hasattr(model, "attach") else None


def answer(model: Any, case: Case, state: Any) -> Any:
    """The Result, differentiable to the case: at a state that was found before, or solved here when it is None."""
    return solve(model, case, throw=False) if state is None else model.observe(model.attach(state, case), case)


def asked(quantity: Callable[[Any], Any], result: Any) -> Any:
    """``quantity(result)``; a name that the Result does not have is refused with those that it has."""
    try:
        return quantity(result)
    except AttributeError as error:
        if error.obj is not result:
            raise
        names = [name for name in dir(result) if not name.startswith("_")]
        raise unknown(
            f"Quantity of a {type(result).__name__}", str(error.name), names, "Write for example lambda r: r.ok."
        ) from error


def outputs(output: Callable[[Any], Array], result: Any) -> Array:
    """What is asked of a Result, lanes first; not a number in lanes without an answer."""
    y = jnp.asarray(asked(output, result))
    if y.shape[: result.ok.ndim] != result.ok.shape:
        raise ShapeError(
            f"The output has shape {y.shape} for lanes {result.ok.shape}. Lanes come first: write lambda r: r.real_rejection[..., 0]."
        )
    return jnp.where(result.ok.reshape(*result.ok.shape, *(1,) * (y.ndim - result.ok.ndim)), y, jnp.nan)


def columns(f: Callable[[Array], Array], x: Array) -> tuple[Array, Array]:
    """``f(x) (B, q)`` and its derivatives ``(B, q, n)`` of B independent rows ``x (B, n)``, forward, one column at a time for all rows."""
    y, along = jax.linearize(f, x)
    every = jnp.broadcast_to(jnp.eye(x.shape[-1])[:, None], (x.shape[-1], *x.shape))
    return y, jnp.moveaxis(jax.vmap(along)(every), 0, -1)
