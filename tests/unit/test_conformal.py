"""Intervals hold what they promise on feeds that were not seen, promise nothing from few of them, and flag what is unlike them."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm

FLUX = np.asarray([4e-6, 1e-5, 2e-5, 4e-5])
TRUE = jm.PermeanceMembrane.of({"Na+": 2e-5, "Mg+2": 4e-6, "Cl-": 6e-6})


def measured(feeds: int, seed: int) -> jm.Dataset:
    """Feeds whose membrane differs a little from feed to feed, at four fluxes: errors within a feed go together."""
    random = np.random.default_rng(seed)
    sodium, magnesium = random.uniform(5.0, 40.0, feeds), random.uniform(1.0, 10.0, feeds)
    rows = np.repeat(np.stack([sodium, magnesium, sodium + 2 * magnesium], axis=1), 4, axis=0)
    case = jm.Case(jm.Mixture(jm.species("Na+", "Mg+2", "Cl-"), rows), TRUE, jm.FluxDriven(np.tile(FLUX, feeds)))
    shift = np.repeat(0.15 * random.standard_normal((feeds, 1)), 4, axis=0) + 0.02 * random.standard_normal(
        (4 * feeds, 3)
    )
    rejection = 1.0 - (1.0 - jm.solve(jm.SDEM(), case).real_rejection) * np.exp(shift)
    labels = tuple(np.repeat([f"feed {seed} {i}" for i in range(feeds)], 4).tolist())
    return jm.Dataset(case, rejection, jnp.full_like(rejection, jnp.nan), "real", labels)


def inside(told: object, data: jm.Dataset) -> np.ndarray:
    return np.asarray((told.low <= data.rejection) & (data.rejection <= told.high))  # pyright: ignore


def test_new_feeds_are_covered() -> None:
    """Mean over calibrations of the share inside; a promise is kept on average, and not by being twice as wide as need be."""
    new, shares, widths = measured(200, 99), [], []
    for seed in range(8):
        trust = jm.calibrate(jm.SDEM(), measured(40, seed))
        told = trust.predict(new.case)
        shares.append(inside(told, new).mean())
        widths.append(trust.half)
        assert told.ok.all()
    assert 0.88 < np.mean(shares) < 0.97
    assert max(widths) < 2.0 * min(widths)
    assert "40 feeds" in str(trust)


def test_few_feeds_promise_nothing_and_points_do() -> None:
    few = measured(6, 1)
    none = jm.calibrate(jm.SDEM(), few)
    assert none.half == np.inf
    assert "needs 9 or more" in str(none)
    told = none.predict(few.case)
    assert bool((told.low == -np.inf).all())
    assert bool((told.high == 1.0).all())
    points = jm.calibrate(jm.SDEM(), few, by="point")
    assert np.isfinite(points.half)
    assert 0.85 < inside(points.predict(few.case), few).mean() < 0.97


def test_the_quantile_is_that_of_its_definition() -> None:
    from jaxmem.surrogate.conformal import _quantile

    groups = [np.asarray([1.0, 2.0]), np.asarray([3.0]), np.asarray([4.0, 5.0, 6.0, 7.0])]
    assert _quantile(groups, 0.25) == 2.0  # 1/8 and 1/8
    assert _quantile(groups, 0.5) == 3.0
    assert _quantile(groups, 0.6) == 5.0
    assert _quantile(groups, 0.76) == np.inf


def test_what_is_unlike_the_data_is_flagged() -> None:
    data = measured(40, 0)
    trust = jm.calibrate(jm.SDEM(), data)
    assert np.mean(trust.predict(measured(50, 5).case).outside) < 0.1
    for case in (
        data.case.replace(volume_flux=2e-4),
        data.case.replace(concentration=20.0 * data.case.feed.concentration),
    ):
        assert trust.predict(case).outside.all()
    other = jm.Mixture.from_concentration({"Na+": 10.0, "Ca+2": 5.0, "Cl-": 20.0})
    wall = jm.PermeanceMembrane.of({"Na+": 2e-5, "Ca+2": 4e-6, "Cl-": 6e-6})
    assert bool(trust.outside(jm.Case(other, wall, jm.FluxDriven(1e-5)), jnp.asarray(1e-5)))
    one = jm.Case(jm.Mixture(data.case.feed.species, data.case.feed.concentration[0]), TRUE, jm.FluxDriven(FLUX))
    assert trust.predict(one).rejection.shape == (4, 3)
    assert not trust.predict(one).outside.any()


def test_rows_that_say_nothing_do_not_blind_the_flag() -> None:
    data = measured(40, 0)
    flux = jnp.asarray(data.case.conditions.volume_flux).at[0].set(0.0)
    still = jm.Dataset(data.case.replace(volume_flux=flux), data.rejection, data.sigma, "real", data.feed_group)
    trust = jm.calibrate(jm.SDEM(), still)
    assert trust.predict(data.case.replace(concentration=20.0 * data.case.feed.concentration)).outside.all()
    assert trust.predict(data.case.replace(volume_flux=0.0)).outside.all()
    assert not trust.predict(data.case).outside[1:].any()


def test_no_answer_is_the_reason_that_is_given() -> None:
    data = measured(40, 0)
    film = jm.FluxDriven(data.case.conditions.volume_flux, jm.film("same", 2e-5))  # the linear film ends at J_v = k
    seen = jm.Dataset(jm.Case(data.case.feed, TRUE, film), data.rejection, data.sigma, "real", data.feed_group)
    trust = jm.calibrate(jm.SDEM(film="plain"), seen)
    assert trust.half == np.inf
    assert "has no answer at" in str(trust)


def test_refusals(untyped: None) -> None:
    data = measured(3, 0)
    for given, text in (({"by": "ion"}, "by='feed'"), ({"coverage": 90}, "coverage=0.9")):
        with pytest.raises(jm.JaxmemError, match=text):
            jm.calibrate(jm.SDEM(), data, **given)
    with pytest.raises(jm.JaxmemError, match="leave no width"):
        jm.calibrate(jm.SDEM(), data, relative=0.0, limit=0.0)
    with pytest.raises(jm.JaxmemError, match="12 points of data are among"):
        jm.calibrate(jm.SDEM(), data, seen=data)
    with pytest.raises(jm.JaxmemError, match="no measurement"):
        jm.calibrate(jm.SDEM(), data.only(np.zeros(12, bool)))


def test_few_measurements_are_fitted_and_calibrated_in_turn(untyped: None) -> None:
    """Every feed, or every fifth flux, scored by a fit to the others; what was left out is no domain."""
    data, asked = measured(12, 3), []
    free = jm.Free(permeance=jm.LogInterval(1e-7, 1e-3))

    def refit(part: jm.Dataset) -> jm.PermeanceMembrane:
        asked.append(np.asarray(part.measured).any(axis=1))
        return jm.fit(jm.SDEM(), part, free, starts=1).case.membrane

    fitted = data.on(refit(data))
    trust = jm.calibrate(jm.SDEM(), fitted, refit=refit)
    assert [int(mask.sum()) for mask in asked] == [48, 48, *[44] * 12]
    again = jm.calibrate(jm.SDEM(), data, refit=refit)  # whatever membrane the case has
    np.testing.assert_allclose(again.half, trust.half, rtol=1e-4)
    np.testing.assert_allclose(again.membrane.permeance, trust.membrane.permeance, rtol=1e-4)
    assert jm.calibrate(jm.SDEM(), fitted).half < trust.half < 2.0 * jm.calibrate(jm.SDEM(), fitted).half
    new = measured(60, 5)
    assert 0.85 < inside(trust.predict(new.case), new).mean() <= 0.99
    asked.clear()
    jm.calibrate(jm.SDEM(), fitted, refit=refit, by="point")
    assert len(asked) == 6
    assert sum(int((~mask).sum()) for mask in asked) == 48
    asked.clear()
    one_each = data.only(np.arange(48) % 4 == 1)
    jm.calibrate(jm.SDEM(), one_each, refit=refit, by="point")
    assert sum(int((~mask & np.asarray(one_each.measured).any(axis=1)).sum()) for mask in asked) == 12
    short = fitted.only(np.asarray(data.case.conditions.volume_flux) < 3e-5)
    narrow, wide = jm.calibrate(jm.SDEM(), short), jm.calibrate(jm.SDEM(), fitted)
    assert not bool(wide.predict(data.case).outside.any())
    assert bool(narrow.predict(data.case).outside.reshape(-1, 4)[:, 3].all())
    without = eqx.tree_at(lambda d: d.rejection, data, data.rejection.at[4:].set(jnp.nan))
    assert "Mg+2" in jm.calibrate(jm.SDEM(), without).species  # in the feed that was kept
    bare = eqx.tree_at(lambda d: d.case.feed.concentration, without, data.case.feed.concentration.at[:4, 1].set(0.0))
    assert "Mg+2" not in jm.calibrate(jm.SDEM(), bare).species  # only where nothing was measured
    with pytest.raises(jm.JaxmemError, match="cannot be called"):
        jm.calibrate(jm.SDEM(), data, refit="all")
    with pytest.raises(jm.JaxmemError, match="one feed only"):
        jm.calibrate(jm.SDEM(), data.only(np.arange(48) < 4), refit=refit)
