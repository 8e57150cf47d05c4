"""How much ions rub against one another in the pore: ``law(feed) -> 1/D_ij``, symmetric, in s/m2. Fills ``PoreMembrane.friction``."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from .._errors import JaxmemError, ShapeError, unknown
from .._fields import check, field
from ..chemistry.mixture import Mixture


class PairFriction(eqx.Module):
    """Maxwell-Stefan friction of given pairs: ``jm.PairFriction((("Na+", "Cl-"), ("Mg+2", "SO4-2")), [2e8, 1e9])``, the inverse of ``D_ij`` in s/m2.

    Pairs that are not named do not rub. In free solution ``D_ij`` of oppositely charged ions is 1e-11 to 1e-9 m2/s and grows with the strength
    (Wesselingh, Vonk and Kraaijeveld 1995, doi 10.1016/0923-0467(95)02985-5), that is 1e9 to 1e11 s/m2 per mole fraction of all ions here.
    """

    pairs: tuple[tuple[str, str], ...] = eqx.field(static=True)
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
        place = np.asarray([[names.index(a), names.index(b)] for a, b in self.pairs]).reshape(-1, 2)
        x = self.inverse_diffusivity
        empty = jnp.zeros((*x.shape[:-1], len(names), len(names)), x.dtype)
        return empty.at[..., place[:, 0], place[:, 1]].set(x).at[..., place[:, 1], place[:, 0]].set(x)
