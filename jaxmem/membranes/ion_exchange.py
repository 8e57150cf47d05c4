"""Ion-exchange membranes, as the solution beside them sees them."""

from typing import Any

import equinox as eqx
from jax import Array

from .._errors import JaxmemError
from .._fields import check, field
from .pore import Provenance


class IonExchangeMembrane(eqx.Module):
    """An ideally selective surface: counter-ions stand there at ``enrichment`` times their bulk equivalents, co-ions do not pass.

    Results hardly depend on ``enrichment`` beyond 1.5 but for the Donnan jump ``(RT/z F) ln enrichment``, which the voltage includes.
    """

    exchanges: str = eqx.field(static=True, default="cations")
    enrichment: Array = field(
        unit="1", low=1e-2, high=1e4, symbol="c_w", doc="counter-ions at the surface over the bulk", default=2.0
    )
    provenance: Provenance = Provenance()

    def __check_init__(self) -> None:
        check(self)
        if self.exchanges not in ("cations", "anions"):
            raise JaxmemError(
                f"exchanges = {self.exchanges!r}. A membrane exchanges cations or anions: write jm.IonExchangeMembrane('cations')."
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
