"""Errors of what was learned: Laplace's approximation against differences and drawn weights; ensembles."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.noise import AbsoluteRejection
from jaxmem.surrogate.laplace import Flat, laplace
from jaxmem.surrogate.members import spread

from .test_train import FEEDS, KEY, PERMEANCE, seen, shift

NOISE = AbsoluteRejection(1e-6)  # the sigma of the data alone


def noisy():
    data = seen()
    draws = 0.01 * np.random.default_rng(2).normal(size=data.rejection.shape)
    return jm.Dataset(data.case, data.rejection + draws, data.sigma, data.kind, data.feed_group)


@pytest.fixture(scope="module")
def trained():
    """A linear law: 12 weights, 21 measurements of errors that are known."""
    data = noisy().on(shift(width=0))
    return jm.train(jm.SDEM(), data, steps=240, rate=1e-1, ridge=1e-5, noise=NOISE)


def test_covariance_is_that_of_the_linearised_problem(trained):
    around, misfit, weights = trained._around, trained._misfit, trained._weights
    flat = Flat(weights)

    @jax.jit
    def rows(u):
        model, case = misfit.parts(flat.unpack(u))
        return misfit.residual(jm.solve(model, case, throw=False))[0].reshape(-1)

    u = np.asarray(flat.pack(weights))
    step = 2e-2  # weights are single precision
    columns = [(rows(u + step * e) - rows(u - step * e)) / (2.0 * step) for e in np.eye(u.size)]
    jac = np.stack(columns, axis=1)
    ridge = 1e-5 * len(trained.data)
    inverse = np.linalg.inv(jac.T @ jac + ridge * np.eye(u.size))
    np.testing.assert_allclose(
        around.covariance / around.scatter, inverse, rtol=0.03, atol=0.02 * np.abs(inverse).max()
    )
    assert 1.0 < around.held < u.size
    assert 0.3 < around.scatter < 3.0  # residuals are as large as stated
    assert np.linalg.eigvalsh(around.covariance).min() > 0.0


def test_errors_are_those_of_drawn_weights(trained):
    output = lambda r: r.real_rejection
    value, error, _ = trained.predict(output)
    np.testing.assert_allclose(value, trained.result.real_rejection, rtol=1e-12)
    around, flat = trained._around, Flat(trained._weights)
    draws = np.random.default_rng(0).multivariate_normal(np.asarray(around.u), 1e-2 * around.covariance, 400)
    answers = jax.jit(lambda u: jm.solve(*trained._misfit.parts(flat.unpack(u)), throw=False).real_rejection)
    spread = np.std([answers(u) for u in draws], axis=0) * 10.0
    there = np.asarray(trained.data.case.feed.concentration) > 0.0
    np.testing.assert_allclose(spread[there], error[there], rtol=0.25)


def test_truth_lies_within_and_errors_grow_where_nothing_was_measured(trained):
    truth = seen()
    value, error, _beyond = trained.predict(lambda r: r.real_rejection)
    off = np.abs(value - np.asarray(truth.rejection)) / error
    assert np.mean(off[np.isfinite(off)] < 1.96) > 0.8
    asked = jm.Case(
        jm.Mixture.from_concentration({**FEEDS[2], "Na+": 200.0, "Cl-": 40.0, "SO4-2": 80.0}),
        shift(),
        jm.FluxDriven(1.5e-5),
    )
    far = trained.predict(lambda r: r.real_rejection, asked)[1]
    assert far.shape == (4,)
    assert far[3] > 1.5 * error[7, 3]  # ten times as strong as any feed that was seen


def test_an_ensemble_is_its_members(tmp_path):
    data, options = noisy().on(shift(width=3)), {"steps": 20, "rate": 3e-2, "noise": NOISE}
    found = jm.train(jm.SDEM(), data, members=3, **options)
    alone = jm.train(jm.SDEM(), data, **options)
    assert isinstance(found, jm.Ensemble)
    assert len(found.members) == 3
    np.testing.assert_allclose(found.members[0].check, alone.check, rtol=1e-3)
    value, error, beyond = found.predict(lambda r: r.real_rejection)
    each = np.stack([m.result.real_rejection for m in found.members])
    np.testing.assert_allclose(value, each.mean(0), rtol=1e-12)
    np.testing.assert_allclose(error, each.std(0, ddof=1), rtol=1e-9, atol=1e-12)
    assert 1e-4 < np.median(error[np.isfinite(error)]) < 0.1
    assert "Ensemble of 3" in str(found)
    weights = [np.asarray(m._weights[0][1].law.network.layers[0].weight) for m in found.members]
    assert not np.allclose(weights[0], weights[1])
    jm.save(found, tmp_path / "three.jaxmem")
    again = jm.load(tmp_path / "three.jaxmem")
    for x, y in zip(again.predict(lambda r: r.real_rejection, data.case), (value, error, beyond), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)
    assert "Ensemble of 3" in str(again)
    with pytest.raises(jm.JaxmemError, match=r"predict\(output, case\)"):
        again.predict(lambda r: r.real_rejection)


def test_charge_through_dspmde_with_a_physical_number():
    """Both learn: a network in the charge law, and the radius."""
    membrane = jm.PoreMembrane(0.45e-9, 1e-6, -30.0, 45.0, charge=jm.LearnedCharge.new(KEY, width=0))
    case = jm.Case(seen().case.feed, membrane, seen().case.conditions)
    model = jm.DSPMDE(activity="ideal", tolerance=1e-5)
    rejection = jnp.where(case.feed.concentration > 0.0, jm.solve(model, case).real_rejection + 0.005, jnp.nan)
    data = jm.Dataset(case, rejection, jnp.full_like(rejection, 0.01), "real", seen().feed_group)
    out = jm.train(model, data, free=jm.Free(pore_radius=jm.LogInterval(0.4e-9, 0.6e-9)), steps=20, noise=NOISE)
    value, error, _ = out.predict(lambda r: r.observed_rejection[..., 2])
    assert value.shape == (12,)
    assert np.all(error > 0.0)
    assert np.all(error < 0.1)


def test_priors_stay_as_wide_as_they_are():
    """Of a number that the data do not see, whatever their scatter: here the permeance of an ion that no feed holds."""
    names = {**PERMEANCE, "K+": 3e-5}
    membrane = jm.PermeanceMembrane.of(names, law=jm.LearnedShift.new(KEY, width=0))
    data = noisy()
    feed = jm.Mixture(jm.species(*names), jnp.concatenate([data.case.feed.concentration, jnp.zeros((12, 1))], axis=1))
    blank = jnp.full((12, 1), jnp.nan)
    wide = lambda x: jnp.concatenate([x, blank], axis=1)
    case = jm.Case(feed, membrane, data.case.conditions)
    flux = case.conditions.volume_flux.at[4].set(jnp.nan)  # no answer: its four values count nowhere
    case = jm.Case(feed, membrane, jm.FluxDriven(flux))
    asked = jm.Dataset(case, wide(data.rejection), wide(data.sigma), "real", data.feed_group)
    free = jm.Free(permeance=jm.LogInterval(1e-8, 1e-3, prior=(3e-5, 0.1)))
    out = jm.train(jm.SDEM(), asked, free=free, steps=20, noise=NOISE)
    around = out._around
    last = around.covariance.shape[0] - 1
    alone = jax.jacfwd(lambda u: free.prior(case, u))(out._weights[1])[:, -1]
    np.testing.assert_allclose(around.covariance[last, last], 1.0 / float(jnp.sum(alone**2)), rtol=1e-3)
    rows = np.asarray(out._misfit.residual(out.result)[0])
    values = int(np.isfinite(np.asarray(asked.rejection)).sum()) - 3  # of sodium, chloride, magnesium
    np.testing.assert_allclose(around.scatter, np.sum(rows**2) / (values - around.held), rtol=1e-6)
    assert around.scatter > 2.0  # hardly trained


def test_a_neural_ode_in_reverse():
    """Its integrator knows no forward mode; of its last layer alone, as its other weights are too many."""
    net = jm.AttentionNeuralODE(key=KEY, width=8)
    membrane = jm.PoreMembrane(0.45e-9, 1e-6, -30.0, 45.0)
    case = jm.Case(
        jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0}), membrane, jm.FluxDriven(jnp.asarray([5e-6, 2e-5]))
    )
    rejection = jm.solve(net, case).real_rejection + 0.01
    data = jm.Dataset(case, rejection, jnp.full_like(rejection, 0.01), "real", ("one", "one"))
    out = jm.train(net, data, part="last", steps=20, noise=NOISE)
    value, error, _ = out.predict(lambda r: r.real_rejection)
    assert value.shape == error.shape == (2, 2)
    assert np.all(error > 0.0)


def test_members_that_learned_before_keep_their_weights(trained):
    """Their measurements differ; where those have no sigma, nothing does."""
    nets, data = trained._weights[0], trained.data
    first, seen = spread(nets, data, 2, True, 0)
    assert all(bool(jnp.all(x[0] == x[1])) for x in jax.tree.leaves(first))
    assert float(jnp.nanstd(seen[1] - seen[0])) > 5e-3
    bare = eqx.tree_at(lambda d: d.sigma, data, jnp.full_like(data.sigma, jnp.nan))
    with pytest.raises(jm.JaxmemError, match="Give sigma"):
        spread(nets, bare, 2, True, 0)


def test_mistakes(trained, untyped):
    data = noisy().on(shift(width=2))
    with pytest.raises(jm.JaxmemError, match="members=5"):
        jm.train(jm.SDEM(), data, members=1)
    bare = eqx.tree_at(lambda m: m.ridge, trained._misfit, jnp.zeros(()))
    with pytest.raises(jm.JaxmemError, match="ridge=1e-4"):
        laplace(bare, trained._weights)
    with pytest.raises(jm.ShapeError, match="Lanes come first"):
        trained.predict(lambda r: r.passage.T)
    assert len(PERMEANCE) == 4
