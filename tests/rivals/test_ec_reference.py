"""Current at rest, onset and growth rates against the reference file (``tests/reference/electroconvection.json``), closed forms and SciPy."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from benchmarks.rivals.scipy_current import curve

ENTRIES: dict[str, Any] = {
    e["id"]: e
    for e in json.loads((Path(__file__).parents[1] / "reference/electroconvection.json").read_text(encoding="utf-8"))[
        "entries"
    ]
}
CEM = jm.IonExchangeMembrane()
FIVE = jm.IonExchangeMembrane(enrichment=5.0)
GAP = jm.MembranePair(FIVE, FIVE)


def at_rest(eps: float, volts: Any, cells: int = 128, membrane: Any = CEM) -> np.ndarray:
    """Scaled currents; sweeps are filled up to twelve voltages, so that they share a program."""
    full = np.concatenate([volts, np.full(12 - len(volts), volts[-1])])
    result = jm.solve(jm.NernstPlanckPoisson(cells), jm.Groups(jm.debye(eps=eps)).case(membrane, sweep=full))
    return np.asarray(result.scaled_current)[: len(volts)]


@pytest.mark.parametrize("eps", [0.001, 0.01])
def test_curve(eps):
    """The file's currents at 1, 2 and 4 RT/F are off by 0.4 % of what collocation gives (``test_collocation``), so they are not compared."""
    entry = ENTRIES[f"cvc_1d_eps{eps:g}"]
    volts, known = np.asarray(entry["inputs"]["V"], float), np.asarray(entry["value"])
    keep = volts >= 8.0
    coarse = at_rest(eps, volts[keep])
    np.testing.assert_allclose(coarse, known[keep], rtol=2e-3)
    np.testing.assert_allclose(at_rest(eps, volts[keep], 512), known[keep], rtol=3e-4)


@pytest.mark.parametrize(
    ("membrane", "charges", "ratio"),
    [(GAP, (1, -1), 1.0), (CEM, (2, -1), 1.0), (CEM, (1, -2), 0.7), (CEM, (1, -1), 50.0)],
)
def test_cells_of_other_layers(membrane, charges, ratio):
    """128 cells before each membrane within 0.2 %, 512 within 0.03 %, up to 120 RT/F over the larger valence, against extrapolated currents."""
    volts = np.asarray([4.0, 20.0, 40.0, 80.0, 120.0]) / max(charges[0], -charges[1])
    case = jm.Groups(jnp.asarray([1e-4, 1e-2]), 0.5, ratio, charges=charges).case(membrane, sweep=volts)
    i = {n: np.asarray(jm.solve(jm.NernstPlanckPoisson(n), case).scaled_current) for n in (128, 512, 1024)}
    exact = i[1024] + (i[1024] - i[512]) / 3.0
    np.testing.assert_allclose(i[128], exact, rtol=2e-3)
    np.testing.assert_allclose(i[512], exact, rtol=3e-4)


def test_salt_that_gathers_unresolved_is_told():
    """Far below the voltage of no current the layer is enriched, and its Debye length shrinks below the cells."""
    case = jm.Groups(1e-3).case(CEM, sweep=[-6.0, -8.0])
    assert jm.solve(jm.NernstPlanckPoisson(), case).ok
    far = jm.solve(jm.NernstPlanckPoisson(), jm.Groups(1e-3).case(CEM, sweep=[10.0, -20.0]), throw=False)
    assert "debye_layer_unresolved" in str(far)
    flat = jm.solve(
        jm.Electroconvection(8, 32, duration=1e-4, samples=4),
        jm.Groups(1e-2).case(CEM, voltage=-25.0, box=1.5),
        throw=False,
    )
    assert not flat.ok


@pytest.mark.parametrize("eps", [0.01, 0.001, 0.0001])
def test_grids(eps):
    """Currents at 128 and 512 cells, those of the file's own scheme, and second order between them."""
    for v in (20, 40):
        entry = ENTRIES[f"cvc_1d_grid_eps{eps:g}_V{v}"]
        known = dict(zip(entry["inputs"]["cells"], entry["value"]["FVSG"], strict=True))
        np.testing.assert_allclose(at_rest(eps, [float(v)])[0], known[128], rtol=2e-3)
        np.testing.assert_allclose(at_rest(eps, [float(v)], 512)[0], known[512], rtol=3e-4)


def test_collocation():
    """Unequal diffusivities and another enrichment; and the currents where the file's table is off."""
    volts = [1.0, 2.0, 4.0, 8.0]
    mine = at_rest(1e-2, np.asarray(volts), 512)
    np.testing.assert_allclose(mine, curve(1e-2, np.asarray(volts), tolerance=1e-7), rtol=2e-5)
    table = dict(zip(ENTRIES["cvc_1d_eps0.01"]["inputs"]["V"], ENTRIES["cvc_1d_eps0.01"]["value"], strict=True))
    assert 2.5e-3 < table[1] / mine[0] - 1.0 < 4e-3
    groups, membrane = jm.Groups(1e-2, 0.5, 0.66), jm.IonExchangeMembrane(enrichment=3.0)
    full = np.concatenate([volts, np.full(8, volts[-1])])
    result = jm.solve(jm.NernstPlanckPoisson(512), groups.case(membrane, sweep=full))
    np.testing.assert_allclose(
        np.asarray(result.scaled_current)[:4], curve(1e-2, np.asarray(volts), 3.0, 0.66, 1e-7), rtol=2e-5
    )


def test_closed_forms():
    """Limiting current by extrapolation, the curve below it, the space-charge asymptote, open circuit, the file's current at zero volts."""
    under = ENTRIES["underlimiting_curve"]
    np.testing.assert_allclose(
        at_rest(1e-3, [1.0, 2.0, 4.0]),
        2.0 * (1.0 - np.sqrt(2.0) * np.exp(-np.asarray([1.0, 2.0, 4.0]) / 2.0)),
        rtol=under["tolerance"]["rel"],
    )
    for membrane, limit in ((CEM, 2.0), (GAP, 4.0)):
        b, c = (at_rest(eps, [12.0], membrane=membrane)[0] for eps in (5e-4, 2.5e-4))
        np.testing.assert_allclose(2.0 * c - b, limit, rtol=0.01)
    for eps, name in ((1e-3, "esc_offset_1e-3"), (1e-2, "esc_offset_1e-2")):
        volts = np.asarray([20.0, 40.0, 80.0, 120.0])
        i = at_rest(eps, volts, 512) + (at_rest(eps, volts, 512) - at_rest(eps, volts)) / 15.0  # of second order
        offset = volts - 2.0 * np.sqrt(i) / (3.0 * eps) * (1.0 - 2.0 / i) ** 1.5
        assert np.ptp(offset) < ENTRIES[name]["tolerance"]["spread_max"]
        np.testing.assert_allclose(offset, ENTRIES[name]["value"], atol=0.25)
    at_zero = at_rest(1e-3, [0.0, np.log(2.0)])
    np.testing.assert_allclose(at_zero[0], ENTRIES["cvc_1d_V0_cw2"]["value"], atol=2e-3)
    assert abs(at_zero[1]) < 1e-10


def onset(eps: float, kappa: float, membrane: Any, cells: int = 128) -> jm.Onset:
    return jm.onset(jm.NernstPlanckPoisson(cells), jm.Groups(jm.debye(eps=eps), kappa).case(membrane, voltage=20.0))


def compare_onset(entry: dict, found: jm.Onset) -> None:
    known = entry["value"]
    np.testing.assert_allclose(found.scaled_voltage, known["V_c"], rtol=5e-3)
    np.testing.assert_allclose(found.scaled_wavenumber, known["k_c"], rtol=0.02)
    np.testing.assert_allclose(found.scaled_current, known["i_c"], rtol=5e-3)


ONSETS = [n for n in ENTRIES if n.startswith("onset_reservoir")]
QUICK = ("growth_eps0.001_V30",)  # the rest is for campaigns


def quick_first(names):
    return [n if n in QUICK else pytest.param(n, marks=pytest.mark.campaign) for n in names]


@pytest.mark.parametrize("name", quick_first(ONSETS))
def test_onset(name):
    entry = ENTRIES[name]
    found = onset(entry["inputs"]["eps"], entry["inputs"]["kappa"], CEM)
    compare_onset(entry, found)
    second = entry["value"]["check_SG_140_cells_continuous_k"]
    np.testing.assert_allclose(found.scaled_voltage, second["V_c"], rtol=1e-3)


@pytest.mark.campaign
@pytest.mark.parametrize("name", [n for n in ENTRIES if n.startswith("onset_two_membrane")])
def test_onset_in_a_gap(name):
    entry = ENTRIES[name]
    compare_onset(entry, onset(entry["inputs"]["eps"], entry["inputs"]["kappa"], GAP, 256))


@pytest.mark.parametrize(
    "name",
    quick_first(["growth_eps0.01_V30", "growth_eps0.01_V40", "growth_eps0.001_V25", "growth_eps0.001_V30"]),
)
def test_growth(name):
    """Rates within 2 % of the largest one: near zero a rate is a difference."""
    entry = ENTRIES[name]
    given, k = entry["inputs"], np.asarray(entry["inputs"]["k"], float)
    case = jm.Groups(jm.debye(eps=given["eps"]), given["kappa"]).case(CEM, voltage=given["V"])
    padded = np.concatenate([k, np.full(10 - len(k), k[-1])])
    found = jm.growth_rate(jm.NernstPlanckPoisson(), case, jnp.asarray(padded) / case.conditions.thickness)
    rates = np.asarray(found.scaled_rate)[: len(k)]
    known = np.asarray(entry["value"]["sigma"])
    np.testing.assert_allclose(rates, known, rtol=0.02, atol=0.02 * np.max(np.abs(known[known > 0.0])))
    assert float(found.residual.max()) < 1e-12
