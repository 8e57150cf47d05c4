r"""Laplace's approximation around trained weights (MacKay 1992, doi 10.1162/neco.1992.4.3.448): how far data leave them open.

    C = ((J^T J + N r)/s + J_p^T J_p)^-1,    error of an output = sqrt(g C g^T)

with the slopes ``J`` of N residuals (standard deviations), ``J_p`` of the priors and ``g`` of the output to the numbers that learn, generalised
Gauss-Newton; ``r`` is the ridge of weights, a hundred standard deviations that of physical numbers, and ``s`` the scatter of the residuals.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError
from ..case import Case
from ..models.linearised import answer, columns, found, outputs

MOST = 4000  # numbers, whose covariance is a matrix
_TURNS, _EXACT = 20, 1e-12  # of scatter and numbers held; the least scatter
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
    _check(u.size, float(misfit.ridge))

    @eqx.filter_jit
    def run(u: Array, state: Any) -> tuple[tuple[Array, Array], Array]:
        def rows(u: Array) -> Array:
            model, case = misfit.parts(flat.unpack(u))
            data, priors = misfit.residual(answer(model, case, state))[0], misfit.prior(case, flat.unpack(u))
            return jnp.concatenate([data.reshape(-1), priors.reshape(-1)])

        return _linear(rows, u, state is not None), misfit.residual(answer(*misfit.parts(weights), state))[1]

    (r, jac), lost = jax.tree.map(np.asarray, run(u, found(*misfit.parts(weights))))
    of_data, of_priors = jac[: lost.size], jac[lost.size :]
    held, priors, count = of_data.T @ of_data, of_priors.T @ of_priors, len(misfit.data) - int(lost.sum())
    weak = np.diag(np.where(np.arange(u.size) < networks, count * float(misfit.ridge), _LOOSE))
    squares, scatter = float(np.sum(r[: lost.size] ** 2)), 1.0
    for _ in range(_TURNS):  # how many numbers the data hold depends on the scatter, and it on them
        covariance = np.linalg.inv((held + weak) / scatter + priors)
        taken = float(np.trace(held @ covariance)) / scatter
        scatter = max(squares / max(count - taken, 1.0), _EXACT)
    covariance = np.linalg.inv((held + weak) / scatter + priors)
    return Laplace(u, 0.5 * (covariance + covariance.T), scatter, taken)


def predicted(
    around: Laplace, flat: Flat, at: Callable[[Any], tuple[Any, Case]], output: Callable[[Any], Array]
) -> tuple[np.ndarray, np.ndarray]:
    """An output of the Result and one standard error of it; ``at(weights)`` gives the model and the case."""

    @eqx.filter_jit
    def run(u: Array, state: Any) -> tuple[Array, Array]:
        def value(u: Array) -> Array:
            return outputs(output, answer(*at(flat.unpack(u)), state))

        return value(u), _linear(lambda u: value(u).reshape(-1), u, state is not None)[1]

    model, case = at(flat.unpack(around.u))
    model.check(case)
    y, slope = (np.asarray(x) for x in run(around.u, found(model, case)))
    error = np.sqrt(np.maximum(np.einsum("qi,ij,qj->q", slope, around.covariance, slope), 0.0)).reshape(y.shape)
    return y, np.where(np.isnan(y), np.nan, error)


def _linear(f: Callable[[Array], Array], u: Array, forward: bool) -> tuple[Array, Array]:
    """``f(u) (m)`` and its slopes ``(m, n)``: forward through an implicit solve, in reverse through an integrator, which knows no other way."""
    if forward:
        y, slopes = columns(lambda rows: f(rows[0])[None], u[None])
        return y[0], slopes[0]
    return f(u), jax.jacrev(f)(u)


def _check(numbers: int, ridge: float) -> None:
    if numbers > MOST:
        raise JaxmemError(
            f"{numbers} numbers have a covariance of {numbers} x {numbers}: too many. Write jm.train(..., part='last'), or members=5 for an ensemble."
        )
    if not ridge > 0.0:
        raise JaxmemError(
            "Without a ridge nothing holds weights that the data leave open: there is no error to give. Write jm.train(..., ridge=1e-4)."
        )
