"""How much ions rub against one another in the pore: ``law(feed) -> 1/D_ij``, symmetric, in s/m2. Fills ``PoreMembrane.friction``."""

from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError, ShapeError, unknown
from .._fields import check, field
from ..chemistry.mixture import Mixture


def _plain(pairs: Iterable[Iterable[str]]) -> Any:
    return tuple(tuple(str(ion) for ion in pair) for pair in pairs)


class PairFriction(eqx.Module):
    """Maxwell-Stefan friction of given pairs: ``jm.PairFriction((("Na+", "Cl-"), ("Mg+2", "SO4-2")), [2e8, 1e9])``, the inverse of ``D_ij`` in s/m2.

    Pairs that are not named do not rub; a solve with friction takes 20 to 30 times as long as one without.
    ``D_ij`` counts shares of all solutes in the pore, water left out. Krishna and Wesselingh 1997, doi 10.1016/S0009-2509(96)00458-7.
    """

    pairs: tuple[tuple[str, str], ...] = eqx.field(static=True, converter=_plain)
    inverse_diffusivity: Array = field(
        unit="s/m2", low=0.0, high=1e15, ndim=1, symbol="1/D_ij", doc="friction of each pair"
    )

    def __check_init__(self) -> None:
        check(self)
        given = [frozenset(pair) for pair in self.pairs]
        if any(len(pair) != 2 for pair in given) or len(set(given)) != len(given):
            raise JaxmemError(
                f'pairs = {self.pairs!r} must name two ions each, no pair twice. Write (("Na+", "Cl-"),).'
            )
        if self.inverse_diffusivity.shape[-1] != len(given):
            raise ShapeError(
                f"{len(given)} pairs have {self.inverse_diffusivity.shape[-1]} numbers. Give one for each pair."
            )

    def __call__(self, feed: Mixture) -> Array:
        """``(*batch, S, S)`` in the order of the feed's species."""
        names = feed.species.names
        for ion in {ion for pair in self.pairs for ion in pair} - set(names):
            raise unknown("Ion of a pair", ion, names, f"The feed has {', '.join(names)}: leave the pair out.")
        at = lambda ion: np.asarray(names) == ion  # every species of that name
        where = [np.outer(at(a), at(b)) | np.outer(at(b), at(a)) for a, b in self.pairs]
        x = self.inverse_diffusivity
        return jnp.tensordot(x, np.reshape(where, (len(where), len(names), len(names))).astype(x.dtype), 1)
