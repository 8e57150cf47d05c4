"""Which number matters: exact derivatives of one output to every quantity of a case, from one reverse pass."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import ShapeError
from ..case import Case, all_quantities, at_path
from ..models.base import AbstractModel
from ..models.linearised import asked
from ..models.solve import solve

_WHOLE = ("feed.concentration",)  # scaled as a whole: a single ion would charge the feed
_FIXED = ("feed.species.charge", "feed.species.molar_mass")  # not free in any experiment


class Sensitivity(eqx.Module):
    """``dy/dp`` of an output ``y (*batch)`` for each quantity ``p``; per-species quantities have an entry for each species."""

    names: tuple[str, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)
    output: Array  # y, (*batch)
    value: Array  # p, (Q, *batch), SI; for the feed's composition the total concentration
    derivative: Array  # dy/dp, (Q, *batch), per SI unit of p; for the composition at fixed proportions

    @property
    def effect(self) -> Array:
        """``p dy/dp``, ``(Q, *batch)``: the change of the output per relative change of each quantity."""
        return self.value * self.derivative

    def ranking(self) -> list[tuple[str, float]]:
        """Quantities and their effects (mean over the batch), the largest first."""
        mean = np.asarray(self.effect).reshape(len(self.names), -1).mean(axis=1)
        return [(self.names[i], float(mean[i])) for i in np.argsort(-np.abs(mean))]

    def __str__(self) -> str:
        width = max(len(n) for n in self.names)
        lines = [f"{'quantity':<{width}}  change of the output per +1 % of it"]
        lines += [f"{name:<{width}}  {0.01 * effect:+.3e}" for name, effect in self.ranking()[:12]]
        return "\n".join(lines)

    def plot(self, axes: Any = None, count: int = 10) -> Any:
        """Tornado: bars of the ``count`` largest effects, in output units per +1 %; returns matplotlib Axes."""
        from ..plot.style import new_axes

        axes = new_axes("screen") if axes is None else axes
        names, effects = zip(*self.ranking()[:count], strict=True)
        axes.barh(
            names[::-1],
            [0.01 * e for e in effects[::-1]],
            color=["#0072b2" if e > 0 else "#d55e00" for e in effects[::-1]],
        )
        axes.axvline(0.0, color="0.3", lw=0.8)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel("Change of the output per +1 % of the quantity")
        return axes


def _named(path: str, short: Counter[str]) -> str:
    """The last part of a path, with as much before it as tells it from others."""
    parts = path.split(".")
    if path.startswith("membrane.layers."):
        return f"layer {parts[2]} {parts[-1]}"
    if short[parts[-1]] == 1:
        return parts[-1]
    if path.startswith("membrane.stages."):
        return f"stage {parts[2]} {parts[-1]}"
    return f"{parts[-2]} {parts[-1]}"


def sensitivity(model: AbstractModel, case: Case, output: Callable[[Any], Array]) -> Sensitivity:
    """``jm.sensitivity(jm.DSPMDE(), case, lambda r: r.observed_rejection[..., 0])``: exact, by one reverse pass.

    ``output`` takes the Result to one number for each lane, ``(*batch)``. Quantities are those declared with a unit; the numbers
    inside a user's own closure are not among them (``eqx.filter_grad`` reaches those). Lanes that fail have zero derivatives. Derivatives to
    the concentrations are taken together, at fixed proportions.
    """
    full, shape = case.broadcast(), case.batch_shape

    @eqx.filter_jit
    def run(case: Case) -> tuple[Array, Case]:
        def total(case: Case) -> tuple[Array, Array]:
            y = jnp.asarray(asked(output, solve(model, case, throw=False)))
            if y.shape != shape:
                raise ShapeError(
                    f"The output has shape {y.shape} for a case of batch shape {shape}. One number for each lane is needed: "
                    "write lambda r: r.observed_rejection[..., 0]."
                )
            return jnp.sum(y), y

        (_, y), slope = eqx.filter_value_and_grad(total, has_aux=True)(case)
        return y, slope

    y, slope = run(full)
    short = Counter(path.rsplit(".", 1)[-1] for path, *_ in all_quantities(full) if path not in _FIXED)
    names, units, values, slopes = [], [], [], []
    for path, value, meta in all_quantities(full):
        if path in _FIXED:
            continue
        gradient, name = at_path(slope, path.split(".")), _named(path, short)
        if path in _WHOLE:
            total = jnp.sum(value, axis=-1)
            value, gradient = total, jnp.sum(value * gradient, axis=-1) / jnp.where(total > 0.0, total, 1.0)
        if value.ndim > len(shape):
            owner = at_path(full, path.split(".")[:-1])
            of = getattr(owner, "names", case.feed.species.names)  # a permeance membrane has an order of its own
            per = [f"{name} {s}" for s in of] if value.shape[-1] == len(of) else [name]
            names += per
            values += [value[..., i] for i in range(len(per))]
            slopes += [gradient[..., i] for i in range(len(per))]
        else:
            names.append(name)
            values.append(value)
            slopes.append(gradient)
        units += [meta["unit"]] * (len(names) - len(units))
    return Sensitivity(tuple(names), tuple(units), y, jnp.stack(values), jnp.stack(slopes))
