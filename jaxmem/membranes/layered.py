"""Pores in series: a charge or a radius graded through the layer, a skin on a support."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .._errors import JaxmemError, ShapeError, unknown
from .._fields import quantities
from .pore import PoreMembrane


class LayeredMembrane(eqx.Module):
    """Layers of pores, feed side first; between two of them ions partition and a Donnan potential stands, as at the faces.

    ``jm.LayeredMembrane((skin, support))``, each a ``PoreMembrane``; or ``LayeredMembrane.graded(membrane, charge_density=
    [-20.0, -60.0, -120.0])`` for one membrane in equal slices. Permeances of water add in series, ``1/A = sum 1/A_l``.
    Compilation takes about twice as long as for one layer, whatever their number.
    """

    layers: tuple[PoreMembrane, ...]

    def __check_init__(self) -> None:
        if not (
            isinstance(self.layers, tuple) and self.layers and all(isinstance(x, PoreMembrane) for x in self.layers)
        ):
            raise JaxmemError(
                f"LayeredMembrane.layers = {self.layers!r}. Give a tuple of PoreMembrane: write jm.LayeredMembrane((skin, support))."
            )

    @classmethod
    def graded(cls, membrane: PoreMembrane, **profiles: Any) -> "LayeredMembrane":
        """Slices of equal thickness; each profile is an array ``(*batch, L)`` of one quantity, feed side first."""
        for name in profiles:
            if name not in quantities(membrane):
                raise unknown(
                    "Quantity of a pore",
                    name,
                    quantities(membrane),
                    "Write graded(membrane, charge_density=[-20.0, -60.0]).",
                )
        arrays = {name: jnp.asarray(x, float) for name, x in profiles.items()}
        counts = {name: x.shape[-1] if x.ndim else 0 for name, x in arrays.items()}
        if len(set(counts.values())) != 1 or 0 in counts.values():
            raise ShapeError(f"Profiles of lengths {counts}. Give one length for all: charge_density=[-20.0, -60.0].")
        count = next(iter(counts.values()))
        thin = {"thickness_over_porosity": membrane.thickness_over_porosity / count}
        slices = ({**thin, **{name: x[..., i] for name, x in arrays.items()}} for i in range(count))
        return cls(tuple(dataclasses.replace(membrane, **one) for one in slices))

    def water_permeance(self, viscosity: Array) -> Array:
        """``1/sum(1/A_l)``, m/s/Pa."""
        resistances = jnp.broadcast_arrays(*(1.0 / layer.water_permeance(viscosity) for layer in self.layers))
        return 1.0 / jnp.sum(jnp.stack(resistances), axis=0)
