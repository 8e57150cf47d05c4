"""Friction between ions in the pore: against SciPy's integration of the same equations, what it must not change, and planted friction found again."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import spearmanr

import jaxmem as jm
from jaxmem.data.rejection import Dataset

WATER = {"Na+": 100.0, "Mg+2": 60.0, "Cl-": 180.0, "SO4-2": 20.0}
PAIRS = (("Na+", "Cl-"), ("Mg+2", "SO4-2"), ("Mg+2", "Cl-"))
RUBS = jm.PairFriction(PAIRS, [5e9, 2e10, 3e9])
FLUX = (3e-6, 1e-5, 3e-5)
IDEAL = jm.DSPMDE(activity="ideal")


def asked(friction: object, charge: float = -80.0, water: dict[str, float] = WATER) -> jm.Case:
    membrane = jm.PoreMembrane(0.5e-9, 1.2e-6, charge, 45.0, friction=friction)
    flux = jm.FluxDriven(jnp.asarray(FLUX), jm.film("D^(2/3)", 4e-5))
    return jm.Case(jm.Mixture.from_concentration(water), membrane, flux)


def crossed(case: jm.Case, flux: float, permeate: np.ndarray, exit_: np.ndarray) -> np.ndarray:
    """From the pore exit to its entrance, mol/m3, in velocities: the Maxwell-Stefan form itself."""
    feed, m = case.feed, case.membrane
    kd, kc = (np.asarray(x) for x in m.hindrance(feed.species.stokes_radius / m.pore_radius))
    z, d, thick = np.asarray(feed.species.charge), kd * np.asarray(feed.diffusivity), float(m.thickness_over_porosity)
    inverse = np.asarray(m.friction(feed))

    def slope(_: float, c: np.ndarray) -> np.ndarray:  # against x: with the march
        v = flux * permeate / c
        pair = np.outer(c, c) / c.sum() * inverse * (v[:, None] - v[None, :])
        b = -c / d * (v - kc * flux) - pair.sum(axis=1)
        assert abs(pair.sum()) < 1e-9 * abs(pair).sum() + 1e-30
        return -thick * (b - z * c * (z @ b) / (z * z @ c))

    return solve_ivp(slope, (0.0, 1.0), exit_, method="Radau", rtol=1e-11, atol=1e-12).y[:, -1]


@pytest.fixture(scope="module")
def result() -> jm.models.result.PointResult:
    return jm.solve(IDEAL, asked(RUBS))


def test_the_pore_obeys_its_equations(result) -> None:  # type: ignore[no-untyped-def]
    assert bool(result.ok.all())
    for lane, flux in enumerate(FLUX):
        inside = result.pore_entrance[lane], result.pore_exit[lane]
        entrance = crossed(asked(RUBS), flux, np.asarray(result.permeate[lane]), np.asarray(inside[1]))
        np.testing.assert_allclose(inside[0], entrance, rtol=2e-6)
    assert np.abs(IDEAL.residual(result.state, result.case)).max() < 1e-10
    assert any("Krishna and Wesselingh" in line for line in jm.citations(result))
    assert np.abs(result.permeate @ result.case.feed.species.charge).max() < 1e-12 * np.abs(result.feed).sum()


def test_it_matters_and_its_slopes_are_exact(result) -> None:  # type: ignore[no-untyped-def]
    plain = jm.solve(IDEAL, asked(None))
    assert np.abs(result.observed_rejection - plain.observed_rejection).max() > 0.2
    none = jm.solve(IDEAL, asked(jm.PairFriction(PAIRS, [0.0, 0.0, 0.0])))
    np.testing.assert_allclose(none.passage, plain.passage, rtol=1e-10)

    def passed(scale: jax.Array) -> jax.Array:
        friction = jm.PairFriction(PAIRS, RUBS.inverse_diffusivity * scale)
        return jm.solve(IDEAL, asked(friction)).passage.sum()

    difference = (passed(jnp.asarray(1.0001)) - passed(jnp.asarray(0.9999))) / 2e-4
    np.testing.assert_allclose(jax.grad(passed)(jnp.asarray(1.0)), difference, rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(passed, (jnp.asarray(1.0),), (jnp.asarray(1.0),))[1], difference, rtol=1e-6)


def test_ions_of_one_speed_do_not_rub() -> None:
    """A single salt in a pore without charge: both ions have one concentration and one speed."""
    salt, rubs = {"Na+": 50.0, "Cl-": 50.0}, jm.PairFriction((("Na+", "Cl-"),), [3e10])
    alone, rubbing = (jm.solve(IDEAL, asked(f, 0.0, salt)).passage for f in (None, rubs))
    np.testing.assert_allclose(rubbing, alone, rtol=1e-7)
    charged, slow = (jm.solve(IDEAL, asked(f, -50.0, salt)).passage for f in (None, rubs))
    assert bool(jnp.all(slow < 0.1 * charged))


def test_with_a_pressure_and_in_layers(result) -> None:  # type: ignore[no-untyped-def]
    pressure = result.pressure
    case = asked(RUBS)
    driven = jm.PressureDriven(pressure, jm.film("D^(2/3)", 4e-5))
    back = jm.solve(IDEAL, jm.Case(case.feed, case.membrane, driven))
    np.testing.assert_allclose(back.volume_flux, FLUX, rtol=1e-8)
    np.testing.assert_allclose(back.passage, result.passage, rtol=1e-8)
    half = dataclasses.replace(case.membrane, thickness_over_porosity=0.6e-6)
    two = jm.solve(IDEAL, jm.Case(case.feed, jm.LayeredMembrane((half, half)), case.conditions))
    np.testing.assert_allclose(two.passage, result.passage, rtol=2e-6)


def test_ions_split_in_two_and_the_diagonal_change_nothing(result) -> None:  # type: ignore[no-untyped-def]
    s, share = jm.species(*WATER), 0.35
    rows = [0, 1, 2, 3, 0, 2]
    take = lambda x: jnp.asarray(np.asarray(x)[rows])
    twins = jm.Species(
        tuple(s.names[i] for i in rows), take(s.charge), take(s.diffusivity), take(s.stokes_radius), take(s.born_radius), take(s.molar_mass)
    )  # fmt: skip
    c = np.array(list(WATER.values()))[rows] * [share, 1.0, share, 1.0, 1.0 - share, 1.0 - share]
    case = asked(RUBS)
    split = jm.solve(IDEAL, jm.Case(jm.Mixture(twins, c), case.membrane, case.conditions)).passage
    np.testing.assert_allclose(split[:, :4], result.passage, rtol=1e-7)
    np.testing.assert_allclose(split[:, 4:], split[:, [0, 2]], rtol=1e-9)
    own = jm.solve(IDEAL, asked(lambda feed: RUBS(feed) + 1e14 * jnp.eye(4))).passage
    np.testing.assert_allclose(own, result.passage, rtol=1e-12)


def test_mistakes_are_named(untyped: None) -> None:
    with pytest.raises(jm.JaxmemError, match="no pair twice"):
        jm.PairFriction((("Na+", "Cl-"), ("Cl-", "Na+")), [1e9, 1e9])
    with pytest.raises(jm.JaxmemError, match="1 pairs have 2 numbers"):
        jm.PairFriction((("Na+", "Cl-"),), [1e9, 1e9])
    with pytest.raises(jm.JaxmemError, match="inverse_diffusivity = -1"):
        jm.PairFriction((("Na+", "Cl-"),), [-1e9])
    with pytest.raises(jm.JaxmemError, match="K"):
        jm.solve(IDEAL, asked(jm.PairFriction((("K+", "Cl-"),), [1e9])))
    for model in (jm.DSPMDE(cells=10), jm.DSPMDE(activity_gradient=True)):
        with pytest.raises(jm.JaxmemError, match="needs a resolved pore"):
            jm.solve(model, asked(RUBS))
    for law in (5e9, jm.PairFriction):
        with pytest.raises(jm.JaxmemError, match="is no law of a water"):
            asked(law)
    with pytest.raises(jm.JaxmemError, match=r"\(3, 3\) for 4 solutes"):
        jm.solve(IDEAL, asked(lambda feed: jnp.ones((3, 3))))
    for options in ({"size": 0}, {"start": float("nan")}):
        with pytest.raises(jm.JaxmemError, match="make no friction"):
            jm.LearnedFriction.new(jax.random.key(0), **options)
    assert not jm.PairFriction((), []).inverse_diffusivity.size
    with pytest.raises(jm.JaxmemError, match="diffusivity = -1"):
        jm.LearnedFriction.new(jax.random.key(0), diffusivity=-1.0)


@pytest.mark.campaign
def test_planted_friction_is_found_again() -> None:
    """Six pairs of four ions from rejections with 1 % of noise in the transmission, by gradients through the pore."""
    ions = ("Na+", "Mg+2", "Cl-", "SO4-2")
    pairs, random = tuple(itertools.combinations(ions, 2)), np.random.default_rng(0)
    planted = jm.PairFriction(pairs, random.permutation(10.0 ** np.linspace(9.2, 10.5, len(pairs))))
    z, count = np.array([1.0, 2.0, -1.0, -2.0]), 8
    c = np.exp(random.uniform(np.log(5.0), np.log(100.0), (count, 4)))
    c[:, 2:] *= (c[:, :2] @ z[:2] / (c[:, 2:] @ -z[2:]))[:, None]
    feed = jm.Mixture(jm.species(*ions), np.repeat(c, 3, axis=0))
    flux = jm.FluxDriven(np.tile([4e-6, 1.5e-5, 5e-5], count))
    case = lambda friction: jm.Case(feed, jm.PoreMembrane(1e-9, 2e-6, -20.0, 70.0, friction=friction), flux)
    model = jm.DSPMDE(activity="ideal", tolerance=1e-3)
    truth = np.asarray(jm.solve(model, case(planted)).real_rejection)
    sigma = 0.01 * (1.0 - truth) + 1e-4
    learned = case(jm.LearnedFriction.new(jax.random.key(0), start=1.0))
    matrix = np.asarray(learned.membrane.friction(feed))
    assert np.all(matrix >= 0.0)
    assert np.allclose(matrix, matrix.T, rtol=1e-6)
    seen, labels = truth + sigma * random.normal(size=truth.shape), tuple(f"feed {i // 3}" for i in range(3 * count))
    data = Dataset(learned, jnp.asarray(seen), jnp.asarray(sigma), "real", labels)
    out = jm.train(model, data, steps=300, rate=2e-2, ridge=0.0, noise=jm.LogTransmission(0.01, 1e-4))
    found = np.asarray(out.case.membrane.friction(feed))[np.triu_indices(4, 1)]
    assert out.least < 2.0
    assert spearmanr(planted.inverse_diffusivity, found).statistic > 0.9, (planted.inverse_diffusivity, found)
