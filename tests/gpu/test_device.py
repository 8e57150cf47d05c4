"""An accelerator gives the numbers that the CPU of the same machine gives; skipped where there is none."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.units import LMH, bar, m3_per_h

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(jax.default_backend() == "cpu", reason="no accelerator on this machine"),
]


def passage() -> jax.Array:
    flux = jnp.linspace(1.0, 100.0, 40) * LMH
    case = jm.Case(jm.feed("brackish8"), jm.membrane("NF270"), jm.FluxDriven(flux, jm.film("D^(2/3)", 4e-5)))
    return jm.solve(jm.DSPMDE(), case).observed_rejection


def passage_slope() -> jax.Array:
    flux = jnp.linspace(10.0, 60.0, 8) * LMH

    def total(radius: jax.Array) -> jax.Array:
        case = jm.Case(jm.feed("brackish8"), jm.membrane("NF270", pore_radius=radius), jm.FluxDriven(flux))
        return jnp.sum(jm.solve(jm.DSPMDE(activity="ideal"), case).observed_rejection)

    return jax.grad(total)(jnp.asarray(0.45e-9)) * 1e-9


def recovery() -> jax.Array:
    feed = jm.Mixture.from_concentration({"Na+": 547.6, "Cl-": 547.6})
    element = jm.SpiralElement(jm.SolutionDiffusionMembrane(2.9e-12, 2.8e-8), 37.2, 0.965)
    conditions = jm.FeedPressure(jnp.linspace(50.0, 70.0, 8) * bar, 9.0 * m3_per_h)
    return jm.solve(jm.SpiralWound(), jm.Case(feed, jm.Vessel(element, 6), conditions)).recovery


def layer() -> jax.Array:
    feed = jm.Mixture.from_concentration({"Na+": 547.6, "Cl-": 547.6})
    case = jm.Case(feed, None, jm.Layer(1e-4, jnp.linspace(1e-6, 2e-5, 8), 1e-9, jm.fem.Dirichlet(0.0)))
    return jm.solve(jm.ADM(elements=200), case).concentration / 547.6


def current() -> jax.Array:
    wall = jm.IonExchangeMembrane()
    return jm.solve(jm.NernstPlanckPoisson(), jm.Groups(1e-3).case(wall, sweep=jnp.arange(31.0))).state.current


def vortex() -> jax.Array:
    model = jm.Electroconvection(32, 48, duration=0.02, samples=4)
    case = jm.Groups(1e-2, 0.5).case(jm.IonExchangeMembrane(), voltage=jnp.asarray([25.0, 30.0]), box=1.73)
    return jm.solve(model, case).current_series


@pytest.mark.parametrize("ask", [passage, passage_slope, recovery, layer, current, vortex])
def test_same_numbers(ask: Callable[[], jax.Array]) -> None:
    there = np.asarray(ask())
    with jax.default_device(jax.devices("cpu")[0]):
        here = np.asarray(ask())
    np.testing.assert_allclose(there, here, rtol=1e-7, atol=1e-9)
