"""The Result of a layer of solution: its profile and its fluxes."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..._status import code, tally
from ...case import Case
from ..inputs import benign

DOUBTFUL = 27.6  # ln(1e12): amplification of the outlet condition that is worth a warning


class Fluxes(NamedTuple):
    """In the middle of every element, mol/m2/s, with sign: positive towards the outlet."""

    position: Array  # (*batch, N) m
    advective: Array  # v C
    diffusive: Array  # -D C'
    total: Array


def _bernoulli(x: Array) -> Array:
    """``x/(exp(x) - 1)``."""
    small = jnp.abs(x) < 1e-3
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, 1.0 - x / 2.0 + x * x / 12.0, safe / jnp.expm1(safe))


class LayerResult(eqx.Module):
    """Answer for one layer or a batch; arrays ``(*batch, N + 1)``, SI."""

    case: Case
    model: Any
    state: Any
    status: Array

    @property
    def ok(self) -> Array:
        """Solved."""
        return self.status == code("successful")

    @property
    def position(self) -> Array:
        """m."""
        return self.state.position

    @property
    def concentration(self) -> Array:
        """mol/m3 of salt (equivalents)."""
        return self.state.concentration

    @property
    def time(self) -> Array | None:
        """s since the feed came; None for the steady state."""
        return self.case.conditions.time

    @property
    def unsteadiness(self) -> Array:
        """Largest ``|C_t| L/(v C_0)`` in the last step (without flow ``D/L`` for v): far below 1 nothing moves any more; 0 for the steady state."""
        return self.state.unsteady

    @property
    def fluxes(self) -> Fluxes:
        """Advective, diffusive and total flux. With SUPG the total is that of the exponential between two nodes (Scharfetter and
        Gummel), constant along the layer where the coefficients are."""
        x, c = self.position, self.concentration
        h = jnp.diff(x, axis=-1)
        middle = 0.5 * (c[..., 1:] + c[..., :-1])
        clean = benign(self.case, self.ok)
        layer, v = clean.conditions, self.model.velocity(clean)[..., None]
        d = layer.diffusivity[..., None] * self.model.diffusivity(middle)
        if self.model.element_diffusivity is not None:
            d = d * self.model.element_diffusivity
        advective = v * middle
        if self.model.supg:
            peclet = v * h / d
            total = d / h * (_bernoulli(-peclet) * c[..., :-1] - _bernoulli(peclet) * c[..., 1:])
        else:
            total = advective - d * jnp.diff(c, axis=-1) / h
        return Fluxes(0.5 * (x[..., 1:] + x[..., :-1]), advective, total - advective, total)

    @property
    def cell_peclet(self) -> Array:
        """Largest ``v h/(2 D)``: above 1 Galerkin oscillates."""
        layer = benign(self.case, self.ok).conditions
        h = jnp.max(jnp.diff(self.position, axis=-1), axis=-1)
        return jnp.abs(layer.velocity) * h / (2.0 * layer.diffusivity)

    def messages(self) -> dict[str, int]:
        """Sentences of the codes that occur, and how often."""
        return tally(self.status)

    def warnings(self) -> list[str]:
        """What makes a profile doubtful."""
        found, known = [], np.asarray(self.ok)
        if not known.any():
            return found
        if not self.model.supg and bool(np.any(np.asarray(self.cell_peclet > 1.0) & known)):
            found.append(
                f"cell Peclet number up to {float(jnp.max(self.cell_peclet)):.3g}: Galerkin oscillates above 1; write supg=True"
            )
        amplification = float(np.max(np.asarray(self.state.amplification)[known]))
        if amplification > DOUBTFUL:
            found.append(f"the outlet condition is amplified by exp({amplification:.3g}): the profile may be round-off")
        least = float(np.min(np.asarray(self.concentration)[known]))
        if least < 0.0:
            found.append(f"negative concentrations, down to {least:.3g} mol/m3")
        inlet = np.abs(np.asarray(self.concentration[..., 0]))
        most = np.asarray(jnp.max(jnp.abs(self.concentration), axis=-1))
        if bool(np.any((most > 1e3 * inlet) & (inlet > 0.0) & known)):
            found.append(
                f"concentrations up to {np.max(most[known]):.3g} mol/m3, over 1000 times the inlet: no solution holds that much"
            )
        return found

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset`` with units; failed lanes are NaN, ``status`` says why."""
        from ..export import need

        xr = need("xarray")
        dims = tuple(f"batch_{i}" for i in range(len(self.case.batch_shape)))
        profile = np.where(np.asarray(self.ok)[..., None], np.asarray(self.concentration), np.nan)
        return xr.Dataset(
            {
                "concentration": ((*dims, "node"), profile, {"units": "mol m-3", "long_name": "salt, equivalents"}),
                "position": ((*dims, "node"), np.asarray(self.position), {"units": "m", "long_name": "position"}),
                "unsteadiness": (
                    dims,
                    np.where(np.asarray(self.ok), np.asarray(self.unsteadiness), np.nan),
                    {"units": "1", "long_name": "largest |C_t| L/(v C_0)"},
                ),
                "status": (dims, np.asarray(self.status), {"long_name": "0 is solved; see jaxmem.STATUS"}),
            },
            attrs={"model": self.model.title()},
        )

    @property
    def plot(self) -> Any:
        """``.plot.profile()`` returns matplotlib Axes."""
        from ...plot.channel import LayerPlots

        return LayerPlots(self)

    def __str__(self) -> str:
        if not hasattr(self.status, "__array__"):
            return "LayerResult (traced)"
        ok = np.asarray(self.ok)
        lines = [
            f"{self.model.title()}: {int(ok.sum())}/{ok.size} solved, concentration {self.concentration.dtype} {self.concentration.shape}"
        ]
        lines += [
            f"  outlet {float(jnp.min(c)):.5g} to {float(jnp.max(c)):.5g} mol/m3"
            for c in (self.concentration[..., -1],)
        ]
        if self.time is not None:
            lines.append(
                f"  after {float(jnp.max(self.time)):.4g} s; |C_t| L/(v C_0) {float(jnp.max(self.unsteadiness)):.1e} at most"
            )
        return "\n".join(
            lines + [f"  {text}" for text in (*self.warnings(), *(m for m in self.messages() if m != "Solved."))][:7]
        )
