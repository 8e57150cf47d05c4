"""Limits and invariants of DSPM-DE with ideal activity (tolerances: nanofiltration.md section 6)."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from tests.helpers import IDEAL, N, S, batch, ion, lane, nacl, rejection

FOUR = (ion("Na+", 20.0), ion("Mg+2", 10.0), ion("Cl-", 24.0), ion("SO4-2", 8.0))


def spread(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))))


def scaled(factor: float) -> tuple[dict, ...]:
    return tuple({**i, "c": i["c"] * factor} for i in FOUR)


def flipped(ions: tuple[dict, ...]) -> tuple[dict, ...]:
    return tuple({**i, "z": -i["z"]} for i in ions)


def test_no_flux_no_rejection() -> None:
    flux = [0.0, 1e-16, 1e-15, 1e-14, 1e-13]
    r = rejection([lane(*FOUR, J=j) for j in flux])
    assert np.abs(r[0]).max() < 1e-12
    assert np.abs(r[4]).min() > 1e-6  # there is something to be linear in
    assert spread(r[1], 0.1 * r[2]) < 1e-12
    assert spread(r[3] / (0.1 * r[4]), 1.0) < 1e-3


def test_no_flux_film_and_interface() -> None:
    result = jm.solve(IDEAL, batch([lane(*FOUR, J=0.0)], film=True))
    assert spread(result.permeate / result.feed, 1.0) < 1e-12
    assert spread(result.interface / result.feed, 1.0) < 1e-12


def neutral_closed_form(flux: np.ndarray, ratio: float, diffusivity: float, dx: float) -> np.ndarray:
    kd, kc = (float(x) for x in jm.DechadilokDeen()(jnp.asarray(ratio)))
    phi = (1.0 - ratio) ** 2
    return 1.0 - phi * kc / (1.0 - (1.0 - phi * kc) * np.exp(-kc * flux * dx / (kd * diffusivity)))


def test_neutral_solute() -> None:
    flux = np.geomspace(1e-8, 1e-3, 12)
    glucose = ion("glucose", 1.0)
    r = rejection([lane(*nacl(), glucose, J=j) for j in flux])[:, 2]
    assert spread(r, neutral_closed_form(flux, glucose["r"] / 0.5e-9, glucose["D"], 1.33e-6)) < 1e-10


@pytest.mark.parametrize("film", [False, True])
def test_neutral_solutes_alone(film: bool) -> None:
    """No ion, no field: each solute by itself. In one batch with a salt."""
    glucose, urea = ion("glucose", 5.0, k=2e-5), ion("urea", 2.0, k=5e-5)
    flux = (1e-7, 1e-5, 1e-4)
    lanes = [lane(glucose, J=j, X=0.0) for j in flux] + [lane(glucose, urea, J=j, X=0.0) for j in flux] + [lane(*FOUR)]
    result = jm.solve(IDEAL, batch(lanes, film))
    closed = neutral_closed_form(np.array(flux), glucose["r"] / 0.5e-9, glucose["D"], 1.33e-6)
    assert spread(result.real_rejection[:3, 0], closed) < 1e-10
    assert spread(result.real_rejection[3:6, 0], closed) < 1e-10
    polarised = (result.interface - result.permeate)[:3, 0] / (result.feed - result.permeate)[:3, 0]
    assert spread(np.log(polarised), np.array(flux) / 2e-5 if film else 0.0) < 1e-9
    assert float(jnp.abs(result.donnan_feed[:6]).max()) == 0.0


def test_film_theory_holds_at_any_flux() -> None:
    """Real rejection is that of the bare membrane, observed rejection follows from ``exp(J_v/k)``: also where it is e^300."""
    factors = np.array([1.0, 30.0, 79.0, 81.0, 120.0, 300.0])
    flux = np.full(6, 1e-5)
    lanes = [lane(*nacl(k=j / f), J=j) for j, f in zip(flux, factors, strict=True)]
    result = jm.solve(IDEAL, batch(lanes, film=True))
    passage = 1.0 - result.real_rejection[:6, 0]
    expected = passage / (passage + (1.0 - passage) * np.exp(-factors))  # c_p/c_b
    assert spread(1.0 - result.observed_rejection[:6, 0], expected) < 1e-9
    assert spread(passage[1:], passage[1]) < 1e-12  # the permeate is the feed: one interface carries it at every k
    assert float(result.observed_rejection[4:6, 0].max()) < 1e-12


def test_neutral_solute_at_large_flux() -> None:
    glucose = ion("glucose", 1.0)
    ratio = glucose["r"] / 0.5e-9
    r = rejection([lane(*nacl(), glucose, J=5e-4)])[0, 2]
    assert abs(r - (1.0 - (1.0 - ratio) ** 2 * float(jm.DechadilokDeen()(jnp.asarray(ratio))[1]))) < 1e-10


def test_symmetric_salt_has_no_donnan_drop() -> None:
    """X = 0, equal radius: both ions partition alike, whatever their diffusivities."""
    ions = (ion("Na+", 20.0, r=0.15e-9), ion("Cl-", 20.0, r=0.15e-9))
    result = jm.solve(IDEAL, batch([lane(*ions, X=0.0, J=j) for j in (1e-6, 1e-5, 5e-5)]))
    volts = result.thermal_voltage
    assert float(jnp.max(jnp.abs(result.donnan_feed / volts))) < 1e-12
    assert float(jnp.max(jnp.abs(result.donnan_permeate / volts))) < 1e-12
    assert float(jnp.min(jnp.abs(result.pore_drop / volts))) > 1e-4  # unlike diffusivities leave a diffusion potential


@pytest.fixture(scope="module")
def filmed() -> tuple[list[dict], jm.Case, jm.models.result.PointResult]:
    flux = np.geomspace(1e-6, 1e-4, 8)
    lanes = [lane(*FOUR, J=j, k=3e-5) for j in flux] + [lane(*FOUR, J=j, k=1.0) for j in flux]
    case = batch(lanes, film=True)
    return lanes, case, jm.solve(IDEAL, case)


def test_equal_k_is_film_theory(filmed: tuple) -> None:
    lanes, _, result = filmed
    phi = np.array([one["J"] / one["k"] for one in lanes])
    c_m, c_p, c_b = (np.asarray(x)[: len(lanes)] for x in (result.interface, result.permeate, result.feed))
    assert spread((c_m - c_p) / (c_b - c_p) / np.exp(phi)[:, None], 1.0) < 1e-10
    assert float(jnp.max(jnp.abs(result.film_field / result.thermal_voltage))) < 1e-10


def test_infinite_k_is_no_film(filmed: tuple) -> None:
    lanes, _, result = filmed
    bare = rejection([{**one} for one in lanes[8:]])
    assert spread(result.interface_ratio[8:16], 1.0) < 2e-4  # J/k = 1e-4 at most
    assert spread(result.observed_rejection[8:16], bare) < 2e-4


def test_wall_and_water_scale_together() -> None:
    factors = [1.0, 1e-3, 0.1, 7.0, 100.0]
    r = rejection([lane(*scaled(f), X=-27.0 * f) for f in factors])
    assert spread(r, r[:1]) < 1e-10


def test_flux_and_thickness_scale_together() -> None:
    factors = [1.0, 0.1, 0.5, 3.0, 40.0]
    r = rejection([lane(*FOUR, J=1e-5 * f, dx=1.33e-6 / f) for f in factors])
    assert spread(r, r[:1]) < 1e-10
    assert spread(rejection([lane(*FOUR, J=1e-6), lane(*FOUR, J=1e-5)])[0], r[0]) > 1e-2


def test_all_signs_flip() -> None:
    r = rejection([lane(*FOUR), lane(*flipped(FOUR), X=27.0), lane(*flipped(FOUR))])
    assert spread(r[0], r[1]) < 1e-10
    assert spread(r[0], r[2]) > 1e-2  # flipping the ions alone is another problem


@pytest.mark.parametrize("film", [False, True])
def test_permuting_ions_permutes(film: bool) -> None:
    orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]]
    own = [{**i, "k": k} for i, k in zip(FOUR, (4e-5, 2.6e-5, 5.3e-5, 3.4e-5), strict=True)]
    r = rejection([lane(*[own[i] for i in order], J=3e-5) for order in orders], film)
    for row, order in zip(r, orders, strict=True):
        assert spread(row, r[0][order]) < 1e-10


def test_splitting_an_ion() -> None:
    whole = (ion("Na+", 20.0), ion("SO4-2", 10.0))
    parts = (ion("Na+", 13.0), ion("SO4-2", 4.0), ion("Na+", 7.0), ion("SO4-2", 6.0))
    r = rejection([lane(*whole), lane(*parts)])
    assert spread(r[1], r[0][[0, 1, 0, 1]]) < 1e-10


def test_absent_ions_change_nothing() -> None:
    """Two ions alone, and beside two absent ones of three kinds."""
    flux = jnp.full(N, 1e-5)
    alone = jm.solve(
        IDEAL,
        jm.Case(jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0}), jm.membrane("default"), jm.FluxDriven(flux)),
    )
    for other in ("K+", "SO4-2", "glucose"):
        r = rejection([lane(*nacl())], fill=other)
        assert spread(r[0, :2], alone.observed_rejection[0]) < 1e-10
        assert np.isfinite(r).all()


def test_trace_ions_reach_a_limit() -> None:
    """Li+ and SO4-2 at 1e-3 to 1e-12 of the salt: the change falls with the share, and the absent ion has the limit."""
    shares = [1e-3, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 0.0]
    lanes = [lane(*nacl(), ion("Li+", 40.0 * s), ion("SO4-2", 20.0 * s)) for s in shares]
    r = rejection(lanes)
    off = np.abs(r - r[-1]).max(axis=1)
    assert off[4] < 1e-8
    assert off[5] < 1e-8
    assert off[3] < 1e-6
    assert 0.05 < off[1] / off[0] < 0.2  # first order in the share


def test_pressure_and_flux_are_two_sides_of_one_point() -> None:
    lanes = [lane(*FOUR, J=j) for j in np.geomspace(2e-6, 5e-5, 8)]
    given = batch(lanes, film=True)
    by_flux = jm.solve(IDEAL, given)
    by_pressure = jm.solve(IDEAL, batch(lanes, film=True, pressure=by_flux.pressure))
    assert spread(by_pressure.volume_flux / by_flux.volume_flux, 1.0) < 1e-8
    assert spread(by_pressure.observed_rejection, by_flux.observed_rejection) < 1e-8
    assert spread(by_pressure.pressure / by_flux.pressure, 1.0) < 1e-8


def test_negative_rejection_is_an_answer() -> None:
    """Trace Li+ beside MgCl2 in a positive pore is pulled through: more of it in the permeate than in the feed."""
    ions = (ion("Mg+2", 30.0), ion("Cl-", 60.2), ion("Li+", 0.2))
    tight = {"rp": 0.45e-9, "dx": 0.8e-6, "eps": 60.0, "X": 60.0}
    result = jm.solve(IDEAL, batch([lane(*ions, **tight, J=j) for j in (1e-6, 2e-6, 4e-6)]))
    assert bool(result.ok.all())
    assert float(result.observed_rejection[:, 2].max()) < -0.3
    assert float(result.observed_rejection[:, 0].min()) > 0.9


def test_helper_shape() -> None:
    assert batch([lane(*FOUR)]).feed.concentration.shape == (N, S)
