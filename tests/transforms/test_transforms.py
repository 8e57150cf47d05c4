"""jit, vmap, grad, jvp, hessians, failed lanes, batch sizes, and no program compiled twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmem as jm
from benchmarks.campaigns import r2
from tests.helpers import IDEAL, N, batch, ion, lane

FOUR = (ion("Na+", 20.0, k=4e-5), ion("Mg+2", 10.0, k=2.6e-5), ion("Cl-", 24.0, k=5.3e-5), ion("SO4-2", 8.0, k=3.4e-5))
CASE = batch([lane(*FOUR, J=j) for j in np.geomspace(2e-6, 5e-5, N)], film=True)
WEIGHT = jnp.asarray(np.random.default_rng(3).normal(size=(N, 4)))
DIRECTION = jnp.asarray([1.0, 0.5, 1.2, 0.4])  # a neutral change of the water
NAMES = ("pore_radius", "charge_density", "volume_flux", "concentration")


def changed(p: jax.Array, case: jm.Case = CASE) -> jm.Case:
    """The case with radius, charge and flux scaled by ``1 + p`` and the water moved by ``p`` along a neutral direction."""
    c = case.feed.concentration + 20.0 * p[3] * DIRECTION
    return case.replace(
        pore_radius=case.membrane.pore_radius * (1.0 + p[0]),
        charge_density=case.membrane.charge_density * (1.0 + p[1]),
        volume_flux=case.conditions.volume_flux * (1.0 + p[2]),
        concentration=c,
    )


@jax.jit
def loss(p: jax.Array) -> jax.Array:
    return jnp.sum(WEIGHT * jnp.log(jm.solve(IDEAL, changed(p), throw=False).permeate))


GRAD = jax.jit(jax.grad(loss))
ZERO = jnp.zeros(4)


@pytest.fixture(scope="module")
def gradient() -> np.ndarray:
    return np.asarray(GRAD(ZERO))


def along(i: int, h: float) -> jax.Array:
    return ZERO.at[i].set(h)


def test_jit_equals_eager() -> None:
    eager = jm.solve(IDEAL, CASE).permeate
    inside = jax.jit(lambda case: jm.solve(IDEAL, case, throw=False).permeate)(CASE)
    assert np.allclose(eager, inside, rtol=1e-12, atol=0.0)


def test_vmap_equals_batch() -> None:
    one = CASE[0]
    few = CASE.conditions.volume_flux[:5]
    mapped = jax.vmap(lambda j: jm.solve(IDEAL, one.replace(volume_flux=j), throw=False).permeate)(few)
    assert np.allclose(mapped, jm.solve(IDEAL, CASE).permeate[:5], rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("i", range(4), ids=NAMES)
def test_gradient_is_the_slope(gradient: np.ndarray, i: int) -> None:
    h = 1e-4
    values = [float(loss(along(i, k * h))) for k in (-2, -1, 1, 2)]
    slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
    print(NAMES[i], "gradient", gradient[i], "differences", slope, "relative", gradient[i] / slope - 1.0)
    assert gradient[i] == pytest.approx(slope, rel=1e-6)


def test_gradient_equals_tangent(gradient: np.ndarray) -> None:
    for i in range(4):
        tangent = jax.jvp(loss, (ZERO,), (along(i, 1.0),))[1]
        assert float(tangent) == pytest.approx(gradient[i], rel=1e-10)


@pytest.mark.campaign
def test_hessian_entry() -> None:
    """Second derivatives, radius against radius and radius against charge, as slopes of the gradient."""
    second = np.asarray(jax.jvp(GRAD, (ZERO,), (along(0, 1.0),))[1])
    h = 1e-4
    g = [np.asarray(GRAD(along(0, k * h))) for k in (-2, -1, 1, 2)]
    slope = (g[0] - 8 * g[1] + 8 * g[2] - g[3]) / (12 * h)
    print("hessian row", second, "differences", slope)
    assert np.allclose(second, slope, rtol=1e-5, atol=1e-6 * np.abs(slope).max())


def test_failed_lane_has_no_gradient() -> None:
    """Lane 2 has a pore too tight for sulfate, lane 9 a NaN: zero derivatives there, the others as without them."""
    c = CASE.feed.concentration.at[9, 1].set(jnp.nan)
    radius = CASE.membrane.pore_radius.at[2].set(0.2e-9)
    bad = CASE.replace(concentration=c, pore_radius=radius)

    @jax.jit
    @jax.grad
    def slopes(x: tuple[jax.Array, jax.Array, jax.Array], case: jm.Case) -> jax.Array:
        case = case.replace(pore_radius=x[0], volume_flux=x[1], concentration=x[2])
        return jnp.sum(WEIGHT * jm.solve(IDEAL, case, throw=False).permeate)

    def inputs(case: jm.Case) -> tuple[jax.Array, jax.Array, jax.Array]:
        return case.membrane.pore_radius, case.conditions.volume_flux, case.feed.concentration

    clean, ours = slopes(inputs(CASE), CASE), slopes(inputs(bad), bad)
    rest = np.array([i for i in range(N) if i not in (2, 9)])
    for with_bad, without in zip(ours, clean, strict=True):
        assert (np.asarray(with_bad)[[2, 9]] == 0.0).all()
        scale = np.abs(np.asarray(without)[rest]).max()
        assert np.allclose(np.asarray(with_bad)[rest], np.asarray(without)[rest], rtol=1e-12, atol=1e-14 * scale)
        assert (np.asarray(without)[rest] != 0.0).all()


@pytest.mark.campaign
def test_a_gradient_does_not_depend_on_the_company() -> None:
    """Lanes on different sets of grids, in the given and in the opposite order, and mapped one by one."""
    case = r2(64, 2)
    assert len(np.unique(jm.solve(IDEAL, case).state.root.grid)) > 2

    def total(radius: jax.Array, case: jm.Case) -> jax.Array:
        return jnp.sum(jm.solve(IDEAL, case.replace(pore_radius=radius), throw=False).observed_rejection)

    slopes = jax.jit(jax.grad(total))
    radius = case.membrane.pore_radius
    forward, backward = slopes(radius, case), slopes(radius[::-1], case[::-1])[::-1]
    alone = jax.jit(jax.vmap(jax.grad(total)))(radius, case.broadcast())
    assert np.allclose(forward, backward, rtol=1e-11, atol=0.0)
    assert np.allclose(forward, alone, rtol=1e-11, atol=0.0)


def test_second_solve_compiles_nothing() -> None:
    seen: list[str] = []
    listening = [True]

    def listener(event: str, duration: float, **_: object) -> None:
        if listening[0] and "compile" in event:
            seen.append(event)

    first = jm.solve(IDEAL, CASE).permeate
    other = CASE.replace(pore_radius=CASE.membrane.pore_radius * 1.1, charge_density=CASE.membrane.charge_density + 5.0)
    jax.monitoring.register_event_duration_secs_listener(listener)
    second = jm.solve(IDEAL, other).permeate
    again = list(seen)
    jax.jit(lambda x: x * 3.0 + 0.12345)(jnp.ones(3))  # the listener does hear a compile
    listening[0] = False
    assert not np.allclose(first, second)
    assert again == []
    assert seen


@pytest.mark.parametrize(
    ("precision", "limit"), [("float64", 1e-12), pytest.param("float32", 1e-6, marks=pytest.mark.campaign)]
)
def test_a_batch_equals_its_pieces(precision: str, limit: float) -> None:
    """Sizes below, at and above every block of the solver; pieces from both ends."""
    model, case = jm.DSPMDE(activity="ideal", precision=precision), r2(9000, 7)
    whole = jm.solve(model, case, throw=False)
    rejection, ok = np.asarray(whole.observed_rejection), np.asarray(whole.ok)
    assert ok.mean() > 0.99
    for size in (1, 65, 1024):
        for piece in (slice(0, size), slice(9000 - size, 9000)):
            part = jm.solve(model, case[piece], throw=False)
            assert np.array_equal(part.status, whole.status[piece])
            off = np.abs(np.asarray(part.observed_rejection) - rejection[piece])[ok[piece]].max()
            print(precision, "batch of", size, "differs by", off)
            assert off < limit


@pytest.mark.parametrize(("dtype", "n"), [(jnp.float64, 16_385), (jnp.float32, 32_769)])
def test_compiler_adds_up(dtype: type, n: int) -> None:
    """jaxlib 0.10.2 on a CPU loses terms of this sum (jax issue 39103); that version is excluded."""
    eye = jnp.eye(3, dtype=dtype)
    x = jnp.zeros((n, 3), dtype).at[:, 0].set(jnp.arange(n, dtype=dtype))
    jax.config.update("jax_disable_most_optimizations", False)
    try:
        squares = jax.jit(jax.vmap(lambda row: jnp.sum((eye @ row) ** 2)))(x)
    finally:
        jax.config.update("jax_disable_most_optimizations", True)
    assert np.array_equal(squares, np.arange(n, dtype=dtype) ** 2)


def test_davies_stays_on_the_branch_of_no_flux() -> None:
    """A strong 2:2 salt, where Davies turns over: Newton alone finds a root without any ion at the interface."""
    case = r2(4096, 2)[84:85]
    flux = float(case.conditions.volume_flux[0])
    case = jax.tree.map(lambda x: jnp.repeat(x, 6, axis=0), case).replace(volume_flux=flux * np.geomspace(0.01, 1.0, 6))
    result = jm.solve(jm.DSPMDE(), case, throw=False)
    present = np.asarray(case.feed.concentration[0]) > 0.0
    print(result.messages(), result.observed_rejection[:, present])
    assert bool(result.ok.all())
    assert float(result.observed_rejection[:, present].min()) > 0.99
    assert (np.asarray(result.interface / result.feed)[:, present] > 1.0).all()


def test_polarised_interface_at_forty_film_factors() -> None:
    """At J_v/k = 40 the bulk holds no trace of the interface in float64: c_m comes from the march, and so does its slope."""
    case = batch([lane(*(dict(i, k=1e-6) for i in FOUR), J=j) for j in (3.9e-5, 4e-5)], film=True)

    def wall(scale: jax.Array) -> jax.Array:
        moved = case.replace(thickness_over_porosity=case.membrane.thickness_over_porosity * scale)
        return jnp.log(jm.solve(IDEAL, moved, throw=False).interface)

    value, slope = jax.jvp(wall, (jnp.ones(()),), (jnp.ones(()),))
    h = 1e-4
    differences = (wall(jnp.asarray(1.0 + h)) - wall(jnp.asarray(1.0 - h))) / (2.0 * h)
    print("c_m", np.exp(value), "slope", slope, differences)
    assert bool(jm.solve(IDEAL, case, throw=False).ok.all())
    assert np.isfinite(np.asarray(value)).all()
    assert np.allclose(slope, differences, rtol=1e-5, atol=1e-7)
