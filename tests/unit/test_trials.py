"""What is compared on measured rejections: which points are held out, baselines that learn what they should, and ions that nobody measured."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.reproduce.nf_models import folds_of, judged
from jaxmem.reproduce.nf_networks import BoostedTrees, LinearModel, PlainNetwork, TunedODE, features
from jaxmem.reproduce.nf_trials import MEAN, SHIFTED, Combined, Physics, Trial, candidates

IONS = ("Na+", "Mg+2", "NH4+", "Cl-", "SO4-2")
TRUE = {"Na+": 3e-5, "Mg+2": 4e-6, "NH4+": 3e-5 * 1.957 / 1.33, "Cl-": 8e-6, "SO4-2": 1e-6}
FEEDS = (
    [18.0, 0.0, 2.0, 20.0, 0.0],
    [2.0, 10.0, 1.0, 23.0, 0.0],
    [20.0, 0.0, 1.0, 3.0, 9.0],
    [2.0, 10.0, 1.0, 9.0, 7.0],
)


@pytest.fixture(scope="module")
def points() -> jm.Dataset:
    """Four feeds at five fluxes through a membrane with a Donnan shift, in which NH4+ passes as Na+ does, by mobility."""
    flux = jnp.tile(jnp.asarray([5e-6, 1e-5, 2e-5, 3e-5, 5e-5]), len(FEEDS))
    feed = jm.Mixture(jm.species(*IONS), np.repeat(FEEDS, 5, axis=0))
    case = jm.Case(feed, jm.PermeanceMembrane.of(TRUE, law=jm.DonnanShift(1.0, -0.5)), jm.FluxDriven(flux))
    seen = jnp.where(feed.concentration > 0.0, jm.solve(jm.SDEM(), case).real_rejection, jnp.nan)
    return jm.Dataset(case, seen, jnp.full_like(seen, jnp.nan), "real", tuple(f"feed {i // 5}" for i in range(20)))


class Silent:
    """No bar."""

    def say(self, text: str) -> None:
        pass

    step = staticmethod(lambda: None)


def test_an_ion_is_held_out_where_another_of_its_charge_stays(points: jm.Dataset) -> None:
    folds = folds_of(points)
    assert [int(t.any(1).sum()) for t in folds["S3"]] == [5, 5, 5, 5]
    assert [int(np.flatnonzero(t.all(0))[0]) for t in folds["S4"]] == [0, 2]  # Na+ and NH4+; the others are alone


def test_an_unseen_cation_from_its_neighbour(points: jm.Dataset) -> None:
    """The fit never saw NH4+, whose rejections then follow from Na+."""
    shifted = next(one for one in candidates(IONS) if one.name == SHIFTED)
    made = Physics(shifted, points)
    row = judged(Trial(SHIFTED, made.free, made), points, {"S4": folds_of(points)["S4"][1:]}, Silent())
    assert row.sample < 1e-5
    assert row.error["S4"] < 1e-3
    assert np.isfinite(row.said["S4"][:, 2]).all()
    assert np.isnan(row.said["S4"][:, 0]).all()
    mean = judged(
        Trial(MEAN, 1, lambda kept: np.full((1, 20, 5), 0.5)), points, {"S4": folds_of(points)["S4"]}, Silent()
    )
    assert mean.error["S4"] > 0.1


def test_baselines_learn(points: jm.Dataset) -> None:
    seen = np.asarray(points.rejection)
    there, kept = np.isfinite(seen), np.ones((20, 5), bool)
    kept[3] = False
    slope = np.linspace(-0.2, 0.3, features(points).shape[-1])
    line = eqx.tree_at(lambda d: d.rejection, points, jnp.asarray(np.where(there, features(points) @ slope, np.nan)))
    told = LinearModel(line, ridge=1e-9)(kept)[0]
    np.testing.assert_allclose(
        told[there], np.asarray(line.rejection)[there], atol=1e-6
    )  # the point that was left out too
    trees = BoostedTrees(points)
    assert trees.numbers > 1000
    error = lambda said: np.sqrt(np.mean((said - seen)[:, there] ** 2))
    assert error(trees(kept)) < 0.3 * np.nanstd(seen)
    network = PlainNetwork(points)
    truth = np.where(there, seen, 0.0)
    assert error(network(kept, known=truth)) < 1e-3  # physics that is right leaves nothing to learn
    assert error(network(kept)) < 0.5 * np.nanstd(seen)


def test_forms_are_weighed_by_kept_points_alone(points: jm.Dataset) -> None:
    """One misses by 0.1 and one by 0.2: 0.8 and 0.2. What is not kept may be anything."""
    seen = np.asarray(points.rejection)
    asked: list[np.ndarray] = []

    def off(by: float) -> Trial:
        def predict(kept: np.ndarray) -> np.ndarray:
            asked.append(kept)
            return np.broadcast_to(seen + by, (1, *seen.shape))

        return Trial(f"{by} off", 1, predict)

    kept = np.ones(seen.shape, bool)
    kept[:5] = False
    far = eqx.tree_at(lambda d: d.rejection, points, points.rejection.at[:5].set(1e3))
    both = Combined(far, (off(0.1), off(-0.2)))
    np.testing.assert_allclose(both.weights(kept), [0.8, 0.2], rtol=1e-12)
    assert not any((used & ~kept).any() for used in asked)
    there = np.isfinite(seen)
    np.testing.assert_allclose((both(kept)[0] - seen)[there], 0.8 * 0.1 - 0.2 * 0.2, rtol=1e-9)
    np.testing.assert_allclose(Combined(points, (off(0.1), off(0.0))).weights(kept), [0.0, 1.0], atol=1e-12)
    mute = Trial("mute", 1, lambda kept: np.full((1, *seen.shape), np.nan))
    np.testing.assert_allclose(Combined(points, (mute, off(0.1)))(kept)[0][there], (seen + 0.1)[there])
    np.testing.assert_allclose(Combined(points, (mute, mute)).weights(kept), [0.5, 0.5])
    wild = Trial("wild", 1, lambda kept: np.where(kept, seen, -1e6)[None])
    told = Combined(points, (wild, off(0.0)))(kept)  # right where it learned: at most half of twice the worst elsewhere
    assert np.nanmin(told) >= 0.5 * (1.0 - 2.0 * (1.0 - np.nanmin(seen[kept]))) + 0.5 * np.nanmin(seen) - 1e-12
    few = np.zeros(seen.shape, bool)
    few[[0, 1, 5, 6]] = True  # two fluxes of two feeds: what is left without the second is too little for a network
    np.testing.assert_allclose(both.weights(few), [0.5, 0.5])
    lowest = np.zeros(seen.shape, bool)
    lowest[::5] = True  # one flux of each feed: nothing to hold back
    np.testing.assert_allclose(both.weights(lowest), [0.5, 0.5])


def test_borrowed_permeances() -> None:
    wall = jm.membrane("NF270-SDEM")
    assert float(wall.law.cation) == 1.64  # type: ignore[attr-defined]
    lent = wall.borrowing("potassium")
    assert lent.names[-1] == "K+"
    assert float(lent.permeance[-1]) == pytest.approx(2.8e-3)  # NH4+ has the nearest mobility, and the same
    assert float(wall.borrowing("K+", like="Na+").permeance[-1]) == pytest.approx(7.5e-4 * 1.957 / 1.33)
    again = lent.borrowing("K+", like="Na+")
    assert again.names == lent.names
    assert float(again.permeance[-1]) == pytest.approx(7.5e-4 * 1.957 / 1.33)
    many = eqx.tree_at(lambda m: m.permeance, wall, jnp.stack([wall.permeance, 2.0 * wall.permeance]))
    assert many.borrowing("Ca+2").permeance.shape == (2, 7)
    feed = jm.Mixture.from_concentration({"K+": 1.0, "Mg+2": 10.0, "Cl-": 21.0})
    result = jm.solve(jm.SDEM(), jm.Case(feed, lent, jm.FluxDriven(3e-5)))
    assert result.real_rejection[0] < 0.0 < result.real_rejection[1]  # magnesium has turned the membrane's charge over
    assert "permeance of K⁺ is that of NH₄⁺" in " ".join(jm.citations(result))
    assert again.provenance.warning.count("K⁺") == 1  # type: ignore[attr-defined]
    inside = jax.jit(lambda p: jm.PermeanceMembrane.of({"Na+": p, "Cl-": 1e-6}).borrowing("K+").permeance[2])
    assert float(inside(1e-5)) == pytest.approx(1e-5 * 1.957 / 1.33)
    own = jm.PermeanceMembrane(("Q+", "Na", "Cl-"), jnp.asarray([1e-6, 1e-5, 1e-6]))
    assert float(own.borrowing("K+").permeance[-1]) == pytest.approx(1e-5 * 1.957 / 1.33)
    assert own.borrowing("K+").borrowing("Na+").names == ("Q+", "Cl-", "K+", "Na+")
    with pytest.raises(jm.UnknownNameError, match=r"Number of 'NF270-SDEM', a PermeanceMembrane, 'pore_radius'"):
        jm.membrane("NF270-SDEM", pore_radius=4e-10)
    with pytest.raises(jm.UnknownNameError, match="Closest: pore_radius"):
        jm.membrane("NF270", poreradius=4e-10)
    with pytest.raises(jm.UnknownNameError, match=r"charge \+1 and can borrow from Na\+, NH4\+.*not from Cl-"):
        wall.borrowing("K+", like="Cl-")
    with pytest.raises(jm.UnknownNameError, match="can borrow from none of"):
        wall.borrowing("SO4-2")
    with pytest.raises(jm.UnknownNameError, match="'Unobtainium' is not known"):
        wall.borrowing("Unobtainium")
    with pytest.raises(jm.UnknownNameError, match=r'borrowing\("K\+"\)'):
        jm.solve(jm.SDEM(), jm.Case(feed, wall, jm.FluxDriven(3e-5)))


@pytest.mark.campaign
def test_the_network_that_comes_along_is_tuned(points: jm.Dataset) -> None:
    """Two minutes: from DSPM-DE of other membranes to the kept points, and the held-out flux of each feed."""
    seen, kept = np.asarray(points.rejection), np.ones((20, 5), bool)
    kept[2::5] = False
    on = jm.Dataset(
        jm.Case(points.case.feed, jm.membrane("NF270"), points.case.conditions),
        points.rejection,
        points.sigma,
        "real",
        points.feed_group,
    )
    tuned, there = TunedODE(on), np.isfinite(seen)
    raw = np.asarray(jm.solve(tuned.net, on.case).real_rejection)
    said = tuned(kept)[0]
    error = lambda x, rows: np.sqrt(np.mean((x - seen)[rows] ** 2))
    assert error(said, there & kept) < 0.3 * error(raw, there & kept)
    assert error(said, there & ~kept) < 0.5 * error(raw, there & ~kept)
