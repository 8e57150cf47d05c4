"""The networks of the learning paper at one size, and what its claims are judged by."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmem.reproduce.nf_claims import Effect, effect, holm, verdict
from jaxmem.surrogate.field import parameters
from jaxmem.surrogate.rollouts import KINDS, NUMBERS, Slots, network


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_one_size(kind: str) -> None:
    flux = jnp.linspace(0.125, 1.0, 8, dtype=jnp.float32)
    charge = jnp.asarray([1.0, 1.0, 1.0, 2.0, 0.0, -1.0, -2.0, 0.0], jnp.float32)
    present = charge != 0.0
    feed = jnp.asarray([0.2, 0.1, 0.1, 0.3, 0.0, 0.4, 0.3, 0.0], jnp.float32)
    x = Slots(feed, charge, present, jnp.asarray(0.1, jnp.float32))
    net = network(kind, 8, jax.random.key(1))
    assert abs(parameters(net) / NUMBERS - 1.0) < 0.05
    switch = lambda value: jnp.asarray(value, jnp.float32)
    called = eqx.filter_jit(net)
    hard, soft, deaf = (called(x, flux, switch(h), switch(a)) for h, a in ((1.0, 1.0), (0.0, 1.0), (1.0, 0.0)))
    assert hard.shape == (8, 8)
    assert float(jnp.abs(hard @ charge).max()) < 1e-6 < 1e-3 < float(jnp.abs(soft @ charge).max())
    assert bool(jnp.all(hard[:, ~present] == 0.0))
    assert float(jnp.abs(hard - deaf).max()) > 1e-4


def test_effects() -> None:
    random = np.random.default_rng(1)
    b = np.exp(random.normal(size=(10, 50)))
    better = effect(0.7 * b, b)
    assert better.ratio == pytest.approx(0.7)
    assert better.low == pytest.approx(0.7) == better.high  # paired: what they share does not count
    assert better.p == pytest.approx(2.0 / 2**10)
    same = effect(np.exp(random.normal(size=(10, 50))), b)
    assert same.low < 1.0 < same.high
    assert effect(b[:2], b[:2] * 2.0).p == 1.0  # two seeds cannot tell
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert verdict(Effect(0.7, 0.6, 0.8, 0.01), True, 10) == "reproduced"
    assert verdict(Effect(1.3, 1.2, 1.4, 0.01), True, 10) == "refuted"
    assert verdict(Effect(1.3, 1.2, 1.4, 1.0), True, 2) == "points against it"
    assert verdict(Effect(0.9, 0.8, 0.99, 0.2), True, 10, 0.2) == "open: p 0.2"
    assert verdict(Effect(1.0, 0.9, 1.1, 1.0), True, 10).startswith("open: the interval")
    assert verdict(Effect(np.nan, np.nan, np.nan, 1.0), True, 10).startswith("no answer")
    holed = b.copy()
    holed[0, 3] = np.nan
    assert np.isfinite(effect(0.7 * holed, b).high)


def test_null_effects_are_rarely_decided() -> None:
    random = np.random.default_rng(5)
    decided = 0
    for _ in range(60):
        level = np.exp(0.3 * random.normal(size=(2, 10, 1)))
        a, b = level * np.exp(random.normal(size=(2, 10, 40)))
        decided += verdict(effect(a, b, draws=400), True, 10) in ("reproduced", "refuted")
    assert decided < 0.25 * 60
