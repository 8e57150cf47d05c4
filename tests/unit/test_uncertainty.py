"""Shares of a variance, and errors of fitted numbers carried to what they are used for."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.design.indices import _estimates

from .test_fit import away, data, noisy
from .test_sweep import MODEL, case

FREE = jm.Free(reflection=jm.Interval(0.5, 0.9), temperature=jm.Interval(280.0, 320.0))


def test_estimates_are_those_of_scipy() -> None:
    from scipy.stats import sobol_indices

    random = np.random.default_rng(1)
    a, b = random.random((2, 512, 3))
    mixed = np.stack([np.where(np.arange(3) == i, b, a) for i in range(3)])
    y = np.stack([np.sin(6 * x[:, 0]) + 7 * x[:, 1] ** 2 * x[:, 2] for x in (a, b, *mixed)])[..., None]
    theirs = sobol_indices(func={"f_A": y[0].T, "f_B": y[1].T, "f_AB": np.moveaxis(y[2:], -1, 1)}, n=512)
    first, total = _estimates(y)
    np.testing.assert_allclose(first[:, 0], theirs.first_order, rtol=1e-12)
    np.testing.assert_allclose(total[:, 0], theirs.total_order, rtol=1e-12)


def test_shares_of_a_sum_are_known() -> None:
    """Of ``y = x + 2 z``, even over equal ranges, one and four fifths; of ``x z`` about its mean, what both do together."""

    def sums(r: object) -> jnp.ndarray:
        x = (r.case.membrane.reflection[..., 0] - 0.7) / 0.2  # pyright: ignore
        z = (r.case.feed.temperature - 300.0) / 20.0  # pyright: ignore
        return jnp.stack([x + 2 * z, x * z, 0 * x], axis=-1)

    found = jm.sobol_indices(MODEL, case(1)[0], FREE, sums, count=2048)
    assert found.labels == ("reflection", "temperature")
    np.testing.assert_allclose(
        found.first, [[0.2, 0.0, 0.0], [0.8, 0.0, 0.0]], atol=4 * found.first_error.max() + 1e-12
    )
    np.testing.assert_allclose(
        found.total, [[0.2, 1.0, 0.0], [0.8, 1.0, 0.0]], atol=4 * found.total_error.max() + 1e-12
    )
    assert found.total_error.max() < 0.05
    np.testing.assert_allclose(found.deviation, [np.sqrt(5 / 3), 1 / 3, 0.0], rtol=0.02)
    assert (found.lanes, found.dropped) == (8192, 0)
    assert "temperature" in str(found)
    assert len(found.plot().patches) == 4


def test_indices_have_the_axes_of_the_case() -> None:
    found = jm.sobol_indices(MODEL, case(5), FREE, lambda r: r.observed_rejection[..., 0], count=64)
    assert found.first.shape == found.total_error.shape == (2, 5)
    assert (found.total[0] > 0.9).all()  # rejection follows the reflection coefficient
    still = jm.sobol_indices(MODEL, case(5), FREE, lambda r: 3.0 + 1e-15 * r.observed_rejection[..., 0], count=64)
    assert (still.total == 0.0).all()  # round-off has no shares


def test_points_without_an_answer_are_dropped_and_counted(untyped: None) -> None:
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    flux = jm.FluxDriven(1e-5, jm.film("same", 4e-5))
    asked = jm.Case(feed, jm.PermeanceMembrane.of({"Na+": 1e-6, "Cl-": 1e-6}), flux)
    output = lambda r: r.real_rejection[..., 0]
    poor = jm.SDEM(film="plain")  # no answer beyond J_v/k = 1
    some = jm.sobol_indices(poor, asked, jm.Free(volume_flux=jm.Interval(1e-6, 4.2e-5)), output, count=256)
    assert 0 < some.dropped < 52
    assert "has answers" in str(some)
    assert 0.9 < some.first[0] < 1.1
    with pytest.raises(jm.ConvergenceError, match="Narrow the bounds"):
        jm.sobol_indices(poor, asked, jm.Free(volume_flux=jm.Interval(2e-5, 1e-4)), output, count=256)
    with pytest.raises(jm.JaxmemError, match="power of two"):
        jm.sobol_indices(poor, asked, jm.Free(volume_flux=jm.Interval(2e-5, 1e-4)), output, count=100)
    with pytest.raises(jm.JaxmemError, match="seed=0"):
        jm.sobol_indices(MODEL, case(1)[0], FREE, output, seed=-1)
    with pytest.raises(jm.JaxmemError, match=r"jm\.Free"):
        jm.sobol_indices(MODEL, case(1)[0], {"reflection": 1}, output)  # pyright: ignore
    with pytest.raises(jm.ShapeError, match="Points come first"):
        jm.sobol_indices(MODEL, case(1)[0], FREE, lambda r: jnp.mean(r.observed_rejection), count=8)


FEEDS = [{"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0}, {"Na+": 2.0, "Cl-": 22.0, "Mg+2": 10.0}]
PERMEANCES = jm.Free(permeance=jm.LogInterval(1e-8, 1e-3))


@pytest.fixture(scope="module")
def found() -> jm.Fit:
    return jm.fit(jm.SDEM(), away(noisy(data(FEEDS))), PERMEANCES, noise=jm.LogTransmission(0.02), starts=2)


def test_errors_of_a_fit_reach_what_it_predicts(found: jm.Fit) -> None:
    """Linearised, against draws from the same covariance, for another feed and flux."""
    free = PERMEANCES
    feed = jm.Mixture.from_concentration({"Na+": 10.0, "Cl-": 20.0, "Mg+2": 5.0})
    other = jm.Case(feed, found.case.membrane, jm.FluxDriven(jnp.asarray([5e-6, 3e-5])))
    output = lambda r: r.real_rejection
    value, error = found.predict(output, other)
    assert value.shape == error.shape == (2, 3)
    np.testing.assert_allclose(value, jm.solve(jm.SDEM(), free.apply(other, found.u)).real_rejection, rtol=1e-9)
    drawn = jm.solve(jm.SDEM(), free.apply(other, found.draws(1000))).real_rejection
    np.testing.assert_allclose(error, np.std(np.asarray(drawn), axis=0), rtol=0.1)
    less = jm.Mixture.from_concentration({"Na+": 10.0, "Cl-": 10.0})
    with pytest.raises(jm.JaxmemError, match="same species"):
        found.predict(output, jm.Case(less, jm.PermeanceMembrane.of({"Na+": 1e-5, "Cl-": 1e-5}), other.conditions))


def test_intervals_are_those_of_the_error(found: jm.Fit) -> None:
    for i, label in enumerate(found.labels):
        low, high = found.interval(label)
        assert np.sqrt(low * high) == pytest.approx(found.value[i], rel=1e-3)  # even in the logarithm
        assert np.log(high / low) * found.value[i] / 2 == pytest.approx(2.08 * found.error[i], rel=0.02)  # t of 21
    with pytest.raises(jm.UnknownNameError, match="permeance Mg"):
        found.interval("permeance Mg")


def test_the_next_experiment_narrows_as_said(found: jm.Fit) -> None:
    """Against a fit to the old data and the proposed point, as this fit predicts it."""
    flux = jnp.asarray([1e-6, 1e-5, 1e-4])
    next_feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0})
    asked = jm.Case(next_feed, found.case.membrane, jm.FluxDriven(flux))
    told = found.propose("permeance Mg+2", asked)
    assert told.errors.shape == (3,)
    assert (told.errors < told.error).all()
    assert "now" in str(told)
    best = told.best
    point = found.free.apply(asked[best], found.u)
    both = jnp.concatenate([found.data.case.feed.concentration, point.feed.concentration[None]])
    fluxes = jnp.append(found.data.case.conditions.volume_flux, point.conditions.volume_flux)
    case_ = jm.Case(jm.Mixture(found.data.case.feed.species, both), found.data.case.membrane, jm.FluxDriven(fluxes))
    seen = jnp.concatenate([found.data.rejection, jm.solve(jm.SDEM(), point).real_rejection[None]])
    longer = jm.Dataset(case_, seen, jnp.full_like(seen, jnp.nan), "real", (*found.data.feed_group, "next"))
    again = jm.fit(jm.SDEM(), longer, found.free, noise=found.noise, starts=1)
    expected = again.error[2] * np.sqrt(found.scatter / again.scatter)  # the scatter has one point of no misfit more
    assert told.errors[best] == pytest.approx(expected, rel=1e-3)
    with pytest.raises(jm.JaxmemError, match="Candidates are a batch"):
        found.propose("permeance Mg+2", point)


def test_reports(found: jm.Fit, tmp_path: Path) -> None:
    told = json.loads(found.save(tmp_path / "fit.json").read_text())
    assert [n["label"] for n in told["numbers"]] == found.labels
    assert told["numbers"][1]["value"] == pytest.approx(found.value[1], rel=1e-15)
    np.testing.assert_allclose(told["covariance"], found.covariance)
    page = found.save(tmp_path / "fit.html").read_text()
    assert page.count("<img") == 2
    assert "permeance Mg+2" in page
    assert "The data determine every number." in page
    with pytest.raises(jm.DataFileError, match=r"fit\.html"):
        found.save(tmp_path / "fit.pdf")
    with pytest.raises(jm.DataFileError, match="mkdir"):
        found.save(tmp_path / "no" / "fit.html")


def test_figures_show_every_measurement(found: jm.Fit) -> None:
    parity, residuals = found.plot.parity(), found.plot.residuals()
    shown = np.concatenate([line.get_ydata() for line in residuals.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(np.sort(shown), np.sort(found.minima.residual[np.argmin(found.minima.cost)][:24]))
    assert len([c for c in parity.containers]) == 3


def test_errors_of_a_fit_go_through_a_vessel(found: jm.Fit) -> None:
    """A vessel of the fitted membrane, against differences over the fitted numbers."""
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0})
    vessel = jm.Vessel(jm.SpiralElement(found.case.membrane, area=37.0, length=0.96), 1)
    asked = jm.Case(feed, vessel, jm.FeedPressure(6e5, 9.0 / 3600))
    model = jm.SpiralWoundIons(jm.SDEM())
    value, error = found.predict(lambda r: r.observed_rejection, asked, model)
    h = 1e-4
    step = h * np.eye(3)
    both = (
        jm.solve(model, found.free.apply(asked, found.u + s * jnp.asarray(step))).observed_rejection for s in (1, -1)
    )
    slope = (np.subtract(*map(np.asarray, both)) / (2 * h)).T
    np.testing.assert_allclose(error, np.sqrt(np.diag(slope @ found.covariance_unbounded @ slope.T)), rtol=1e-5)
    assert value.shape == (3,)


def test_what_a_prediction_cannot_say(found: jm.Fit) -> None:
    """No answer, no error; lanes first."""
    feed = found.case.feed.concentration[0]
    asked = jm.Case(
        jm.Mixture(found.case.feed.species, feed),
        found.case.membrane,
        jm.FluxDriven(jnp.asarray([1e-5, 9e-5]), jm.film("same", 4e-5)),
    )
    value, error = found.predict(lambda r: r.real_rejection[..., 0], asked, jm.SDEM(film="plain"))
    assert np.isnan([value[1], error[1]]).all()
    assert error[0] > 0.0
    with pytest.raises(jm.ShapeError, match="Lanes come first"):
        found.predict(lambda r: r.real_rejection[..., 0].mean(), asked)
    with pytest.raises(jm.JaxmemError, match="seed=0"):
        found.draws(4, seed=-1)


def test_errors_without_measurements_to_spare_are_those_of_the_noise() -> None:
    """Three permeances from the three rejections of one point: 2 % of noise, not none."""
    whole = noisy(data(FEEDS[:1]))
    one = whole.only(np.arange(4) == 1)
    few = jm.fit(jm.SDEM(), away(one), PERMEANCES, noise=jm.LogTransmission(0.02, limit=0.0), starts=2)
    assert few.scatter_known
    assert "too few" in str(few)
    for i, label in enumerate(few.labels):
        low, high = few.interval(label)
        assert few.error[i] / few.value[i] > 0.01
        assert low < (2e-5, 6e-6, 4e-6)[i] < high


def test_a_prior_is_in_its_own_units() -> None:
    """What the data say nothing of has the error of its prior, however well they agree with each other."""
    seen = data([{"Na+": 20.0, "Cl-": 24.0, "Mg+2": 2.0}], jm.DonnanShift(0.5, 0.0))
    free = jm.Free(permeance=jm.LogInterval(1e-8, 1e-3), anion=jm.Interval(-4.0, 4.0, prior=(0.5, 0.3)))
    told = jm.fit(jm.SDEM(), away(seen, law=jm.DonnanShift(0.5, 0.0)), free, starts=2)
    i = told.labels.index("anion")
    assert told.value[i] == pytest.approx(0.5, abs=0.01)
    assert told.error[i] == pytest.approx(0.3, rel=0.02)
