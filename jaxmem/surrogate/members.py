"""Several trainings in one, and what they agree on: deep ensembles (Lakshminarayanan et al. 2017, arXiv 1612.01474)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError
from ..case import Case
from ..models.linearised import outputs
from .field import FluxField
from .network import Network
from .slots import SlotField


class Predicted(NamedTuple):
    """An output with its standard error, and which lanes are unlike what was learned from, ``(*batch)``."""

    value: np.ndarray
    error: np.ndarray
    outside: np.ndarray


class Members(eqx.Module):
    """The misfit of several sets of weights at once, each with measurements of its own: they do not meet."""

    misfit: Any
    seen: Array  # (members, N, S)

    def __call__(self, weights: Any, key: Array) -> tuple[Array, Array]:
        """Means over members."""

        def one(weights: Any, seen: Array, key: Array) -> tuple[Array, Array]:
            return eqx.tree_at(lambda m: m.data.rejection, self.misfit, seen)(weights, key)

        losses, failed = jax.vmap(one)(weights, self.seen, jax.random.split(key, self.seen.shape[0]))
        return jnp.mean(losses), jnp.mean(failed)


class EachJudged(eqx.Module):
    """What chooses the best state, for each member by itself: by its own measurements, or by those held back from all."""

    judge: Any
    seen: Array | None  # (members, N, S)

    def __call__(self, weights: Any) -> Array:
        """``(members,)``."""
        if self.seen is None:
            return jax.vmap(self.judge)(weights)
        own = lambda w, seen: eqx.tree_at(lambda j: j.misfit.data.rejection, self.judge, seen)(w)
        return jax.vmap(own)(weights, self.seen)


class Ensemble:
    """What ``jm.train(..., members=5)`` found: ``members``, each as if trained alone, from its own first weights on measurements drawn anew
    from their sigma (Lakshminarayanan et al. 2017, arXiv 1612.01474). Networks that have learned before keep their weights, so that only the
    measurements differ. ``train`` of a member is the mean over all; a loss that is no number in one ends the training of all.
    ``jm.save`` writes all of them, or one, ``found.members[0]``."""

    def __init__(self, members: tuple[Any, ...]) -> None:
        self.members = members

    def predict(self, output: Callable[[Any], Array], case: Case | None = None) -> Predicted:
        """Mean over members of an output of the Result, and its standard deviation between them. See ``Trained.predict``."""
        results = [member.answer(case) for member in self.members]
        each = [np.asarray(outputs(output, result)) for result in results]
        outside = np.any([np.asarray(result.outside) for result in results], axis=0)
        return Predicted(np.mean(each, axis=0), np.std(each, axis=0, ddof=1), outside)

    def __str__(self) -> str:
        if not all(hasattr(member, "least") for member in self.members):
            return f"Ensemble of {len(self.members)} of {self.members[0].model.title()}"
        least = np.sqrt([member.least for member in self.members])
        return f"Ensemble of {len(self.members)}, misfits {least.min():.3g} to {least.max():.3g} standard deviations\n  of {self.members[0]}"


def one_of(descent: Any, i: int) -> Any:
    """Where the training of one member ended."""
    best = jax.tree.map(lambda x: x[i], descent.best)
    return descent._replace(best=best, least=descent.least[i], check=descent.check[:, i])


def _fresh(nets: Any, key: Array) -> Any:
    """Networks that have not learned, which answer zero, with their layers drawn anew as equinox draws them; the last stays zero."""
    is_network, linear = (
        (lambda x: isinstance(x, Network | FluxField | SlotField)),
        (lambda x: isinstance(x, eqx.nn.Linear)),
    )

    def drawn(leaf: Any, key: Array) -> Any:
        if not linear(leaf) or not bool(jnp.any(leaf.weight != 0.0)):
            return leaf
        new = eqx.nn.Linear(leaf.in_features, leaf.out_features, leaf.bias is not None, leaf.weight.dtype, key=key)
        return eqx.tree_at(lambda x: (x.weight, x.bias), leaf, (new.weight, new.bias), is_leaf=lambda x: x is None)

    def anew(net: Any, key: Array) -> Any:
        if not is_network(net) or bool(jnp.any(net.layers[-1].weight != 0.0)):
            return net
        leaves, tree = jax.tree.flatten(net, is_leaf=linear)
        return jax.tree.unflatten(
            tree, [drawn(x, k) for x, k in zip(leaves, jax.random.split(key, len(leaves)), strict=True)]
        )

    leaves, tree = jax.tree.flatten(nets, is_leaf=is_network)
    keys = jax.random.split(key, max(len(leaves), 1))
    return jax.tree.unflatten(tree, [anew(x, k) for x, k in zip(leaves, keys, strict=True)])


def spread(nets: Any, data: Any, members: int, anew: bool, seed: int) -> tuple[Any, Array]:
    """First weights ``(members, ...)`` and measurements ``(members, N, S)``; those of the first member are as given. ``anew``: the others
    draw their weights, else only their measurements."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), members)
    each = [nets, *(_fresh(nets, k) if anew else nets for k in keys[1:])]
    known = jnp.where(jnp.isnan(data.sigma), 0.0, data.sigma)
    draws = [0.0 * known, *(known * jax.random.normal(k, known.shape) for k in keys[1:])]
    first = jax.tree.map(lambda *x: jnp.stack(x), *each)
    alike = all(bool(jnp.all(x == x[:1])) for x in jax.tree.leaves(first)) and not bool(jnp.any(known > 0.0))
    if alike:
        raise JaxmemError(
            "The members would be alike: the measurements have no sigma to draw them from, and the networks no weights to draw anew. Give sigma."
        )
    return first, data.rejection + jnp.stack(draws)
