"""Strict numerics for every test: float64, no silent promotion of dtypes, warnings are errors.

Rank promotion stays allowed: the solver's arrays are ions first, batch last, and per-lane scalars broadcast against them by
the trailing-axis rule on purpose.
"""

import gc
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

if "XLA_FLAGS" not in os.environ:  # read by jax when it starts; most of the time of the tests goes into compilation
    flags = ["--xla_cpu_parallel_codegen_split_count=1", "--xla_llvm_disable_expensive_passes=true"]
    if tuple(int(x) for x in version("jaxlib").split(".")[:2]) < (0, 11):
        flags.append("--xla_cpu_use_fusion_emitters=false")  # the newer ones take half as long again
    os.environ["XLA_FLAGS"] = " ".join(flags)
# The same programs come again in the other worker, in processes that tests start, and in the next run
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "programs"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.3")

import jaxtyping
import pytest

with jaxtyping.install_import_hook("jaxmem", "beartype.beartype"):  # every annotation of jaxmem is checked at run time
    import jaxmem as jm

import jax
import jax.numpy as jnp
import matplotlib

matplotlib.use("Agg")
gc.set_threshold(200_000, 20, 50)  # traces are many small objects that stay; searching them takes a tenth
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_disable_most_optimizations", True)  # compilation is most of the time of the tests


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """Compiled programs hold memory maps, of which Linux grants a process 65,530: let go of them before that."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > 15_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def untyped() -> Iterator[None]:
    """As users run it: wrong types reach jaxmem's own refusals."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def brackish() -> jm.Case:
    """Eight ions through NF270 behind a film, 16 fluxes."""
    flux = jnp.linspace(1.0, 100.0, 16) * jm.units.LMH
    return jm.Case(jm.feed("brackish8"), jm.membrane("NF270"), jm.FluxDriven(flux, jm.film("D^(2/3)", 4e-5)))


@pytest.fixture
def salt() -> jm.Case:
    """NaCl through the default membrane, one flux, no film."""
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    return jm.Case(feed, jm.membrane("default"), jm.FluxDriven(1e-5))
