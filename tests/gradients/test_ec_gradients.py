"""Derivatives of currents at rest, growth rates, onset and electroconvection: adjoint, tangent and central differences."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jaxmem as jm

LINE = jm.NernstPlanckPoisson(64)
X = jnp.asarray([20.0, 1e-2, 0.5, 2.0, 1.3])  # V, eps, kappa, enrichment, D+/D-


def question(x: Array, **more: float) -> jm.Case:
    v, eps, kappa, enrichment, ratio = x
    return jm.Groups(eps, kappa, ratio).case(jm.IonExchangeMembrane(enrichment=enrichment), voltage=v, **more)


def differences(f: Callable[[Array], Array], x: Array, relative: float) -> np.ndarray:
    """Central, of fourth order, one number of ``x`` after the other."""
    rows = []
    for i in range(x.shape[0]):
        e = relative * x[i] * jnp.eye(x.shape[0])[i]
        near, far = f(x + e) - f(x - e), f(x + 2.0 * e) - f(x - 2.0 * e)
        rows.append((8.0 * near - far) / (12.0 * relative * x[i]))
    return np.asarray(rows)


def test_current_at_rest():
    """Imposed voltage; the grid moves with eps, and that is in the derivative too."""
    current = lambda x: jm.solve(LINE, question(x)).scaled_current
    value = jax.jit(jax.value_and_grad(current))
    reverse = value(X)[1]
    way = jnp.asarray([1.0, 1e-3, 0.2, -0.3, 0.4])
    np.testing.assert_allclose(jax.jit(lambda x: jax.jvp(current, (x,), (way,))[1])(X), reverse @ way, rtol=1e-9)
    by_differences = differences(lambda x: value(x)[0], X, 1e-3)
    # atol: what the round-off of a current, 1e-13, is over a difference of kappa; less than the millionth of any other derivative
    np.testing.assert_allclose(reverse, by_differences, rtol=1e-6, atol=2e-9)
    # a layer at rest does not see viscosity; in SI kappa also sets the diffusivity, which cancels to round-off
    assert abs(float(reverse[2])) < 1e-13 * float(jnp.max(jnp.abs(reverse)))


def test_voltage_of_an_imposed_current_in_a_gap():
    """Both numbers of the border at once: the voltage, and the co-ions that only their mean holds."""

    def voltage(x: Array) -> Array:
        eps, enrichment, current = x
        wall = jm.IonExchangeMembrane(enrichment=enrichment)
        case = jm.Groups(eps).case(jm.MembranePair(wall, jm.IonExchangeMembrane(enrichment=3.0)), current=current)
        return jm.solve(LINE, case).scaled_voltage

    x = jnp.asarray([1e-2, 4.0, 3.1])
    value = jax.jit(jax.value_and_grad(voltage))
    reverse = value(x)[1]
    np.testing.assert_allclose(reverse, differences(lambda x: value(x)[0], x, 1e-3), rtol=1e-6)


def test_failed_lanes_have_no_derivative():
    """A voltage that is not a number beside a sound one."""

    def total(v: Array) -> Array:
        return jnp.nansum(
            jm.solve(LINE, jm.Groups(1e-2).case(jm.IonExchangeMembrane(), voltage=v), throw=False).scaled_current
        )

    slope = jax.jit(jax.grad(total))
    both, sound = slope(jnp.asarray([jnp.nan, 20.0])), slope(jnp.asarray([7.0, 20.0]))
    np.testing.assert_allclose(both, [0.0, sound[1]], rtol=1e-12)
    assert float(sound[0]) > 0.0


@pytest.mark.campaign
def test_growth_rate():
    """Of a disturbance above onset: to the numbers of the case and to its wavenumber."""
    small = jm.NernstPlanckPoisson(32)

    def rate(x: Array) -> Array:
        case = question(x[:5] * jnp.asarray([1.5, 1.0, 1.0, 1.0, 1.0]))
        return jm.growth_rate(small, case, x[5] / case.conditions.thickness).scaled_rate[0]

    x = jnp.append(X, 4.0)
    value = jax.jit(jax.value_and_grad(rate))
    reverse = value(x)[1]
    np.testing.assert_allclose(reverse, differences(lambda x: value(x)[0], x, 1e-3), rtol=1e-6, atol=1e-9)


@pytest.mark.campaign
def test_onset():
    """Critical voltage and wavenumber: they move with all but the voltage of the case."""
    small = jm.NernstPlanckPoisson(48)

    def critical(x: Array) -> Array:
        found = jm.onset(small, question(jnp.concatenate([jnp.asarray([20.0]), x])))
        return jnp.stack([found.scaled_voltage, found.scaled_wavenumber])

    x = X[1:]
    forward = jax.jit(jax.jacfwd(critical))(x)
    np.testing.assert_allclose(forward.T, differences(jax.jit(critical), x, 1e-3), rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(jax.jit(jax.grad(lambda x: critical(x)[0]))(x), forward[0], rtol=1e-7)


@pytest.mark.campaign
def test_a_window_of_steps_of_the_plane():
    """Reverse mode through 40 equal steps, with the vortices half grown: the grid is no variable, so eps is left out."""
    model = jm.Electroconvection(8, 32, duration=0.02, samples=4, steps=40, amplitude=0.3, iterations=12)

    def last(x: Array) -> Array:
        full = jnp.stack([x[0], jnp.asarray(2e-2), x[1], x[2], x[3]])
        return jm.solve(model, question(full, box=1.73)).current_series[-1]

    x = jnp.asarray([30.0, 0.5, 2.0, 1.3])
    value = jax.jit(jax.value_and_grad(last))
    reverse = value(x)[1]
    np.testing.assert_allclose(reverse, differences(lambda x: value(x)[0], x, 1e-3), rtol=1e-5, atol=1e-9)


def test_plateau():
    """Its length to the currents of a curve, hard and soft windows alike."""
    v = jnp.linspace(0.0, 40.0, 41)
    i = jnp.minimum(v, 1.9 + 0.01 * v) + 0.12 * jax.nn.softplus(v - 20.0)
    windows = {"ohmic": (0.0, 1.5), "flat": (4.0, 16.0), "overlimiting": (25.0, 40.0)}
    for softness in (0.0, 0.02):
        length = lambda i, softness=softness: jm.plateau(v, i, **windows, softness=softness).length
        g = jax.grad(length)(i)
        way = jnp.asarray(np.random.default_rng(0).normal(size=41))
        np.testing.assert_allclose(g @ way, (length(i + 1e-6 * way) - length(i - 1e-6 * way)) / 2e-6, rtol=1e-6)
    found = jm.plateau(v, i, **windows, interval=0.02 * jnp.ones_like(i))
    assert bool(found.ordered)
    np.testing.assert_allclose(found.length, 20.0 - 1.9 / 0.99, rtol=0.02)
    assert 0.0 < float(found.begin_error) < float(found.end_error) < 0.5


@pytest.mark.campaign
def test_vortices_that_stand_still() -> None:
    """Newton on the fixed point; its adjoint and tangent against differences of fixed points, 1e-6; a march that is nowhere near says so."""
    model = jm.Electroconvection(24, 32, duration=0.3, amplitude=0.1, steady=100, samples=40)

    def ask(x: Array) -> jm.models.electroconvection.result.PlaneResult:  # pyright: ignore
        """Voltage, kappa, enrichment, ratio of diffusivities; of eps a derivative leaves the rows where they are, and a difference does not."""
        full = jnp.stack([x[0], jnp.asarray(1e-2), x[1], x[2], x[3]])
        return jm.solve(model, question(full, box=1.73), throw=False)

    current = jax.jit(lambda x: ask(x).scaled_current.value)
    at = jnp.asarray([30.0, 0.5, 2.0, 1.1])
    result = ask(at)
    assert bool(result.ok)
    assert float(result.state.moves) < 1e-8
    gradient = jax.jit(jax.grad(current))(at)
    for k, h in enumerate((0.05, 2e-3, 2e-3, 2e-3)):
        e = jnp.zeros(4).at[k].set(1.0)
        np.testing.assert_allclose(jax.jvp(current, (at,), (e,))[1], gradient[k], rtol=1e-6)
        near, far = (float(current(at + s * h * e) - current(at - s * h * e)) / (2.0 * s * h) for s in (1.0, 2.0))
        np.testing.assert_allclose(gradient[k], (4.0 * near - far) / 3.0, rtol=2e-6, atol=2e-8)
