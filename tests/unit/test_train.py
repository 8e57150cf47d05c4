"""Closures that learn through the solve: nothing before training, exact gradients, the same bits after an interruption, files."""

import json
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.data.rejection import Dataset
from jaxmem.surrogate import descent
from jaxmem.surrogate.checkpoint import header_of
from jaxmem.surrogate.closures import describe
from jaxmem.surrogate.drift import problem
from jaxmem.surrogate.neural_ode import lane_of
from jaxmem.surrogate.train import learning

from .test_surrogate import changed

KEY = jax.random.key(0)
FEEDS = [
    {"Na+": 20.0, "Cl-": 20.0, "Mg+2": 0.0, "SO4-2": 0.0}, {"Na+": 4.0, "Cl-": 24.0, "Mg+2": 10.0, "SO4-2": 0.0},
    {"Na+": 20.0, "Cl-": 4.0, "Mg+2": 0.0, "SO4-2": 8.0}, {"Na+": 2.0, "Cl-": 12.0, "Mg+2": 10.0, "SO4-2": 5.0},
]  # fmt: skip
PERMEANCE = {"Na+": 3e-5, "Cl-": 8e-6, "Mg+2": 4e-6, "SO4-2": 1e-6}


def feeds() -> jm.Mixture:
    """Four feeds at three fluxes, one after the other."""
    rows = np.repeat([[f[n] for n in PERMEANCE] for f in FEEDS], 3, axis=0)
    return jm.Mixture(jm.species(*PERMEANCE), rows)


def case(membrane: jm.PermeanceMembrane | jm.PoreMembrane) -> jm.Case:
    return jm.Case(feeds(), membrane, jm.FluxDriven(jnp.tile(jnp.asarray([5e-6, 1.5e-5, 4e-5]), len(FEEDS))))


def seen() -> Dataset:
    """What a Donnan shift makes of them."""
    asked = case(jm.PermeanceMembrane.of(PERMEANCE, law=jm.DonnanShift(1.0, -0.6)))
    rejection = jnp.where(asked.feed.concentration > 0.0, jm.solve(jm.SDEM(), asked).real_rejection, jnp.nan)
    labels = tuple(f"feed {i // 3}" for i in range(12))
    return Dataset(asked, rejection, jnp.full_like(rejection, 0.01), "real", labels)


def shift(**options: int) -> jm.PermeanceMembrane:
    return jm.PermeanceMembrane.of(PERMEANCE, law=jm.LearnedShift.new(KEY, **options))


def test_untrained_closures_change_nothing() -> None:
    plain = jm.PoreMembrane(0.45e-9, 1e-6, -30.0, 45.0)
    keys = jax.random.split(KEY, 3)
    learned = jm.PoreMembrane(
        0.45e-9, 1e-6, -30.0, 45.0, charge=jm.LearnedCharge.new(keys[0]),
        exclusion=jm.LearnedExclusion.new(keys[1]), hindrance=jm.LearnedHindrance.new(keys[2]),
    )  # fmt: skip
    model = jm.DSPMDE(tolerance=1e-5)
    form = model.form(case(plain))
    for a, b in zip(*(jax.tree.leaves(model.core(case(w), form)) for w in (plain, learned)), strict=True):
        assert bool(jnp.all(a == b))  # one problem, to the last bit; compiled programs around it may round differently
    np.testing.assert_allclose(*(jm.solve(model, case(w)).passage for w in (plain, learned)), rtol=1e-13)
    for law in (jm.LearnedShift.new(KEY), jm.LearnedPermeance.new(KEY)):
        assert bool(
            jnp.all(law(jnp.asarray(list(PERMEANCE.values())), feeds()) == jnp.asarray(list(PERMEANCE.values())))
        )


def test_a_water_in_six_numbers() -> None:
    water = describe(feeds())
    cations, anions = feeds().multivalent_fraction
    assert np.allclose(water[:, 0], cations)
    assert np.allclose(water[:, 1], anions)
    turned = jm.Mixture(jm.species(*list(PERMEANCE)[::-1]), feeds().concentration[:, ::-1])
    assert np.allclose(describe(turned), water, rtol=1e-14)


def _moved(tree: object, scale: float) -> object:
    """Networks with random weights everywhere."""
    leaves, shape = jax.tree.flatten(tree)
    return shape.unflatten(
        [x + jnp.asarray(scale * np.random.default_rng(i).normal(size=x.shape), x.dtype) for i, x in enumerate(leaves)]
    )


@pytest.mark.parametrize("physics", [pytest.param("SDEM", marks=pytest.mark.campaign), "DSPM-DE"])
def test_slopes_of_all_weights(physics: str) -> None:
    options = {"width": 3, "dtype": jnp.float64}
    a, b, c = jax.random.split(KEY, 3)
    if physics == "SDEM":
        model, membrane = jm.SDEM(), jm.PermeanceMembrane.of(PERMEANCE, law=jm.LearnedPermeance.new(a, **options))
    else:
        model = jm.DSPMDE(tolerance=1e-5)
        membrane = jm.PoreMembrane(
            0.45e-9, 1e-6, -30.0, 45.0, charge=jm.LearnedCharge.new(a, **options),
            exclusion=jm.LearnedExclusion.new(b, **options), hindrance=jm.LearnedHindrance.new(c, **options),
        )  # fmt: skip
    weights, rest = eqx.partition(membrane, learning(membrane))
    weights = _moved(weights, 0.2)

    @eqx.filter_jit
    def value(weights: object) -> jax.Array:
        r = jm.solve(model, case(eqx.combine(weights, rest))[jnp.asarray([1, 4, 7, 11])], throw=False)
        return jnp.sum(jnp.where(r.feed > 0.0, jnp.log(r.passage) * jnp.asarray([1.0, -0.5, 0.7, 0.3]), 0.0))

    slope = eqx.filter_jit(jax.grad(value))(weights)
    along = jax.tree.map(lambda g: jnp.sign(g) * jnp.abs(g) ** 0.1, slope)  # every weight counts
    exact = sum(jnp.sum(a * b) for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(along), strict=True))
    ends = [value(jax.tree.map(lambda w, d, h=h: w + h * d, weights, along)) for h in (2e-4, -2e-4, 1e-4, -1e-4)]
    coarse, fine = (ends[0] - ends[1]) / 4e-4, (ends[2] - ends[3]) / 2e-4
    assert float((4.0 * fine - coarse) / 3.0) == pytest.approx(float(exact), rel=1e-6)
    assert all(bool(jnp.any(g != 0.0)) for g in jax.tree.leaves(slope))


@pytest.mark.campaign
def test_slopes_through_the_physics_drift() -> None:
    """Of a neural ODE whose field is DSPM-DE's: second derivatives of the march, through an adaptive rollout. Compiles for a minute and a half."""
    net = jm.AttentionNeuralODE(jm.DSPMDE(), key=KEY, width=8, rtol=1e-7, atol=1e-9)
    wide = jax.tree.map(lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, net.field)
    net = eqx.tree_at(lambda n: n.field, net, wide)
    water = jm.Mixture.from_concentration({"Na+": 20.0, "Mg+2": 5.0, "Cl-": 30.0})
    asked = jm.Case(water, jm.membrane("NF270"), jm.FluxDriven(jnp.asarray([1e-5, 3e-5])))

    @eqx.filter_jit
    def value(bias: jax.Array, charge: jax.Array) -> jax.Array:
        bent = eqx.tree_at(lambda n: n.field.layers[-1].bias, net, bias[None])
        r = jm.solve(bent, asked.replace(charge_density=charge), throw=False)
        return jnp.sum(jnp.log(r.passage) * jnp.asarray([1.0, -0.5, 0.3]))

    at = (jnp.asarray(-0.2), jnp.asarray(-30.0))
    slopes = eqx.filter_jit(jax.grad(value, argnums=(0, 1)))(*at)
    for i, h in enumerate((1e-3, 0.1)):
        moved = lambda d, i=i: value(*(x + d * (j == i) for j, x in enumerate(at)))
        coarse, fine = ((moved(s) - moved(-s)) / (2.0 * s) for s in (h, h / 2.0))
        assert float((4.0 * fine - coarse) / 3.0) == pytest.approx(float(slopes[i]), rel=1e-6)


def test_steps_that_are_rejected_spoil_no_slope() -> None:
    """The field of the physics drift and its derivatives are numbers at states far from any answer, which trial steps reach."""
    net = jm.AttentionNeuralODE(jm.DSPMDE(activity="ideal"), key=KEY, width=8)
    water = jm.Mixture.from_concentration({"Na+": 10.0, "Mg+2": 5.0, "Cl-": 20.0})
    asked = jm.Case(water, jm.membrane("NF270"), jm.FluxDriven(jnp.asarray([2e-5])))
    lane = jax.tree.map(lambda x: x[0], lane_of(asked))
    core, form = problem(net.physics, asked)
    core = jax.tree.map(lambda x: x[..., 0], core)

    @jax.jit
    def slopes(h: jax.Array, zeta: jax.Array) -> tuple:
        _, back = jax.vjp(lambda h, zeta: net.slope(jnp.asarray(0.93), (h, zeta), lane, core, form), h, zeta)
        return back((jnp.asarray([1.0, -0.5, 0.3]), jnp.asarray(0.7)))

    for h, zeta in (
        ([0.08, 0.006, 0.09], -6.8e10),
        ([0.06, -0.055, -0.05], 23.6),
        ([-1.0, -1.0, 5.0], 1e6),
        ([1e-20] * 3, 0.0),
    ):
        assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(slopes(jnp.asarray(h), jnp.asarray(zeta))))


@pytest.mark.campaign
def test_the_physics_drift_is_bent_by_measurements() -> None:
    """Rejections of a membrane whose charge follows the water, and a neural ODE over DSPM-DE with a constant charge: half of the error at held-out fluxes goes."""
    rows = np.repeat([[20.0, 0.0, 20.0], [10.0, 5.0, 20.0], [0.0, 10.0, 20.0]], 5, axis=0)
    feed = jm.Mixture(jm.species("Na+", "Mg+2", "Cl-"), rows)
    fluxes, physics = jm.FluxDriven(jnp.tile(jnp.linspace(8e-6, 56e-6, 5), 3)), jm.DSPMDE(activity="ideal")
    truth = jm.membrane("NF270", charge=jm.MultivalentCharge(60.0, 0.0))
    seen = jnp.where(rows > 0.0, jm.solve(physics, jm.Case(feed, truth, fluxes)).real_rejection, jnp.nan)
    asked = jm.Case(feed, jm.membrane("NF270"), fluxes)
    data = jm.Dataset(asked, seen, jnp.full_like(seen, 0.02), "real", tuple(n for n in "abc" for _ in range(5)))
    held = np.isin(np.arange(15) % 5, (1, 3))
    net = jm.AttentionNeuralODE(physics, key=jax.random.key(0), width=8, rtol=1e-3, atol=1e-5)
    bent = jm.train(net, data, held=held, steps=60, rate=3e-2, noise=jm.AbsoluteRejection(0.02))
    off = lambda r: float(np.sqrt(np.nanmean((np.asarray(r.real_rejection) - np.asarray(seen))[held] ** 2)))
    before, after = off(jm.solve(physics, asked)), off(jm.solve(bent.model, asked))
    print("held-out fluxes", before, "to", after)
    assert after < 0.5 * before


def test_a_slope_that_is_no_number_ends_a_training() -> None:
    """With the state before it, and words."""

    class Loss(eqx.Module):
        def __call__(self, weights: jax.Array, key: jax.Array) -> tuple:
            return jnp.sum(jnp.sqrt(jnp.maximum(weights - 1.0, 0.0))), jnp.zeros(())  # infinite slope where it ends

    class Look(eqx.Module):
        def __call__(self, weights: jax.Array) -> jax.Array:
            return jnp.sum(weights)

    found = descent.descend(Loss(), Look(), jnp.asarray([1.0]), steps=40, rate=1e-2)
    assert "or a derivative of it, is no number" in found.told
    assert float(found.best[0]) == 1.0


def test_bounded_residual() -> None:
    key, plain = jax.random.key(2), jm.PermeanceMembrane.of(PERMEANCE)
    model = jm.BoundedResidual(jm.SDEM(), key=key, width=8, bound=0.3)
    asked = case(plain)
    r, truth = jm.solve(model, asked), jm.solve(jm.SDEM(), asked)
    there = np.asarray(asked.feed.concentration > 0.0)
    assert np.allclose(r.passage[there], truth.passage[there], rtol=1e-9)
    wild = eqx.tree_at(lambda m: m.field, model, _moved(model.field, 3.0))
    bent = jm.solve(wild, asked)
    charge = jnp.abs(bent.permeate @ asked.feed.species.charge) / jnp.sum(bent.permeate, axis=-1)
    assert float(charge.max()) < 1e-12
    assert bool(jnp.all(bent.permeate[there] > 0.0))
    assert bool(jnp.all(bent.permeate[~there] == truth.permeate[~there]))
    correction = np.asarray(wild.correction(truth))
    assert 0.05 < np.abs(correction[there]).max() <= 0.3
    slow = jm.solve(wild, jm.Case(asked.feed, plain, jm.FluxDriven(1e-12)))
    assert float(jnp.abs(slow.real_rejection[there]).max()) < 1e-5
    assert float(bent.pressure.min()) > 0.0


def _asked(membrane: Any, feed: dict[str, float], flux: float, model: Any = None) -> Any:
    water = jm.Mixture.from_concentration({**dict.fromkeys(PERMEANCE, 0.0), **feed})
    return jm.solve(model or jm.SDEM(), jm.Case(water, membrane, jm.FluxDriven(flux)))


def test_what_lies_beyond_the_training_is_flagged(tmp_path: Path) -> None:
    """Whoever asks, wherever the membrane goes: another ion, a stronger water, a larger flux; not what was learned from."""
    trained = jm.train(jm.SDEM(), seen().on(shift(width=4)), steps=40, seed=1)
    assert not bool(trained.result.outside.any())
    wall = trained.case.membrane
    inside = _asked(wall, {"Na+": 10.0, "Mg+2": 4.0, "Cl-": 18.0}, 2e-5)
    assert not bool(inside.outside)
    assert "beyond what" not in str(inside)
    salt = {"Na+": 20.0, "Cl-": 20.0}
    assert bool(_asked(wall, salt, 6e-5).outside)  # 4e-5 at most
    assert bool(_asked(wall, {"Na+": 200.0, "Cl-": 200.0}, 2e-5).outside)
    potassium = eqx.tree_at(
        lambda w: w.permeance, jm.PermeanceMembrane.of({"K+": 3e-5, "Cl-": 8e-6}, law=wall.law), jnp.array([3e-5, 8e-6])
    )
    water = jm.Mixture.from_concentration({"K+": 20.0, "Cl-": 20.0})
    strange = jm.solve(jm.SDEM(), jm.Case(water, potassium, jm.FluxDriven(jnp.array([1e-5, 2e-5]))))
    assert strange.outside.tolist() == [True, True]
    assert "2 beyond what the network was trained on" in str(strange)
    assert strange.to_xarray()["outside"].values.tolist() == [1, 1]
    assert strange.plot.rejection().get_title().startswith("dotted")
    jm.save(trained, tmp_path / "closure.jaxmem")
    again = jm.load(tmp_path / "closure.jaxmem")
    assert bool(_asked(again.membrane, salt, 6e-5).outside)
    assert not bool(_asked(again.membrane, salt, 2e-5).outside)
    element = jm.SpiralElement(wall, area=7.0, length=0.9)
    pressed = jm.FeedPressure(jnp.array([3.0, 12.0]) * jm.units.bar, 4e-4)
    brine = jm.Mixture.from_concentration({"Na+": 10.0, "Mg+2": 4.0, "Cl-": 18.0, "SO4-2": 0.0})
    both = jm.solve(jm.SpiralWoundIons(jm.SDEM()), jm.Case(brine, element, pressed))
    assert both.outside.tolist() == [False, True]  # the stronger pressure drives more than 4e-5 m/s
    assert both.to_xarray()["outside"].values.tolist() == [0, 1]
    study = jm.sweep(jm.SDEM(), strange.case, store=tmp_path / "s.zarr")
    assert study["outside"].tolist() == [True, True]
    with pytest.raises(jm.JaxmemError, match="no network"):
        _ = _asked(jm.PermeanceMembrane.of(PERMEANCE), salt, 2e-5).outside


def test_larger_corrections_than_in_the_training_are_flagged() -> None:
    """Of transmissions by a bounded residual, and of the feed by a physics drift."""
    data = seen().on(jm.PermeanceMembrane.of(PERMEANCE))
    bent = jm.train(jm.BoundedResidual(jm.SDEM(), key=KEY, width=4), data, steps=40)
    assert not bool(bent.result.outside.any())
    more = eqx.tree_at(lambda m: m.field.layers[-1].bias, bent.model, bent.model.field.layers[-1].bias + 1.0)
    assert bool(jm.solve(more, data.case).outside.any())
    net = jm.AttentionNeuralODE(jm.DSPMDE(activity="ideal"), key=KEY, width=4, rtol=1e-4, atol=1e-6)
    pore = jm.PoreMembrane(0.45e-9, 1e-6, -30.0, 45.0)
    points = seen().on(pore).only(np.arange(12) % 3 == 1)
    drifted = jm.train(net, points, steps=20, rate=1e-2)
    assert not bool(drifted.result.outside[1::3].any())
    weaker = eqx.tree_at(lambda m: m.seen.correction, drifted.model, 0.5 * drifted.model.seen.correction)
    assert bool(jm.solve(weaker, drifted.case, throw=False).outside[1::3].any())


def test_corners_that_nothing_filled_and_other_pores_are_flagged() -> None:
    """Of four salts one is left out: the others' largest and least numbers hold it, but not what lies between them."""
    data = seen()
    names, salts = tuple(PERMEANCE), [{"Na+": 20.0, "Cl-": 20.0}, {"Mg+2": 10.0, "Cl-": 20.0}, {"Na+": 20.0, "SO4-2": 10.0}, {"Mg+2": 10.0, "SO4-2": 10.0}]  # fmt: skip
    rows = np.repeat([[salt.get(n, 0.0) for n in names] for salt in salts], 3, axis=0)
    asked = jm.Case(jm.Mixture(jm.species(*names), rows), data.case.membrane, data.case.conditions)
    rejection = jnp.where(asked.feed.concentration > 0.0, jm.solve(jm.SDEM(), asked).real_rejection, jnp.nan)
    every = jm.Dataset(asked, rejection, jnp.full_like(rejection, 0.01), "real", data.feed_group).on(shift(width=2))
    for left in range(4):
        trained = jm.train(jm.SDEM(), every.only(np.arange(12) // 3 != left), steps=20)
        outside = np.asarray(trained.result.outside).reshape(4, 3).all(axis=1)
        assert outside.tolist() == [i == left for i in range(4)]
    pore = jm.PoreMembrane(0.5e-9, 1e-6, -30.0, 45.0, hindrance=jm.LearnedHindrance.new(KEY, width=2))
    ideal = jm.DSPMDE(activity="ideal", tolerance=1e-5)
    taught = jm.train(ideal, every.on(pore), steps=20)
    assert not bool(taught.result.outside.any())
    for name, factor in (("pore_radius", 1.2), ("thickness_over_porosity", 0.8), ("charge_density", 2.0), ("pore_permittivity", 0.9)):  # fmt: skip
        other = taught.case.replace(**{name: factor * getattr(taught.case.membrane, name)})
        assert bool(jm.solve(ideal, other, throw=False).outside.all()), name
    layered = jm.LayeredMembrane((taught.case.membrane, jm.PoreMembrane(0.5e-9, 1e-6, -30.0, 45.0)))
    both = jm.Case(every.case.feed, layered, every.case.conditions)
    assert not bool(jm.solve(ideal, both, throw=False).outside.any())


def test_a_penalty_of_charge_teaches_neutrality() -> None:
    """Three of four ions are measured: what the fourth does is left to the charge."""
    data = seen().on(jm.membrane("NF270"))
    data = eqx.tree_at(lambda d: d.rejection, data, data.rejection.at[:, 1].set(jnp.nan))  # chloride
    net = jm.AttentionNeuralODE(key=KEY, width=8, projection="none", rtol=1e-3, atol=1e-5)
    charge = [
        float(
            jnp.sqrt(jnp.mean(jnp.square(jm.train(net, data, steps=100, rate=1e-2, penalty=penalty).result.residual)))
        )
        for penalty in (0.0, 1e4)
    ]
    assert charge[1] < 0.3 * charge[0]


def test_what_was_fine_tuned_on_is_inside() -> None:
    net = jm.ion_network()
    salt = jm.Mixture.from_concentration({"Na+": 900.0, "Cl-": 900.0})
    case = jm.Case(salt, jm.membrane("NF270"), jm.FluxDriven(jnp.array([1e-5, 2e-5])))
    assert bool(jm.solve(net, case).outside.all())
    data = jm.Dataset(case, jnp.array([[0.2, 0.2], [0.3, 0.3]]), jnp.full((2, 2), 0.02), "real", ("brine", "brine"))
    tuned = jm.train(net, data, part="last", steps=20, rate=1e-3)
    assert not bool(tuned.result.outside.any())
    again = jm.train(tuned.model, data.only(np.array([True, False])), part="last", steps=20, rate=1e-3)
    assert not bool(again.result.outside.any())  # what was known stays
    weak = jm.Mixture.from_concentration({"Na+": 20.0, "Cl-": 20.0})
    assert not bool(jm.solve(tuned.model, jm.Case(weak, case.membrane, case.conditions)).outside.any())


def test_learns_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    data = seen().on(shift(width=4))
    path, options = tmp_path / "half.npz", {"noise": jm.LogTransmission(0.05), "rate": 3e-2, "seed": 3}
    whole = jm.train(jm.SDEM(), data, steps=200, **options)
    assert whole.train[-1] < 0.05 * whole.train[0]
    assert "53 numbers" in str(whole)
    assert float(jnp.nanmax(jnp.abs(whole.result.real_rejection - data.rejection))) < 0.1

    class Cut(Exception):
        pass

    def stop(done: int, *_: float) -> None:
        if done == 60:
            raise Cut

    with pytest.raises(Cut):
        jm.train(jm.SDEM(), data, steps=200, checkpoint=path, told=stop, **options)
    again = jm.train(jm.SDEM(), data, steps=200, checkpoint=path, **options)
    assert np.array_equal(again.train, whole.train)
    nets = [jax.tree.leaves(eqx.filter(x.case.membrane.law, eqx.is_array)) for x in (whole, again)]
    assert all(bool(jnp.all(a == b)) for a, b in zip(*nets, strict=True))
    before = path.read_bytes()
    with pytest.raises(jm.StoreMismatchError, match="another training"):
        jm.train(jm.SDEM(), data, steps=200, checkpoint=path, **{**options, "seed": 4})
    assert path.read_bytes() == before
    path.write_bytes(before[:-7])
    with pytest.raises(jm.StoreMismatchError, match="damaged"):
        jm.train(jm.SDEM(), data, steps=200, checkpoint=path, **options)


def test_failed_points_are_counted_and_harm_nothing() -> None:
    data = seen().on(shift(width=2))
    flux = data.case.conditions.volume_flux.at[4].set(jnp.nan)
    broken = eqx.tree_at(lambda d: d.case, data, jm.Case(data.case.feed, data.case.membrane, jm.FluxDriven(flux)))
    out = jm.train(jm.SDEM(), broken, steps=20)
    assert np.isfinite(out.least)
    assert out.least > 5.0  # a feed without an answer counts
    model = jm.BoundedResidual(jm.SDEM(), key=KEY, width=4)

    def loss(model: jm.BoundedResidual, asked: jm.Case) -> jax.Array:
        r = jm.solve(model, asked, throw=False)
        return jnp.sum(jnp.where(r.ok[..., None] & (r.feed > 0.0), jnp.log(r.passage), 0.0))

    moved = eqx.tree_at(lambda m: m.field, model, _moved(model.field, 0.5))
    slopes = eqx.filter_jit(eqx.filter_grad(lambda m, asked: loss(m, asked)))
    rows = jnp.asarray([0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11])
    pairs = zip(*(jax.tree.leaves(slopes(moved, asked).field) for asked in (broken.case, data.case[rows])), strict=True)
    assert all(np.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)  # as if it were not there


def test_all_rounds_are_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    traced, plain = [], descent._round
    monkeypatch.setattr(descent, "_round", lambda *given: traced.append(1) or plain(*given))
    descent._program.cache_clear()
    free = jm.Free(permeance=jm.LogInterval(1e-8, 1e-3))
    options = {"free": free, "steps": 60, "rate": 3e-2}
    first = jm.train(jm.SDEM(), seen().on(shift(width=2)), **options)
    again = jm.train(jm.SDEM(), seen().on(shift(width=2)), **options)
    descent._program.cache_clear()
    assert traced == [1]
    assert np.array_equal(first.train, again.train)


def test_parts_and_mistakes(untyped: None) -> None:
    net = shift(width=4).law
    count = lambda part: sum(int(np.sum(m)) if np.ndim(m) else int(m) for m in jax.tree.leaves(learning(net, part)))
    assert (count("all"), count("last two"), count("last")) == (6, 4, 2)  # weights and biases
    data = seen()
    with pytest.raises(jm.JaxmemError, match="no network"):
        jm.train(jm.SDEM(), data)
    learned = data.on(shift())
    with pytest.raises(jm.UnknownNameError, match="last two"):
        jm.train(jm.SDEM(), learned, part="lasttwo")
    with pytest.raises(jm.JaxmemError, match="Hold back some"):
        jm.train(jm.SDEM(), learned, held=np.ones(12, bool))
    with pytest.raises(jm.JaxmemError, match="truth values"):
        jm.train(jm.SDEM(), learned, held=np.arange(12))
    with pytest.raises(jm.JaxmemError, match="0 to judge by"):
        jm.train(jm.SDEM(), learned.only(np.arange(12) > 0), held=np.arange(12) == 0)
    for options, words in (
        ({"ridge": -1.0}, "from zero up"), ({"penalty": -1.0}, "penalty=100"), ({"penalty": None}, "penalty=100"), ({"ridge": "1"}, "ridge=1e-4"), ({"batch": 0}, "all points"), ({"noise": "log"}, "cannot be called"), ({"steps": 2.5}, "whole number"),
        ({"rate": float("inf")}, "above zero"), ({"checkpoint": "/nowhere/half.npz"}, "folder that exists"),
    ):  # fmt: skip
        with pytest.raises(jm.JaxmemError, match=words):
            jm.train(jm.SDEM(), learned, **options)
    with pytest.raises(jm.JaxmemError, match="is no key"):
        jm.LearnedShift.new(0)
    with pytest.raises(jm.JaxmemError, match="scale"):
        jm.LearnedCharge.new(KEY, scale=-1.0)
    with pytest.raises(jm.JaxmemError, match="not a model"):
        jm.train("SDEM", learned)
    with pytest.raises(jm.JaxmemError, match="no measurement"):
        jm.train(jm.SDEM(), learned.only(np.zeros(12, bool)))
    with pytest.raises(jm.JaxmemError, match="above zero"):
        jm.train(jm.SDEM(), learned, steps=0)
    with pytest.raises(jm.JaxmemError, match="at the membrane"):
        jm.solve(
            jm.BoundedResidual(jm.SDEM(), key=KEY),
            jm.Case(feeds(), shift(), jm.FluxDriven(1e-5, jm.film("same", 1e-5))),
        )
    with pytest.raises(jm.JaxmemError, match="The physics is"):
        jm.BoundedResidual(jm.SpieglerKedem(), key=KEY)
    with pytest.raises(jm.JaxmemError, match="a key or a field"):
        jm.BoundedResidual(jm.SDEM())
    with pytest.raises(jm.JaxmemError, match="cannot be built"):
        jm.LearnedShift.new(KEY, bound=0.0)


def random_closures() -> jm.PoreMembrane:
    """Networks with numbers in their last layers, too, beside published closures."""
    keys = jax.random.split(KEY, 3)
    learned = jm.PoreMembrane(
        0.45e-9, 1e-6, -30.0, 45.0, charge=jm.LearnedCharge.new(keys[0]), exclusion=jm.LearnedExclusion.new(keys[1]),
        hindrance=jm.LearnedHindrance.new(keys[2], jm.Bowen()), viscosity=jm.ConfinedViscosity(),
    )  # fmt: skip
    shake = lambda x: x + 0.02 if eqx.is_inexact_array(x) and x.dtype == jnp.float32 else x
    return jax.tree.map(shake, learned)


def test_membranes_with_closures_go_to_a_file_and_back(tmp_path: Path) -> None:
    path, membrane = tmp_path / "membrane.jaxmem", random_closures()
    jm.save(membrane, path, {"made by": "test"})
    again = jm.load(path)
    assert jax.tree.structure(again) == jax.tree.structure(membrane)
    assert bool(eqx.tree_equal(again, membrane))
    corrected = jm.BoundedResidual(jm.SDEM(), key=KEY, bound=0.25)
    jm.save(corrected, path)
    assert bool(eqx.tree_equal(jm.load(path), corrected))


def test_a_training_goes_to_a_file_and_back(tmp_path: Path) -> None:
    free = jm.Free(permeance=jm.LogInterval(1e-8, 1e-3))
    trained = jm.train(jm.SDEM(), seen().on(shift(width=0)), free=free, steps=20)
    path = tmp_path / "training.jaxmem"
    jm.save(trained, path)
    model, membrane = jm.load(path)
    np.testing.assert_array_equal(jm.solve(model, case(membrane)).passage, trained.result.passage)
    told = header_of(path)["training_domain"]
    corners = np.asarray(told["compositions"]["corners"])  # shares of divalent cations and anions, and mean radii
    assert corners[:, 0].max() == pytest.approx(20.0 / 22.0)
    assert told["largest flux, m/s"] == pytest.approx(4e-5, rel=0.02)
    assert len(told["ions"]["seen"]) == 4
    jm.save(membrane, path)
    assert header_of(path)["training_domain"] == told
    part = jm.train(jm.SDEM(), seen().on(shift(width=0)).only(np.arange(12) < 3), free=free, steps=20)
    jm.save(part, path)
    assert len(header_of(path)["training_domain"]["ions"]["seen"]) == 2  # what was left out is not in it


def test_files_hold_nothing_of_others(tmp_path: Path) -> None:
    path = tmp_path / "membrane.jaxmem"
    own = jm.PoreMembrane(0.45e-9, 1e-6, -30.0, 45.0, charge=lambda x, feed: x)
    with pytest.raises(jm.JaxmemError, match=r"charge is a function of your own"):
        jm.save(own, path)
    for notes in ({"of": np.arange(3)}, {"of": "x" * (1 << 20)}):
        with pytest.raises(jm.JaxmemError, match="notes"):
            jm.save(random_closures(), path, notes)
    assert not path.exists()
    jm.save(random_closures(), path)
    whole = path.read_bytes()
    for old, new in (
        ("jaxmem.membranes.pore:PoreMembrane", "subprocess:Popen"),
        ("jaxmem.membranes.pore:PoreMembrane", "jaxmem.cli:main"),
        ("jaxmem.membranes.pore:PoreMembrane", "jaxmem.__main__:main"),
        ('"charge"', '"chirge"'),
        ('"pore_radius": {"array": 0}', '"pore_radius": {"float": "7.0"}'),
        ('"array": 0', '"array": 99'),
        ('"pore_radius": {"array": 0}', '"pore_radius": {}'),
    ):
        header = json.dumps(header_of(path))
        assert old in header
        other = tmp_path / "changed.jaxmem"
        other.write_bytes(changed(whole, **json.loads(header.replace(old, new))))
        with pytest.raises(jm.DataFileError, match="cannot be built"):
            jm.load(other)


def test_patience_ends_a_training_and_a_bar_shows_it(capsys: pytest.CaptureFixture, untyped: None) -> None:
    """What is judged by grows with every step: the first look was the best."""

    class Loss(eqx.Module):
        def __call__(self, weights: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            return -jnp.sum(weights), jnp.zeros(())

    class Look(eqx.Module):
        def __call__(self, weights: jax.Array) -> jax.Array:
            return jnp.sum(weights)

    run = lambda **options: descent.descend(Loss(), Look(), jnp.asarray([1.0]), steps=200, rate=1e-2, **options)
    short = run(patience=40, progress=True)
    assert len(short.check) == 3
    np.testing.assert_array_equal(short.check, run().check[:3])
    assert float(short.best[0]) == pytest.approx(short.check[0])
    assert "judged" in capsys.readouterr().out
    with pytest.raises(jm.JaxmemError, match="patience=200"):
        jm.train(jm.SDEM(), seen().on(shift(width=0)), patience=3)
