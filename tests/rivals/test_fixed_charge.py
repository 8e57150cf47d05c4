"""Membranes with an inside: against the electroneutral three-layer model, SciPy's collocation of the full equations, closed forms and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_bvp, solve_ivp
from scipy.optimize import brentq, fsolve

import jaxmem as jm
from jaxmem._status import code

THICK, SLOW = 0.5, 0.4  # of the membrane, and its diffusivities over those in solution


def case(eps, fixed, kind="cations", ratio=1.0, **imposed):
    """A membrane of ``fixed`` equivalents of that of the solution; all else is scaled."""
    groups = jm.Groups(jnp.asarray(eps, float), 0.5, ratio)
    salt = groups.mixture(1e-4).concentration[..., 0]
    return groups.case(jm.FixedChargeMembrane(kind, fixed * salt, THICK * 1e-4, SLOW), **imposed)


def electroneutral(volts, fixed, d, z=(1.0, 1.0)):
    """``(J_1, J_2)`` in equivalents, of Teorell, Meyer and Sievers between two layers: marched from the front through both Donnan equilibria.

    ``d``: diffusivities of counter-ions and co-ions, ``z``: their valences. Concentrations are in equivalents of the solution.
    """

    def back(flux):
        def slope(_, state, charge, mobility):
            c2, _ = state
            a, b = flux[0] / (d[0] * mobility), flux[1] / (d[1] * mobility)
            field = -(a - b) / (z[0] * (c2 + charge) + z[1] * c2)
            return [-b + z[1] * c2 * field, field]

        def layer(state, length, charge, mobility):
            return solve_ivp(slope, (0.0, -length), state, args=(charge, mobility), rtol=1e-10, atol=1e-12).y[:, -1]

        def across(c, charge, other):  # co-ions behind a surface: c_1^(1/z_1) c_2^(1/z_2) is kept
            kept = np.log(c + charge) / z[0] + np.log(c) / z[1]
            off = lambda x: np.log(np.exp(x) + other) / z[0] + x / z[1] - kept
            return np.exp(brentq(off, -30.0, 5.0, xtol=1e-14))

        c, phi = layer([1.0, volts], 1.0, 0.0, 1.0)
        inside = across(c, 0.0, fixed)
        phi += np.log(inside / c) / z[1]
        inside, phi = layer([inside, phi], THICK, fixed, SLOW)
        c = across(inside, fixed, 0.0)
        return layer([c, phi - np.log(inside / c) / z[1]], 1.0, 0.0, 1.0) - np.array([1.0, 0.0])

    return fsolve(back, [-0.3 * volts, 0.01 * volts], xtol=1e-11)


@pytest.mark.parametrize(("fixed", "ratio"), [(1.0, 1.0), (8.0, 0.66)])
def test_thin_double_layers(fixed, ratio):
    """What is left is of the order of eps."""
    volts = np.array([0.5, 1.0, 2.0])
    result = jm.solve(jm.NernstPlanckPoisson(256), case(2e-4, fixed, ratio=ratio, sweep=volts))
    d = (0.5 * (1.0 + ratio), 0.5 * (1.0 + 1.0 / ratio))
    known = np.array([electroneutral(v, fixed, d) for v in volts])
    np.testing.assert_allclose(result.scaled_current, known[:, 1] - known[:, 0], rtol=1e-3)
    np.testing.assert_allclose(result.transport_number, known[:, 0] / (known[:, 0] - known[:, 1]), rtol=1e-3)


@pytest.mark.parametrize(
    ("ions", "kind"),
    [
        ({"Mg+2": 10.0, "Cl-": 20.0}, "cations"),
        ({"Mg+2": 10.0, "Cl-": 20.0}, "anions"),
        ({"Na+": 20.0, "SO4-2": 10.0}, "cations"),
        ({"Mg+2": 10.0, "SO4-2": 10.0}, "cations"),
    ],
)
def test_thin_double_layers_of_other_salts(ions, kind):
    """In SI: fluxes in ``D c/L`` with c in equivalents."""
    feed, length, fixed, volts = jm.Mixture.from_concentration(ions), 2e-5, 5.0, np.array([0.5, 1.0, 2.0])
    sign = 1.0 if kind == "cations" else -1.0
    membrane = jm.FixedChargeMembrane(kind, fixed * 20.0, THICK * length, SLOW)
    unit = 8.314462618 * 298.15 / 96485.33212
    result = jm.solve(
        jm.NernstPlanckPoisson(256), jm.Case(feed, membrane, jm.VoltageSweep(sign * volts * unit, thickness=length))
    )
    order = [0, 1] if kind == "cations" else [1, 0]
    d, z = np.asarray(feed.diffusivity)[order], np.abs(np.asarray(feed.species.charge))[order]
    known = np.array([electroneutral(v, fixed, d / 1e-9, z) for v in volts])
    current = (known[:, 1] - known[:, 0]) * 96485.33212 * 1e-9 * 20.0 / length
    np.testing.assert_allclose(result.current, sign * current, rtol=2e-3)
    np.testing.assert_allclose(result.transport_number, known[:, 0] / (known[:, 0] - known[:, 1]), rtol=2e-3)


def collocation(eps, fixed, volts):
    """The full equations over three layers at once, each mapped to ``[0, 1]``, joined by continuity."""
    lengths, mobility, charge = np.array([1.0, THICK, 1.0]), np.array([1.0, SLOW, 1.0]), np.array([0.0, fixed, 0.0])

    def slopes(_, y):
        c1, c2, _, field, j1, j2 = y.reshape(3, 6, -1).transpose(1, 0, 2)
        m, x, long = mobility[:, None], charge[:, None], lengths[:, None]
        rise = [-j1 / m - c1 * field, -j2 / m + c2 * field, field, (c2 + x - c1) / (2.0 * eps**2), 0.0 * j1, 0.0 * j2]
        return (np.stack(rise, axis=1) * long[:, None]).reshape(18, -1)

    def joined(a, b, voltage):
        a, b = a.reshape(3, 6), b.reshape(3, 6)
        ends = [a[0, 0] - 1.0, a[0, 1] - 1.0, a[0, 2], b[2, 0] - 1.0, b[2, 1] - 1.0, b[2, 2] - voltage]
        return np.concatenate([ends, (a[1:] - b[:-1]).ravel()])

    near = jm.solve(jm.NernstPlanckPoisson(64), case(eps, fixed, sweep=np.asarray(volts)))
    place, c, phi = near.position, near.state.cells[:, :2], near.state.cells[:, 2]
    s, found = np.linspace(0.0, 1.0, 400), []
    for k, v in enumerate(volts):
        guess = []
        for low, long in zip((-1.0 - THICK, -THICK, 0.0), lengths, strict=True):
            at = [np.interp(low + long * s, place, x) for x in (c[k, 0], c[k, 1], phi[k])]
            flat = np.full_like(s, -0.5 * float(near.scaled_current[k]))
            guess += [*at, np.gradient(at[2], s) / long, flat, -flat]
        found_v = solve_bvp(slopes, lambda a, b, v=v: joined(a, b, v), s, np.array(guess), tol=1e-6, max_nodes=50_000)
        assert found_v.success, found_v.message
        found.append(found_v.y[4:6, 0])
    return np.array(found)


def test_collocation():
    volts = [2.0, 10.0, 30.0]
    known = collocation(2e-2, 10.0, volts)
    for cells, close in ((128, 2e-3), (256, 5e-4)):
        result = jm.solve(jm.NernstPlanckPoisson(cells), case(2e-2, 10.0, sweep=np.asarray(volts)))
        np.testing.assert_allclose(result.scaled_current, known[:, 1] - known[:, 0], rtol=close)
        np.testing.assert_allclose(result.counter_current / result.scales.current, -known[:, 0], rtol=close)


def test_much_charge_is_ideal_and_little_is_water():
    """Ideally selective, electroneutral: ``V = 2 ln((1 + i/2)/(1 - i/2)) + i d/(D_m X)``; without charge an ohmic resistance."""
    result = jm.solve(jm.NernstPlanckPoisson(256), case(1e-4, 1e3, sweep=np.array([1.0, 2.0, 4.0])), throw=False)
    i = np.asarray(result.scaled_current)
    np.testing.assert_allclose(
        2.0 * np.log((1.0 + i / 2.0) / (1.0 - i / 2.0)) + i * THICK / SLOW / 1e3, [1.0, 2.0, 4.0], rtol=8e-3
    )
    plain = jm.solve(jm.NernstPlanckPoisson(256), case(1e-3, 1e-6, sweep=np.array([1.0, 5.0, 10.0])))
    np.testing.assert_allclose(plain.scaled_current, np.array([1.0, 5.0, 10.0]) * 2.0 / (2.0 + THICK / SLOW), rtol=2e-5)
    np.testing.assert_allclose(plain.transport_number, 0.5, atol=1e-4)


def test_space_charge_is_that_of_an_ideal_membrane():
    """Far beyond the limiting current, where the charged layer before the membrane takes nearly all of the voltage."""
    selective = jm.solve(jm.NernstPlanckPoisson(256), case(1e-3, 3000.0, sweep=np.array([40.0, 60.0, 80.0])))
    behind = 1.0 + 0.5 * selective.scaled_current  # Donnan and polarisation there, and the resistance of the membrane
    v = (
        selective.scaled_voltage
        - 2.0 * jnp.log(behind)
        + jnp.log(2.0)
        - selective.scaled_current * THICK / SLOW / 3000.0
    )
    ideal = jm.solve(jm.NernstPlanckPoisson(256), jm.Groups(1e-3).case(jm.IonExchangeMembrane(), sweep=v))
    np.testing.assert_allclose(selective.scaled_current, ideal.scaled_current, rtol=4e-3)
    np.testing.assert_allclose(selective.space_charge_thickness, ideal.space_charge_thickness, atol=2e-3)


def test_an_anion_exchanger_mirrors_a_cation_exchanger():
    one = jm.solve(jm.NernstPlanckPoisson(64), case(1e-2, 5.0, ratio=0.7, voltage=12.0))
    other = jm.solve(jm.NernstPlanckPoisson(64), case(1e-2, 5.0, "anions", 1.0 / 0.7, voltage=-12.0))
    np.testing.assert_allclose(other.scaled_current, -one.scaled_current, rtol=1e-10)
    np.testing.assert_allclose(other.transport_number, one.transport_number, rtol=1e-10)
    back = jm.solve(jm.NernstPlanckPoisson(64), case(1e-2, 5.0, ratio=0.7, current=one.scaled_current))
    np.testing.assert_allclose(back.scaled_voltage, 12.0, rtol=1e-9)
    assert abs(float(back.open_circuit_voltage)) == 0.0


def test_derivatives():
    """To voltage, eps, fixed charge, thickness, diffusivity inside and the ratio of diffusivities."""
    x = jnp.asarray([15.0, 1e-2, 4.0, 0.5, 0.4, 1.3])

    def current(x):
        v, eps, fixed, thick, slow, ratio = x
        groups = jm.Groups(eps, 0.5, ratio)
        membrane = jm.FixedChargeMembrane("cations", fixed * groups.mixture(1e-4).concentration[0], thick * 1e-4, slow)
        return jm.solve(jm.NernstPlanckPoisson(64), groups.case(membrane, voltage=v)).scaled_current

    value = jax.jit(jax.value_and_grad(current))
    reverse, step = value(x)[1], 1e-3
    for i in range(x.size):
        e = jnp.zeros_like(x).at[i].set(step * x[i])
        near, far = value(x + e)[0] - value(x - e)[0], value(x + 2.0 * e)[0] - value(x - 2.0 * e)[0]
        np.testing.assert_allclose(reverse[i], (8.0 * near - far) / (12.0 * step * x[i]), rtol=1e-6, atol=1e-9)
    assert float(reverse[4]) > 0.0 > float(reverse[3])


@pytest.mark.parametrize("count", [64, pytest.param(1000, marks=pytest.mark.campaign)])
def test_random_membranes(count):
    """eps 1e-4 to 1e-2, 0.01 to 1,000 equivalents inside, up to 100 RT/F."""
    draw = np.random.default_rng(5).uniform(size=(4, count))
    eps, fixed, ratio = 10.0 ** (-4.0 + 2.0 * draw[0]), 10.0 ** (-2.0 + 5.0 * draw[1]), 0.5 + draw[2]
    # cells that resolve the double layer inside
    result = jm.solve(
        jm.NernstPlanckPoisson(512 if count > 64 else 256),
        case(eps, fixed, ratio=ratio, voltage=100.0 * draw[3]),
        throw=False,
    )
    resolved = np.asarray(result.status) != code("debye_layer_unresolved")
    assert resolved.mean() > 0.8
    assert bool(result.ok[resolved].all()), result.messages()
    # charge is conserved up to what the digits of the fluxes through the finest faces inside leave: up to 1e-7 of the current
    left = np.asarray(result.closure - result.state.round_off)[resolved]
    assert left.max() < 1e-8
    assert float(result.closure[resolved].max()) < 1e-6
    tn = np.asarray(result.transport_number)
    assert np.all((tn > 0.3) & (tn <= 1.0 + 1e-9))
