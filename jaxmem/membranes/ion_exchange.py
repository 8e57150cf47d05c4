"""Ion-exchange membranes, as the solution beside them sees them."""

from typing import Any

import equinox as eqx
from jax import Array

from .._errors import JaxmemError
from .._fields import check, field
from .provenance import Provenance


class IonExchangeMembrane(eqx.Module):
    """An ideally selective surface: counter-ions stand there at ``enrichment`` times their bulk equivalents, co-ions do not pass.

    Results hardly depend on ``enrichment`` beyond 1.5 but for the Donnan jump ``(RT/z F) ln enrichment``, which the voltage includes.
    Counter-ions of a cation exchanger come with positive voltages and currents, those of an anion exchanger with negative ones.
    """

    exchanges: str = eqx.field(static=True, default="cations")
    enrichment: Array = field(
        unit="1", low=1e-2, high=1e4, symbol="c_w", doc="counter-ions at the surface over the bulk", default=2.0
    )
    provenance: Provenance = Provenance()

    def __check_init__(self) -> None:
        check(self)
        _check_kind(self.exchanges, "IonExchangeMembrane")


class FixedChargeMembrane(eqx.Module):
    """An ion-exchange membrane with an inside: fixed charge of one density, through which both ions pass (Teorell 1935, Meyer and Sievers 1936).

    It lies between two layers of solution of the thickness that the conditions give, each before a stirred bulk of the feed. Gauss's law holds all
    through, so Donnan equilibrium, leakage of co-ions and the space charge at both surfaces follow. Where the charge is that of the
    solution or less there is hardly a plateau; at ten times it is flat, with a fifth of the current leaked by co-ions; at a hundred times, 3 %.
    """

    exchanges: str = eqx.field(static=True, default="cations")
    charge_density: Array = field(
        unit="mol/m3",
        low=1e-9,
        high=2e4,
        symbol="X",
        doc="equivalents of fixed charge per volume of solution inside",
        default=1000.0,
    )
    thickness: Array = field(unit="m", low=1e-9, high=1e-2, symbol="d", hint="um", doc="thickness", default=1e-4)
    diffusion: Array = field(
        unit="1", low=1e-6, high=10.0, symbol="D_m/D", doc="diffusivities inside over those in solution", default=0.1
    )
    provenance: Provenance = Provenance()

    def __check_init__(self) -> None:
        check(self)
        _check_kind(self.exchanges, "FixedChargeMembrane")


def _check_kind(exchanges: str, name: str) -> None:
    if exchanges not in ("cations", "anions"):
        raise JaxmemError(
            f"exchanges = {exchanges!r}. A membrane exchanges cations or anions: write jm.{name}('cations')."
        )


class MembranePair(eqx.Module):
    """Two membranes, ``low`` at y = 0 and ``high`` across the gap: two of one kind, or a cation and an anion exchanger (a channel)."""

    low: Any = IonExchangeMembrane()
    high: Any = IonExchangeMembrane()

    def __check_init__(self) -> None:
        for name in ("low", "high"):
            if not isinstance(getattr(self, name), IonExchangeMembrane):
                raise JaxmemError(
                    f"MembranePair.{name} is a {type(getattr(self, name)).__name__}. Write jm.MembranePair(jm.IonExchangeMembrane('cations'), "
                    "jm.IonExchangeMembrane('anions'))."
                )
