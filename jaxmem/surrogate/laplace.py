r"""Laplace's approximation around trained weights (MacKay 1992, doi 10.1162/neco.1992.4.3.448): how far data leave them open.

    C = s (J^T J + L)^-1,    error of an output = sqrt(g C g^T)

with the slopes ``J`` of all residuals (standard deviations, priors among them) and ``g`` of the output to the numbers that learn,
generalised Gauss-Newton; ``L`` is what the ridge adds for N measurements, and ``s`` the scatter of the residuals.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError, ShapeError
from ..case import Case
from ..models.linearised import answer, columns, found

MOST = 4000  # numbers, whose covariance is a matrix
_LOOSE = 1e-4  # precision of a physical number, in its unbounded form, that neither data nor prior hold


class Laplace(NamedTuple):
    """Around the numbers ``u (n)`` of a training."""

    u: Array
    covariance: np.ndarray  # (n, n)
    scatter: float  # of the residuals, standard deviations squared
    held: float  # how many of the numbers the data hold


class Flat(NamedTuple):
    """Weights of networks, and physical numbers, as one vector in double precision."""

    like: Any  # (weights of networks, physical numbers or None)

    def pack(self, weights: Any) -> Array:
        """``(n)``."""
        return jnp.concatenate([x.astype(float).reshape(-1) for x in jax.tree.leaves(weights)])

    def unpack(self, u: Array) -> Any:
        """In the precision of each."""
        leaves, tree = jax.tree.flatten(self.like)
        ends = np.cumsum([x.size for x in leaves])
        parts = [u[end - x.size : end].reshape(x.shape).astype(x.dtype) for x, end in zip(leaves, ends, strict=True)]
        return jax.tree.unflatten(tree, parts)


def laplace(misfit: Any, weights: Any) -> Laplace:
    """Of a training's ``misfit`` at its ``weights``."""
    flat = Flat(weights)
    u = flat.pack(weights)
    networks = sum(x.size for x in jax.tree.leaves(weights[0]))
    ridge = float(misfit.ridge) * len(misfit.data)
    _check(misfit, u.size, ridge)

    @eqx.filter_jit
    def run(u: Array, state: Any) -> tuple[Array, Array]:
        def rows(u: Array) -> Array:
            model, case = misfit.parts(flat.unpack(u[0]))
            data, priors = misfit.residual(answer(model, case, state))[0], misfit.prior(case, flat.unpack(u[0]))
            return jnp.concatenate([data.reshape(1, -1), priors.reshape(1, -1)], axis=1)

        return columns(rows, u[None])

    r, jac = (np.asarray(x)[0] for x in run(u, found(*misfit.parts(weights))))
    held = jac.T @ jac
    floor = np.where(np.arange(u.size) < networks, ridge, _LOOSE)
    inverse = np.linalg.inv(held + np.diag(floor))
    taken = float(np.trace(held @ inverse))
    scatter = float(np.sum(r**2)) / max(len(misfit.data) - taken, 1.0)
    return Laplace(u, scatter * 0.5 * (inverse + inverse.T), scatter, taken)


def predicted(
    around: Laplace, flat: Flat, at: Callable[[Any], tuple[Any, Case]], output: Callable[[Any], Array]
) -> tuple[np.ndarray, np.ndarray]:
    """An output of the Result and one standard error of it; ``at(weights)`` gives the model and the case."""

    @eqx.filter_jit
    def run(u: Array, state: Any) -> tuple[Array, Array]:
        def value(u: Array) -> Array:
            return outputs(output, answer(*at(flat.unpack(u)), state))

        return value(u), columns(lambda u: value(u[0]).reshape(1, -1), u[None])[1][0]

    y, slope = (np.asarray(x) for x in run(around.u, found(*at(flat.unpack(around.u)))))
    error = np.sqrt(np.maximum(np.einsum("qi,ij,qj->q", slope, around.covariance, slope), 0.0)).reshape(y.shape)
    return y, np.where(np.isnan(y), np.nan, error)


def outputs(output: Callable[[Any], Array], result: Any) -> Array:
    """Lanes first; not a number where there is no answer."""
    y = jnp.asarray(output(result))
    if y.shape[: result.ok.ndim] != result.ok.shape:
        raise ShapeError(
            f"The output has shape {y.shape} for lanes {result.ok.shape}. Lanes come first: write lambda r: r.real_rejection[..., 0]."
        )
    return jnp.where(result.ok.reshape(*result.ok.shape, *(1,) * (y.ndim - result.ok.ndim)), y, jnp.nan)


def _check(misfit: Any, numbers: int, ridge: float) -> None:
    if numbers > MOST:
        raise JaxmemError(
            f"{numbers} numbers have a covariance of {numbers} x {numbers}: too many. Write jm.train(..., part='last'), or members=5 for an ensemble."
        )
    if not ridge > 0.0:
        raise JaxmemError(
            "Without a ridge nothing holds weights that the data leave open: there is no error to give. Write jm.train(..., ridge=1e-4)."
        )
