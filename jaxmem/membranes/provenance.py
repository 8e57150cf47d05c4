"""Where a parameter set comes from."""

import equinox as eqx


class Provenance(eqx.Module):
    """Where a parameter set comes from; travels with results into ``jm.citations``."""

    name: str = eqx.field(static=True, default="user")
    source: str = eqx.field(static=True, default="given by the user")
    radii: str = eqx.field(static=True, default="stokes")
    warning: str = eqx.field(static=True, default="")
    closures: tuple[str, ...] = eqx.field(static=True, default=())  # of the channel, that A and B were fitted with
