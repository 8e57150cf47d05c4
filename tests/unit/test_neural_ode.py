"""The attention neural ODE: charge, positivity, absent ions and order hold for any weights; with physics it is DSPM-DE before it learns."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.surrogate.checkpoint import header_of
from jaxmem.surrogate.field import parameters
from jaxmem.surrogate.neural_ode import Lane, lane_of
from jaxmem.surrogate.projection import orthogonal, positive, weighted
from jaxmem.surrogate.range import Range


def wild(net: jm.AttentionNeuralODE, scale: float = 3.0) -> jm.AttentionNeuralODE:
    """With large weights, in float64."""
    made = jax.tree.map(lambda x: scale * x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, net.field)
    return eqx.tree_at(lambda n: n.field, net, made)


@pytest.fixture(scope="module")
def cases() -> jm.Case:
    """Random feeds with absent ions, through random pores."""
    case = jm.random_case(60, 1, seed=3)
    return jm.Case(case.feed, case.membrane, jm.FluxDriven(60e-6 * jnp.linspace(0.02, 1.0, 60)[:, None]))


@pytest.fixture(scope="module")
def net() -> jm.AttentionNeuralODE:
    return wild(jm.AttentionNeuralODE(key=jax.random.key(1), width=16, rtol=1e-5, atol=1e-8), 2.0)


def test_neutral_positive_and_absent(net: jm.AttentionNeuralODE, cases: jm.Case) -> None:
    r = jm.solve(net, cases)
    assert float(r.residual.max()) < 1e-12
    assert float(jnp.abs(net.residual(r.state, cases)).max()) < 1e-12
    present = r.feed > 0.0
    assert bool(jnp.all(r.permeate[~present] == 0.0))
    assert bool(jnp.all(r.permeate[present] > 0.0))
    assert float(jnp.abs(r.observed_rejection).max()) > 0.2  # it does something
    weights = r.attention
    assert np.allclose(weights.sum(-1)[present], 1.0, atol=1e-6)
    assert bool(jnp.all(jnp.where(present[..., None, :], 0.0, weights) == 0.0))
    assert not bool(jnp.any(r.outside))


def test_order_and_absent_ions_change_nothing(net: jm.AttentionNeuralODE, cases: jm.Case) -> None:
    feed = cases.feed
    r = jm.solve(net, cases).passage
    turned = jm.Mixture(jm.species(*feed.species.names[::-1]), feed.concentration[..., ::-1])
    again = jm.solve(net, jm.Case(turned, cases.membrane, cases.conditions)).passage[..., ::-1]
    more = jm.Mixture(jm.species(*feed.species.names, "F-"), jnp.pad(feed.concentration, ((0, 0), (0, 0), (0, 1))))
    wide = jm.solve(net, jm.Case(more, cases.membrane, cases.conditions)).passage[..., :-1]
    there = np.asarray(feed.concentration > 0.0)
    for other in (again, wide):
        assert np.allclose(np.asarray(other)[there], np.asarray(r)[there], rtol=1e-10)


def test_without_projection_charge_appears(cases: jm.Case) -> None:
    free = wild(jm.AttentionNeuralODE(key=jax.random.key(1), width=16, projection="none", rtol=1e-5, atol=1e-8))
    assert float(jm.solve(free, cases).residual.max()) > 1e-3


def test_answers_that_no_membrane_gives_are_flagged(cases: jm.Case) -> None:
    """Whatever the network was taught: here by nothing, and its last layer pushes one ion through."""
    net = jm.AttentionNeuralODE(key=jax.random.key(1), width=16, projection="none", rtol=1e-5, atol=1e-8)
    assert not bool(jm.solve(net, cases).outside.any())
    pushed = eqx.tree_at(lambda n: n.field.layers[-1].bias, net, net.field.layers[-1].bias + 5.0)
    result = jm.solve(pushed, cases, throw=False)
    far = np.asarray((result.passage > 1e4).any(axis=-1))
    assert far.any()
    assert (np.asarray(result.outside) == far).all()


def test_projectors() -> None:
    random = np.random.default_rng(0)
    z = jnp.asarray([1.0, 2.0, -1.0, -2.0, 0.0])
    g, w = jnp.asarray(random.normal(size=(7, 5))), jnp.asarray(random.uniform(0.0, 1.0, (7, 5))).at[:, 1].set(0.0)
    for made in (orthogonal(g, z), weighted(g, z, w)):
        assert float(jnp.abs(made @ z).max()) < 1e-14
        assert np.allclose(made[:, 4], g[:, 4])
    assert np.allclose(weighted(g, z, w)[:, 1], g[:, 1])  # an ion without weight is left alone
    neutral = orthogonal(g, z)
    assert np.allclose(weighted(neutral, z, w), neutral)
    c = jnp.abs(g).at[:, 0].set(0.0)
    made = positive(c, z)
    assert float(jnp.abs(made @ z).max()) < 1e-12
    assert bool(jnp.all((made > 0.0) == (c > 0.0)))
    f = lambda x: jnp.sum(positive(c + x * g, z) ** 2)
    step = 1e-5
    assert float(jax.grad(f)(0.0)) == pytest.approx(float(f(step) - f(-step)) / (2 * step), rel=1e-7)
    assert np.allclose(
        positive(jnp.asarray([1.0, 2.0]), jnp.asarray([1.0, 1.0])), [1.0, 2.0]
    )  # nothing to balance with


@pytest.mark.campaign  # the README shows one point of it
def test_untrained_drift_is_dspm_de() -> None:
    feed = jm.Mixture.from_concentration({"Na+": 20.0, "Mg+2": 5.0, "Cl-": 22.0, "SO4-2": 4.0, "K+": 0.0})
    charge = jnp.asarray([-40.0, 25.0])
    case = jm.Case(
        feed,
        jm.membrane("NF270", charge_density=charge),
        jm.FluxDriven(jnp.asarray([3e-6, 6e-5]), jm.film("D^(2/3)", 4e-5)),
    )
    net = jm.AttentionNeuralODE(jm.DSPMDE(), key=jax.random.key(0), width=8)
    r, truth = jm.solve(net, case), jm.solve(jm.DSPMDE(), case)
    there = np.asarray(feed.concentration > 0.0)
    assert float(jnp.abs(r.passage - truth.passage)[:, there].max()) < 1e-7
    assert float(jnp.abs(jnp.log(r.passage / truth.passage))[:, there].max()) < 1e-6
    assert np.allclose(r.real_rejection[:, there], truth.real_rejection[:, there], atol=1e-7)
    assert float(jnp.abs(r.state.shift).max()) < 1e-6
    moved = eqx.tree_at(lambda n: n.field.layers[-1].bias, net, jnp.full(1, -0.2, jnp.float32))
    bent = jm.solve(moved, case)
    assert float(bent.residual.max()) < 1e-12
    assert float(jnp.abs(bent.state.shift).max()) > 1e-3  # and says how far it went


@pytest.fixture(scope="module")
def school() -> tuple:
    """A small corpus."""
    case = jm.random_case(64, 5, seed=2)
    return case, jm.corpus(case, jm.solve(jm.DSPMDE(), case, throw=False))


def test_learns_repeats_and_knows_its_range(school: tuple, tmp_path: Path) -> None:
    case, data = school
    first = jm.AttentionNeuralODE(key=jax.random.key(1), width=16, rtol=1e-5, atol=1e-8)
    out = jm.pretrain(first, data, steps=60, batch=32, rate=1e-2, noise=False)
    again = jm.pretrain(first, data, steps=60, batch=32, rate=1e-2, noise=False)
    assert out.train[-1] < 0.5 * out.train[0]
    assert np.array_equal(out.check, again.check)
    assert not bool(jm.solve(out.net, case[:4]).outside.any())
    odd = jm.Case(jm.Mixture.from_concentration({"H+": 10.0, "Cl-": 10.0}), jm.membrane("NF270"), jm.FluxDriven(1e-5))
    assert bool(jm.solve(out.net, odd).outside)
    assert "beyond what the network was trained on" in str(jm.solve(out.net, odd))
    path = tmp_path / "net.jaxmem"
    jm.save(out.net, path)
    twin = jm.load(path)
    assert bool(jnp.all(twin.field.layers[0].weight == out.net.field.layers[0].weight))
    assert (twin.rtol, twin.atol, twin.max_steps) == (1e-5, 1e-8, 2048)
    assert np.allclose(jm.solve(twin, case[:4]).passage, jm.solve(out.net, case[:4]).passage, rtol=1e-12)
    assert bool(jm.solve(twin, odd).outside)


def test_the_network_that_comes_along(tmp_path: Path) -> None:
    """Feeds and pores that it never saw; its file says where it comes from; it goes on learning; files of another layout are refused."""
    path = Path(jm.__file__).parent / "data" / "ions.jaxmem"
    notes = header_of(path)["notes"]
    assert "nf_pretrained" in notes["made by"]
    assert path.stat().st_size < 1e6
    net, case = jm.ion_network(), jm.random_case(40, 5, seed=11)
    net = jm.AttentionNeuralODE(field=net.field, trained=net.trained, rtol=1e-4, atol=1e-6)
    r, truth = jm.solve(net, case), jm.solve(jm.DSPMDE(tolerance=1e-4), case, throw=False)
    there = np.asarray((truth.feed > 0.0) & truth.ok[..., None])
    off = np.asarray(r.passage - truth.passage)[there]
    assert np.median(np.abs(off)) < 0.04
    assert np.sqrt(np.mean(off**2)) < 0.5 * np.std(np.asarray(truth.passage)[there])
    assert float(r.closure.max()) < 1e-12
    assert float(r.outside.mean()) < 0.1
    part = case[:6]
    strong = jm.Case(jm.Mixture(part.feed.species, 50.0 * part.feed.concentration), part.membrane, part.conditions)
    assert float(r.outside.mean()) < float(jm.solve(net, strong).outside.mean())
    water = jm.Mixture.from_concentration({"Na+": 20.0, "Mg+2": 5.0, "Cl-": 28.0, "SO4-2": 1.0})
    one = jm.Case(water, jm.membrane("NF270"), jm.FluxDriven(jnp.linspace(5e-6, 5e-5, 6)))
    seen = jm.solve(jm.DSPMDE(tolerance=1e-4), one).real_rejection
    data = jm.Dataset(one, seen, jnp.full_like(seen, 0.02), "real", ("one",) * 6)
    tuned = jm.train(net, data, part="last two", steps=40, rate=3e-3)
    miss = lambda model: float(jnp.sqrt(jnp.mean((jm.solve(model, one).real_rejection - seen) ** 2)))
    assert miss(tuned.model) < 0.5 * miss(net)
    layout = eqx.nn.Linear(2, 8, key=jax.random.key(1), dtype=jnp.float32)
    jm.save(eqx.tree_at(lambda n: n.field.lift, net, layout), tmp_path / "old.jaxmem")
    with pytest.raises(jm.DataFileError, match="comes from another version"):
        jm.load(tmp_path / "old.jaxmem")


def test_counts_and_maps(net: jm.AttentionNeuralODE, cases: jm.Case) -> None:
    published = parameters(jm.AttentionNeuralODE.as_published(key=jax.random.key(0)).field)
    assert published == 17_488
    assert abs(parameters(jm.AttentionNeuralODE(key=jax.random.key(0)).field) / published - 1.0) < 0.05
    r = jm.solve(net, cases[:3, 0])
    axes = r.plot.attention(1)
    present = int((cases.feed.concentration[1, 0] > 0.0).sum())
    assert len(axes.get_xticklabels()) == present


def test_the_layout_of_the_paper(tmp_path: Path) -> None:
    """A slot for each of a list of ions: neutral, absent ones absent, the same from a file; other feeds are refused."""
    ions = ("Na+", "Mg+2", "Cl-", "SO4-2")
    asked = jm.random_case(6, 3, seed=3, ions=ions, least=0.1)
    for encoding in ("learned", "sinusoidal"):
        net = jm.AttentionNeuralODE.as_published(ions, key=jax.random.key(1), width=8, encoding=encoding)
        r = jm.solve(net, asked)
        assert float(r.closure.max()) < 1e-12
        assert bool(jnp.all(r.permeate[~np.broadcast_to(asked.feed.concentration > 0.0, r.permeate.shape)] == 0.0))
        jm.save(net, tmp_path / "slots.jaxmem")
        np.testing.assert_array_equal(jm.solve(jm.load(tmp_path / "slots.jaxmem"), asked).passage, r.passage)
    with pytest.raises(
        jm.JaxmemError, match=r"slots for Na\+, Mg\+2, Cl-, SO4-2, in this order; the feed holds Na\+, Cl-"
    ):
        jm.solve(
            net,
            jm.Case(jm.Mixture.from_concentration({"Na+": 1.0, "Cl-": 1.0}), jm.membrane("NF270"), jm.FluxDriven(1e-5)),
        )
    with pytest.raises(jm.UnknownNameError, match="sinusoidal"):
        jm.AttentionNeuralODE.as_published(ions, key=jax.random.key(1), encoding="sinus")
    data = jm.corpus(asked, jm.solve(jm.DSPMDE(activity="ideal"), asked, throw=False))
    with pytest.raises(jm.JaxmemError, match="slots"):
        jm.pretrain(
            jm.AttentionNeuralODE.as_published(key=jax.random.key(0)),
            jax.tree.map(lambda x: jnp.repeat(x, 2, 0), data)._replace(flux=data.flux),
        )


def test_mistakes(untyped: None, cases: jm.Case) -> None:
    key = jax.random.key(0)
    with pytest.raises(jm.UnknownNameError, match="weighted"):
        jm.AttentionNeuralODE(key=key, projection="wieghted")
    with pytest.raises(jm.JaxmemError, match="needs a key"):
        jm.AttentionNeuralODE()
    with pytest.raises(jm.JaxmemError, match="DSPMDE"):
        jm.AttentionNeuralODE(jm.SDEM(), key=key)
    net = jm.AttentionNeuralODE(key=key)
    feed, membrane = jm.feed("seawater"), jm.membrane("NF270")
    with pytest.raises(jm.JaxmemError, match="path runs over the flux"):
        jm.solve(net, jm.Case(feed, membrane, jm.PressureDriven(1e6)))
    with pytest.raises(jm.JaxmemError, match="no film"):
        jm.solve(net, jm.Case(feed, membrane, jm.FluxDriven(1e-5, jm.film("D^(2/3)", 4e-5))))
    with pytest.raises(jm.JaxmemError, match="numbers of a pore"):
        jm.solve(net, jm.Case(feed, jm.membrane("NF270-SDEM"), jm.FluxDriven(1e-5)))
    with pytest.raises(jm.JaxmemError, match="no attention"):
        _ = jm.solve(jm.DSPMDE(), jm.Case(feed, membrane, jm.FluxDriven(1e-5))).attention
    with pytest.raises(jm.JaxmemError, match="1 or more"):
        jm.random_case(0)
    with pytest.raises(jm.JaxmemError, match="too few"):
        jm.pretrain(net, jax.tree.map(lambda x: x[:3], jm.corpus(cases, jm.solve(jm.DSPMDE(), cases, throw=False))))
    with pytest.raises(jm.JaxmemError, match="knows already"):
        jm.pretrain(jm.AttentionNeuralODE(jm.DSPMDE(), key=key), None)


def lanes(count: int, seed: int) -> tuple[Lane, dict[str, np.ndarray]]:
    """Random feeds and pores as the network reads them, and which belong to sets that a training may leave out."""
    case = jm.random_case(count, 1, seed=seed)
    one = lane_of(jm.Case(case.feed, case.membrane, jm.FluxDriven(jnp.full((count, 1), 6e-5))))
    strength, radius, charge = (
        np.asarray(x).reshape(-1)
        for x in (case.feed.ionic_strength, case.membrane.pore_radius, case.membrane.charge_density)
    )
    return one, {
        "two ions": np.asarray(one.present).sum(-1) == 2,
        "strong": strength > 200.0,
        "corner": (radius < 0.515e-9) & (charge < -50.0),
    }


def test_what_was_left_out_of_the_training_is_flagged() -> None:
    """A number of ions, a range, and a corner of two numbers each of which was seen; hardly any question like those of the training."""
    (learnt, out), (asked, odd) = lanes(20_000, 0), lanes(2000, 1)
    some = lambda lane, rows: jax.tree.map(lambda x: x[rows], lane)
    for name in odd:
        known = Range.of(some(learnt, ~out[name]), jnp.asarray(1.0))
        flagged = np.asarray(jax.jit(jax.vmap(known.outside))(asked))
        assert flagged[odd[name]].mean() > 0.9
        assert flagged[~odd[name]].mean() < 0.03
    bromide = jnp.where(asked.ions[..., :1] < 0.0, asked.ions + jnp.asarray([0.0, 0.1, 0.1, 0.1]), asked.ions)
    assert bool(
        jax.vmap(known.outside)(asked._replace(ions=bromide)).all()
    )  # between ions that were seen, but none of them
    assert not bool(jax.vmap(Range.unbounded().outside)(asked).any())
    twice = Range.of(jax.tree.map(lambda x: jnp.repeat(x[:1000], 2, axis=0), learnt), jnp.asarray(1.0))
    assert np.asarray(jax.vmap(twice.outside)(asked)).mean() < 0.03  # what was seen twice is no proof of itself
    warm = asked._replace(
        context=asked.context.at[:, 4].add(0.01)
    )  # by 0.1 K, where all of the training was at one temperature
    assert np.asarray(jax.vmap(twice.outside)(warm)).mean() < 0.03
    trace = asked._replace(
        feed=jnp.where(asked.feed == asked.feed.max(1, keepdims=True), asked.feed, 1e-9 * asked.feed)
    )
    assert np.asarray(jax.vmap(twice.outside)(trace)).mean() > 0.9
