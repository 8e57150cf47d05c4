"""What the networks in a membrane's closures say of a question: whether it is unlike what they have learned from."""

from typing import Any

from jax import Array

from ..case import modules
from ..chemistry.mixture import Mixture


def beyond(membrane: Any, water: Mixture, flux: Array) -> list[Array]:
    """Of each network that has learned, whether waters at the membrane ``(*batch, S)``, fluxes or the pore are beyond; ``(*batch)``."""
    walls = getattr(membrane, "layers", (membrane,))
    return [
        part.outside(water, flux, wall) for wall in walls for part in modules(wall) if getattr(part, "known", False)
    ]
