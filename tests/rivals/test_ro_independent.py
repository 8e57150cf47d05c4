"""Vessels and layers against SciPy programs written from the equations alone."""

import jax.numpy as jnp
import numpy as np

import jaxmem as jm
from benchmarks.rivals import scipy_layer, scipy_vessel
from jaxmem.units import bar, m3_per_h


def test_vessels_against_solve_ivp():
    random = np.random.default_rng(5)
    n, area = 4, 37.0
    a, b = (
        np.exp(random.uniform(np.log(1e-12), np.log(8e-12), n)),
        np.exp(random.uniform(np.log(1e-8), np.log(3e-7), n)),
    )
    pressure, flow = random.uniform(50, 80, n) * bar, random.uniform(6, 14, n) * m3_per_h
    salt = random.uniform(100.0, 700.0, n)
    feed = jm.Mixture.from_concentration({"Na+": salt, "Cl-": salt})
    vessel = jm.Vessel(jm.SpiralElement(jm.SolutionDiffusionMembrane(a, b), area, 0.956), 3)
    r = jm.solve(jm.SpiralWound(), jm.Case(feed, vessel, jm.FeedPressure(pressure, flow)))
    kilograms = np.asarray(jnp.sum(feed.mass_concentration, axis=-1))
    expected = [scipy_vessel.recovery(a[i], b[i], area, 3, pressure[i], flow[i], kilograms[i]) for i in range(n)]
    np.testing.assert_allclose(r.recovery, expected, rtol=1e-6)


def test_layers_against_banded_solves():
    feed, velocity = jm.Mixture.from_concentration({"Na+": 500.0, "Cl-": 500.0}), np.array([1e-7, 1e-6, 2e-5])
    layer = jm.Layer(1e-4, velocity, 1e-9, jm.fem.Dirichlet(0.0))
    r = jm.solve(jm.ADM(elements=80), jm.Case(feed, None, layer))
    expected = [scipy_layer.profile(np.linspace(0, 1e-4, 81), v, 1e-9) for v in velocity]
    np.testing.assert_allclose(r.concentration / 500.0, expected, atol=1e-9)
