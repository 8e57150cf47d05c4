"""Electroconvection against the reference file: steady pairs, the loop at onset, boxes with many vortices, channels. ``pytest -m campaign -s``, ten minutes."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm

ENTRIES = {
    e["id"]: e
    for e in json.loads((Path(__file__).parent.parent / "reference" / "electroconvection.json").read_text())["entries"]
}
CEM, AEM = jm.IonExchangeMembrane(), jm.IonExchangeMembrane("anions")
FINE, COARSE = jm.Groups(1e-3, 0.5), jm.Groups(1e-2, 0.5)
STATES = ("quiescent", "steady", "slow drift", "unsteady")

pytestmark = pytest.mark.campaign


def march(
    groups: jm.Groups, box: float, cells: tuple[int, int], volts: Any, membrane: Any = CEM, **numerics: Any
) -> Any:
    """A voltage, or several from one to the next."""
    imposed = {"sweep": jnp.asarray(volts)} if np.ndim(volts) else {"voltage": volts}
    case = groups.case(membrane, box=box, **imposed)
    result = jm.solve(jm.Electroconvection(*cells, **numerics), case, throw=False)
    i = result.scaled_current
    for k, v in enumerate(np.atleast_1d(result.scaled_voltage)):
        at = lambda x, k=k: float(np.atleast_1d(x)[k])
        print(
            f"V {v:g}: i {at(i.value):.4f} within {at(i.interval):.2g}, u {at(result.speed):.2f}, v {at(result.normal_speed):.2f}, "
            f"d1 {at(result.vortex_diameter):.3f}, d2 {at(result.vortex_height):.3f}, {STATES[int(at(result.kind))]}"
        )
    return result


@pytest.fixture(scope="module")
def thirty() -> Any:
    return march(FINE, 1.32, (64, 96), 30.0, duration=0.5, longest=1e-4, window=0.1)


@pytest.fixture(scope="module")
def down() -> Any:
    """From a developed pair down to below its onset."""
    return march(FINE, 1.32, (48, 80), [22.0, 20.0, 19.0, 18.0, 17.0, 17.0], duration=1.0, longest=2e-4, window=0.2)


def test_steady_pairs(thirty: Any, down: Any) -> None:
    """Three currents of one pair, within 1 % of the coupled method of second order, speeds within 3 %; heights within 0.04."""
    coarse = march(COARSE, 1.73, (48, 96), 30.0, duration=1.0, longest=1e-3, window=0.1)
    for name, result, k in (
        ("vortex_eps1e-2_V30_box1.73", coarse, ...),
        ("vortex_eps1e-3_V30_box1.32", thirty, ...),
        ("vortex_eps1e-3_V20_box1.32", down, 1),
    ):
        value = ENTRIES[name]["value"]["B"]
        known = np.min(value["i"])  # one of them was still relaxing
        np.testing.assert_allclose(result.scaled_current.value[k], known, rtol=0.01)
        np.testing.assert_allclose(result.speed[k], value["u_max"], rtol=0.03)
        np.testing.assert_allclose(result.vortex_diameter[k], value["d1"], atol=0.03)
        np.testing.assert_allclose(result.vortex_height[k], value["d2"], atol=0.04)
    for name, result in (("vortex_eps1e-2_V30_box1.73", coarse), ("vortex_eps1e-3_V30_box1.32", thirty)):
        np.testing.assert_allclose(result.scaled_current.value, ENTRIES[name]["value"]["A_sg"]["i"], rtol=1e-3)


def test_plateau_of_the_steady_pairs(thirty: Any, down: Any) -> None:
    """Secants at the same voltages as in the file: length 13.5 within 0.3."""
    entry = ENTRIES["plateau_length_box1.32_20_30"]
    line = jm.solve(jm.NernstPlanckPoisson(512), FINE.case(CEM, sweep=[0.6931, 0.7032, 10.0, 20.0]))
    volts = jnp.asarray([0.6931, 0.7032, 10.0, 20.0, 20.01, 30.0])
    over = jnp.stack([down.scaled_current.value[1], thirty.scaled_current.value])
    parts = jm.plateau(
        volts, jnp.concatenate([line.scaled_current, over]),
        ohmic=(0.6, 0.8), flat=(9.9, 20.005), overlimiting=(20.006, 30.1),
    )  # fmt: skip
    print(parts)
    np.testing.assert_allclose(parts.slopes[0], 1.0, rtol=0.01)
    np.testing.assert_allclose(parts.length, entry["value"]["plateau_length"], atol=entry["tolerance"]["abs"])


def test_vortices_live_above_their_onset_only(down: Any) -> None:
    """20 lives, 18 and 17 die; at 19 something passes slowly by the end of the loop (19.0 to 19.1 here, at or below 19 in the file)."""
    i, v = np.asarray(down.scaled_current.value), np.asarray(down.normal_speed)
    rest = jm.solve(jm.NernstPlanckPoisson(512), FINE.case(CEM, sweep=[20.0, 18.0, 17.0])).scaled_current
    assert i[1] > 1.2 * rest[0]
    np.testing.assert_allclose(i[3:5], rest[1:], rtol=5e-3)
    assert v[4] < 1e-3 * v[1]
    above = march(FINE, 1.32, (48, 80), [20.0, 19.25, 19.1], duration=1.5, longest=4e-4, window=0.1)
    assert int(above.kind[2]) in (1, 2)
    np.testing.assert_allclose(
        above.scaled_current.value[2], ENTRIES["hysteresis_box1.32"]["value"]["19"]["i"], rtol=0.03
    )


@pytest.mark.parametrize("volts", [20.0, 30.0, 40.0])
def test_many_pairs_at_a_thick_double_layer(volts: float) -> None:
    """From noise, box 2 pi: currents within 2 %, and the same with half the step."""
    entry = ENTRIES[f"box2pi_eps0.01_V{volts:g}_64x64_dt0.0005"]
    found = [
        march(COARSE, 2.0 * np.pi, (64, 64), volts, duration=2.0, longest=dt, samples=50, pairs=0)
        for dt in (1e-3, 5e-4)
    ]
    one, half = (float(r.scaled_current.value) for r in found)
    np.testing.assert_allclose(half, entry["value"]["i_mean"], rtol=0.02)
    np.testing.assert_allclose(one, half, rtol=1e-4)


def test_many_pairs_swept_down() -> None:
    """Box 2 pi, single precision: currents of one path through several states within 6 %; nothing moves at the end."""
    entry = ENTRIES["sweep_down_box2pi"]
    result = march(
        FINE, 2.0 * np.pi, (128, 64), entry["inputs"]["V"], duration=0.5, longest=2e-4, samples=40, pairs=0, precision="float32", window=0.3
    )  # fmt: skip
    np.testing.assert_allclose(result.scaled_current.value[:4], entry["value"][:4], rtol=0.06)
    assert float(result.normal_speed[-1]) < 1e-2


def test_chaos_at_forty(capfd: Any) -> None:
    """V 40: two grids, three seeds each; their means agree within their intervals and lie within that of the file."""
    means: list[np.ndarray] = []
    for cells, dt in (((128, 64), 1e-4), ((256, 128), 5e-5)):
        runs = [
            march(
                FINE, 4.0, cells, 40.0, duration=1.2, longest=dt, samples=120, pairs=0, seed=seed, window=0.75, precision="float32", iterations=8
            )
            for seed in range(3)
        ]  # fmt: skip
        assert all(int(r.kind) == 3 for r in runs)
        i = np.asarray([float(r.scaled_current.value) for r in runs])
        half = np.sqrt(sum(float(r.scaled_current.interval) ** 2 for r in runs)) / 3.0
        print(cells, "mean", i.mean(), "over seeds", i, "within", half)
        means.append(np.asarray([i.mean(), max(half, 4.3 * i.std(ddof=1) / np.sqrt(3.0))]))
    (coarse, a), (fine, b) = means
    assert abs(coarse - fine) < np.hypot(a, b)
    known = ENTRIES["chaotic_eps1e-3_V40_box4"]["value"]
    assert abs(fine - known["i_mean"]) < known["i_plus_minus"] + b


def test_two_pairs_in_a_box() -> None:
    """V 25, box 2.64: 3.64 at t = 0.3 within 5 %."""
    entry = ENTRIES["vortex_eps1e-3_V25_box2.64"]
    result = march(FINE, 2.64, (96, 70), 25.0, duration=0.6, longest=2e-4, samples=60, pairs=2, amplitude=0.1)
    np.testing.assert_allclose(result.scaled_current.value, entry["value"]["i_at_t0.3"], rtol=0.05)
    np.testing.assert_allclose(result.speed, entry["value"]["u_max"], rtol=0.05)


def channel(peclet: float, volts: float, kappa: float, cells: tuple[int, int], **numerics: Any) -> Any:
    groups = jm.Groups(2e-3, kappa, peclet=peclet)
    return march(groups, 4.0, cells, volts, jm.MembranePair(CEM, AEM), window=0.2, **numerics)


def test_a_developing_layer_follows_leveque() -> None:
    """Without force, cation and anion exchanger, V 20: current to the power 1/3 of the flow, and the closed form within 5 %.

    Leveque's mean over x is ``1.47 (Pe/x)^(1/3)`` where the layer begins at x = 0. Here it begins with the end of the fringe, 0.02 of the box
    before the columns that are counted, which takes 7 % off a mean.
    """
    peclet = np.asarray([100.0, 316.0, 1000.0])
    runs = [
        channel(p, 20.0, 2.1e-4, (96, 96), duration=max(0.6 * 100.0 / p, 0.1), longest=1e-3, amplitude=0.0, samples=20)
        for p in peclet
    ]
    i = np.asarray([float(r.scaled_current.value) for r in runs])
    slope = np.polyfit(np.log(peclet), np.log(i), 1)[0]
    mean = 1.47 * (peclet / 4.0) ** (1 / 3) * (0.82 ** (2 / 3) - 0.02 ** (2 / 3)) / 0.8
    print("exponent", slope, "over the closed form", 0.5 * i / mean)
    np.testing.assert_allclose(slope, 1 / 3, atol=0.02)
    np.testing.assert_allclose(0.5 * i, mean, rtol=0.05)


def test_channels_of_the_file() -> None:
    """Pe 100 and 128 x 96 cells: both membranes pass the same, V 40 within 3 %; V 60 is unsteady, within 20 %."""
    value = ENTRIES["channel_pe100"]["value"]
    forty = channel(100.0, 40.0, 0.5, (128, 96), duration=0.4, longest=1e-4, amplitude=0.0, samples=40)
    np.testing.assert_allclose(forty.scaled_current.value, value["V40"], rtol=0.03)
    np.testing.assert_allclose(forty.state.seen.current_high[-1], forty.scaled_current.value, rtol=5e-3)
    sixty = channel(
        100.0, 60.0, 0.5, (128, 96), duration=0.6, longest=1e-4, amplitude=0.05, samples=60, pairs=0, iterations=8
    )
    assert int(sixty.kind) == 3
    np.testing.assert_allclose(sixty.scaled_current.value, value["V60"]["i_mean"], rtol=0.2)


def test_height_of_sheared_vortices() -> None:
    """Of unsteady ones in a channel, eps 5e-4, V 60, over a decade of flow: height to the power 1/3 of ``V^2/U`` (Kwak et al. 2013, doi
    10.1103/PhysRevLett.110.114501), within 0.05.

    That is the dependence on U. Heights at higher voltages do not fall on the same line: V 75 and 90 have the exponents 0.59 and 0.7; at V 45
    vortices do not live beyond Pe 150 (these on rows twice as fine at the walls). The lowest ones are as high as the space charge, 0.1, and no lower.
    """
    peclet, heights = np.asarray([75.0, 150.0, 300.0, 600.0, 750.0]), []
    for p in peclet:
        model = jm.Electroconvection(
            256, 112, duration=max(60.0 / p, 0.1), longest=1e-4, amplitude=0.05, window=0.6, pairs=0, precision="float32", iterations=12
        )  # fmt: skip
        case = jm.Groups(5e-4, 0.5, peclet=p).case(jm.MembranePair(CEM, AEM), voltage=60.0, box=4.0)
        result = jm.solve(model, case)
        assert int(result.kind) in (2, 3)
        heights.append(float(result.vortex_height))
        print(f"Pe {p:g}: V2/U {3600.0 / p:.1f}, height {heights[-1]:.3f}")
    slope = np.polyfit(np.log(3600.0 / peclet), np.log(heights), 1)[0]
    scaled = np.asarray(heights) / (3600.0 / peclet) ** (1.0 / 3.0)
    print("exponent", slope, "over the law", scaled)
    np.testing.assert_allclose(slope, 1.0 / 3.0, atol=0.05)
    np.testing.assert_allclose(scaled, scaled.mean(), rtol=0.1)
