"""Random feeds through random pores: what networks are pre-trained on, and what they are asked in tests."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import JaxmemError
from ..case import Case
from ..chemistry.mixture import Mixture
from ..chemistry.species import species
from ..conditions import FluxDriven
from ..membranes.pore import PoreMembrane
from ..models.result import PointResult
from .neural_ode import FLUX, Lane, lane_of

IONS = ("Na+", "K+", "Li+", "NH4+", "Mg+2", "Ca+2", "Cl-", "NO3-", "HCO3-", "SO4-2")


class Corpus(NamedTuple):
    """n rollouts of k fluxes: questions, and the transmission ``c_p/c_feed`` that answers them."""

    lane: Lane  # (n, ...), of unit flux
    flux: jax.Array  # (k,) in units of 60 um/s
    passage: jax.Array  # (n, k, S)
    ok: jax.Array  # (n, k)


def random_case(
    count: int, fluxes: int = 20, *, seed: int = 0, ions: tuple[str, ...] = IONS, least: float = 1e-3
) -> Case:
    """``(count, fluxes)`` questions: 2 to 8 ions of 1 to 500 mol/m3 ionic strength, pores of 0.38 to 0.65 nm, -200 to 100 mol/m3, up to 60 um/s.

    Before the anions balance, the rarest of the ions in a feed is ``least`` of the most abundant or more.
    """
    if count < 1 or fluxes < 1:
        raise JaxmemError(f"count = {count!r} and fluxes = {fluxes!r} must be 1 or more. Write random_case(1000, 20).")
    random = np.random.default_rng(seed)
    which = species(*ions)
    z = np.asarray(which.charge)
    c = np.stack([_feed(random, z, least) for _ in range(count)])
    even = lambda low, high: random.uniform(low, high, (count, 1))
    log_even = lambda low, high: np.exp(random.uniform(np.log(low), np.log(high), (count, 1)))
    pore = PoreMembrane(even(0.38e-9, 0.65e-9), log_even(0.3e-6, 5e-6), even(-200.0, 100.0), even(30.0, 65.0))
    flux = FLUX * jnp.linspace(1.0 / fluxes, 1.0, fluxes)
    return Case(Mixture(which, c[:, None]), pore, FluxDriven(flux))


def _feed(random: np.random.Generator, z: np.ndarray, least: float) -> np.ndarray:
    """Both signs present, electroneutral by scaling the anions."""
    size, present = random.integers(2, 9), np.zeros(len(z), bool)
    for side in (z > 0, z < 0):
        present[random.choice(np.flatnonzero(side))] = True
    others = np.flatnonzero(~present)
    present[random.choice(others, min(size - 2, len(others)), replace=False)] = True
    c = np.where(present, np.exp(random.uniform(np.log(least), 0.0, len(z))), 0.0)
    plus, minus = (np.sum(np.abs(z) * c * side) for side in (z > 0, z < 0))
    c = np.where(z < 0, c * plus / minus, c)
    strength = np.exp(random.uniform(np.log(1.0), np.log(500.0)))
    return c * strength / (0.5 * np.sum(z**2 * c))


def corpus(case: Case, result: PointResult) -> Corpus:
    """From a case ``(n, k)`` whose last axis is the flux alone, and the Result that a model gave it."""
    flux = case.conditions.volume_flux
    n, k = case.batch_shape
    one = Case(case.feed, case.membrane, FluxDriven(jnp.full((n, 1), FLUX)))
    return Corpus(lane_of(one), flux.reshape(-1)[-k:] / FLUX, result.passage, result.ok)


def noisy(passage: jax.Array, key: jax.Array, relative: float = 0.05, absolute: float = 0.02) -> jax.Array:
    """As measured: normal errors of the larger of the two."""
    size = jnp.maximum(relative * passage, absolute)
    return passage + size * jax.random.normal(key, passage.shape, passage.dtype)
