"""The gradient of activity coefficients inside the pore, against SciPy's integration of the same equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import jaxmem as jm
from jaxmem.chemistry.activity import debye_factor

MODEL = jm.DSPMDE(activity_gradient=True)
WATER = {"Na+": 100.0, "Mg+2": 60.0, "Cl-": 180.0, "SO4-2": 20.0}


def asked(charge: float = -80.0) -> jm.Case:
    """A strong water, far from ideal, at three fluxes."""
    flux = jm.FluxDriven(jnp.asarray([3e-6, 1e-5, 3e-5]), jm.film("D^(2/3)", 4e-5))
    return jm.Case(jm.Mixture.from_concentration(WATER), jm.PoreMembrane(0.5e-9, 1.2e-6, charge, 45.0), flux)


def crossed(case: jm.Case, flux: float, permeate: np.ndarray, exit_: np.ndarray) -> np.ndarray:
    """From the pore exit to its entrance, mol/m3: ``c' = b - c z U + c A z^2 f'(I) I'`` with ``z c' = 0`` and ``I' = sum z^2 c'/2``."""
    feed, m = case.feed, case.membrane
    kd, kc = (np.asarray(x) for x in m.hindrance(feed.species.stokes_radius / m.pore_radius))
    z, inverse = (
        np.asarray(feed.species.charge),
        flux * float(m.thickness_over_porosity) / (kd * np.asarray(feed.diffusivity)),
    )
    debye = float(debye_factor(feed.water_permittivity, feed.temperature)) * np.log(10.0)

    def slope(_: float, c: np.ndarray) -> np.ndarray:  # against x: with the march
        b, half = inverse * (kc * c - permeate), 0.5 * z * z / 1000.0
        root = np.sqrt(half @ c)
        along = debye * z * z * (0.5 / (root * (1.0 + root) ** 2) - 0.3) * c  # c A z^2 f'(I)
        matrix = np.array([[-z @ (c * z), z @ along], [-half @ (c * z), half @ along - 1.0]])
        field, strength = np.linalg.solve(matrix, [-z @ b, -half @ b])
        return -(b - c * z * field + along * strength)

    return solve_ivp(slope, (0.0, 1.0), exit_, method="Radau", rtol=1e-11, atol=1e-12).y[:, -1]


@pytest.fixture(scope="module")
def result() -> jm.models.result.PointResult:
    return jm.solve(MODEL, asked())


def test_the_pore_obeys_its_equations(result) -> None:  # type: ignore[no-untyped-def]
    assert bool(result.ok.all())
    for lane, flux in enumerate((3e-6, 1e-5, 3e-5)):
        inside = result.pore_entrance[lane], result.pore_exit[lane]
        entrance = crossed(asked(), flux, np.asarray(result.permeate[lane]), np.asarray(inside[1]))
        np.testing.assert_allclose(inside[0], entrance, rtol=2e-6)
        profile = np.asarray(result.profiles(64).pore)[lane]
        np.testing.assert_allclose(profile[-1], inside[1], rtol=1e-9)
        charge = profile @ np.asarray(result.case.feed.species.charge) - 80.0
        assert np.abs(charge).max() < 1e-10 * profile.sum(axis=1).max()


def test_it_matters_and_its_slopes_are_exact(result) -> None:  # type: ignore[no-untyped-def]
    plain = jm.solve(jm.DSPMDE(), asked())
    change = np.asarray(result.observed_rejection - plain.observed_rejection)
    assert 5e-4 < np.abs(change).max() < 2e-2

    def passed(x: jax.Array) -> jax.Array:
        return jm.solve(MODEL, asked(x)).passage.sum()  # type: ignore[arg-type]

    h = 1e-2
    difference = (passed(jnp.asarray(-80.0 + h)) - passed(jnp.asarray(-80.0 - h))) / (2 * h)
    np.testing.assert_allclose(jax.grad(passed)(jnp.asarray(-80.0)), difference, rtol=1e-6)


def test_it_needs_activity_in_a_resolved_pore() -> None:
    for options in ({"activity": "ideal"}, {"cells": 10}, {"activity": jm.Davies(in_pore=False)}):
        with pytest.raises(jm.JaxmemError, match="activity coefficients inside of a resolved pore"):
            jm.DSPMDE(activity_gradient=True, **options)
