"""Operating modes and options of electroconvection: imposed current, second order in time, inertia of the flow, frames, similarity in SI."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from jaxmem._status import code

WALL = jm.IonExchangeMembrane()


def test_imposed_current_keeps_a_layer_at_rest() -> None:
    """At a current below the limit nothing moves: the voltage is that of one dimension, and stays."""
    case = jm.Groups(1e-2, 0.5).case(WALL, current=1.5, box=1.5)
    result = jm.solve(jm.Electroconvection(8, 48, duration=0.05, samples=4, amplitude=0.0), case)
    volts = np.asarray(result.state.seen.voltage)
    np.testing.assert_allclose(volts, volts[0], rtol=1e-9)
    np.testing.assert_allclose(result.current_series, 1.5, rtol=1e-9)
    line = jm.solve(jm.NernstPlanckPoisson(256), jm.Groups(1e-2).case(WALL, current=1.5))
    np.testing.assert_allclose(volts[-1], line.scaled_voltage, rtol=5e-3)  # other rows


@pytest.mark.campaign
def test_conducted_and_displaced_current_is_the_one_imposed() -> None:
    """While vortices grow and the voltage falls: the mean current of a sample, conducted, is close to what is imposed."""
    case = jm.Groups(1e-2, 0.5).case(WALL, current=4.0, box=1.73)
    results = [
        jm.solve(jm.Electroconvection(24, 32, duration=0.2, samples=10, amplitude=0.1, longest=dt), case)
        for dt in (1e-3, 5e-4)
    ]
    off = [np.abs(np.asarray(r.current_series)[2:] - 4.0).max() for r in results]
    assert off[1] < 0.65 * off[0]  # first order in time
    result = results[1]
    assert float(result.scaled_voltage) < 0.75 * float(result.state.seen.voltage[0])
    np.testing.assert_allclose(result.current_series[4:], 4.0, rtol=5e-3)
    assert float(result.salt_closure) < 1e-15


@pytest.mark.campaign
def test_order_in_time() -> None:
    def end(order: int, steps: int) -> np.ndarray:
        model = jm.Electroconvection(
            8, 24, duration=0.02, samples=4, steps=steps, order=order, amplitude=0.1, iterations=12
        )
        result = jm.solve(model, jm.Groups(2e-2, 0.5).case(WALL, voltage=12.0, box=1.7), throw=False)
        assert float(result.salt_closure) < 1e-16
        return np.asarray(result.state.c)

    finest = end(2, 1280)
    for order in (1, 2):
        errors = [np.linalg.norm(end(order, n) - finest) for n in (80, 160, 320)]
        slopes = np.log2(np.asarray(errors[:-1]) / errors[1:])
        assert slopes[-1] > order - 0.1, (order, slopes)


@pytest.mark.campaign
def test_inertia_fades_as_one_over_the_schmidt_number() -> None:
    def salt(schmidt: float, inertia: bool) -> np.ndarray:
        model = jm.Electroconvection(16, 32, duration=0.01, samples=4, steps=40, inertia=inertia, amplitude=0.1)
        case = jm.Groups(1e-2, 0.5, schmidt=schmidt).case(WALL, voltage=35.0, box=1.73)
        return np.asarray(jm.solve(model, case, throw=False).state.c)

    stokes = salt(1e3, False)
    differences = [np.abs(salt(sc, True) - stokes).max() for sc in (1e3, 1e4, 1e5)]
    np.testing.assert_allclose(np.divide(differences[:-1], differences[1:]), 10.0, rtol=0.15)


@pytest.mark.parametrize("inertia", [False, True])
def test_a_march_goes_on_where_another_ended(inertia: bool) -> None:
    """From a result, its dataset, on other cells, at another voltage; the same as one march but for the short steps at a start."""
    case = jm.Groups(1e-2, 0.5).case(WALL, voltage=30.0, box=1.73)
    ask = lambda duration, samples: jm.Electroconvection(
        24, 32, duration=duration, samples=samples, amplitude=0.1, inertia=inertia
    )
    whole, first = jm.solve(ask(0.2, 8), case), jm.solve(ask(0.1, 4), case)
    then = jm.solve(ask(0.1, 4).after(first), case)
    np.testing.assert_allclose(then.current_series, whole.current_series[4:], rtol=1e-4)
    np.testing.assert_allclose(then.state.c, whole.state.c, atol=1e-4)
    stored = jm.solve(ask(0.1, 4).after(first.to_xarray()), case)
    np.testing.assert_array_equal(stored.state.c, then.state.c)
    if not inertia:
        fine = jm.solve(jm.Electroconvection(48, 48, duration=0.1, samples=4).after(first), case)
        np.testing.assert_allclose(fine.current_series, whole.current_series[4:], rtol=1e-2)
        several = jm.Groups(1e-2, 0.5).case(WALL, voltage=jnp.asarray([25.0, 30.0]), box=1.73)
        both = jm.solve(ask(0.1, 4).after(first), several)
        np.testing.assert_allclose(both.current_series[1], then.current_series, rtol=1e-9)
        assert (
            0.3 < float(both.current_series[0, -1] - both.state.at_rest[0]) < float(then.current_series[-1])
        )  # vortices live on
        last = jm.solve(ask(0.1, 4).after(both), several)
        np.testing.assert_allclose(last.state.seen.voltage[:, -1], [25.0, 30.0])


def test_few_samples_of_vortices_at_rest_are_steady() -> None:
    case = jm.Groups(1e-2, 0.5).case(WALL, voltage=30.0, box=1.73)
    model = jm.Electroconvection(16, 32, samples=4, duration=0.05, steps=100, amplitude=0.3, steady=30)
    assert "1 steady" in str(jm.solve(model, case))


def test_fields_to_go_on_from_are_checked(untyped: None) -> None:
    case = jm.Groups(1e-2, 0.5).case(WALL, voltage=jnp.asarray([10.0, 12.0]), box=1.73)
    model = jm.Electroconvection(8, 24, duration=0.01, samples=4)
    result = jm.solve(model, case)
    with pytest.raises(jm.JaxmemError, match="holds no fields of a plane"):
        model.after(case)
    with pytest.raises(jm.JaxmemError, match="has no potential"):
        model.after(result.to_xarray().drop_vars("potential"))
    with pytest.raises(jm.JaxmemError, match=r"lanes of shape \(2,\), the case of \(\)"):
        jm.solve(model.after(result), jm.Groups(1e-2, 0.5).case(WALL, voltage=10.0, box=1.73))
    lost = eqx.tree_at(lambda r: r.status, result, jnp.asarray([0, code("blew_up")], result.status.dtype))
    assert list(np.asarray(jm.solve(model.after(lost), case, throw=False).ok)) == [True, False]
    with pytest.raises(jm.JaxmemError, match="holds no fields"):
        jm.Electroconvection(start=3)
    alone = jm.Groups(1e-2, 0.5).case(WALL, voltage=10.0, box=1.73)
    one = jm.solve(model, alone)
    again = jax.jit(lambda v: jm.solve(model.after(one), alone.replace(voltage=v)).scaled_current.value)
    np.testing.assert_allclose(
        again(alone.conditions.voltage), jm.solve(model.after(one), alone).scaled_current.value, rtol=1e-12
    )
    with pytest.raises(jm.JaxmemError, match="nothing to go on from: The march blew up"):
        model.after(eqx.tree_at(lambda r: r.status, result, jnp.full(2, code("blew_up"), result.status.dtype)))


def test_frames(tmp_path: Path) -> None:
    model = jm.Electroconvection(8, 24, duration=0.01, samples=4, frames=True, amplitude=0.1)
    result = jm.solve(model, jm.Groups(2e-2, 0.5).case(WALL, voltage=20.0, box=1.7))
    found = result.to_xarray()
    assert found["series_concentration"].dims == ("sample", "ion", "row", "column")
    np.testing.assert_array_equal(found["series_concentration"].values[-1], found["concentration"].values)
    written = result.plot.animation(tmp_path / "v.gif")
    assert written.read_bytes()[:6] in (b"GIF87a", b"GIF89a")
    bare = eqx.tree_at(lambda r: r.state.frames, result, None)
    with pytest.raises(jm.JaxmemError, match="frames=True"):
        bare.plot.animation(tmp_path / "w.gif")


def test_groups_go_to_si_and_back() -> None:
    groups = jm.Groups(jnp.asarray([1e-3, 1e-2]), 0.3, 1.5, peclet=10.0, schmidt=500.0)
    back = jm.similarity(groups.case(WALL, voltage=3.0, box=1.5))
    for name in ("eps", "kappa", "diffusivity_ratio", "peclet", "schmidt", "reynolds"):
        np.testing.assert_allclose(getattr(back, name), getattr(groups, name), rtol=1e-12)
    with pytest.warns(UserWarning, match="another fluid"):
        jm.Groups.from_reynolds(1e-3, jnp.asarray([0.1, 0.2]), 10.0)
    with pytest.warns(UserWarning, match="no salt in water"):
        jm.Groups.from_reynolds(1e-3, 30.0, 30.0)
    one = jm.Groups.from_reynolds(1e-3, 0.02, jnp.asarray([10.0]))
    np.testing.assert_allclose(one.schmidt, 500.0)
