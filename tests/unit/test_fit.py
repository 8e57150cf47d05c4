"""Free and fit: numbers come back from what a model made of them, and what cannot be told apart is said."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.data.rejection import Dataset
from jaxmem.fit.least_squares import levenberg_marquardt
from jaxmem.surrogate.splits import held_out

TRUE = {"Na+": 2e-5, "Cl-": 6e-6, "Mg+2": 4e-6}


def data(feeds: list[dict[str, float]], law: jm.DonnanShift | None = None) -> Dataset:
    """What SDEM makes of some feeds at four fluxes."""
    flux = jnp.asarray([4e-6, 1e-5, 2e-5, 4e-5])
    names = list(feeds[0])
    rows = np.repeat([[f[n] for n in names] for f in feeds], 4, axis=0)
    feed = jm.Mixture(jm.species(*names), rows)
    membrane = jm.PermeanceMembrane.of({n: TRUE[n] for n in names}, **({} if law is None else {"law": law}))
    case = jm.Case(feed, membrane, jm.FluxDriven(jnp.tile(flux, len(feeds))))
    rejection = jm.solve(jm.SDEM(), case).real_rejection
    labels = tuple(np.repeat([f"feed {i}" for i in range(len(feeds))], 4).tolist())
    return Dataset(case, rejection, jnp.full_like(rejection, jnp.nan), "real", labels)


def noisy(data: Dataset) -> Dataset:
    """The same, with 2 % of noise on what passes."""
    factor = jnp.exp(0.02 * jax.random.normal(jax.random.key(3), data.rejection.shape))
    return Dataset(data.case, 1.0 - (1.0 - data.rejection) * factor, data.sigma, data.kind, data.feed_group)


def away(data: Dataset, **law: jm.DonnanShift) -> Dataset:
    """The same, with every permeance at 1e-5 m/s."""
    names = data.case.feed.species.names
    return data.on(jm.PermeanceMembrane.of(dict.fromkeys(names, 1e-5), **law))


def test_numbers_come_back() -> None:
    feeds = [{"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0}, {"Na+": 2.0, "Cl-": 22.0, "Mg+2": 10.0}]
    seen = data(feeds, jm.DonnanShift(1.2, 0.0))
    free = jm.Free(permeance=jm.LogInterval(1e-8, 1e-3), cation=jm.Interval(-4.0, 4.0))
    found = jm.fit(jm.SDEM(), away(seen, law=jm.DonnanShift(0.0, 0.0)), free, starts=3)
    assert found.misfit < 1e-3
    assert np.allclose(found.value, [*(TRUE[n] for n in feeds[0]), 1.2], rtol=1e-3)
    assert found.loose() == []
    assert "permeance Mg+2" in str(found)
    assert bool(jnp.all(found.result.ok))
    less = found.data.only(np.arange(8) < 4)
    assert len(less) == 12
    assert less.case.batch_shape == (8,)


def test_profiles_agree_with_errors_and_say_what_is_open() -> None:
    feeds = [{"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0}, {"Na+": 2.0, "Cl-": 22.0, "Mg+2": 10.0}]
    free = jm.Free(permeance=jm.LogInterval(1e-8, 1e-3))
    found = jm.fit(jm.SDEM(), away(noisy(data(feeds))), free, noise=jm.LogTransmission(0.02), starts=2)
    told = found.profile("permeance Mg+2")
    low, high = told.interval
    i = found.labels.index("permeance Mg+2")
    assert low < found.value[i] < high
    assert (high - low) / (2 * 1.96 * found.error[i]) == pytest.approx(1.0, abs=0.1)  # nearly quadratic
    assert told.rise.min() > -1e-3
    assert "95 %" in str(told)
    assert not np.isfinite(found.profile("permeance Mg+2", steps=0).interval).any()  # the others not fitted anew
    one = away(noisy(data([{"Na+": 20.0, "Cl-": 20.0}])))
    salt = jm.fit(jm.SDEM(), one, free, noise=jm.LogTransmission(0.05), starts=2)
    assert not np.isfinite(salt.profile("permeance Na+").interval).all()  # the other can always follow
    with pytest.raises(jm.UnknownNameError, match=r"permeance Mg\+2"):
        found.profile("permeance Mg")


def test_a_profile_looks_closer_where_it_leaps() -> None:
    """One flux, known to 1 %, and two numbers: that of A is one of the flux, however far the linearised error reaches."""
    coupon = jm.Case(
        jm.Mixture.from_concentration({"Na+": 100.0, "Cl-": 100.0}), jm.SolutionDiffusionMembrane(5e-12, 2e-7), jm.PressureDriven(15e5, jm.film("D^(2/3)", 3e-5))
    )  # fmt: skip
    flux = float(jm.solve(jm.SolutionDiffusion(), coupon).volume_flux)
    free = jm.Free(water_permeance=jm.LogInterval(5e-13, 5e-11), salt_permeability=jm.LogInterval(2e-8, 2e-6))
    found = jm.fit(jm.SolutionDiffusion(), jm.measured(coupon, {"volume_flux": (flux, 0.01 * flux)}), free, starts=4)
    low, high = found.profile("water_permeance").interval

    def twice(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        seen = jm.solve(jm.SolutionDiffusion(), coupon.replace(water_permeance=a, salt_permeability=b)).volume_flux
        return np.asarray((seen / flux - 1.0) / 0.01) ** 2

    a, b = np.meshgrid(np.geomspace(2e-12, 1e-11, 600), np.geomspace(2e-8, 2e-6, 60), indexing="ij")
    inside = np.geomspace(2e-12, 1e-11, 600)[twice(a.reshape(-1), b.reshape(-1)).reshape(a.shape).min(axis=1) < 1.96**2]
    np.testing.assert_allclose([low, high], [inside[0], inside[-1]], rtol=0.01)


def test_one_salt_tells_one_number() -> None:
    # f = 1 + J_v/P_s with P_s = 2 P+ P-/(P+ + P-) for a 1:1 salt: the two permeances cannot be told apart
    seen = away(data([{"Na+": 20.0, "Cl-": 20.0}]))
    found = jm.fit(
        jm.SDEM(), seen, jm.Free(permeance=jm.LogInterval(1e-8, 1e-3)), noise=jm.LogTransmission(0.05), starts=2
    )
    salt = 2.0 * found.value[0] * found.value[1] / found.value.sum()
    true = 2.0 * TRUE["Na+"] * TRUE["Cl-"] / (TRUE["Na+"] + TRUE["Cl-"])
    assert salt == pytest.approx(true, rel=1e-3)
    assert any(
        "permeance Na+" in words and "permeance Cl-" in words for words in found.loose()
    )  # though the data are perfect


def test_least_squares_of_rosenbrock() -> None:
    def linearised(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = u.T
        r = np.stack([10.0 * (y - x**2), 1.0 - x], axis=1)
        jac = np.stack([np.stack([-20.0 * x, 10.0 + 0.0 * x], 1), np.stack([-1.0 + 0.0 * x, 0.0 * x], 1)], axis=1)
        return r, jac

    for start in ([-1.2, 1.0], [3.0, -2.0], [0.0, 5.0]):
        found = levenberg_marquardt(linearised, np.array([start]), steps=200)
        assert np.allclose(found.u, 1.0, atol=1e-6)
        assert found.converged.all()
    several = levenberg_marquardt(linearised, np.array([[-1.2, 1.0], [np.nan, 0.0]]), steps=200)
    assert np.isinf(several.cost[1])
    assert several.cost[0] < 1e-12


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, jnp.float64, int])
def test_bounds_are_numbers_of_any_kind(untyped: None, kind: Any) -> None:
    for interval in (jm.Interval, jm.LogInterval):
        one = interval(kind(1), kind(3), prior=(kind(2), kind(1)))
        assert one == interval(1.0, 3.0, prior=(2.0, 1.0))
        assert isinstance(one.low, float | int)
        with pytest.raises(jm.JaxmemError, match="holds no number"):
            interval(kind(3), kind(1))


def test_intervals_go_there_and_back() -> None:
    for interval, values in (
        (jm.Interval(-3.0, 5.0), [-2.9, 0.0, 4.0]),
        (jm.LogInterval(1e-9, 1e-2), [2e-9, 1e-5, 9e-3]),
    ):
        value = jnp.asarray(values)
        assert np.allclose(interval.at(interval.share(value)), value, rtol=1e-9)
        ends = interval.at(jnp.asarray([0.0, 1.0]))
        assert np.allclose(ends, [interval.low, interval.high], rtol=1e-12)
    case = jm.Case(jm.feed("seawater"), jm.membrane("NF270"), jm.FluxDriven(1e-5))
    free = jm.Free(
        pore_radius=jm.LogInterval(3e-10, 8e-10, prior=(5e-10, 0.1)), charge_density=jm.Interval(-200.0, 50.0)
    )
    assert free.labels(case) == ["pore_radius", "charge_density"]
    assert free.units(case) == ["m", "mol/m3"]
    starts = free.draw(case, 5)
    assert starts.shape == (5, 2)
    assert np.allclose(free.values(case, starts[0]), [case.membrane.pore_radius, case.membrane.charge_density])
    many = free.apply(case, starts)
    assert many.batch_shape == (5,)
    assert np.allclose(many.membrane.pore_radius, free.values(case, starts)[:, 0])
    assert free.prior(case, starts).shape == (5, 1)
    assert float(free.prior(case, free.start(case))[0]) == pytest.approx(
        np.log(float(case.membrane.pore_radius) / 5e-10) / 0.1
    )


def test_mistakes(untyped: None, salt: jm.Case) -> None:
    with pytest.raises(jm.JaxmemError, match="Nothing is free"):
        jm.Free()
    with pytest.raises(jm.JaxmemError, match="is no interval"):
        jm.Free(pore_radius=(3e-10, 8e-10))
    with pytest.raises(jm.JaxmemError, match="holds no number"):
        jm.Interval(2.0, 1.0)
    with pytest.raises(jm.JaxmemError, match="above zero"):
        jm.LogInterval(0.0, 1.0)
    with pytest.raises(jm.UnknownNameError, match="pore_radius"):
        jm.Free(pore_radus=jm.Interval(0.0, 1.0)).start(salt)
    layered = jm.LayeredMembrane((jm.membrane("NF270"), jm.membrane("NF270")))
    with pytest.raises(jm.JaxmemError, match="stands in 2 places"):
        jm.Free(pore_radius=jm.LogInterval(3e-10, 8e-10)).start(jm.Case(salt.feed, layered, salt.conditions))
    free = jm.Free(pore_radius=jm.LogInterval(3e-10, 8e-10))
    with pytest.raises(jm.JaxmemError, match="holds no measurements"):
        jm.fit(jm.DSPMDE(), salt, free)
    with pytest.raises(jm.JaxmemError, match="is not a model"):
        jm.fit(jm.DSPMDE, salt, free)
    empty = Dataset(salt, jnp.full((1, 2), jnp.nan), jnp.full((1, 2), jnp.nan), "real", ("a",))
    with pytest.raises(jm.JaxmemError, match="no measurement"):
        jm.fit(jm.DSPMDE(), empty, free)
    with pytest.raises(jm.JaxmemError, match="no room for error"):
        jm.LogTransmission(0.0, 0.0)
    with pytest.raises(jm.JaxmemError, match="above zero"):
        jm.AbsoluteRejection(0.0)


def test_charge_and_potential_follow_the_feed() -> None:
    feed = jm.Mixture.from_concentration({"Na+": 10.0, "Mg+2": 5.0, "Cl-": 12.0, "SO4-2": 4.0})
    assert np.allclose(feed.multivalent_fraction, [0.5, 0.4])
    assert np.allclose(feed.equivalent_fraction, [0.5, 0.5, 0.6, 0.4])
    assert float(jm.MultivalentCharge(40.0, -10.0)(jnp.asarray(-20.0), feed)) == pytest.approx(-20.0 + 20.0 - 4.0)
    moved = jm.DonnanShift(2.0, -1.0)(jnp.full(4, 1e-6), feed)
    assert np.allclose(np.log(moved / 1e-6), -feed.species.charge * (2.0 * 0.5 - 1.0 * 0.4))
    neutral = jm.Mixture.from_concentration({"glucose": 1.0})
    assert np.allclose(neutral.equivalent_fraction, 0.0)


def test_held_out_points() -> None:
    feed, flux = ("a",) * 7 + ("b",) * 7, np.r_[np.arange(7.0), np.arange(7.0)[::-1]]
    s1, s2 = held_out("S1", feed, flux)[0], held_out("S2", feed, flux)[0]
    assert flux[s1].tolist() == [1.0, 4.0, 4.0, 1.0]
    assert sorted(flux[s2]) == [5.0, 5.0, 6.0, 6.0]
    folds = held_out("S3", feed, flux)
    assert [int(f.sum()) for f in folds] == [7, 7]
    assert not (folds[0] & folds[1]).any()
    assert [f[:, 1].all() and not f[:, 0].any() for f in held_out("S4", feed, flux, ("Na+", "Cl-"))] == [False, True]
    assert int(held_out("S6", feed, flux)[0].sum()) == 3
    with pytest.raises(jm.UnknownNameError, match="S3"):
        held_out("S9", feed, flux)


def test_reports_hold_what_the_data_tell_apart(tmp_path: Path) -> None:
    """Singular values and directions give the covariance back, in JSON and on the page."""
    seen = away(noisy(data([{"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0}])))
    free = jm.Free(permeance=jm.LogInterval(1e-8, 1e-3))
    found = jm.fit(jm.SDEM(), seen, free, noise=jm.LogTransmission(0.02), starts=2)
    told = json.loads(found.save(tmp_path / "fit.json").read_text(encoding="utf-8"))
    size, along = np.asarray(told["singular_values"]), np.asarray(told["directions"])
    np.testing.assert_allclose(along.T / size**2 @ along, found.covariance_unbounded, rtol=1e-9)
    page = found.save(tmp_path / "fit.html").read_text(encoding="utf-8")
    assert page.count("permeance Na+") > 1
    assert f"<td>{1.0 / size[0]:.2g}</td>" in page


def test_a_fit_that_has_not_arrived_says_so() -> None:
    """In its table, its report, and where a profile finds better numbers than it did."""
    feeds = [{"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0}, {"Na+": 2.0, "Cl-": 22.0, "Mg+2": 10.0}]
    free, noise = jm.Free(permeance=jm.LogInterval(1e-8, 1e-3)), jm.LogTransmission(0.02)
    short, long = (jm.fit(jm.SDEM(), away(noisy(data(feeds))), free, noise=noise, starts=1, steps=n) for n in (1, 60))
    assert not short.converged
    assert long.converged
    assert "no minimum yet after 1 steps" in str(short)
    assert "no minimum yet" not in str(long)
    profile = short.profile("permeance Mg+2")
    assert profile.below_the_fit
    assert "which is no minimum" in str(profile)
    assert not long.profile("permeance Mg+2").below_the_fit
    for wrong in ({"steps": 0}, {"seed": -1}, {"starts": 0}):
        with pytest.raises(jm.JaxmemError, match="Write"):
            jm.fit(jm.SDEM(), away(data(feeds)), free, **wrong)


def test_impossible_measurements_and_priors_are_refused() -> None:
    seen = data([{"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0}])
    make = lambda r, sigma=np.nan: Dataset(
        seen.case, jnp.asarray(r), jnp.full_like(seen.rejection, sigma), "real", seen.feed_group
    )
    with pytest.raises(jm.PhysicalRangeError, match=r"write rejection / 100"):
        make(100.0 * seen.rejection)
    with pytest.raises(jm.PhysicalRangeError, match="above 1"):
        make(seen.rejection.at[0, 0].set(jnp.inf))
    with pytest.raises(jm.PhysicalRangeError, match=r"sigma = -0\.01"):
        make(seen.rejection, -0.01)
    ones = (jnp.ones((3, 2)), jnp.ones((7, 3)), jnp.ones(3))
    for rejection in ones:
        with pytest.raises(jm.ShapeError, match="one row for each lane"):
            Dataset(seen.case, rejection, jnp.ones_like(rejection), "real", seen.feed_group)
    with pytest.raises(jm.ShapeError, match="sigma has shape"):
        Dataset(seen.case, seen.rejection, seen.sigma[:1], "real", seen.feed_group)
    with pytest.raises(jm.ShapeError, match="labels of feeds"):
        Dataset(seen.case, seen.rejection, seen.sigma, "real", ("brine",))
    for prior in ((-1.0, 0.5), (np.nan, 0.5), (1e-5, np.inf)):
        with pytest.raises(jm.JaxmemError, match="standard deviation above zero"):
            jm.LogInterval(1e-8, 1e-3, prior=prior)  # pyright: ignore
