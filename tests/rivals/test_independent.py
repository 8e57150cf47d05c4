"""The equations of section 2 of the specification, written again with SciPy: does a returned permeate imply the given feed?"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

import jaxmem as jm
from benchmarks.bench_dspmde import problems
from benchmarks.campaigns import r1, r2
from benchmarks.rivals.problem import Problem
from tests.helpers import IDEAL


def donnan(z: np.ndarray, u: np.ndarray, wall: float) -> np.ndarray:
    """Concentrations behind a face: ``u exp(-z phi)`` with ``sum z c + X = 0``."""
    plus, minus = max(wall, 0.0), max(-wall, 0.0)

    def row(phi: float) -> float:
        c = u * np.exp(-z * phi)
        return np.log((z * c)[z > 0].sum() + plus) - np.log(-(z * c)[z < 0].sum() + minus)

    return u * np.exp(-z * brentq(row, -200.0, 200.0, xtol=1e-14, rtol=1e-15))


def entrance(p: Problem, outside: np.ndarray, before: np.ndarray | float, permeate: np.ndarray) -> np.ndarray:
    """From ``outside``, where the partition coefficients are ``before``, into a layer and across it (Radau)."""
    z, inverse = p.charge, p.volume_flux * p.thickness / (p.hindered_diffusion * p.diffusivity)

    def slope(_: float, log_c: np.ndarray) -> np.ndarray:  # d ln c / d(1 - x): with the march
        c = np.exp(log_c)
        drive = inverse * (p.hindered_convection - permeate / c)
        field = ((z * c) @ drive) / ((z * z) @ c)
        return -(drive - z * field)

    exit_ = donnan(z, outside * p.partition / before, p.wall_charge)
    march = solve_ivp(slope, (0.0, 1.0), np.log(exit_), method="Radau", rtol=1e-11, atol=1e-12)
    assert march.success
    return np.exp(march.y[:, -1])


def implied_feed(layers: list[Problem], permeate: np.ndarray) -> np.ndarray:
    """Backward through the layers, permeate side first, and a constant-field film; mol/m3."""
    state, before = permeate, 1.0
    for p in layers:
        state, before = entrance(p, state, before, permeate), p.partition
    z, interface = p.charge, donnan(p.charge, state / before, 0.0)
    f = p.volume_flux / p.mass_transfer

    def bulk(zeta: float) -> np.ndarray:
        a = f - z * zeta
        source = np.where(np.abs(a) < 1e-8, 1.0 - a / 2, -np.expm1(-a) / np.where(a == 0.0, 1.0, a))
        return interface * np.exp(-a) + f * permeate * source

    zeta = brentq(lambda v: z @ bulk(v) / (np.abs(z) @ bulk(v)), -5.0, 5.0, xtol=1e-14, rtol=1e-15)
    return bulk(zeta)


@pytest.mark.campaign
@pytest.mark.parametrize("campaign", [r1, r2], ids=["r1", "r2"])
def test_permeates_imply_their_feeds(campaign) -> None:
    case = campaign(64, 31)
    result = jm.solve(IDEAL, case, throw=False)
    assert bool(result.ok.all())
    worst, checked = 0.0, 0
    for lane, whole in enumerate(problems(case)):
        here = whole.present
        p = whole.without_absent()
        if float(result.peclet[lane][here].max()) > 30.0:  # the unknown of a stiff march: too slow for a test
            continue
        feed = implied_feed([p], np.asarray(result.permeate)[lane, here])
        worst = max(worst, float(np.abs(np.log(feed / p.concentration)).max()))
        checked += 1
    print(campaign.__name__, checked, "lanes, worst ln(implied feed/feed)", worst)
    assert checked > 45
    assert worst < 1e-5  # of which the discretisation error of ln c_p is the larger part


@pytest.mark.campaign
def test_two_layers() -> None:
    """A tight, strongly charged skin before a wide layer of the other sign."""
    feed, conditions = jm.feed("mix4"), jm.FluxDriven([1e-5], jm.film("D^(2/3)", 4e-5))
    skin = jm.PoreMembrane([0.45e-9], [0.6e-6], [-80.0], [42.0])
    wide = jm.PoreMembrane([0.8e-9], [1.5e-6], [30.0], [60.0])
    result = jm.solve(IDEAL, jm.Case(feed, jm.LayeredMembrane((skin, wide)), conditions))
    parts = [problems(jm.Case(feed, layer, conditions))[0] for layer in (wide, skin)]
    implied = implied_feed(parts, np.asarray(result.permeate[0]))
    assert np.abs(np.log(implied / np.asarray(feed.concentration))).max() < 1e-7
