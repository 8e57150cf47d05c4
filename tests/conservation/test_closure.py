"""Charge and mass add up: permeate, interface, every node of the pore, and the film."""

import numpy as np
import pytest

import jaxmem as jm
from tests.helpers import IDEAL, N, batch, ion, lane

random = np.random.default_rng(5)


def wide_lane(i: int) -> dict:
    """Four ions, a random membrane and a random flux."""
    na, mg, so4 = random.uniform(1.0, 100.0, 3)
    so4 = min(so4, 0.4 * (na + 2 * mg))
    ions = (
        ion("Na+", na, k=4e-5),
        ion("Mg+2", mg, k=2.6e-5),
        ion("Cl-", na + 2 * mg - 2 * so4, k=5e-5),
        ion("SO4-2", so4, k=3e-5),
    )
    return lane(
        *ions,
        J=np.exp(random.uniform(np.log(1e-7), np.log(8e-5))),
        X=random.uniform(-200, 100),
        rp=random.uniform(0.4e-9, 0.7e-9),
    )


@pytest.fixture(scope="module")
def result() -> jm.models.result.PointResult:
    return jm.solve(IDEAL, batch([wide_lane(i) for i in range(N)], film=True))


def relative_charge(z: np.ndarray, c: np.ndarray, wall: np.ndarray | float = 0.0) -> float:
    return float(np.max(np.abs((z * c).sum(-1) + wall) / (np.abs(z * c).sum(-1) + np.abs(wall))))


def test_permeate_and_interface_are_neutral(result: jm.models.result.PointResult) -> None:
    z = np.asarray(result.case.feed.species.charge)
    assert relative_charge(z, np.asarray(result.permeate)) < 1e-12
    assert relative_charge(z, np.asarray(result.interface)) < 1e-12


def test_no_current(result: jm.models.result.PointResult) -> None:
    z = np.asarray(result.case.feed.species.charge)
    assert relative_charge(z, np.asarray(result.solute_flux)) < 1e-12
    assert np.allclose(result.solute_flux, result.volume_flux[:, None] * result.permeate, rtol=1e-15)


def test_pore_is_neutral_with_its_wall(result: jm.models.result.PointResult) -> None:
    z = np.asarray(result.case.feed.species.charge)
    wall = np.asarray(result.case.membrane.charge_density)
    assert relative_charge(z, np.asarray(result.pore_entrance), wall) < 1e-12
    assert relative_charge(z, np.asarray(result.pore_exit), wall) < 1e-12
    profiles = result.profiles()
    assert profiles.pore.shape == (N, 65, 4)
    assert (np.asarray(profiles.pore) > 0.0).all()
    assert relative_charge(z[:, None], np.asarray(profiles.pore), wall[:, None]) < 1e-12
    assert float(np.max(np.asarray(result.closure))) < 1e-12


def test_film_is_neutral_and_joins(result: jm.models.result.PointResult) -> None:
    z = np.asarray(result.case.feed.species.charge)
    film = np.asarray(result.profiles().film)
    assert np.allclose(film[:, 0], result.feed, rtol=1e-8)
    assert np.allclose(film[:, -1], result.interface, rtol=1e-12)
    assert relative_charge(z, film[:, 0]) < 1e-8


def test_profile_ends_meet_the_faces(result: jm.models.result.PointResult) -> None:
    pore = np.asarray(result.profiles(256).pore)
    assert np.allclose(pore[:, -1], result.pore_exit, rtol=1e-10)
    assert np.allclose(pore[:, 0], result.pore_entrance, rtol=2e-3)  # 256 plain segments, no extrapolation


def test_rejections_agree_with_the_film(result: jm.models.result.PointResult) -> None:
    observed, real = np.asarray(result.observed_rejection), np.asarray(result.real_rejection)
    assert np.allclose(1.0 - observed, np.asarray(result.permeate / result.feed), rtol=1e-12)
    assert np.allclose(1.0 - real, np.asarray(result.permeate / result.interface), rtol=1e-12)
    assert np.allclose((1.0 - observed), (1.0 - real) * np.asarray(result.polarisation_modulus), rtol=1e-12)


def test_pressure_is_flux_over_permeance_plus_osmosis(result: jm.models.result.PointResult) -> None:
    membrane, feed = result.case.membrane, result.case.feed
    a = np.asarray(membrane.pore_radius) ** 2 / (
        8 * np.asarray(feed.water_viscosity) * np.asarray(membrane.thickness_over_porosity)
    )
    osmotic = 8.314462618 * 298.15 * np.asarray((result.interface - result.permeate).sum(-1))
    assert np.allclose(result.pressure, np.asarray(result.volume_flux) / a + osmotic, rtol=1e-12)
