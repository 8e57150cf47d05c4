"""``jm.solve``: the one verb under all others."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._errors import ConvergenceError, JaxmemError
from .._status import message
from ..case import Case, describe_lane
from .base import AbstractModel


def solve(model: AbstractModel, case: Case, *, throw: bool = True) -> Any:
    """Answer a case, or every lane of a batched case, with a model.

    Works inside ``jax.jit``, ``jax.vmap``, ``jax.grad`` and ``jax.jvp``. ``throw=True`` raises ``ConvergenceError`` when a lane
    has no solution (outside of tracing); ``throw=False`` returns codes in ``result.status``, whose sentences
    ``result.messages()`` gives. Failed lanes keep their last finite state, have derivative zero and disturb no other lane.
    """
    if not isinstance(model, AbstractModel):
        raise JaxmemError(
            f"{type(model).__name__} is not a model. Write jm.solve(jm.DSPMDE(), case): the model comes first, as an instance."
        )
    if not isinstance(case, Case):
        raise JaxmemError(
            f"{type(case).__name__} is not a Case. Write jm.solve(model, jm.Case(feed, membrane, conditions))."
        )
    model.check(case)
    result = model.observe(model.find(case), case)
    if throw and not isinstance(result.status, Tracer):
        _raise_if_failed(result)
    return result


def _raise_if_failed(result: Any) -> None:
    failed = (
        np.argwhere(~np.asarray(result.ok)) if jnp.ndim(result.ok) else np.zeros((int(not bool(result.ok)), 0), int)
    )
    if len(failed) == 0:
        return
    total = max(int(np.size(np.asarray(result.status))), 1)
    lines = [f"{len(failed)} of {total} lanes failed."]
    for lane in failed[:3]:
        index = tuple(int(i) for i in lane)
        text = message(int(np.asarray(result.status)[index]))
        lines.append(f"  lane {index if index else '()'}: {text}\n    inputs: {describe_lane(result.case, index)}")
    if len(failed) > 3:
        lines.append(f"  and {len(failed) - 3} more.")
    lines.append(
        "To keep the good lanes write jm.solve(model, case, throw=False) and look at result.ok and result.messages()."
    )
    raise ConvergenceError("\n".join(lines))
