"""Networks that stand in for a simulator: they learn, know how sure they are, where they were trained, and survive a file."""

import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem.reproduce import ec_data
from jaxmem.surrogate.baselines import GaussianProcess, PowerLaw
from jaxmem.surrogate.ensemble import train_networks
from jaxmem.surrogate.splits import grouped, scores
from jaxmem.surrogate.vortices import TARGETS, rows_of, train_vortices


@pytest.fixture(scope="module")
def shipped() -> jm.VortexNetworks:
    return jm.vortex_networks()


def test_no_group_on_two_sides() -> None:
    groups = np.repeat(np.arange(40), 3)
    split = grouped(groups, 1)
    sides = [set(groups[part]) for part in split]
    assert sum(len(s) for s in sides) == 40
    assert set.union(*sides) == set(range(40))
    assert np.sum([part.sum() for part in split]) == len(groups)


def test_learns_covers_and_repeats() -> None:
    random = np.random.default_rng(0)
    x = random.uniform(-1.0, 1.0, (600, 2))
    y = np.sin(2.0 * x[:, 0]) + x[:, 1] ** 2 + 0.02 * random.normal(size=600)
    groups, split = np.arange(600), grouped(np.arange(600), 0)
    net = train_networks(x, y, groups, split, steps=1000, members=3, width=32)
    p = net(jnp.asarray(x[split.test]))
    found = scores(y[split.test], np.asarray(p.value), np.asarray(p.interval))
    assert found.r2 > 0.99
    assert 0.8 < found.coverage <= 1.0
    assert float(p.outside.mean()) < 0.1
    far = net(jnp.asarray([[3.0, 0.0], [0.0, -2.0]]))
    assert bool(far.outside.all())
    again = train_networks(x, y, groups, split, steps=1000, members=3, width=32)
    np.testing.assert_array_equal(again(jnp.asarray(x)).value, net(jnp.asarray(x)).value)


def test_baselines_find_what_they_can_express() -> None:
    random = np.random.default_rng(0)
    x = random.uniform(0.5, 2.0, (200, 3))
    y = 3.0 * x[:, 0] ** 0.5 / x[:, 2]
    np.testing.assert_allclose(PowerLaw.of(x, y)(jnp.asarray(x)), y, rtol=1e-10)
    process = GaussianProcess.of(x[:150], y[:150])
    mean, deviation = process(jnp.asarray(x[150:]))
    assert scores(y[150:], np.asarray(mean)).r2 > 0.999
    assert bool(jnp.all(deviation > 0.0))


@pytest.mark.campaign
def test_targets_of_the_shipped_experiments() -> None:
    data = ec_data.curves(ec_data.shipped())
    assert data.criteria.shape == (512, 5)
    known = np.isfinite(data.plateau)
    assert 480 < known.sum() < 512
    assert (
        data.current / data.at_rest > 0.97
    ).all()  # vortices add current; where they decay, salt is not quite back at rest
    for target in TARGETS:
        rows = rows_of(data, target)
        assert np.isfinite(rows.x).all()
        assert np.isfinite(rows.y).all()


@pytest.mark.campaign
def test_a_network_is_a_model(shipped: jm.VortexNetworks) -> None:
    groups = jm.Groups(jnp.asarray([4e-3, 5e-3, 4e-4]), 0.5)
    case = groups.case(jm.IonExchangeMembrane(), sweep=jnp.broadcast_to(jnp.arange(18.0, 34.0, 4.0), (3, 4)), box=1.5)
    result = jm.solve(shipped, case)
    assert result.scaled_current.value.shape == (3, 4)
    assert result.plateau_length.shape == (3,)
    assert not bool(result.outside[:2].any())
    assert bool(result.outside[2].all())  # eps far below the training: answered, flagged
    assert "beyond the training" in str(result)
    volt = jnp.asarray(27.0)

    def current(v: jax.Array) -> jax.Array:
        one = jm.Groups(4e-3, 0.5).case(jm.IonExchangeMembrane(), voltage=v, box=1.5)
        return jm.solve(shipped, one).scaled_current.value

    slope, h = jax.grad(current)(volt), 2e-2
    difference = (current(volt + h) - current(volt - h)) / (2.0 * h)
    np.testing.assert_allclose(slope, difference, rtol=3e-3)  # networks are float32
    other = jm.Case(case.feed, jm.IonExchangeMembrane(enrichment=5.0), case.conditions)
    assert bool(jm.solve(shipped, other).outside.all())


def test_shipped_networks_know_the_shipped_experiments(shipped: jm.VortexNetworks) -> None:
    """Twenty lanes of the file, seen in training or not: the network's current and diameter beside the marched ones."""
    data, n = ec_data.shipped(), 20
    criteria = {name: np.asarray(x)[:n] for name, x in data.manifest["notes"]["criteria"].items()}
    box = criteria.pop("box")
    volts = data["scaled_voltage"][:n, 1:].astype(float)
    answer = jm.solve(shipped, jm.Groups(**criteria).case(jm.IonExchangeMembrane(), sweep=volts, box=box))
    current, moves = data["scaled_current.value"][:n, 1:], data["normal_speed"][:n, 1:] > 1.0
    assert np.median(np.abs(np.asarray(answer.scaled_current.value) / current - 1.0)) < 0.01
    seen = moves & np.asarray(answer.has_vortices)
    assert seen.sum() > 100
    assert np.median(np.abs(np.asarray(answer.vortex_diameter) / data["vortex_diameter"][:n, 1:] - 1.0)[seen]) < 0.02
    table = answer.to_xarray()
    np.testing.assert_allclose(table.current, answer.current, rtol=1e-12)
    np.testing.assert_allclose(table.voltage / table.scaled_voltage, answer.scales.potential[0], rtol=1e-6)
    assert table.current.dims == ("batch_0", "point")
    assert table.plateau_length.dims == ("batch_0",)
    assert len(answer.to_dataframe()) == volts.size
    assert len(answer.plot.curve().get_lines()) >= 2 * n


def changed(whole: bytes, **header: object) -> bytes:
    """The file with another header, its checksum made to fit: what only a reader of the header can refuse."""
    start = len(b"jaxmem model\n") + 40
    size = int.from_bytes(whole[start - 40 : start - 32], "little")
    text = json.dumps({**json.loads(whole[start : start + size]), **header}).encode()
    rest = text + whole[start + size :]
    return whole[: start - 40] + len(text).to_bytes(8, "little") + hashlib.sha256(rest).digest() + rest


@pytest.mark.campaign
def test_an_anion_exchanger_is_the_mirror_image(shipped: jm.VortexNetworks) -> None:
    """Of a cation exchanger with the diffusivities exchanged and the voltage turned round."""
    one, other = jm.Groups(4e-3, 0.5, 1.2, peclet=10.0), jm.Groups(4e-3, 0.5, 1.0 / 1.2, peclet=10.0)
    a = jm.solve(shipped, one.case(jm.IonExchangeMembrane("cations"), voltage=27.0, box=1.5))
    b = jm.solve(shipped, other.case(jm.IonExchangeMembrane("anions"), voltage=-27.0, box=1.5))
    np.testing.assert_allclose(b.scaled_current.value, -a.scaled_current.value, rtol=1e-6)
    np.testing.assert_allclose(b.vortex_diameter, a.vortex_diameter, rtol=1e-5)
    assert not bool(b.outside)
    divalent = jm.Groups(4e-3, 0.5, peclet=10.0, charges=(2, -1))
    assert bool(jm.solve(shipped, divalent.case(jm.IonExchangeMembrane(), voltage=27.0, box=1.5)).outside)


def test_files(shipped: jm.VortexNetworks, tmp_path: Path) -> None:
    path = tmp_path / "net.jaxmem"
    jm.save(shipped, path, {"made by": "test"})
    again = jm.load(path)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(shipped), strict=True):
        if hasattr(a, "shape"):
            np.testing.assert_array_equal(a, b)
    whole = path.read_bytes()
    for damaged, text in (
        (b"not a model", "is no model"),
        (whole[:-5], "damaged"),
        (whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:], "damaged"),
        (whole.replace(b'"schema": 1', b'"schema": 9'), "damaged"),
        (changed(whole, schema=9), "schema 9"),
        (changed(whole, **{"class": "os.system"}), "cannot be built"),
        (changed(whole, training_domain=None), "training domain"),
        (changed(whole, structure={"cells": 128, **{t: {"width": 10**12} for t in TARGETS}}), "cannot be built"),
        (changed(whole, arrays=[]), "damaged"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(jm.DataFileError, match=text):
            jm.load(path)
    with pytest.raises(jm.DataFileError, match="does not exist"):
        jm.load(tmp_path / "nothing")


def test_refusals(shipped: jm.VortexNetworks) -> None:
    case = jm.Groups(4e-3, 0.5).case(jm.IonExchangeMembrane(), voltage=27.0)
    with pytest.raises(jm.JaxmemError, match="period along the membrane"):
        jm.solve(shipped, case)
    pair = jm.Case(case.feed, jm.MembranePair(), case.conditions)
    with pytest.raises(jm.JaxmemError, match="one membrane"):
        jm.solve(shipped, pair)
    with pytest.raises(jm.JaxmemError, match="cannot be saved"):
        jm.save((1.0, 2.0), "x")


@pytest.mark.campaign
def test_acceptance_of_the_networks() -> None:
    """Held-out groups, five splits: R2, a third less error than a power law, and pooled coverage of the intervals."""
    data, covered, total = ec_data.curves(ec_data.shipped()), {t: 0.0 for t in TARGETS}, {t: 0 for t in TARGETS}
    for seed in range(5):
        result = train_vortices(data, seed=seed)
        for target, least in (("diameter", 0.95), ("plateau", 0.97)):
            s = result.scores[target]
            print(seed, target, s)
            assert s.r2 > least
            rows, split = result.rows[target], result.splits[target]
            x = np.array(rows.x)
            x[:, [0, 1, 3]], x[:, 2] = np.exp(x[:, [0, 1, 3]]), x[:, 2] + 5.0
            known = ~split.test
            law = scores(
                rows.y[split.test], np.asarray(PowerLaw.of(x[known], rows.y[known])(jnp.asarray(x[split.test])))
            )
            assert s.mae < 0.7 * law.mae
            covered[target] += s.coverage * split.test.sum()
            total[target] += int(split.test.sum())
    for target in ("diameter", "plateau"):
        assert 0.85 <= covered[target] / total[target] <= 0.95, (target, covered[target] / total[target])
