"""Optimise and pareto: textbook optima, multipliers against differences, and what is said when there is no optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.design.lockstep import Look, kkt, minimise
from jaxmem.models.result import PointResult

CASE = jm.Case(
    jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0}),
    jm.PermeanceMembrane.of({"Na+": 2e-5, "Cl-": 6e-6, "Mg+2": 4e-6}),
    jm.FluxDriven(2e-5, jm.film("D^(2/3)", 4e-5)),
)
FREE = jm.Free(volume_flux=jm.LogInterval(1e-6, 1e-4))


def sodium(r: PointResult) -> jax.Array:
    """What passes of it."""
    return r.permeate[..., 0] / 20.0


def flux(r: PointResult) -> jax.Array:
    """In um/s."""
    return r.volume_flux * 1e6


def together(value, m: int):
    """Batched values and slopes of a function of one point."""

    def looked(x: np.ndarray) -> Look:
        y = jnp.asarray(x)
        return Look(np.asarray(jax.vmap(value)(y)), np.asarray(jax.vmap(jax.jacfwd(value))(y)))

    return looked, np.zeros(m, bool)


def test_textbook_problem() -> None:
    # Hock and Schittkowski 71 (doi 10.1007/978-3-642-48320-2): 17.0140173 at (1, 4.7429994, 3.8211503, 1.3794082); x = 1 + 4 share
    def value(share):
        x = 1.0 + 4.0 * share
        return jnp.stack([x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2], jnp.prod(x) - 25.0, jnp.sum(x * x) - 40.0])

    looked, equality = together(value, 2)
    equality[1] = True
    starts = np.asarray([[0.0, 1.0, 1.0, 0.0], [0.5, 0.5, 0.5, 0.5], [0.9, 0.1, 0.8, 0.3]])
    ends = minimise(looked, starts, equality, 100, 1e-6)
    for end in ends:
        assert end.look.value[0] == pytest.approx(17.0140173, abs=1e-6)
        assert np.allclose(1.0 + 4.0 * end.x, [1.0, 4.7429994, 3.8211503, 1.3794082], atol=1e-5)
        assert end.kkt.residual < 1e-6
        assert end.kkt.multiplier[0] == pytest.approx(0.5522937, abs=1e-4)
        assert end.kkt.multiplier[1] == pytest.approx(-0.1614686, abs=1e-4)
        assert end.kkt.pull[0] > 1.0
        assert end.asked < 40


def test_conditions_that_are_not_met_show() -> None:
    look = Look(np.asarray([1.0, 0.5]), np.asarray([[0.3, -0.2], [1.0, 0.0]]))
    here = kkt(np.asarray([0.5, 0.5]), look, np.zeros(1, bool))  # inside, constraint not active
    assert here.residual == pytest.approx(0.3)
    wrong = kkt(np.asarray([1.0, 0.0]), look, np.zeros(1, bool))  # both bounds pull the wrong way
    assert wrong.residual == pytest.approx(0.3)
    right = kkt(np.asarray([0.0, 1.0]), look, np.zeros(1, bool))
    assert right.residual < 1e-12
    assert kkt(np.asarray([0.0, 1.0]), look._replace(value=np.asarray([1.0, -0.5])), np.zeros(1, bool)).residual == 0.5
    assert (
        kkt(np.asarray([0.0, 1.0]), look._replace(value=np.asarray([np.nan, 0.5])), np.zeros(1, bool)).residual
        == np.inf
    )


@pytest.mark.parametrize("method", ["trust-constr", "augmented-lagrangian"])
def test_other_methods_find_the_same_optimum(method: str) -> None:
    """A bound that holds, and an equality."""
    free = jm.Free(volume_flux=jm.LogInterval(1e-6, 1e-4), permeance=jm.LogInterval(1e-7, 1e-4))
    for subject_to in (
        [jm.at_most(sodium, 0.3, "sodium passage")],
        [jm.equal_to(flux, 20.0, "flux")],
    ):
        aim = lambda r: (
            jnp.log(flux(r) / 30.0) ** 2 + 0.1 * jnp.sum(jnp.log(r.case.membrane.permeance / 1e-5) ** 2, axis=-1)
        )
        ours = jm.optimise(jm.SDEM(), CASE, free, aim, subject_to, starts=4)
        other = jm.optimise(jm.SDEM(), CASE, free, aim, subject_to, starts=4, method=method)
        assert ours.optimal
        assert other.optimal
        np.testing.assert_allclose(other.objective, ours.objective, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(other.value, ours.value, rtol=1e-3)
    with pytest.raises(jm.UnknownNameError, match="trust-constr"):
        jm.optimise(jm.SDEM(), CASE, free, aim, method="trust")


def test_multipliers_are_the_price_of_a_bound() -> None:
    limited = lambda bound: jm.optimise(jm.SDEM(), CASE, FREE, sodium, [jm.at_most(flux, bound, "flux")], starts=3)
    one, more = limited(5.0), limited(5.01)
    assert one.optimal
    assert one.met[0] == pytest.approx(5.0, abs=1e-6)
    assert one.agreeing == 3
    assert one.multipliers[0] == pytest.approx((more.objective - one.objective) / 0.01, rel=2e-3)
    assert "flux at most 5" in str(one)
    assert "local optimum" in one.verdict()
    assert float(sodium(one.result)) == pytest.approx(one.objective, rel=1e-9)
    assert one.value[0] == pytest.approx(5e-6, rel=1e-6)
    free = jm.optimise(jm.SDEM(), CASE, FREE, sodium, starts=3)
    assert free.objective < one.objective
    grid = CASE.replace(volume_flux=jnp.geomspace(1e-6, 1e-4, 400))
    assert free.objective <= float(jnp.min(sodium(jm.solve(jm.SDEM(), grid)))) + 1e-9


def test_lanes_are_reduced_by_the_user() -> None:
    many = CASE.replace(concentration=jnp.outer(jnp.asarray([1.0, 2.0]), CASE.feed.concentration))
    mean = lambda r: jnp.mean(r.permeate[..., 0], axis=-1)
    best = jm.optimise(jm.SDEM(), many, FREE, mean, starts=3)
    assert best.result.permeate.shape == (2, 3)
    with pytest.raises(jm.ShapeError, match=r"One number for each design"):
        jm.optimise(jm.SDEM(), many, FREE, sodium, starts=3)


def test_what_cannot_be_met_is_said() -> None:
    with pytest.raises(jm.ConvergenceError, match=r"'flux at least 200' is missed by 100 \(nearest found 100\)"):
        jm.optimise(jm.SDEM(), CASE, FREE, sodium, [jm.at_least(flux, 200.0, "flux")], starts=3)
    told = jm.optimise(jm.SDEM(), CASE, FREE, sodium, [jm.at_least(flux, 200.0, "flux")], starts=3, throw=False)
    assert not told.feasible
    assert not told.optimal
    pair = [jm.at_least(flux, 60.0, "flux"), jm.at_most(flux, 40.0, "flux")]
    both = jm.optimise(jm.SDEM(), CASE, FREE, sodium, pair, starts=3, throw=False)
    assert not both.feasible
    assert both.met[0] == pytest.approx(both.met[1], rel=1e-9)
    assert 47.0 < both.met[0] < 50.0  # both miss alike, by their bounds or by what the flux changes
    assert f"'flux at least 60' is missed by {60.0 - both.met[0]:.3g} (nearest found" in both.verdict()
    assert f"and 'flux at most 40' is missed by {both.met[0] - 40.0:.3g} (nearest found" in both.verdict()
    assert "not all at once" in both.verdict()
    same = jm.optimise(jm.SDEM(), CASE, FREE, sodium, [jm.equal_to(flux, 60.0, "flux"), pair[1]], starts=3, throw=False)
    assert same.met == pytest.approx(both.met, rel=1e-4)


def test_fronts_without_an_answer_say_why() -> None:
    nothing = lambda r: jnp.log(-flux(r))
    for aims in ((sodium, nothing), (nothing, sodium)):
        with pytest.raises(jm.ConvergenceError, match="objective or a constraint is not a number"):
            jm.pareto(jm.SDEM(), CASE, FREE, *aims, points=3)
    with pytest.raises(jm.ConvergenceError, match="'flux at least 200' is missed by 100"):
        jm.pareto(jm.SDEM(), CASE, FREE, sodium, lambda r: -flux(r), [jm.at_least(flux, 200.0, "flux")], points=3)


def test_fronts_have_no_copies() -> None:
    """Below the level that the objective alone would take, every point asks for the same design."""
    front = jm.pareto(jm.SDEM(), CASE, FREE, sodium, lambda r: jnp.maximum(flux(r), 30.0), points=5)
    aims = np.stack([front.objective, front.against], axis=1)
    assert all(np.abs(a - b).max() > 1e-9 for i, a in enumerate(aims) for b in aims[:i])


def test_designs_without_an_answer_are_avoided() -> None:
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 16.0, "SO4-2": 2.0})
    case = jm.Case(feed, jm.membrane("NF270"), jm.FluxDriven(1e-5))
    free = jm.Free(pore_radius=jm.LogInterval(0.2e-9, 0.8e-9))  # below 0.231 nm sulphate fills the pore
    best = jm.optimise(jm.DSPMDE(activity="ideal"), case, free, lambda r: r.observed_rejection[..., 0], starts=4)
    assert best.feasible
    assert bool(best.result.ok)
    assert best.value[0] > 0.231e-9
    assert np.isfinite(best.objective)


def test_an_objective_without_a_number_is_no_optimum() -> None:
    with pytest.raises(jm.ConvergenceError, match="No start has an answer"):
        jm.optimise(jm.SDEM(), CASE, FREE, lambda r: jnp.log(-flux(r)), starts=3)


def test_bounds_at_the_limit_of_a_quantity_and_single_starts() -> None:
    wide = jm.Free(volume_flux=jm.LogInterval(1e-6, 1e-2))  # what a flux may be at most
    best = jm.optimise(jm.SDEM(), CASE, wide, lambda r: -jnp.log(flux(r)), starts=1)
    assert best.optimal
    assert best.value[0] == 1e-2
    assert "volume_flux at its upper bound" in str(best)


def test_equality_and_a_number_of_every_ion() -> None:
    free = jm.Free({"membrane.permeance": jm.LogInterval(1e-7, 1e-3)})
    asked = [jm.equal_to(sodium, 0.5, "sodium passage")]
    best = jm.optimise(jm.SDEM(), CASE, free, lambda r: r.permeate[..., 2], asked, starts=4)
    assert best.optimal
    assert best.met[0] == pytest.approx(0.5, abs=1e-6)
    assert [x.split()[-1] for x in best.labels] == ["Na+", "Cl-", "Mg+2"]


def test_functions_are_read_anew() -> None:
    weight = 1.0
    aim = lambda r: weight * sodium(r)
    first = jm.optimise(jm.SDEM(), CASE, FREE, aim, starts=3).objective
    weight = 2.0
    assert jm.optimise(jm.SDEM(), CASE, FREE, aim, starts=3).objective == pytest.approx(2.0 * first, rel=1e-6)


def test_front_is_that_of_a_fine_grid() -> None:
    front = jm.pareto(jm.SDEM(), CASE, FREE, sodium, lambda r: -flux(r), points=9)
    assert front.optimal.all()
    assert np.all(np.diff(front.against) > 0.0)
    assert np.all(np.diff(front.objective) < 0.0)
    grid = CASE.replace(volume_flux=jnp.geomspace(1e-6, 1e-4, 2000))
    r = jm.solve(jm.SDEM(), grid)
    for level, least in zip(front.against, front.objective, strict=True):
        ok = np.asarray(-flux(r)) <= level + 1e-9
        if ok.any():
            assert least <= float(jnp.min(sodium(r)[ok])) + 1e-9
    assert front.case.batch_shape == (9,)
    assert "9 of 9 points" in str(front)
    assert front.plot().get_xlabel() == "against"
    with pytest.raises(jm.ConvergenceError, match="no trade-off"):
        jm.pareto(jm.SDEM(), CASE, FREE, flux, flux, points=3)


def test_mistakes(untyped: None) -> None:
    for bad in (
        lambda: jm.optimise(None, CASE, FREE, sodium),
        lambda: jm.optimise(jm.SDEM(), None, FREE, sodium),
        lambda: jm.optimise(jm.SDEM(), CASE, None, sodium),
        lambda: jm.optimise(jm.SDEM(), CASE, FREE, None),
        lambda: jm.optimise(jm.SDEM(), CASE, FREE, sodium, [3]),
        lambda: jm.optimise(jm.SDEM(), CASE, FREE, sodium, jm.at_least(flux, 1.0)),
        lambda: jm.optimise(jm.SDEM(), CASE, FREE, sodium, starts=0),
        lambda: jm.pareto(jm.SDEM(), CASE, FREE, sodium, None),
        lambda: jm.pareto(jm.SDEM(), CASE, FREE, sodium, flux, points=2),
        lambda: jm.at_least(0.45, lambda r: r),
        lambda: jm.at_least(flux, float("nan")),
    ):
        with pytest.raises(jm.JaxmemError, match="Write"):
            bad()
    with pytest.raises(jm.UnknownNameError, match="volume_flux"):
        jm.optimise(jm.SDEM(), CASE, jm.Free(volume_flow=jm.LogInterval(1e-6, 1e-4)), sodium)
    for wrong in (
        lambda: jm.optimise(jm.SDEM(), CASE, FREE, lambda r: r.volume_flow, starts=3),
        lambda: jm.sensitivity(jm.SDEM(), CASE, lambda r: r.volume_flow),
        lambda: jm.sobol_indices(jm.SDEM(), CASE, FREE, lambda r: r.volume_flow, count=2),
    ):
        with pytest.raises(jm.UnknownNameError, match="Closest: volume_flux"):
            wrong()
    with pytest.raises(AttributeError, match="nothing"):
        jm.optimise(jm.SDEM(), CASE, FREE, lambda r: CASE.nothing, starts=3)


def test_steep_constraints_are_met_to_a_millionth_of_their_bound() -> None:
    """Slopes of the starts may be far larger than the bound, which must not loosen what counts as met."""
    share = lambda r: (r.volume_flux - 1e-6) / 9.9e-5
    free = jm.Free(volume_flux=jm.Interval(1e-6, 1e-4))
    steep = jm.at_most(lambda r: jnp.exp(30.0 * share(r)), float(np.exp(3.0)), "steep")
    best = jm.optimise(jm.SDEM(), CASE, free, lambda r: -share(r), [steep], starts=4)
    assert best.optimal
    np.testing.assert_allclose(best.objective, -0.1, rtol=1e-6)
    assert best.met[0] <= np.exp(3.0) * (1.0 + 1e-6)
    wide = jm.Free(volume_flux=jm.LogInterval(1e-9, 1e-3))
    tiny = jm.optimise(jm.SDEM(), CASE, wide, lambda r: -r.volume_flux, [jm.at_most(lambda r: r.volume_flux, 1.05e-9, "flux")], starts=4)  # fmt: skip
    assert tiny.met[0] <= 1.05e-9 * (1.0 + 1e-6)


def test_an_objective_without_derivative_has_no_optimum() -> None:
    for quantity in (
        lambda r: jax.lax.stop_gradient(flux(r) ** 2),
        lambda r: jnp.floor(flux(r)),
        lambda r: 0.0 * flux(r) + 3.0,
    ):
        found = jm.optimise(jm.SDEM(), CASE, FREE, quantity, starts=3)
        assert not found.optimal
        assert "derivative zero at every start" in found.verdict()


def test_starts_where_the_objective_is_far_steeper_do_not_blind() -> None:
    """Slopes of ``exp(60 (a - 0.2))`` at the starts span twenty decades; the least is at a = 0.104, not on the bound."""
    share = lambda r: jnp.log10(r.volume_flux * 1e6)
    free = jm.Free(volume_flux=jm.LogInterval(1e-6, 1e-5))
    best = jm.optimise(
        jm.SDEM(), CASE, free, lambda r: jnp.exp(60.0 * (share(r) - 0.2)) + (share(r) - 0.2) ** 2, starts=8
    )
    x = np.linspace(0.0, 1.0, 200_001)
    y = np.exp(60.0 * (x - 0.2)) + (x - 0.2) ** 2
    assert best.optimal
    np.testing.assert_allclose(best.objective, y.min(), rtol=1e-6)
    np.testing.assert_allclose(np.log10(1e6 * best.value[0]), x[y.argmin()], atol=1e-4)


def test_what_an_objective_may_not_do() -> None:
    """Average over the wrong axis where a batch has as many lanes as there are starts; be no number though the model answers."""
    batch = CASE.replace(volume_flux=jnp.linspace(1e-6, 5e-5, 4))
    free = jm.Free(permeance=jm.LogInterval(1e-7, 1e-4))
    with pytest.raises(jm.ShapeError):
        jm.optimise(jm.SDEM(), batch, free, lambda r: jnp.mean(r.real_rejection, axis=(0, 2)), starts=4)
    with pytest.raises(jm.ConvergenceError, match="The model has one: the objective"):
        jm.optimise(jm.SDEM(), CASE, FREE, lambda r: flux(r) * jnp.nan, starts=2)
    with pytest.raises(jm.JaxmemError, match="differs between the 4 lanes"):
        jm.optimise(jm.SDEM(), batch, FREE, lambda r: jnp.mean(flux(r), axis=-1), starts=2)
