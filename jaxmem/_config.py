"""The one import side effect (float64) and the switches read from the environment."""

import os
import warnings

import jax
import jaxlib

VERSION = "0.1.0"

WRONG_VERSIONS = {
    "0.10.2": "returns silently wrong sums in large batches on CPUs",
    "0.11.0": "has an upstream crash report",
}


def switch(name: str, default: bool) -> bool:
    """A JAXMEM_* environment variable as a truth value."""
    return os.environ.get(name, str(int(default))).strip().lower() not in ("0", "false", "no", "off", "")


def configure() -> None:
    """Switch float64 on (``JAXMEM_X64=0`` opts out) and warn on jax versions known to be wrong."""
    if switch("JAXMEM_X64", True):
        jax.config.update("jax_enable_x64", True)
    for package in (jax, jaxlib):
        reason = WRONG_VERSIONS.get(package.__version__)
        if reason:
            warnings.warn(
                f"{package.__name__} {package.__version__} {reason}. Type: pip install 'jax!={package.__version__}' "
                f"'jaxlib!={package.__version__}'",
                RuntimeWarning,
                stacklevel=3,
            )


def quick_to_compile() -> dict | None:
    """Options of ``jax.jit`` for large programs on a CPU, for equally fast code.

    The compiler's first level takes half the time of its last; before jaxlib 0.11, programs without its newer emitters of fusions two thirds.
    """
    if jax.default_backend() != "cpu":
        return None
    options: dict = {} if jax.config.read("jax_disable_most_optimizations") else {"xla_backend_optimization_level": 1}
    if jaxlib.version.__version_info__ < (0, 11):
        options["xla_cpu_use_fusion_emitters"] = False
    return options or None


def checks_under_trace() -> bool:
    """``JAXMEM_CHECK=1``: range checks stay on inside jit, as runtime errors."""
    return switch("JAXMEM_CHECK", False)


def double_precision() -> bool:
    """Whether new arrays are float64."""
    return jax.dtypes.canonicalize_dtype("float64") == "float64"
