"""A hundred random boxes from 20 to 60 RT/F: every one either keeps its balances or says that it blew up. ``pytest -m campaign -n0 -s``."""

import numpy as np
import pytest

import jaxmem as jm


@pytest.mark.campaign
def test_a_hundred_boxes() -> None:
    random, n = np.random.default_rng(7), 100
    eps, kappa = 10.0 ** random.uniform(-2.7, -1.9, n), 10.0 ** random.uniform(-0.7, 0.0, n)
    groups = jm.Groups(eps, kappa, diffusivity_ratio=random.uniform(0.5, 2.0, n), peclet=random.uniform(0.0, 50.0, n))
    case = groups.case(jm.IonExchangeMembrane(), voltage=random.uniform(20.0, 60.0, n), box=random.uniform(1.0, 3.0, n))
    model = jm.Electroconvection(32, 64, duration=0.1, longest=3e-4, samples=20, precision="float32", amplitude=0.1)
    result = jm.solve(model, case, throw=False)
    ok, alive = np.asarray(result.ok), np.asarray(result.state.alive)
    print(int(ok.sum()), "of", n, "answered;", result.messages())
    assert np.isfinite(np.asarray(result.state.c)).all()  # the last finite fields are kept
    assert (alive[ok]).all()
    assert (np.asarray(result.status)[~alive] == 0).sum() == 0  # every blow-up is told
    assert float(np.max(np.asarray(result.salt_closure)[ok])) < 1e-5  # float32
    rough = jm.Electroconvection(
        32, 64, duration=0.1, longest=5e-2, courant=1.0, samples=20, precision="float32", amplitude=0.5
    )
    wild = jm.solve(rough, case[:20], throw=False)
    print(int(np.asarray(wild.ok).sum()), "of 20 with steps far too long;", wild.messages())
    assert (np.asarray(wild.status)[~np.asarray(wild.state.alive)] != 0).all()
    seen = np.asarray(wild.current_series)[np.asarray(wild.ok)]
    assert np.isfinite(seen).all()
