"""A charge law reads the water behind the film, which depends on the charge: both are solved together, and so are derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.models.result import PointResult
from jaxmem.units import LMH, bar

IDEAL = jm.DSPMDE(activity="ideal")
LAW = jm.FreundlichCharge(exponent=0.6)
FLUX = jnp.asarray([5.0, 25.0, 60.0]) * LMH


def question(law: object = LAW, conditions: object = None, **membrane: object) -> jm.Case:
    conditions = jm.FluxDriven(FLUX, jm.film("D^(2/3)", 2e-5)) if conditions is None else conditions
    return jm.Case(
        jm.feed("mix4"), jm.membrane("NF270", charge=law, **{"charge_density": -3.0, **membrane}), conditions
    )


def equivalents(concentration: jax.Array) -> np.ndarray:
    return (np.asarray(concentration) * np.maximum(np.asarray(jm.feed("mix4").species.charge), 0.0)).sum(-1)


@pytest.fixture(scope="module")
def solved() -> PointResult:
    return jm.solve(IDEAL, question())


def test_the_charge_is_that_of_the_interface(solved: PointResult) -> None:
    """Substitution by hand with constant charges, to the end."""
    charge = -3.0 * equivalents(solved.interface) ** 0.6
    assert np.allclose(solved.state.core.wall, charge / 60.0, rtol=1e-9)
    fixed = jm.solve(IDEAL, question(jm.ConstantCharge(), charge_density=jnp.asarray(charge)))
    assert np.allclose(solved.observed_rejection, fixed.observed_rejection, atol=1e-10)
    bulk = jm.solve(jm.DSPMDE(activity="ideal", charge_reads="bulk"), question())
    assert np.allclose(bulk.state.core.wall, -3.0 * equivalents(jm.feed("mix4").concentration) ** 0.6 / 60.0)
    assert np.all(np.asarray(solved.observed_rejection - bulk.observed_rejection)[2] > 2e-4)


def test_residual_belongs_to_the_case(solved: PointResult) -> None:
    assert float(jnp.max(jnp.abs(IDEAL.residual(solved.state, question())))) < 1e-9
    other = IDEAL.residual(solved.state, question(jm.FreundlichCharge(exponent=0.7)))
    assert np.all(np.max(np.abs(other), axis=-1) > 1e-2)


def test_without_film_or_law_there_is_nothing_to_solve() -> None:
    bulk = jm.DSPMDE(activity="ideal", charge_reads="bulk")
    no_film, constant = question(conditions=jm.FluxDriven(FLUX)), question(jm.ConstantCharge())
    for case in (no_film, constant):
        ours, theirs = (jm.solve(m, case) for m in (IDEAL, bulk))
        assert np.array_equal(ours.passage, theirs.passage)
        assert np.array_equal(ours.steps, theirs.steps)


def test_derivatives() -> None:
    """Adjoint = tangent = central differences, to the exponent, the charge and the strength of the feed."""
    pressure = jm.PressureDriven(jnp.asarray([6.0, 20.0]) * bar, jm.film("D^(2/3)", 2e-5))
    case = question(conditions=pressure)

    def total(p: jax.Array) -> jax.Array:
        places = lambda c: (c.membrane.charge.exponent, c.membrane.charge_density, c.feed.concentration)
        at = eqx.tree_at(places, case, (0.6 + p[0], -3.0 + p[1], case.feed.concentration * (1.0 + p[2])))
        return jnp.sum(jm.solve(IDEAL, at, throw=False).observed_rejection * jnp.asarray([1.0, 2.0, 0.5, 0.1]))

    def difference(e: jax.Array) -> float:
        return float(8.0 * (total(h * e) - total(-h * e)) - (total(2 * h * e) - total(-2 * h * e))) / (12.0 * h)

    zero, h = jnp.zeros(3), 1e-4
    adjoint = np.asarray(jax.grad(total)(zero))
    tangent = [float(jax.jvp(total, (zero,), (e,))[1]) for e in jnp.eye(3)]
    assert np.allclose(adjoint, tangent, rtol=1e-10)
    assert np.allclose(adjoint, [difference(e) for e in jnp.eye(3)], rtol=1e-6)
    assert np.all(np.abs(adjoint) > 1e-3)


def test_second_derivative() -> None:
    """Against differences of the first, where the charge moves with the interface."""
    case = question(conditions=jm.FluxDriven(FLUX[1:], jm.film("D^(2/3)", 2e-5)))

    def total(p: jax.Array) -> jax.Array:
        at = eqx.tree_at(lambda c: c.membrane.charge_density, case, -3.0 * (1.0 + p))
        return jnp.sum(jm.solve(IDEAL, at, throw=False).observed_rejection)

    def first(p: jax.Array) -> jax.Array:
        return jax.jvp(total, (p,), (jnp.ones(()),))[1]

    zero, h = jnp.zeros(()), 1e-3
    second = float(jax.jvp(first, (zero,), (jnp.ones(()),))[1])
    assert second == pytest.approx(float(first(zero + h) - first(zero - h)) / (2.0 * h), rel=1e-4)
    assert abs(second) > 0.1


def test_inside_compiled_programs_and_as_lanes(solved: PointResult) -> None:
    one = lambda flux: jm.solve(IDEAL, question().replace(volume_flux=flux), throw=False).observed_rejection
    assert np.allclose(jax.jit(one)(FLUX), solved.observed_rejection, atol=1e-11)
    assert np.allclose(jax.vmap(one)(FLUX), solved.observed_rejection, atol=1e-11)


def test_layers_each_have_their_law() -> None:
    one = jm.membrane("NF270", charge=LAW, charge_density=-3.0, thickness_over_porosity=0.4e-6)
    two = eqx.tree_at(
        lambda m: (m.charge_density, m.charge), one, (jnp.asarray(5.0), jm.MultivalentCharge(20.0, -10.0))
    )
    case = jm.Case(jm.feed("mix4"), jm.LayeredMembrane((one, two)), question().conditions)
    result = jm.solve(IDEAL, case)
    assert result.ok.all()
    water = eqx.tree_at(lambda f: f.concentration, case.feed, result.interface)
    core = result.state.core
    assert np.allclose(core.wall, one.wall_charge(water) / 60.0, rtol=1e-9)
    assert np.allclose(core.deeper.wall[0], two.wall_charge(water) / 60.0, rtol=1e-9)


def test_a_lane_without_answer_harms_no_other(solved: PointResult) -> None:
    radius = jnp.asarray([4.3e-10, 1e-10, 4.3e-10])

    def run(radius: jax.Array) -> PointResult:
        return jm.solve(IDEAL, question(pore_radius=radius), throw=False)

    result, well = run(radius), run(radius.at[1].set(4.3e-10))
    assert np.asarray(result.ok).tolist() == [True, False, True]
    assert np.allclose(result.passage[::2], well.passage[::2], atol=1e-12)
    slope = jax.grad(lambda r: jnp.sum(run(r).observed_rejection))(radius)
    assert float(slope[1]) == 0.0
    assert np.all(np.abs(slope[::2]) > 0.0)


def test_a_law_that_changes_the_sign_of_the_charge() -> None:
    """From a positive charge in the bulk to a negative one at the interface: found for every lane of a sweep."""
    flux = jnp.linspace(1.0, 90.0, 64) * LMH
    case = question(
        jm.MultivalentCharge(100.0, -200.0), jm.FluxDriven(flux, jm.film("D^(2/3)", 1.5e-5)), charge_density=30.0
    )
    result = jm.solve(IDEAL, case)
    assert result.ok.all()
    assert float(result.residual.max()) < 1e-10


def test_a_law_that_is_no_number_fails_its_own_lane() -> None:
    def law(charge_density: jax.Array, feed: jm.Mixture) -> jax.Array:
        total = jnp.sum(feed.concentration, axis=-1)
        return jnp.where(total > 90.0, jnp.nan, charge_density * jnp.sqrt(total))

    def run(scale: jax.Array, flux: jax.Array = FLUX) -> PointResult:
        case = question(law, jm.FluxDriven(flux, jm.film("D^(2/3)", 2e-5)), charge_density=-3.0 * scale)
        return jm.solve(IDEAL, case, throw=False)

    one = jnp.ones(())
    assert np.asarray(run(one).ok).tolist() == [True, True, False]
    slope = jax.grad(lambda s: jnp.sum(run(s).observed_rejection))(one)
    without = jax.grad(lambda s: jnp.sum(run(s, FLUX[:2]).observed_rejection))(one)
    assert float(slope) == pytest.approx(float(without), rel=1e-9)


def test_unknown_water() -> None:
    with pytest.raises(jm.JaxmemError, match='charge_reads="interface"'):
        jm.DSPMDE(charge_reads="permeate")
