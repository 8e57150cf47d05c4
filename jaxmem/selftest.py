"""What ``jaxmem info`` prints: versions, devices, precision, one solve against a closed form."""

import importlib.metadata
import platform
import time

import jax
import jax.numpy as jnp
from rich.table import Table

from . import DSPMDE, Case, FluxDriven, Mixture, __version__, membrane, solve
from ._config import double_precision
from .units import LMH


def neutral_check() -> tuple[float, float]:
    """Glucose beside NaCl: largest difference from ``R = 1 - Phi K_c/[1 - (1 - Phi K_c) exp(-Pe)]``, and seconds taken."""
    mixture = Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0, "glucose": 1.0})
    case = Case(mixture, membrane("default"), FluxDriven(jnp.array([5.0, 40.0]) * LMH))
    begin = time.perf_counter()
    result = solve(DSPMDE(activity="ideal"), case)
    seconds = time.perf_counter() - begin
    ratio = mixture.species.stokes_radius[2] / case.membrane.pore_radius
    _, kc = case.membrane.hindrance(ratio)
    through = (1.0 - ratio) ** 2 * kc
    exact = 1.0 - through / (1.0 - (1.0 - through) * jnp.exp(-result.peclet[:, 2]))
    return float(jnp.max(jnp.abs(result.observed_rejection[:, 2] - exact))), seconds


def report() -> Table:
    """The table of ``jaxmem info``."""
    table = Table(show_header=False, title=f"jaxmem {__version__}", title_justify="left")
    table.add_row("Python", f"{platform.python_version()} on {platform.machine()}")
    for name in ("jax", "jaxlib", "numpy", "equinox", "lineax", "optimistix", "diffrax", "optax"):
        table.add_row(name, importlib.metadata.version(name))
    table.add_row("devices", ", ".join(f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()))
    table.add_row("precision", "float64" if double_precision() else "float32 only (JAXMEM_X64=0)")
    if double_precision():
        error, seconds = neutral_check()
        verdict = "passed" if error < 1e-10 else "FAILED"
        table.add_row(
            "self-test",
            f"{verdict}: neutral solute against its closed form, {error:.0e}, {seconds:.1f} s with compilation",
        )
    return table
